// SPDX-License-Identifier: MIT
// Whole models against PyTorch (tests/golden, written by scripts/make_golden.py): every gradient tensor of the first step, and the losses
// of the first 20 Adam steps, from the same weights and batch, at every ISA level.
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
static const double gradient_bound = 1e-5, loss_bound = 1e-4;

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

// Runs a step and returns its mean loss (of the weights before it).
static double step(struct problem *p) {
    step_worker(p, 0, 1);
    assert_true(p->finite);
    double sum = 0;
    for (size_t i = 0; i < p->batch.n; i++) sum += (double)p->batch.loss[i];
    return sum / (double)p->batch.n;
}

// After the first step m = (1 - beta1) * gradient. The gradient of a bias that a softmax does not see is rounding alone.
static double gradient_error(const struct problem *p, size_t tensor) {
    const struct shk_param *param = &p->model->params[tensor];
    const struct golden_tensor *want = golden_find(p->golden, "grad/", param->name);
    if (!want) fail_msg("no gradient of %s in the golden file", param->name);
    double difference = 0, norm = 0;
    for (size_t i = 0; i < param->size; i++) {
        double got = (double)p->engine.m[shk_param_position(param, i)] / (double)(float)(1 - 0.9),
               w = (double)want->data[i];
        difference += (got - w) * (got - w);
        norm += w * w;
    }
    return sqrt(difference) / (norm > 1e-24 ? sqrt(norm) : 1);
}

static void check_file(const char *path, const struct shk_kernels *kernels) {
    struct problem p;
    open_problem(&p, path, kernels);
    const struct golden_tensor *losses = golden_find(p.golden, "", "losses_f32");
    double worst_gradient = 0, worst_loss = 0;
    const char *worst_name = "";
    for (int i = 0; i < STEPS; i++) {
        double loss_error = fabs(step(&p) - (double)losses->data[i]);
        if (!(loss_error <= worst_loss)) worst_loss = loss_error; // NaN too, and then the test fails
        for (size_t t = 0; i == 0 && t < shk_model_tensor_count(p.model); t++) {
            double e = gradient_error(&p, t);
            assert_false(isnan(e));
            if (e <= worst_gradient) continue;
            worst_gradient = e;
            worst_name = p.model->params[t].name;
        }
    }
    printf("%-6s %-34s gradients %.1e (%s), losses %.1e\n", kernels->isa, strrchr(path, '/') + 1, worst_gradient,
           worst_name, worst_loss);
    assert_true(worst_gradient < gradient_bound);
    assert_true(worst_loss < loss_bound);
    close_problem(&p);
}

static void test_parity(void **state) {
    (void)state;
    glob_t files;
    assert_int_equal(glob("tests/golden/*.bin", 0, NULL, &files), 0);
    assert_true(files.gl_pathc >= 7);
    const bool whole = getenv("SHK_TEST_WHOLE") || !shk_kernels_at(1);
    const struct shk_kernels *k;
    for (size_t isa = 0; (k = shk_kernels_at(isa)); isa++) // plain C is slow: every second file has it
        for (size_t i = 0; i < files.gl_pathc; i++)
            if (isa > 0 || i % 2 == 0 || whole) check_file(files.gl_pathv[i], k);
    globfree(&files);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parity)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
