// SPDX-License-Identifier: MIT
// Whole models, and nets drawn at random, are held against PyTorch in f64 (tests/golden, written by scripts/make_golden.py), from the
// same weights and batch, at every ISA level: the loss of an evaluation, every gradient tensor and running statistic of the first step,
// and the losses of the first 20 Adam steps.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "golden.h"
#include "settings/settings.h"
#include "train/step.h"
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 20 };
// An error is at most this, or three times that of PyTorch's own f32.
static const double gradient_bound = 1e-5, running_bound = 1e-6, loss_bound = 1e-4, own = 3;
static const double least_share = 5e-3; // of a gradient's norm in that of all

struct problem {
    struct golden *golden;
    struct shk_model *model;
    struct shk_dataset *data;
    struct shk_engine engine;
    struct shk_batch batch;
    bool finite;
};

static void step_worker(void *arg, unsigned worker, unsigned workers) {
    struct problem *p = arg;
    bool finite = shk_train_step(&p->engine, &p->batch, worker, workers) == SHK_STEP_DONE;
    if (worker == 0) p->finite = finite;
}

static void run_alone(const struct shk_team *team, shk_worker work, void *arg) {
    (void)team;
    work(arg, 0, 1);
}

static void open_problem(struct problem *p, const char *path, const struct shk_kernels *kernels) {
    char why[GOLDEN_ERROR];
    struct shk_error err;
    memset(p, 0, sizeof *p);
    p->golden = golden_read(path, why);
    if (!p->golden) fail_msg("%s", why);
    const struct golden *g = p->golden;
    struct shk_shape shape = {g->height, g->width, g->channels, g->classes};
    p->model = shk_model_create(g->description, &shape, 1, &err);
    if (!p->model) fail_msg("%s", err.text);
    for (size_t i = 0; i < shk_model_tensor_count(p->model); i++) {
        struct shk_tensor_info info = shk_model_tensor(p->model, i);
        const struct golden_tensor *t = golden_find(g, "", info.name);
        if (!t) fail_msg("%s: PyTorch has no %s", path, info.name);
        assert_int_equal(t->count, info.size);
        shk_model_set_tensor(p->model, i, t->data);
    }
    p->data = shk_dataset_copy(golden_find(g, "", "images")->data, g->labels, g->batch, &shape, &err);
    assert_non_null(p->data);
    struct shk_runtime runtime = {.kernels = kernels, .team = {.workers = 1, .run = run_alone}};
    assert_true(shk_engine_init(&p->engine, p->model, &runtime, g->batch, 3, true, &err));
    assert_true(shk_train_options_complete(&p->engine.options, &err));
    p->batch = (struct shk_batch){.data = p->data, .n = g->batch};
    p->batch.loss = calloc(g->batch, sizeof(float));
    p->batch.predicted = calloc(g->batch, sizeof(uint32_t));
}

static void close_problem(struct problem *p) {
    free(p->batch.loss);
    free(p->batch.predicted);
    shk_engine_free(&p->engine);
    shk_dataset_free(p->data);
    shk_model_free(p->model);
    golden_free(p->golden);
}

static double mean_loss(const struct problem *p) {
    double sum = 0;
    for (size_t i = 0; i < p->batch.n; i++) sum += (double)p->batch.loss[i];
    return sum / (double)p->batch.n;
}

// Runs a step and returns its mean loss (of the weights before it).
static double step(struct problem *p) {
    step_worker(p, 0, 1);
    assert_true(p->finite);
    return mean_loss(p);
}

static double from_golden(const struct problem *p, const char *name, size_t i) {
    const struct golden_tensor *t = golden_find(p->golden, "", name);
    if (!t || i >= t->count) fail_msg("the golden file has no %s", name);
    return (double)t->data[i];
}

static const struct golden_tensor *wanted(const struct problem *p, const struct shk_param *param) {
    const struct golden_tensor *t = golden_find(p->golden, param->running ? "running/" : "grad/", param->name);
    if (!t) fail_msg("nothing of %s in the golden file", param->name);
    return t;
}

// A running statistic, or a gradient: after the first step m = (1 - beta1) * gradient.
static double got_of(const struct problem *p, const struct shk_param *param, size_t i) {
    const size_t at = shk_param_position(param, i);
    return param->running ? (double)p->model->weights[at] : (double)p->engine.m[at] / (double)(float)(1 - 0.9);
}

static double norm_of_gradients(const struct problem *p) {
    double squares = 0;
    for (size_t t = 0; t < shk_model_tensor_count(p->model); t++) {
        const struct shk_param *param = &p->model->params[t];
        const float *want = wanted(p, param)->data;
        for (size_t i = 0; !param->running && i < param->size; i++) squares += (double)want[i] * (double)want[i];
    }
    return sqrt(squares);
}

static double tensor_error(const struct problem *p, const struct shk_param *param, double all) {
    const float *want = wanted(p, param)->data;
    double difference = 0, norm = 0;
    for (size_t i = 0; i < param->size; i++) {
        difference += pow(got_of(p, param, i) - (double)want[i], 2);
        norm += pow((double)want[i], 2);
    }
    return sqrt(difference) / fmax(sqrt(norm), param->running ? 0 : least_share * all);
}

// The largest error as a share of what it may be, of whatever it is.
struct worst {
    double share;
    char name[80];
};

static void judge(struct worst *w, double error, double bound, double of_pytorch, const char *what, const char *name) {
    const double share = error / fmax(bound, own * of_pytorch);
    if (share <= w->share) return;
    w->share = isnan(share) ? INFINITY : share;
    snprintf(w->name, sizeof w->name, "%.1e of %s%s", error, what, name);
}

static void judge_tensors(const struct problem *p, struct worst *w) {
    const double all = norm_of_gradients(p);
    for (size_t t = 0; t < shk_model_tensor_count(p->model); t++) {
        const struct shk_param *param = &p->model->params[t];
        const struct golden_tensor *error = golden_find(p->golden, "error/", param->name);
        judge(w, tensor_error(p, param, all), param->running ? running_bound : gradient_bound,
              error ? (double)error->data[0] : 0, "", param->name);
    }
}

// The loss of an evaluation. It has a plan of its own.
static void judge_evaluation(struct problem *p, const struct shk_kernels *kernels, struct worst *w) {
    if (!golden_find(p->golden, "", "evaluation_f64")) return;
    struct shk_engine training = p->engine;
    struct shk_runtime runtime = {.kernels = kernels, .team = {.workers = 1, .run = run_alone}};
    assert_true(shk_engine_init(&p->engine, p->model, &runtime, p->batch.n, 3, false, NULL));
    shk_forward(&p->engine, &p->batch, 0, 1);
    const double want = from_golden(p, "evaluation_f64", 0), f32 = from_golden(p, "evaluation_f32", 0);
    judge(w, fabs(mean_loss(p) - want), gradient_bound, fabs(f32 - want), "the evaluation", "");
    shk_engine_free(&p->engine);
    p->engine = training;
}

static void check_file(const char *path, const struct shk_kernels *kernels) {
    struct problem p;
    struct worst gradients = {0}, losses = {0};
    open_problem(&p, path, kernels);
    judge_evaluation(&p, kernels, &gradients);
    const struct golden_tensor *own_losses = golden_find(p.golden, "error/", "losses");
    double of_pytorch = own_losses ? (double)own_losses->data[0] : 0;
    for (size_t i = 0; i < STEPS; i++)
        of_pytorch = fmax(of_pytorch, fabs(from_golden(&p, "losses_f32", i) - from_golden(&p, "losses_f64", i)));
    for (size_t i = 0; i < STEPS; i++) {
        judge(&losses, fabs(step(&p) - from_golden(&p, "losses_f64", i)), loss_bound, of_pytorch, "a loss", "");
        if (i == 0) judge_tensors(&p, &gradients);
    }
    printf("%-6s %-34s share of the bound: gradients %.2f (%s), losses %.2f (%s)\n", kernels->isa,
           path + strlen("tests/golden/"), gradients.share, gradients.name, losses.share, losses.name);
    if (!(gradients.share < 1 && losses.share < 1))
        fail_msg("%s is too far from PyTorch: %s", path, p.golden->description);
    close_problem(&p);
}

static void random_nets_agree(void **state) {
    (void)state;
    glob_t files;
    assert_int_equal(glob("tests/golden/random/*.bin", 0, NULL, &files), 0);
    assert_int_equal(files.gl_pathc, 41);
    const bool whole = getenv("SHK_TEST_WHOLE") || !shk_kernels_at(1);
    const struct shk_kernels *k;
    for (size_t isa = 0; (k = shk_kernels_at(isa)); isa++) // plain C is slow: every sixth file has it
        for (size_t i = 0; i < files.gl_pathc; i++)
            if (isa > 0 || i % 6 == 0 || whole) check_file(files.gl_pathv[i], k);
    globfree(&files);
}

static void test_parity(void **state) {
    (void)state;
    glob_t files;
    assert_int_equal(glob("tests/golden/*.bin", 0, NULL, &files), 0);
    assert_true(files.gl_pathc >= 22);
    const bool whole = getenv("SHK_TEST_WHOLE") || !shk_kernels_at(1);
    const struct shk_kernels *k;
    for (size_t isa = 0; (k = shk_kernels_at(isa)); isa++) // plain C is slow: every fourth file has it
        for (size_t i = 0; i < files.gl_pathc; i++)
            if (isa > 0 || i % 4 == 0 || whole) check_file(files.gl_pathv[i], k);
    globfree(&files);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parity), cmocka_unit_test(random_nets_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
