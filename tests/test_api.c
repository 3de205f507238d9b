// SPDX-License-Identifier: MIT
// The public API where it is used wrongly, or from surroundings that the library did not choose.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fenv.h>
#include <math.h>
#include <shikaku/shikaku.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

static const struct shk_shape squares_shape = {32, 32, 1, 9};

static struct shk_dataset *squares(size_t n) {
    struct shk_error err;
    struct shk_dataset *d = shk_dataset_squares(&(struct shk_squares_options){.n = n, .invert = 0.5}, &err);
    assert_non_null(d);
    return d;
}

static struct shk_model *model_of(const char *description) {
    struct shk_error err;
    struct shk_model *m = shk_model_create(description, &squares_shape, 1, &err);
    assert_non_null(m);
    return m;
}

static struct shk_runtime *runtime_of(unsigned threads) {
    struct shk_error err;
    struct shk_runtime *r = shk_runtime_create(&(struct shk_runtime_options){.threads = threads}, &err);
    assert_non_null(r);
    return r;
}

static uint64_t trained_hash(void) {
    struct shk_error err;
    struct shk_runtime *runtime = runtime_of(2);
    struct shk_dataset *data = squares(200);
    struct shk_model *model = model_of("tinyvit");
    struct shk_trainer *trainer = shk_trainer_create(model, runtime, NULL, &err);
    assert_true(shk_train(trainer, data, NULL, 1, NULL, &err));
    uint64_t hash = shk_model_hash(model);
    shk_trainer_free(trainer);
    shk_model_free(model);
    shk_dataset_free(data);
    shk_runtime_free(runtime);
    return hash;
}

// A caller that rounds upwards and flushes denormals gets the same bits, and its own mode back.
static void test_arithmetic_mode(void **state) {
    (void)state;
    uint64_t want = trained_hash();
    assert_int_equal(fesetround(FE_UPWARD), 0);
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040); // flush to zero, denormals are zero
#endif
    uint64_t got = trained_hash();
    assert_int_equal(fegetround(), FE_UPWARD);
#if defined(__x86_64__)
    assert_int_equal(_mm_getcsr() & 0x8040, 0x8040);
    _mm_setcsr(_mm_getcsr() & ~0x8040u);
#endif
    fesetround(FE_TONEAREST);
    assert_true(got == want);
}

static void test_wrong_shapes(void **state) {
    (void)state;
    struct shk_error err;
    const struct shk_shape wrong[] = {{7, 32, 1, 9},  {32, 257, 1, 9}, {32, 32, 0, 9},
                                      {32, 32, 5, 9}, {32, 32, 1, 1},  {0, 0, 1, 9}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        err.code = SHK_OK;
        assert_null(shk_model_create("tinycnn", &wrong[i], 1, &err));
        assert_int_equal(err.code, SHK_BAD_INPUT);
    }
    float image[64] = {0};
    uint32_t label = 0;
    const struct shk_shape small = {8, 8, 1, 2};
    image[3] = NAN;
    assert_null(shk_dataset_copy(image, &label, 1, &small, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    image[3] = 0;
    struct shk_dataset *other = shk_dataset_copy(image, &label, 1, &small, &err);
    assert_non_null(other);
    struct shk_runtime *runtime = runtime_of(1);
    struct shk_model *model = model_of("tinycnn");
    struct shk_metrics metrics;
    struct shk_profile profile;
    assert_false(shk_evaluate(model, runtime, other, &metrics, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    assert_false(shk_profile_train(model, runtime, other, NULL, 1, &profile, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    shk_model_free(model);
    shk_runtime_free(runtime);
    shk_dataset_free(other);
}

static void test_profile(void **state) {
    (void)state;
    struct shk_error err;
    struct shk_runtime *runtime = runtime_of(2);
    struct shk_dataset *data = squares(100);
    struct shk_model *model = model_of("tinycnn");
    struct shk_profile profile;
    assert_false(shk_profile_train(model, runtime, data, NULL, 0, &profile, &err));
    assert_false(shk_profile_train(model, runtime, data, &(struct shk_train_options){.batch = 101}, 1, &profile, &err));
    assert_false(shk_profile_train(model, runtime, data, &(struct shk_train_options){.batch = SHK_MAX_BATCH + 1}, 1,
                                   &profile, &err));
    assert_true(shk_profile_train(model, runtime, data, NULL, 2, &profile, &err));
    double flops = 0, nominal = 64 * shk_model_training_flops(model);
    for (size_t i = 0; i < profile.rows; i++) {
        assert_true(profile.row[i].seconds >= 0);
        flops += profile.row[i].flops;
    }
    assert_true(flops > 0.35 * nominal && flops < 0.44 * nominal); // 4.02 of 9.25 MFLOP, less what is not alive
    assert_true(profile.peak_flops > 0 && profile.bandwidth > 0);
    shk_profile_free(&profile);
    shk_model_free(model);
    shk_dataset_free(data);
    shk_runtime_free(runtime);
}

// ---- Callbacks that end the training

static bool end_at_step(const struct shk_step *s, void *user) {
    (void)s;
    ++*(size_t *)user;
    return false;
}
static bool end_at_epoch(const struct shk_epoch *e, void *user) {
    (void)e;
    ++*(size_t *)user;
    return false;
}

// Many times, since workers then part at any moment: with the weights of a training in one go, and without hanging.
static void test_ends(void **state) {
    (void)state;
    enum { EPOCHS = 60 }; // of 3 steps
    struct shk_error err;
    struct shk_dataset *data = squares(12);
    const struct shk_train_options options = {.batch = 5};
    uint64_t hash[3];
    for (int way = 0; way < 3; way++) { // in one go, step by step, epoch by epoch
        struct shk_callbacks callbacks = {.on_step = way == 1 ? end_at_step : NULL};
        if (way == 2) callbacks.on_epoch = end_at_epoch;
        struct shk_runtime *runtime = runtime_of(3);
        struct shk_model *model = model_of("cnn:channels=1,hidden=0");
        struct shk_trainer *trainer = shk_trainer_create(model, runtime, &options, &err);
        size_t calls = 0;
        callbacks.user = &calls;
        while (shk_trainer_position(trainer).epoch < EPOCHS)
            assert_true(shk_train(trainer, data, NULL, EPOCHS, &callbacks, &err));
        assert_int_equal(calls, way == 0 ? 0 : way == 1 ? 3 * EPOCHS : EPOCHS);
        hash[way] = shk_model_hash(model);
        shk_trainer_free(trainer);
        shk_model_free(model);
        shk_runtime_free(runtime);
    }
    assert_true(hash[1] == hash[0] && hash[2] == hash[0]);
    shk_dataset_free(data);
}

static bool keep_epoch(const struct shk_epoch *e, void *user) {
    struct shk_epoch *last = user;
    *last = *e;
    return true;
}

// Three epochs with a test behind each, or without one.
static uint64_t hash_after(const char *description, const struct shk_dataset *test, struct shk_metrics *said,
                           struct shk_metrics *after) {
    struct shk_error err;
    struct shk_epoch last = {0};
    struct shk_runtime *runtime = runtime_of(2);
    struct shk_dataset *data = squares(70);
    struct shk_model *model = model_of(description);
    struct shk_trainer *trainer =
        shk_trainer_create(model, runtime, &(struct shk_train_options){.batch = 32, .lr = 0.01}, &err);
    const struct shk_callbacks callbacks = {.on_epoch = keep_epoch, .user = &last};
    assert_true(shk_train(trainer, data, test, 3, &callbacks, &err));
    *said = last.test;
    if (test) assert_true(shk_evaluate(model, runtime, test, after, &err));
    const uint64_t hash = shk_model_hash(model);
    shk_trainer_free(trainer);
    shk_model_free(model);
    shk_dataset_free(data);
    shk_runtime_free(runtime);
    return hash;
}

// The test works in the training's memory: neither sees what the other has left there.
static void test_takes_turns(void **state) {
    (void)state;
    static const char *const models[] = {"cnn:channels=3-20,hidden=9", "tinyvit",
                                         "net:flatten linear(30) relu linear(classes)",
                                         "net:conv(5) bn relu conv(6) relu max_pool(2) mean linear(classes)"};
    struct shk_dataset *test = squares(90);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct shk_metrics said, after, none;
        const uint64_t hash = hash_after(models[i], test, &said, &after);
        assert_true(said.loss == after.loss && said.accuracy == after.accuracy);
        assert_true(hash == hash_after(models[i], NULL, &none, &none));
    }
    shk_dataset_free(test);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_arithmetic_mode), cmocka_unit_test(test_wrong_shapes),
                                       cmocka_unit_test(test_profile), cmocka_unit_test(test_ends),
                                       cmocka_unit_test(test_takes_turns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
