// SPDX-License-Identifier: MIT
// A summary must say what is true: its text is the model, its sums are those of its parts, and its memory is what a training, a
// prediction and a predictor take, held here against every block that the library asks for.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include <math.h>
#include <shikaku/summary.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// ---- The library's blocks, counted: this file stands in for base/memory.c

enum { HEADER = 64 };
static atomic_size_t held, most;

void *shk_alloc(size_t count, size_t size, const char *what, struct shk_error *err) {
    (void)what;
    (void)err;
    const size_t bytes = count * size;
    char *block = aligned_alloc(64, HEADER + (bytes + 63) / 64 * 64);
    assert_non_null(block);
    memset(block, 0, HEADER + bytes);
    memcpy(block, &bytes, sizeof bytes);
    const size_t now = atomic_fetch_add(&held, bytes) + bytes;
    if (now > most) most = now; // the large blocks are taken by one thread
    return block + HEADER;
}
void *shk_alloc_untouched(size_t count, size_t size, size_t parts, const char *what, struct shk_error *err) {
    (void)parts;
    return shk_alloc(count, size, what, err);
}
void shk_populate(void *block, size_t bytes) {
    (void)block;
    (void)bytes;
}
void shk_free(void *block) {
    size_t bytes;
    if (!block) return;
    memcpy(&bytes, (char *)block - HEADER, sizeof bytes);
    held -= bytes;
    free((char *)block - HEADER);
}

// ---- Models

struct subject {
    const char *description;
    struct shk_shape shape;
    size_t batch;
    double clip_norm;
};
static const struct subject subjects[] = {
    {"tinycnn", {32, 32, 1, 9}, 64, 0},
    {"tinyvit", {32, 32, 1, 9}, 64, 1},
    {"tinyvit-pre", {32, 32, 1, 9}, 300, 0},
    {"net:conv(16,bias=no) bn relu 2*(sum(conv(16) bn relu conv(16) bn) relu) mean linear(classes)",
     {16, 16, 3, 5},
     64,
     0},
    {"net:stem=conv(5,5,stride=2) gelu layer=3*(sum(conv1=conv(8,bias=no) bn1=bn relu conv2=conv(8) bn2=bn | "
     "down=(conv(8,1) bn)) relu) max_pool(2) flatten fc=linear(classes)",
     {12, 15, 3, 5},
     70,
     0},
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

static struct shk_runtime *runtime_of(unsigned threads) {
    struct shk_error err;
    const struct shk_runtime_options options = {.threads = threads, .pin = "none"};
    struct shk_runtime *runtime = shk_runtime_create(&options, &err);
    if (!runtime) fail_msg("%s", err.text);
    return runtime;
}

static struct shk_train_options options_of(const struct subject *s) {
    return (struct shk_train_options){.batch = s->batch, .clip_norm = s->clip_norm};
}

static struct shk_summary *summary_of(const struct subject *s, const char *description,
                                      const struct shk_runtime *runtime) {
    struct shk_error err;
    const struct shk_train_options options = options_of(s);
    struct shk_summary *summary = shk_summary_create(description, &s->shape, runtime, &options, &err);
    if (!summary) fail_msg("%s: %s", s->description, err.text);
    return summary;
}

// ---- Text and sums

// The text in lines is the same net, and written again it is the same text.
static void test_text(void **state) {
    (void)state;
    struct shk_runtime *runtime = runtime_of(1);
    for (size_t i = 0; i < SUBJECTS; i++) {
        char net[8000] = "net:";
        struct shk_summary *a = summary_of(&subjects[i], subjects[i].description, runtime);
        strcat(net, a->net);
        struct shk_summary *b = summary_of(&subjects[i], net, runtime);
        assert_string_equal(a->net, b->net);
        assert_int_equal(a->layers, b->layers);
        assert_int_equal(a->training.all, b->training.all);
        for (size_t l = 0; l < a->layers; l++) assert_memory_equal(&a->layer[l], &b->layer[l], sizeof *a->layer);
        shk_summary_free(a);
        shk_summary_free(b);
    }
    shk_runtime_free(runtime);
}

static void test_lines(void **state) {
    (void)state;
    struct shk_runtime *runtime = runtime_of(1);
    struct shk_summary *s = summary_of(&subjects[4], subjects[4].description, runtime);
    assert_string_equal(s->net, "stem=conv(5,5,stride=2)\n"
                                "gelu\n"
                                "layer=3*(\n"
                                "    sum(\n"
                                "        conv1=conv(8,bias=no)\n"
                                "        bn1=bn\n"
                                "        relu\n"
                                "        conv2=conv(8)\n"
                                "        bn2=bn\n"
                                "        |\n"
                                "        down=(conv(8,1) bn)\n"
                                "    )\n"
                                "    relu\n"
                                ")\n"
                                "max_pool(2)\n"
                                "flatten\n"
                                "fc=linear(classes)");
    shk_summary_free(s);
    shk_runtime_free(runtime);
}

// Against the model itself, and by hand.
static void test_sums(void **state) {
    (void)state;
    struct shk_runtime *runtime = runtime_of(1);
    for (size_t i = 0; i < SUBJECTS; i++) {
        struct shk_error err;
        struct shk_summary *s = summary_of(&subjects[i], subjects[i].description, runtime);
        struct shk_model *m = shk_model_create(subjects[i].description, &subjects[i].shape, 0, &err);
        size_t parameters = 0, floats = 0;
        double flops = 0, work = 0;
        for (size_t l = 0; l < s->layers; l++) {
            parameters += s->layer[l].parameters;
            flops += s->layer[l].forward_flops + s->layer[l].backward_flops;
        }
        for (size_t t = 0; t < shk_model_tensor_count(m); t++) floats += shk_model_tensor(m, t).size;
        for (size_t o = 0; o < s->ops; o++) work += s->op[o].forward_flops + s->op[o].backward_flops;
        assert_int_equal(parameters, shk_model_parameters(m));
        assert_int_equal(s->parameters, parameters);
        assert_int_equal(s->floats, floats);
        assert_true(fabs(flops - shk_model_training_flops(m)) <= 1e-9 * flops);
        assert_true(work > 0 && s->op[s->ops - 1].backward_bytes > 0);
        shk_model_free(m);
        shk_summary_free(s);
    }
    struct shk_summary *cnn = summary_of(&subjects[0], "tinycnn", runtime);
    assert_string_equal(cnn->layer[1].name, "conv1");
    assert_true(cnn->layer[1].forward_flops == 2.0 * 32 * 32 * 16 * 9);
    assert_true(cnn->layer[1].backward_flops == 2.0 * 32 * 32 * 16 * 9); // nobody wants the image's gradient
    assert_int_equal(cnn->layer[4].parameters, 32 * 16 * 9 + 32);
    assert_int_equal(cnn->layer[6].height * cnn->layer[6].width * cnn->layer[6].channels, 2048);
    shk_summary_free(cnn);
    shk_runtime_free(runtime);
}

// ---- Memory

static void check_near(const char *what, const struct subject *s, size_t stated, size_t taken) {
    const double apart = fabs((double)stated / (double)taken - 1);
    if (apart > 0.05)
        fail_msg("%s: %s: %zu bytes are stated, %zu are taken (%.1f %%)", s->description, what, stated, taken,
                 100 * apart);
}

struct training {
    size_t before, during;
};

static bool look(const struct shk_epoch *epoch, void *user) {
    (void)epoch;
    struct training *t = user;
    t->during = held - t->before;
    return true;
}

static void make_image(size_t sample, float *pixels, void *user) {
    const struct subject *s = user;
    for (size_t i = 0; i < s->shape.height * s->shape.width * s->shape.channels; i++)
        pixels[i] = (float)((i * 7 + sample * 3) % 11) * 0.1f;
}

static struct shk_dataset *images_of(const struct subject *s, size_t n) {
    struct shk_error err;
    const struct shk_image_maker maker = {make_image, (void *)(uintptr_t)s};
    uint32_t *labels = calloc(n, sizeof *labels);
    for (size_t i = 0; i < n; i++) labels[i] = (uint32_t)(i % s->shape.classes);
    struct shk_dataset *data = shk_dataset_make(&maker, labels, n, &s->shape, &err);
    if (!data) fail_msg("%s", err.text);
    free(labels);
    return data;
}

static void check_memory(const struct subject *s, const struct shk_runtime *runtime) {
    struct shk_error err;
    const size_t n = s->batch + 7;
    const struct shk_train_options options = options_of(s);
    struct shk_dataset *data = images_of(s, n);
    struct shk_summary *stated = summary_of(s, s->description, runtime);
    struct training t = {.before = held};
    struct shk_model *m = shk_model_create(s->description, &s->shape, 1, &err);
    const size_t model = held - t.before;
    struct shk_trainer *trainer = shk_trainer_create(m, runtime, &options, &err);
    const struct shk_callbacks callbacks = {.on_epoch = look, .user = &t};
    if (!shk_train(trainer, data, data, 1, &callbacks, &err)) fail_msg("%s: %s", s->description, err.text);
    check_near("a model", s, stated->training.model, model);
    check_near("training", s, stated->training.all, t.during);
    shk_trainer_free(trainer);
    struct shk_predictor *predictor = shk_predictor_create(m, runtime, &err);
    check_near("a predictor", s, stated->single.all, held - t.before);
    shk_predictor_free(predictor);
    float *logits = calloc(n * s->shape.classes, sizeof *logits);
    most = held;
    if (!shk_predict(m, runtime, data, logits, &err)) fail_msg("%s", err.text);
    check_near("prediction", s, stated->prediction.all, most - t.before);
    free(logits);
    shk_model_free(m);
    shk_summary_free(stated);
    shk_dataset_free(data);
}

static void test_memory(void **state) {
    (void)state;
    static const unsigned threads[] = {1, 3};
    for (size_t i = 0; i < 2; i++) {
        struct shk_runtime *runtime = runtime_of(threads[i]);
        for (size_t s = 0; s < SUBJECTS; s++) check_memory(&subjects[s], runtime);
        shk_runtime_free(runtime);
    }
    assert_int_equal(held, 0);
}

#define BLOCK(c) "sum(conv(" #c ",bias=no) bn relu conv(" #c ",bias=no) bn) relu "
#define NARROWER(c)                                                                                                    \
    "sum(conv(" #c ",stride=2,bias=no) bn relu conv(" #c ",bias=no) bn | conv(" #c ",1,stride=2,bias=no) bn) relu "

// A training of ResNet-20 takes at most 1.3 times of what its saved maps need, beside the weights and their packings.
static void test_resnet(void **state) {
    (void)state;
    static const struct subject resnet = {"net:conv(16,bias=no) bn relu 3*(" BLOCK(16) ") " NARROWER(32) "2*(" BLOCK(
                                              32) ") " NARROWER(64) "2*(" BLOCK(64) ") mean linear(classes)",
                                          {32, 32, 1, 9},
                                          64,
                                          0};
    struct shk_runtime *runtime = runtime_of(2);
    struct shk_summary *s = summary_of(&resnet, resnet.description, runtime);
    const size_t saved = s->saved * s->batch * sizeof(float), taken = s->training.all - s->training.model;
    assert_int_equal(s->parameters, 272121);
    assert_true(taken > saved);
    if (taken > saved / 10 * 13) fail_msg("%zu bytes are taken, %zu are saved", taken, saved);
    shk_summary_free(s);
    shk_runtime_free(runtime);
}

// What a training takes does not grow with the batch where a normalisation is of a block of it.
static void test_ghost(void **state) {
    (void)state;
    struct shk_runtime *runtime = runtime_of(2);
    size_t taken[2];
    for (size_t i = 0; i < 2; i++) {
        const struct subject net = {"resnet20:width=8,bn=ghost", {32, 32, 1, 9}, i ? 4096 : 256, 0};
        struct shk_summary *s = summary_of(&net, net.description, runtime);
        taken[i] = s->training.all;
        shk_summary_free(s);
    }
    if (taken[1] > taken[0] / 20 * 21) fail_msg("%zu bytes for 256 samples, %zu for 4096", taken[0], taken[1]);
    shk_runtime_free(runtime);
}

static void test_refusals(void **state) {
    (void)state;
    struct shk_runtime *runtime = runtime_of(1);
    const struct shk_shape shape = {8, 8, 1, 3};
    struct shk_error err = {0};
    assert_null(shk_summary_create("net:conv(8)\nblurb", &shape, runtime, NULL, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    assert_non_null(strstr(err.text, "line 2, character 1 ('blurb')"));
    assert_null(shk_summary_create("tinycnn", &shape, runtime, &(struct shk_train_options){.batch = 1u << 30}, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    shk_summary_free(NULL);
    shk_runtime_free(runtime);
    assert_int_equal(held, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),     cmocka_unit_test(test_lines),  cmocka_unit_test(test_sums),
        cmocka_unit_test(test_memory),   cmocka_unit_test(test_resnet), cmocka_unit_test(test_ghost),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
