// SPDX-License-Identifier: MIT
// A training with all that belongs to it, for tests of files.
#ifndef SHK_TESTS_TRAINING_H
#define SHK_TESTS_TRAINING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <shikaku/shikaku.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORDED = 16 };

struct training {
    struct shk_runtime *runtime;
    struct shk_dataset *train, *test;
    struct shk_model *model;
    struct shk_trainer *trainer;
    size_t stop_epoch, stop_step;      // where on_step ends it; 0: nowhere
    struct shk_epoch epochs[RECORDED]; // [epoch]: what on_epoch saw
};

struct way { // of running: none of it may matter
    const char *isa;
    unsigned threads;
};

static inline bool has_isa(const char *isa) {
#if defined(__x86_64__)
    if (strcmp(isa, "avx2") == 0) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (strcmp(isa, "avx512") == 0) return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
#endif
    return strcmp(isa, "c") == 0;
}

// n images of any shape whose pixels and labels depend on their number alone.
static inline struct shk_dataset *data_of(const struct shk_shape *s, size_t n, unsigned salt) {
    size_t pixels = s->height * s->width * s->channels;
    float *images = malloc(n * pixels * sizeof *images);
    uint32_t *labels = malloc(n * sizeof *labels);
    uint32_t state = salt;
    for (size_t i = 0; i < n; i++) {
        labels[i] = (uint32_t)(i % s->classes);
        for (size_t j = 0; j < pixels; j++) {
            state = state * 1664525 + 1013904223;
            images[i * pixels + j] = (float)(state >> 20) / 4096 + (float)labels[i] * 0.1f;
        }
    }
    struct shk_error err;
    struct shk_dataset *d = shk_dataset_copy(images, labels, n, s, &err);
    assert_non_null(d);
    free(images);
    free(labels);
    return d;
}

static inline struct training training_of(const char *model, const struct shk_shape *shape,
                                          const struct shk_train_options *options, struct way way) {
    struct shk_error err = {0};
    struct training t = {0};
    t.runtime = shk_runtime_create(&(struct shk_runtime_options){.isa = way.isa, .threads = way.threads}, &err);
    if (!t.runtime) fail_msg("%s", err.text);
    t.train = data_of(shape, 50, 1);
    t.test = data_of(shape, 20, 2);
    t.model = shk_model_create(model, shape, 1, &err);
    if (!t.model) fail_msg("%s", err.text);
    t.trainer = shk_trainer_create(t.model, t.runtime, options, &err);
    if (!t.trainer) fail_msg("%s", err.text);
    return t;
}

static inline void training_free(struct training *t) {
    shk_trainer_free(t->trainer);
    shk_model_free(t->model);
    shk_dataset_free(t->train);
    shk_dataset_free(t->test);
    shk_runtime_free(t->runtime);
}

static inline bool training_on_step(const struct shk_step *s, void *user) {
    const struct training *t = user;
    return s->epoch != t->stop_epoch || s->step != t->stop_step;
}

static inline bool training_on_epoch(const struct shk_epoch *e, void *user) {
    struct training *t = user;
    t->epochs[e->epoch] = *e;
    return true;
}

static inline bool try_train(struct training *t, size_t epochs, struct shk_error *err) {
    const struct shk_callbacks callbacks = {.on_step = training_on_step, .on_epoch = training_on_epoch, .user = t};
    return shk_train(t->trainer, t->train, t->test, epochs, &callbacks, err);
}

static inline void train(struct training *t, size_t epochs) {
    struct shk_error err;
    if (!try_train(t, epochs, &err)) fail_msg("%s", err.text);
}

// Trains up to and including this step.
static inline void train_to(struct training *t, size_t epoch, size_t step) {
    t->stop_epoch = epoch;
    t->stop_step = step;
    train(t, epoch);
    t->stop_epoch = 0;
}

static inline char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("%s is not there", path);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size + 1);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    bytes[*size] = 0;
    fclose(file);
    return bytes;
}

static inline void write_file(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

#endif
