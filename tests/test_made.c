// SPDX-License-Identifier: MIT
// Images that a callback makes train like the same ones in memory; classes get names.
#include "training.h"

#include <stdatomic.h>

static const struct shk_shape shape = {10, 9, 3, 4};
enum { N = 150, PIXELS = 10 * 9 * 3, BROKEN = 77 };

struct making {
    const struct shk_dataset *from;
    atomic_size_t calls;
    bool broken; // one of them cannot be made
};

static void make(size_t sample, float *pixels, void *user) {
    struct making *m = user;
    atomic_fetch_add(&m->calls, 1);
    shk_dataset_pixels(m->from, sample, pixels);
    if (m->broken && sample == BROKEN) pixels[5] = NAN;
}

static struct shk_dataset *made_by(struct making *m) {
    uint32_t labels[N];
    struct shk_error err;
    for (size_t i = 0; i < N; i++) labels[i] = shk_dataset_label(m->from, i);
    const struct shk_image_maker maker = {make, m};
    struct shk_dataset *d = shk_dataset_make(&maker, labels, N, &shape, &err);
    if (!d) fail_msg("%s", err.text);
    return d;
}

static void check_pixels(const struct shk_dataset *a, const struct shk_dataset *b) {
    for (size_t i = 0; i < N; i++) {
        float x[PIXELS], y[PIXELS];
        shk_dataset_pixels(a, i, x);
        shk_dataset_pixels(b, i, y);
        assert_memory_equal(x, y, sizeof x);
    }
}

static void test_same_images(void **state) {
    (void)state;
    struct shk_dataset *held = data_of(&shape, N, 3);
    struct making m = {.from = held};
    struct shk_dataset *made = made_by(&m);
    assert_int_equal(atomic_load(&m.calls), 0);
    assert_int_equal(shk_dataset_hash(held), shk_dataset_hash(made));
    check_pixels(held, made);
    shk_dataset_free(made);
    shk_dataset_free(held);
}

// Mean and deviation of each channel are the same to the last bit, and near what a plain sum gives.
static void test_statistics(void **state) {
    (void)state;
    struct shk_dataset *held = data_of(&shape, N, 3), *other = data_of(&shape, N, 3);
    struct making m = {.from = other};
    struct shk_dataset *made = made_by(&m);
    const uint64_t hash = shk_dataset_hash(held);
    float mean[2][3], deviation[2][3];
    double sum[3] = {0};
    shk_dataset_statistics(held, mean[0], deviation[0]);
    shk_dataset_statistics(made, mean[1], deviation[1]);
    assert_memory_equal(mean[0], mean[1], sizeof mean[0]);
    assert_memory_equal(deviation[0], deviation[1], sizeof deviation[0]);
    for (size_t i = 0; i < N; i++) {
        float x[PIXELS];
        shk_dataset_pixels(held, i, x);
        for (size_t p = 0; p < PIXELS; p++) sum[p % 3] += (double)x[p];
    }
    for (size_t c = 0; c < 3; c++) assert_true(fabs(sum[c] / (N * PIXELS / 3) - (double)mean[0][c]) < 1e-6);
    shk_dataset_normalise(held, mean[0], deviation[0]);
    shk_dataset_normalise(made, mean[0], deviation[0]);
    check_pixels(held, made);
    float x[PIXELS], y[PIXELS];
    shk_dataset_pixels(held, 9, x);
    shk_dataset_pixels(other, 9, y);
    for (size_t p = 0; p < PIXELS; p++) assert_true(x[p] == (y[p] - mean[0][p % 3]) / deviation[0][p % 3]);
    assert_int_equal(shk_dataset_hash(held), hash); // what is held is as it was
    assert_int_equal(shk_dataset_hash(made), hash);
    shk_dataset_free(made);
    shk_dataset_free(held);
    shk_dataset_free(other);
}

static uint64_t train_on(const struct shk_dataset *d, unsigned threads, struct shk_error *err) {
    const struct shk_runtime_options machine = {.threads = threads};
    const struct shk_train_options options = {.batch = 32, .seed = 4};
    struct shk_runtime *runtime = shk_runtime_create(&machine, err);
    struct shk_model *model = shk_model_create("cnn:channels=8,hidden=16", &shape, 1, err);
    struct shk_trainer *trainer = shk_trainer_create(model, runtime, &options, err);
    assert_non_null(trainer);
    const uint64_t hash = shk_train(trainer, d, d, 2, NULL, err) ? shk_model_hash(model) : 0;
    shk_trainer_free(trainer);
    shk_model_free(model);
    shk_runtime_free(runtime);
    return hash;
}

static void test_same_training(void **state) {
    (void)state;
    struct shk_error err = {0};
    struct shk_dataset *held = data_of(&shape, N, 3);
    struct making m = {.from = held};
    struct shk_dataset *made = made_by(&m);
    const uint64_t hash = train_on(held, 1, &err);
    assert_int_not_equal(hash, 0);
    assert_int_equal(train_on(made, 1, &err), hash);
    assert_int_equal(train_on(made, 2, &err), hash);
    m.broken = true;
    assert_int_equal(train_on(made, 2, &err), 0);
    assert_int_equal(err.code, SHK_FAILED);
    assert_non_null(strstr(err.text, "epoch 1"));
    shk_dataset_free(made);
    shk_dataset_free(held);
}

static void test_bad_labels(void **state) {
    (void)state;
    struct shk_error err = {0};
    const struct shk_image_maker maker = {make, NULL};
    const uint32_t labels[2] = {0, 4};
    assert_null(shk_dataset_make(&maker, labels, 2, &shape, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    assert_non_null(strstr(err.text, "label 1 is 4"));
}

// The names of classes go to the model that is trained on them.
static void test_class_names(void **state) {
    (void)state;
    static const char *const names[] = {"cat", "dog", "h\xc3\xa4schen", "newt"}, *const bad[] = {"a", "b", "\xff", "d"};
    struct shk_error err = {0};
    struct shk_dataset *d = data_of(&shape, N, 3);
    assert_null(shk_dataset_class(d, 0));
    assert_true(shk_dataset_name_classes(d, names, &err));
    assert_false(shk_dataset_name_classes(d, bad, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    assert_non_null(strstr(err.text, "class 2"));
    struct shk_runtime *runtime = shk_runtime_create(NULL, &err);
    struct shk_model *model = shk_model_create("cnn:channels=8,hidden=16", &shape, 1, &err);
    struct shk_trainer *trainer = shk_trainer_create(model, runtime, &(struct shk_train_options){0}, &err);
    assert_true(trainer && shk_train(trainer, d, NULL, 1, NULL, &err));
    for (size_t c = 0; c < 4; c++) assert_string_equal(shk_model_class(model, c), names[c]);
    shk_trainer_free(trainer);
    shk_model_free(model);
    shk_runtime_free(runtime);
    shk_dataset_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_images), cmocka_unit_test(test_statistics),  cmocka_unit_test(test_same_training),
        cmocka_unit_test(test_bad_labels),  cmocka_unit_test(test_class_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
