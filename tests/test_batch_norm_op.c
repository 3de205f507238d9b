// SPDX-License-Identifier: MIT
// A worked example holds batch normalisation to PyTorch's numbers: what it makes of a batch in training, the running statistics
// behind one batch and behind two, and what a model that was saved and loaded again makes of them in evaluation. Ghost batch
// normalisation is held to what it does with batches that are a block each.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "settings/settings.h"
#include "train/step.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SAMPLES = 4, CHANNELS = 2, CLASSES = 3, PIXELS = 64 };
static const double tolerance = 1e-6;

static const float x[SAMPLES][CHANNELS] = {{1, 2}, {3, 6}, {5, 1}, {7, 3}};
static const double in_training[SAMPLES][CHANNELS] = {{-1.3416394448610998, -0.5345217202229369},
                                                      {-0.4472131482870333, 1.6035651606688102},
                                                      {0.4472131482870333, -1.0690434404458737},
                                                      {1.3416394448610998, 0}};
static const double in_evaluation[SAMPLES][CHANNELS] = {{-0.07924408384935178, 0.6421411664730775},
                                                        {0.9113069642675442, 2.9152072424839717},
                                                        {1.9018580123844402, 0.073874647470354},
                                                        {2.892409060501336, 1.210407685475801}};
// Mean and variance behind a batch, and behind another one of twice the values.
static const double running[2][2][CHANNELS] = {{{0.4, 0.3}, {1.5666666666666669, 1.3666666666666667}},
                                               {{1.16, 0.87}, {4.076666666666667, 3.0966666666666667}}};

struct example {
    struct shk_model *model;
    struct shk_engine engine;
    struct shk_dataset *data; // x, then 2 x; an image's channels hold a value each, in all pixels
    struct shk_batch batch;
    uint32_t ids[SAMPLES], predicted[SAMPLES];
    float loss[SAMPLES];
};

static void run_alone(const struct shk_team *team, shk_worker work, void *arg) {
    (void)team;
    work(arg, 0, 1);
}

static struct shk_dataset *data_with(uint32_t label) {
    static float images[2 * SAMPLES * PIXELS * CHANNELS];
    uint32_t labels[2 * SAMPLES];
    const struct shk_shape shape = {8, 8, CHANNELS, CLASSES};
    for (size_t i = 0; i < 2 * SAMPLES * PIXELS * CHANNELS; i++) {
        const size_t sample = i / (PIXELS * CHANNELS);
        images[i] = x[sample % SAMPLES][i % CHANNELS] * (sample < SAMPLES ? 1 : 2);
    }
    for (size_t i = 0; i < 2 * SAMPLES; i++) labels[i] = label;
    struct shk_dataset *d = shk_dataset_copy(images, labels, 2 * SAMPLES, &shape, NULL);
    assert_non_null(d);
    return d;
}

// The normalised values are the first logits; the last logit is 0.
static struct shk_model *make_model(void) {
    const struct shk_shape shape = {8, 8, CHANNELS, CLASSES};
    struct shk_error err;
    struct shk_model *m = shk_model_create("net:conv(2,1,bias=no) mean norm=bn head=linear(classes)", &shape, 1, &err);
    if (!m) fail_msg("%s", err.text);
    for (size_t t = 0; t < shk_model_tensor_count(m); t++) {
        const struct shk_tensor_info info = shk_model_tensor(m, t);
        float values[CLASSES * CHANNELS] = {0};
        if (strncmp(info.name, "norm.", 5) == 0) continue;
        for (size_t i = 0; info.ndim > 1 && i < CHANNELS; i++) values[i * CHANNELS + i] = 1;
        shk_model_set_tensor(m, t, values);
    }
    return m;
}

// With a learning rate that changes no weight.
static void begin(struct example *e, struct shk_model *m, const struct shk_kernels *k, bool training, uint32_t label) {
    const struct shk_runtime runtime = {.kernels = k, .team = {.workers = 1, .run = run_alone}};
    *e = (struct example){.model = m, .data = data_with(label)};
    assert_true(shk_engine_init(&e->engine, m, &runtime, SAMPLES, 3, training, NULL));
    e->engine.options.lr = 1e-30;
    assert_true(shk_train_options_complete(&e->engine.options, NULL));
    e->batch = (struct shk_batch){.data = e->data, .ids = e->ids, .n = SAMPLES};
    e->batch.loss = e->loss;
    e->batch.predicted = e->predicted;
    for (uint32_t i = 0; i < SAMPLES; i++) e->ids[i] = i;
}

static void end(struct example *e) {
    shk_engine_free(&e->engine);
    shk_dataset_free(e->data);
}

// A logit is what its label's loss is below that of the last one.
static void check_values(const struct shk_model *as, const struct shk_kernels *k, bool training,
                         const double want[SAMPLES][CHANNELS]) {
    double losses[CLASSES][SAMPLES];
    for (uint32_t label = 0; label < CLASSES; label++) {
        struct example e;
        struct shk_model *m = make_model();
        memcpy(m->weights, as->weights, m->weight_floats * sizeof(float));
        begin(&e, m, k, training, label);
        if (training)
            assert_int_equal(shk_train_step(&e.engine, &e.batch, 0, 1), SHK_STEP_DONE);
        else
            shk_forward(&e.engine, &e.batch, 0, 1);
        for (size_t i = 0; i < SAMPLES; i++) losses[label][i] = (double)e.loss[i];
        end(&e);
        shk_model_free(m);
    }
    for (size_t i = 0; i < SAMPLES; i++)
        for (size_t c = 0; c < CHANNELS; c++)
            assert_float_equal(losses[CLASSES - 1][i] - losses[c][i], want[i][c], tolerance);
}

static void check_running(const struct shk_model *m, const double want[2][CHANNELS]) {
    static const char *const names[] = {"norm.running_mean", "norm.running_var"};
    for (size_t t = 0; t < shk_model_tensor_count(m); t++) {
        float values[CLASSES * CHANNELS];
        shk_model_get_tensor(m, t, values);
        for (size_t k = 0; k < 2; k++)
            for (size_t c = 0; strcmp(shk_model_tensor(m, t).name, names[k]) == 0 && c < CHANNELS; c++)
                assert_float_equal((double)values[c], want[k][c], tolerance);
    }
}

static struct shk_model *saved_and_loaded(const struct shk_model *m) {
    char path[] = "/tmp/shikaku-batch-norm-XXXXXX";
    struct shk_error err;
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    if (!shk_model_save(m, path, NULL, 0, &err)) fail_msg("%s", err.text);
    struct shk_model *loaded = shk_model_load(path, &err);
    if (!loaded) fail_msg("%s", err.text);
    unlink(path);
    return loaded;
}

static void the_example_comes_out(void **state) {
    (void)state;
    const struct shk_kernels *k;
    for (size_t isa = 0; (k = shk_kernels_at(isa)); isa++) {
        struct example e;
        struct shk_model *m = make_model();
        check_values(m, k, true, in_training);
        begin(&e, m, k, true, 0);
        for (uint32_t batch = 0; batch < 2; batch++) {
            for (uint32_t i = 0; i < SAMPLES; i++) e.ids[i] = batch * SAMPLES + i;
            assert_int_equal(shk_train_step(&e.engine, &e.batch, 0, 1), SHK_STEP_DONE);
            check_running(m, running[batch]);
        }
        struct shk_model *loaded = saved_and_loaded(m);
        check_running(loaded, running[1]);
        check_values(loaded, k, false, in_evaluation);
        shk_model_free(loaded);
        end(&e);
        shk_model_free(m);
    }
}

// ---- Blocks

enum { MANY = 300, BLOCK = MANY / 2, SIDE = 8 };

// What a model's training makes of MANY samples, in batches of some of them, that change no weight.
struct outcome {
    float losses[MANY];
    double *gradients; // [weight_floats], the mean over all samples
    struct shk_model *model;
};

static struct shk_dataset *many_images(void) {
    static float images[MANY * SIDE * SIDE];
    uint32_t labels[MANY], state = 1;
    const struct shk_shape shape = {SIDE, SIDE, 1, CLASSES};
    for (size_t i = 0; i < MANY * SIDE * SIDE; i++) {
        state = state * 1664525 + 1013904223;
        images[i] = (float)(state >> 8) * 0x1p-24f + (i < BLOCK * SIDE * SIDE ? 0 : 0.5f);
    }
    for (size_t i = 0; i < MANY; i++) labels[i] = (uint32_t)i % CLASSES;
    struct shk_dataset *d = shk_dataset_copy(images, labels, MANY, &shape, NULL);
    assert_non_null(d);
    return d;
}

static struct outcome outcome_of(const struct shk_kernels *k, const char *net, size_t batch) {
    const struct shk_runtime runtime = {.kernels = k, .team = {.workers = 1, .run = run_alone}};
    const struct shk_shape shape = {SIDE, SIDE, 1, CLASSES};
    struct shk_engine engine;
    uint32_t ids[MANY], predicted[MANY];
    struct shk_dataset *data = many_images();
    struct outcome of = {.model = shk_model_create(net, &shape, 1, NULL)};
    assert_non_null(of.model);
    assert_true(shk_engine_init(&engine, of.model, &runtime, batch, 64, true, NULL));
    assert_true(shk_engine_clip(&engine, &runtime.team, INFINITY, NULL));
    engine.options.lr = 1e-30;
    assert_true(shk_train_options_complete(&engine.options, NULL));
    of.gradients = calloc(of.model->weight_floats, sizeof *of.gradients);
    for (uint32_t i = 0; i < MANY; i++) ids[i] = i;
    for (size_t at = 0; at < MANY; at += batch) {
        struct shk_batch b = {.data = data, .ids = ids + at, .n = batch};
        b.loss = of.losses + at;
        b.predicted = predicted;
        assert_int_equal(shk_train_step(&engine, &b, 0, 1), SHK_STEP_DONE);
        for (size_t i = 0; i < of.model->weight_floats; i++)
            of.gradients[i] += (double)engine.gradients[i] * (double)batch / MANY;
    }
    shk_engine_free(&engine);
    shk_dataset_free(data);
    return of;
}

static void free_outcome(struct outcome *of) {
    free(of->gradients);
    shk_model_free(of->model);
}

static const char plain[] = "net:conv(5,bias=no) bn(momentum=0.3) relu conv(18,stride=2) bn mean linear(classes)",
                  ghost[] = "net:conv(5,bias=no) bn(momentum=0.3,ghost=yes) relu conv(18,stride=2) bn(ghost=yes) mean "
                            "linear(classes)";

// These are kept block after block.
static void check_same_statistics(const struct shk_model *a, const struct shk_model *b) {
    for (unsigned i = 0; i < a->param_count; i++) {
        const struct shk_param *p = &a->params[i];
        if (p->running) assert_memory_equal(a->weights + p->offset, b->weights + p->offset, p->length * sizeof(float));
    }
}

static void blocks_are_batches_of_their_own(void **state) {
    (void)state;
    const struct shk_kernels *k;
    for (size_t isa = 0; (k = shk_kernels_at(isa)); isa++) {
        struct outcome one = outcome_of(k, ghost, MANY), two = outcome_of(k, plain, BLOCK),
                       whole = outcome_of(k, plain, MANY);
        assert_memory_equal(one.losses, two.losses, sizeof one.losses);
        check_same_statistics(one.model, two.model);
        double most = 0;
        for (size_t i = 0; i < one.model->weight_floats; i++) most = fmax(most, fabs(two.gradients[i]));
        for (size_t i = 0; i < one.model->weight_floats; i++)
            assert_float_equal(one.gradients[i], two.gradients[i], most * 1e-6);
        assert_memory_not_equal(one.losses, whole.losses, sizeof one.losses);
        free_outcome(&one);
        free_outcome(&two);
        free_outcome(&whole);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_example_comes_out),
                                       cmocka_unit_test(blocks_are_batches_of_their_own)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
