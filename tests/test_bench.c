// SPDX-License-Identifier: MIT
// A benchmark takes the steps of one training, however they are asked for; and says what they took.
#include "training.h"

#include <shikaku/bench.h>

static const struct shk_shape shape = {12, 12, 1, 3};
enum { N = 100, BATCH = 32, OF_EPOCH = 4, MOST = 64 }; // 32, 32, 32 and 4 samples

static struct shk_bench *open_on(const struct shk_dataset *d, const struct shk_runtime *r, bool evaluation) {
    struct shk_error err;
    const struct shk_bench_options o = {
        .model = "cnn:channels=4,hidden=8", .batch = BATCH, .evaluation = evaluation, .seed = 3};
    struct shk_bench *b = shk_bench_create(&o, d, r, &err);
    if (!b) fail_msg("%s", err.text);
    return b;
}

static struct shk_runtime *runtime_of(struct way w) {
    struct shk_error err;
    struct shk_runtime *r = shk_runtime_create(&(struct shk_runtime_options){.isa = w.isa, .threads = w.threads}, &err);
    if (!r) fail_msg("%s", err.text);
    return r;
}

static void take(struct shk_bench *b, size_t steps, struct shk_bench_step *out) {
    struct shk_error err;
    const struct shk_bench_limits limits = {steps, steps, 0};
    assert_int_equal(shk_bench_run(b, &limits, out, &err), steps);
}

// After `steps` steps, `each` at a time.
static uint64_t hash_after(struct way w, bool evaluation, size_t steps, size_t each) {
    struct shk_bench_step out[MOST];
    struct shk_dataset *d = data_of(&shape, N, 7);
    struct shk_runtime *r = runtime_of(w);
    struct shk_bench *b = open_on(d, r, evaluation);
    for (size_t i = 0; i < steps; i += each) take(b, each, out);
    assert_int_equal(shk_bench_steps(b), steps);
    const uint64_t hash = shk_bench_hash(b);
    shk_bench_free(b);
    shk_runtime_free(r);
    shk_dataset_free(d);
    return hash;
}

static void test_same_steps(void **state) {
    (void)state;
    const struct way one = {"c", 1}, two = {"c", 2};
    for (int evaluation = 0; evaluation < 2; evaluation++) {
        const uint64_t hash = hash_after(one, evaluation, 6, 6);
        assert_int_equal(hash_after(one, evaluation, 6, 1), hash);
        assert_int_equal(hash_after(two, evaluation, 6, 3), hash);
        if (has_isa("avx2")) assert_int_equal(hash_after((struct way){"avx2", 2}, evaluation, 6, 2), hash);
        if (has_isa("avx512")) assert_int_equal(hash_after((struct way){"avx512", 1}, evaluation, 6, 2), hash);
        assert_int_not_equal(hash_after(one, evaluation, 5, 5), hash);
    }
}

// A training begins anew after its epochs, with the weights that it had at first.
static void test_begins_anew(void **state) {
    (void)state;
    const struct way one = {"c", 1};
    const size_t whole = (size_t)SHK_BENCH_EPOCHS * OF_EPOCH;
    assert_int_equal(hash_after(one, false, whole + 3, whole + 3), hash_after(one, false, 3, 3));
    assert_int_equal(hash_after(one, false, whole + 3, 1), hash_after(one, false, 3, 3));
}

// The weights are those of shk_train.
static void test_is_a_training(void **state) {
    (void)state;
    struct shk_error err;
    struct shk_bench_step out[MOST];
    struct shk_dataset *d = data_of(&shape, N, 7);
    struct shk_runtime *r = runtime_of((struct way){"c", 1});
    struct shk_bench *b = open_on(d, r, false);
    struct shk_model *m = shk_model_create("cnn:channels=4,hidden=8", &shape, 3, &err);
    struct shk_trainer *t = shk_trainer_create(m, r, &(struct shk_train_options){.batch = BATCH, .seed = 3}, &err);
    assert_true(shk_train(t, d, NULL, 2, NULL, &err));
    take(b, 2 * OF_EPOCH, out);
    assert_int_equal(shk_model_hash(shk_bench_model(b)), shk_model_hash(m));
    shk_trainer_free(t);
    shk_model_free(m);
    shk_bench_free(b);
    shk_runtime_free(r);
    shk_dataset_free(d);
}

static void test_steps(void **state) {
    (void)state;
    struct shk_error err;
    struct shk_bench_step out[MOST] = {{0}};
    struct shk_dataset *d = data_of(&shape, N, 7);
    struct shk_runtime *r = runtime_of((struct way){"c", 1});
    struct shk_bench *b = open_on(d, r, false);
    take(b, OF_EPOCH, out);
    for (size_t i = 0; i < OF_EPOCH; i++) {
        assert_int_equal(out[i].samples, i < OF_EPOCH - 1 ? BATCH : N % BATCH);
        assert_true(out[i].seconds > 0 && out[i].cpu_seconds > 0 && out[i].peak > 1e6);
    }
    assert_true(shk_bench_flops_done(b) > 0 && shk_bench_flops(b) > 0);
    // Time that is over ends it, but not before the least number of steps.
    assert_int_equal(shk_bench_run(b, &(struct shk_bench_limits){3, MOST, 0}, out, &err), 3);
    assert_int_equal(shk_bench_run(b, &(struct shk_bench_limits){1, 9, 1000}, out, &err), 9);
    shk_bench_free(b);
    shk_runtime_free(r);
    shk_dataset_free(d);
}

static void test_bad(void **state) {
    (void)state;
    struct shk_error err = {0};
    struct shk_dataset *d = data_of(&shape, N, 7);
    struct shk_runtime *r = runtime_of((struct way){"c", 1});
    assert_null(shk_bench_create(&(struct shk_bench_options){.model = "nothing"}, d, r, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    assert_null(
        shk_bench_create(&(struct shk_bench_options){.model = "tinycnn", .batch = SHK_MAX_BATCH + 1}, d, r, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    shk_runtime_free(r);
    shk_dataset_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_steps), cmocka_unit_test(test_begins_anew), cmocka_unit_test(test_is_a_training),
        cmocka_unit_test(test_steps),      cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
