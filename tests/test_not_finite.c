// SPDX-License-Identifier: MIT
// Trainings that go wrong: the sentence names the first place, on any number of threads and instruction set alike; the
// model is refused until it has other weights; and the trainer then goes on.
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

static const char cnn[] = "cnn:channels=4-6,hidden=8", cnn1[] = "cnn:channels=4,hidden=8";
enum { MAX_TENSORS = 64 };

struct bench {
    struct shk_runtime *runtime;
    struct shk_dataset *data;
    struct shk_model *model;
    struct shk_trainer *trainer;
    float *good[MAX_TENSORS]; // the initial weights
    size_t tensors;
    size_t steps, stop_after; // that on_step saw; 0: go on
};

static float *tensor_of(const struct shk_model *m, size_t i) {
    float *values = malloc(shk_model_tensor(m, i).size * sizeof *values);
    shk_model_get_tensor(m, i, values);
    return values;
}

static void open_bench(struct bench *b, const char *model, const char *isa, unsigned threads, double clip_norm) {
    const struct shk_shape shape = {32, 32, 1, 9};
    struct shk_error err;
    *b = (struct bench){0};
    b->runtime = shk_runtime_create(&(struct shk_runtime_options){.isa = isa, .threads = threads}, &err);
    if (!b->runtime) fail_msg("%s", err.text);
    b->data = shk_dataset_squares(&(struct shk_squares_options){.n = 64, .invert = 0.5}, &err);
    b->model = shk_model_create(model, &shape, 1, &err);
    const struct shk_train_options options = {.batch = 20, .clip_norm = clip_norm};
    b->trainer = shk_trainer_create(b->model, b->runtime, &options, &err);
    assert_non_null(b->trainer);
    b->tensors = shk_model_tensor_count(b->model);
    assert_true(b->tensors <= MAX_TENSORS);
    for (size_t i = 0; i < b->tensors; i++) b->good[i] = tensor_of(b->model, i);
}

static void close_bench(struct bench *b) {
    for (size_t i = 0; i < b->tensors; i++) free(b->good[i]);
    shk_trainer_free(b->trainer);
    shk_model_free(b->model);
    shk_dataset_free(b->data);
    shk_runtime_free(b->runtime);
}

static bool count_step(const struct shk_step *s, void *user) {
    struct bench *b = user;
    assert_true(isfinite(s->loss));
    b->steps++;
    return b->steps != b->stop_after;
}

static bool train(struct bench *b, size_t epochs, struct shk_error *err) {
    const struct shk_callbacks callbacks = {.on_step = count_step, .user = b};
    *err = (struct shk_error){0};
    return shk_train(b->trainer, b->data, NULL, epochs, &callbacks, err);
}

static size_t index_of(const struct bench *b, const char *name) {
    for (size_t i = 0; i < b->tensors; i++)
        if (strcmp(shk_model_tensor(b->model, i).name, name) == 0) return i;
    fail_msg("no tensor %s", name);
    return 0;
}

static void set_all_to(struct bench *b, const char *name, float value) {
    size_t i = index_of(b, name), n = shk_model_tensor(b->model, i).size;
    float *values = malloc(n * sizeof *values);
    for (size_t j = 0; j < n; j++) values[j] = value;
    shk_model_set_tensor(b->model, i, values);
    free(values);
}

static void multiply(struct bench *b, const char *name, float factor) {
    size_t i = index_of(b, name), n = shk_model_tensor(b->model, i).size;
    float *values = tensor_of(b->model, i);
    for (size_t j = 0; j < n; j++) values[j] *= factor;
    shk_model_set_tensor(b->model, i, values);
    free(values);
}

static void restore(struct bench *b, size_t first, size_t end) {
    for (size_t i = first; i < end; i++) shk_model_set_tensor(b->model, i, b->good[i]);
}

static void says(const struct shk_error *err, enum shk_code code, const char *text) {
    if (err->code != code || strcmp(err->text, text) != 0)
        fail_msg("%d '%s', want %d '%s'", err->code, err->text, code, text);
}

// Refused until all tensors are set; then the training is that of a new trainer.
static void check_refused_and_goes_on(struct bench *b, const char *model, double clip_norm) {
    static const char refused[] =
        "the model's weights are of a training that went wrong in epoch 1, step 1: load others first";
    struct shk_error err;
    struct shk_metrics metrics;
    struct shk_profile profile;
    struct bench fresh;
    assert_int_equal(b->steps, 0); // on_step did not see the failure
    assert_int_equal(shk_trainer_position(b->trainer).step, 0);
    for (size_t set = 0; set < b->tensors; set++) {
        assert_false(train(b, 1, &err));
        says(&err, SHK_FAILED, refused);
        assert_false(shk_evaluate(b->model, b->runtime, b->data, &metrics, &err));
        says(&err, SHK_FAILED, refused);
        assert_false(shk_profile_train(b->model, b->runtime, b->data, NULL, 1, &profile, &err));
        says(&err, SHK_FAILED, refused);
        restore(b, set, set + 1);
    }
    assert_true(train(b, 2, &err));
    open_bench(&fresh, model, NULL, 1, clip_norm);
    assert_true(train(&fresh, 2, &err));
    assert_true(shk_model_hash(b->model) == shk_model_hash(fresh.model));
    assert_int_equal(b->steps, fresh.steps);
    close_bench(&fresh);
}

// ---- What goes wrong, and what is said of it

// Sums of finite weights that are not.
static void spoil_conv1(struct bench *b) { set_all_to(b, "conv1.weight", 3e38f); }
static void spoil_conv2(struct bench *b) { set_all_to(b, "conv2.weight", 3e38f); }
static void spoil_fc1(struct bench *b) { set_all_to(b, "fc1.weight", 3e38f); }
static void spoil_block(struct bench *b) { set_all_to(b, "encoder.layers.0.linear1.weight", 3e38f); }

// Logits that are finite, but so far apart that a loss is not.
static void spoil_loss(struct bench *b) {
    float bias[9] = {3e38f, -3e38f, 3e38f, -3e38f, 3e38f, -3e38f, 3e38f, -3e38f, 3e38f};
    shk_model_set_tensor(b->model, index_of(b, "fc2.bias"), bias);
}

// Large inputs, tiny weights, large weights: logits of common size, but the gradient of the tiny ones is input times the
// large ones.
static void spoil_gradient(struct bench *b) {
    multiply(b, "conv1.weight", 1e12f);
    multiply(b, "conv1.bias", 1e12f);
    multiply(b, "fc1.weight", 1e-40f);
    multiply(b, "fc1.bias", 0);
    multiply(b, "fc2.weight", 1e31f);
}

// The same for gradients that are finite, but whose squares are not: for the norm, or for Adam as well, which takes a
// thousandth of them.
static void spoil_square(struct bench *b) {
    multiply(b, "fc1.weight", 1e-30f);
    multiply(b, "fc1.bias", 0);
    multiply(b, "fc2.weight", 1e30f);
}
static void spoil_norm(struct bench *b) {
    multiply(b, "fc1.weight", 1e-21f);
    multiply(b, "fc1.bias", 0);
    multiply(b, "fc2.weight", 1e21f);
}

static const struct {
    const char *model;
    void (*spoil)(struct bench *);
    double clip_norm;
    const char *text;
    bool late; // when weights have changed: the schedule that does not clip looks at gradients as it applies them
} cases[] = {
    {cnn, spoil_conv1, 0, "the loss is not finite in epoch 1, step 1, first in conv1", false},
    {cnn, spoil_conv1, 1, "the loss is not finite in epoch 1, step 1, first in conv1", false},
    {cnn, spoil_conv2, 0, "the loss is not finite in epoch 1, step 1, first in conv2", false},
    {cnn, spoil_fc1, 0, "the loss is not finite in epoch 1, step 1, first in fc1", false},
    {cnn, spoil_loss, 0, "the loss is not finite in epoch 1, step 1", false},
    {"tinycnn", spoil_fc1, 0, "the loss is not finite in epoch 1, step 1, first in fc1", false}, // the batch layer
    {"vit:dim=16,depth=2,heads=2,ff=32", spoil_block, 0,
     "the loss is not finite in epoch 1, step 1, first in encoder.layers.0.linear1", false},
    {cnn1, spoil_gradient, 0, "the gradient of fc1.bias is not finite in epoch 1, step 1", true},
    {cnn1, spoil_gradient, 1, "the gradient of fc1.weight is not finite in epoch 1, step 1", false},
    {cnn1, spoil_gradient, INFINITY, "the gradient of fc1.weight is not finite in epoch 1, step 1", false},
    {"tinycnn", spoil_gradient, 0, "the gradient of fc1.bias is not finite in epoch 1, step 1", true},
    {"tinycnn", spoil_gradient, 1, "the gradient of fc1.weight is not finite in epoch 1, step 1", false},
    {cnn1, spoil_square, 0, "the gradient of fc1.bias is not finite in epoch 1, step 1", true},
    {cnn1, spoil_square, INFINITY, "the gradients' norm is not finite in epoch 1, step 1", true},
    {cnn1, spoil_norm, 1, "the gradients' norm is not finite in epoch 1, step 1", false},
};

static void test_sentences(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct {
            const char *isa;
            unsigned threads;
        } ways[] = {{NULL, 1}, {NULL, 3}, {"c", 2}};
        for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
            struct bench b;
            struct shk_error err;
            char want[200];
            snprintf(want, sizeof want, "%s: lower the learning rate, or check the data", cases[i].text);
            open_bench(&b, cases[i].model, ways[way].isa, ways[way].threads, cases[i].clip_norm);
            cases[i].spoil(&b);
            uint64_t before = shk_model_hash(b.model);
            assert_false(train(&b, 1, &err));
            says(&err, SHK_FAILED, want);
            assert_int_equal(shk_model_hash(b.model) != before, cases[i].late);
            if (way != 2) check_refused_and_goes_on(&b, cases[i].model, cases[i].clip_norm);
            close_bench(&b);
        }
    }
}

// Without a bound, a norm that is not finite is none of its affair.
static void test_norm_without_bound(void **state) {
    (void)state;
    static const double norms[] = {0, INFINITY};
    uint64_t hash[2];
    for (size_t i = 0; i < 2; i++) {
        struct bench b;
        struct shk_error err;
        open_bench(&b, cnn1, NULL, 2, norms[i]);
        spoil_norm(&b);
        b.stop_after = 1;
        if (!train(&b, 1, &err)) fail_msg("%s", err.text);
        hash[i] = shk_model_hash(b.model);
        close_bench(&b);
    }
    assert_true(hash[0] == hash[1]);
}

static void test_weights_that_are_not_finite(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct bench b;
    struct shk_error err;
    open_bench(&b, cnn, NULL, 2, 0);
    for (size_t i = 0; i < b.tensors; i++) {
        float *values = tensor_of(b.model, i);
        char want[200];
        values[shk_model_tensor(b.model, i).size - 1] = bad[i % 3];
        shk_model_set_tensor(b.model, i, values);
        assert_false(train(&b, 1, &err));
        snprintf(want, sizeof want, "%s holds a number that is not finite: set finite weights first",
                 shk_model_tensor(b.model, i).name);
        says(&err, SHK_BAD_INPUT, want);
        restore(&b, i, i + 1);
        free(values);
    }
    assert_true(train(&b, 1, &err)); // nothing else was wrong
    close_bench(&b);
}

// In the midst of a training: the position is that of the last good step, and from there it goes on.
static void test_later_steps(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 3; threads += 2) {
        struct bench b;
        struct shk_error err;
        open_bench(&b, cnn, NULL, threads, 0);
        b.stop_after = 6; // of 4 an epoch
        assert_true(train(&b, 3, &err));
        spoil_conv2(&b);
        assert_false(train(&b, 3, &err));
        says(&err, SHK_FAILED,
             "the loss is not finite in epoch 2, step 3, first in conv2: lower the learning rate, or check the data");
        assert_int_equal(b.steps, 6);
        const struct shk_position at = shk_trainer_position(b.trainer);
        assert_int_equal(at.epoch, 1);
        assert_int_equal(at.step, 2);
        restore(&b, 0, b.tensors);
        assert_true(train(&b, 3, &err));
        assert_int_equal(b.steps, 12);
        close_bench(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_norm_without_bound),
        cmocka_unit_test(test_weights_that_are_not_finite),
        cmocka_unit_test(test_later_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
