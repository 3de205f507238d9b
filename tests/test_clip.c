// SPDX-License-Identifier: MIT
// Clipped gradients: an infinite norm gives the bits of the schedule that does not clip; a finite one gives what Adam makes
// of scaled gradients in double precision; and neither threads nor the instruction set enter the bits.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "settings/settings.h"
#include "train/step.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct shk_dataset *squares(size_t n, size_t size) {
    struct shk_error err;
    struct shk_dataset *d =
        shk_dataset_squares(&(struct shk_squares_options){.n = n, .size = size, .invert = 0.5, .seed = 1}, &err);
    if (!d) fail_msg("%s", err.text);
    return d;
}

static struct shk_model *model_for(const char *description, const struct shk_dataset *data) {
    struct shk_error err;
    const struct shk_shape shape = shk_dataset_shape(data);
    struct shk_model *m = shk_model_create(description, &shape, 1, &err);
    if (!m) fail_msg("%s", err.text);
    return m;
}

static uint64_t trained_hash(const char *description, const struct shk_dataset *data, const char *isa, unsigned threads,
                             double clip_norm) {
    struct shk_error err;
    struct shk_runtime *runtime =
        shk_runtime_create(&(struct shk_runtime_options){.isa = isa, .threads = threads}, &err);
    assert_non_null(runtime);
    struct shk_model *model = model_for(description, data);
    const struct shk_train_options options = {.batch = 16, .seed = 1, .clip_norm = clip_norm};
    struct shk_trainer *trainer = shk_trainer_create(model, runtime, &options, &err);
    if (!trainer) fail_msg("%s", err.text);
    if (!shk_train(trainer, data, NULL, 1, NULL, &err)) fail_msg("%s", err.text);
    uint64_t hash = shk_model_hash(model);
    shk_trainer_free(trainer);
    shk_model_free(model);
    shk_runtime_free(runtime);
    return hash;
}

static void test_same_bits(void **state) {
    (void)state;
    static const struct {
        const char *model;
        size_t size;
    } cases[] = {{"tinycnn", 32}, {"tinyvit", 32}, {"tinyvit-pre", 32}, {"cnn:channels=12-20,hidden=30", 27}};
    static const unsigned threads[] = {1, 2, 3, 5};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const char *model = cases[c].model;
        struct shk_dataset *data = squares(40, cases[c].size);
        const uint64_t fused = trained_hash(model, data, NULL, 2, 0);
        const uint64_t clipped = trained_hash(model, data, NULL, 2, 0.5);
        assert_true(clipped != fused);
        assert_true(trained_hash(model, data, NULL, 2, 1e30) == fused); // factor 1
        const struct shk_kernels *k;
        for (size_t isa = 0; (k = shk_kernels_at(isa)); isa++) {
            for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
                if (isa == 0 && t != 2) continue; // plain C is slow
                assert_true(trained_hash(model, data, k->isa, threads[t], INFINITY) == fused);
                assert_true(trained_hash(model, data, k->isa, threads[t], 0.5) == clipped);
            }
        }
        shk_dataset_free(data);
    }
}

// ---- Against double precision

struct problem {
    struct shk_model *model;
    struct shk_engine engine;
    struct shk_batch batch;
    float loss[32];
    uint32_t predicted[32];
    double *w, *m, *v; // where the model's weights are
};

static void run_alone(const struct shk_team *team, shk_worker work, void *arg) {
    (void)team;
    work(arg, 0, 1);
}

// Adam's step t on gradients that are clipped to `most`; returns the norm.
static double naive_step(struct problem *p, int t, double most) {
    const struct shk_train_options *o = &p->engine.options;
    const struct shk_model *model = p->model;
    double squares = 0;
    for (unsigned i = 0; i < model->param_count; i++) {
        for (size_t j = 0; j < model->params[i].size; j++) {
            double g = (double)p->engine.gradients[shk_param_position(&model->params[i], j)];
            squares += g * g;
        }
    }
    double scale = fmin(1, most / (sqrt(squares) + 1e-6));
    for (size_t i = 0; i < model->weight_floats; i++) {
        double g = scale * (double)p->engine.gradients[i];
        p->m[i] = o->beta1 * p->m[i] + (1 - o->beta1) * g;
        p->v[i] = o->beta2 * p->v[i] + (1 - o->beta2) * g * g;
        double root = sqrt(p->v[i] / (1 - pow(o->beta2, t)));
        p->w[i] -= o->lr * (p->m[i] / (1 - pow(o->beta1, t))) / (root + o->eps);
    }
    return sqrt(squares);
}

// |got - want| over |want|, as vectors.
static double distance(const float *got, const double *want, size_t n) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        difference += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        norm += want[i] * want[i];
    }
    return sqrt(difference / norm);
}

static void check_against_double(const char *description, double most, struct shk_train_options options) {
    enum { BATCH = 32, STEPS = 5 };
    struct shk_error err;
    struct shk_dataset *data = squares(BATCH, 32);
    struct problem p = {.model = model_for(description, data)};
    struct shk_runtime runtime = {.kernels = shk_kernels_at(0), .team = {.workers = 1, .run = run_alone}};
    assert_true(shk_engine_init(&p.engine, p.model, &runtime, BATCH, 5, true, &err));
    assert_true(shk_engine_clip(&p.engine, &runtime.team, most, &err));
    p.engine.options = options;
    assert_true(shk_train_options_complete(&p.engine.options, &err));
    p.batch = (struct shk_batch){.data = data, .n = BATCH, .loss = p.loss, .predicted = p.predicted};
    size_t n = p.model->weight_floats;
    p.w = calloc(n, sizeof *p.w);
    p.m = calloc(n, sizeof *p.m);
    p.v = calloc(n, sizeof *p.v);
    for (size_t i = 0; i < n; i++) p.w[i] = (double)p.model->weights[i];
    double least = INFINITY, worst = 0;
    for (int t = 1; t <= STEPS; t++) {
        assert_int_equal(shk_train_step(&p.engine, &p.batch, 0, 1), SHK_STEP_DONE);
        least = fmin(least, naive_step(&p, t, most));
        worst = fmax(worst, distance(p.engine.m, p.m, n));
        worst = fmax(worst, distance(p.engine.v, p.v, n));
        worst = fmax(worst, distance(p.model->weights, p.w, n));
    }
    printf("%-12s clipped to %g: least norm %.3g, moments and weights %.1e off\n", description, most, least, worst);
    assert_true(worst < 2e-6);
    free(p.w);
    free(p.m);
    free(p.v);
    shk_engine_free(&p.engine);
    shk_model_free(p.model);
    shk_dataset_free(data);
}

static void test_against_double(void **state) {
    (void)state;
    static const double norms[] = {1e-3, 0.5, 3};
    static const struct shk_train_options defaults = {0}, others = {.beta1 = 0.5, .beta2 = 0.9, .eps = 1e-3};
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) {
        check_against_double("tinycnn", norms[i], defaults);
        check_against_double("tinycnn", norms[i], others);
        check_against_double("tinyvit-pre", norms[i], defaults);
    }
}

static void test_bad_norms(void **state) {
    (void)state;
    static const double bad[] = {NAN, -1, -INFINITY};
    struct shk_dataset *data = squares(1, 32);
    struct shk_model *model = model_for("cnn:channels=1,hidden=0", data);
    struct shk_runtime *runtime = shk_runtime_create(&(struct shk_runtime_options){.threads = 1}, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct shk_error err = {0};
        assert_null(shk_trainer_create(model, runtime, &(struct shk_train_options){.clip_norm = bad[i]}, &err));
        assert_int_equal(err.code, SHK_BAD_INPUT);
        assert_non_null(strstr(err.text, "norm"));
    }
    shk_runtime_free(runtime);
    shk_model_free(model);
    shk_dataset_free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits), cmocka_unit_test(test_against_double),
                                       cmocka_unit_test(test_bad_norms)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
