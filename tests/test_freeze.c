// SPDX-License-Identifier: MIT
// Frozen parameters: a training leaves them as they are, to the bit, and all others become what they become where the frozen
// ones are put back after each step; neither threads nor the instruction set enter the bits.
#include "training.h"

#include "train/trainer.h"
#include <unistd.h>

struct subject {
    const char *model, *freeze;
    struct shk_shape shape;
    size_t samples, batch;
};

static const struct subject subjects[] = {
    {"tinycnn", "conv1.*", {16, 16, 1, 9}, 40, 16},
    {"tinycnn", "conv*", {32, 32, 1, 9}, 40, 16}, // fc1 deals out its work
    {"tinycnn", "conv?.weight,fc1.*", {32, 32, 1, 9}, 40, 16},
    {"tinycnn", "fc1.weight", {32, 32, 3, 5}, 40, 16},
    {"tinycnn", "*.bias", {32, 32, 1, 9}, 40, 16},
    {"tinycnn", "fc*", {16, 16, 1, 9}, 600, 520}, // blocks
    {"cnn:channels=3-5-7,hidden=0", "conv[12].*", {27, 35, 3, 5}, 40, 16},
    {"cnn:channels=4,hidden=300", "*.weight", {24, 24, 1, 9}, 600, 520},
    {"vit:dim=32,depth=2,heads=2,ff=48", "encoder.layers.0.*,*_embed*,cls_token", {16, 16, 1, 9}, 40, 16},
    {"vit:dim=32,depth=2,heads=2,ff=48,norm=pre,act=gelu",
     "*in_proj*,*linear2.weight,norm.bias",
     {16, 16, 1, 9},
     40,
     16},
    {"vit:dim=32,depth=1,heads=2,ff=48,pool=mean", "enc*,pos_embed,p*,head.bias", {16, 16, 1, 9}, 40, 16},
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

static struct shk_train_options options_of(const struct subject *s, bool frozen, double clip_norm) {
    struct shk_train_options o = {.batch = s->batch, .seed = 7, .clip_norm = clip_norm};
    if (frozen) snprintf(o.freeze, sizeof o.freeze, "%s", s->freeze);
    return o;
}

static struct training begin_with(const struct subject *s, struct shk_train_options options, struct way way) {
    struct training t = training_of(s->model, &s->shape, &options, way);
    shk_dataset_free(t.train);
    t.train = data_of(&s->shape, s->samples, 5);
    return t;
}

static uint64_t trained(const struct subject *s, double clip_norm, struct way way) {
    struct shk_error err = {0};
    struct training t = begin_with(s, options_of(s, true, clip_norm), way);
    if (!shk_train(t.trainer, t.train, NULL, 1, NULL, &err)) fail_msg("%s", err.text);
    const uint64_t hash = shk_model_hash(t.model);
    training_free(&t);
    return hash;
}

// ---- The same as a training that takes back what it did to the frozen ones

static bool one_step(const struct shk_step *step, void *user) {
    (void)step;
    (void)user;
    return false;
}

static uint64_t restored(const struct subject *s) {
    const struct shk_callbacks callbacks = {.on_step = one_step};
    struct shk_error err = {0};
    struct training t = begin_with(s, options_of(s, false, 0), (struct way){NULL, 2}),
                    frozen = begin_with(s, options_of(s, true, 0), (struct way){NULL, 2});
    for (size_t at = 0; at < s->samples; at += s->batch) {
        if (!shk_train(t.trainer, t.train, NULL, 1, &callbacks, &err)) fail_msg("%s", err.text);
        for (size_t i = 0; i < shk_model_tensor_count(t.model); i++) {
            float *values = malloc(shk_model_tensor(t.model, i).size * sizeof *values);
            shk_model_get_tensor(frozen.model, i, values); // as drawn
            if (frozen.trainer->train.frozen[i]) shk_model_set_tensor(t.model, i, values);
            free(values);
        }
    }
    const uint64_t hash = shk_model_hash(t.model);
    training_free(&t);
    training_free(&frozen);
    return hash;
}

static void test_same_as_restored(void **state) {
    (void)state;
    static const struct way ways[] = {{NULL, 1}, {"avx2", 2}, {NULL, 3}};
    for (size_t i = 0; i < SUBJECTS; i++) {
        const struct subject *s = &subjects[i];
        const uint64_t want = restored(s);
        for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
            if (ways[k].isa && !has_isa(ways[k].isa)) continue;
            if (trained(s, 0, ways[k]) != want) fail_msg("%s, %s: other weights", s->model, s->freeze);
            if (k == 0 && trained(s, INFINITY, ways[k]) != want) fail_msg("%s, %s: clipped", s->model, s->freeze);
        }
    }
    const struct way plain = {"c", 2};
    assert_true(trained(&subjects[0], 0, plain) == restored(&subjects[0]));
}

// ---- The norm is that of what is trained, and the frozen ones have no moments

static void test_clipped(void **state) {
    (void)state;
    for (size_t i = 0; i < SUBJECTS; i++) {
        const struct subject *s = &subjects[i];
        const double most = 1e-4;
        const struct shk_callbacks callbacks = {.on_step = one_step};
        struct shk_error err = {0};
        struct training t = begin_with(s, options_of(s, true, most), (struct way){NULL, 2});
        if (!shk_train(t.trainer, t.train, NULL, 1, &callbacks, &err)) fail_msg("%s", err.text);
        double squares = 0;
        for (unsigned p = 0; p < t.model->param_count; p++) {
            const struct shk_param *param = &t.model->params[p];
            for (size_t k = 0; k < param->size; k++) {
                const size_t at = shk_param_position(param, k);
                const double m = (double)t.trainer->train.m[at];
                squares += m * m;
                if (t.trainer->train.frozen[p]) assert_true(m == 0 && t.trainer->train.v[at] == 0);
            }
        }
        const double norm = sqrt(squares) / (1 - 0.9) / most; // of the scaled gradients, over the largest
        if (!(fabs(norm - 1) < 0.01)) fail_msg("%s, %s: the norm is %g of the largest", s->model, s->freeze, norm);
        training_free(&t);
    }
}

// ---- What is refused

static void refuses(const char *model, const char *freeze, const char *says) {
    struct shk_error err = {0};
    const struct shk_shape shape = {16, 16, 1, 9};
    struct shk_train_options options = {.batch = 16};
    memset(options.freeze, 'x', sizeof options.freeze); // a text without an end
    if (freeze) snprintf(options.freeze, sizeof options.freeze, "%s", freeze);
    struct shk_runtime *runtime = shk_runtime_create(&(struct shk_runtime_options){.threads = 1}, &err);
    struct shk_model *m = shk_model_create(model, &shape, 1, &err);
    assert_non_null(m);
    assert_null(shk_trainer_create(m, runtime, &options, &err));
    if (err.code != SHK_BAD_INPUT || !strstr(err.text, says)) fail_msg("'%s' does not say '%s'", err.text, says);
    shk_model_free(m);
    shk_runtime_free(runtime);
}

static void test_refusals(void **state) {
    (void)state;
    refuses("tinycnn", "conv3.*", "no tensor fits 'conv3.*'; the model has conv1.weight, conv1.bias, conv2.weight,");
    refuses("tinycnn", "conv1.*,", "no tensor fits ''");
    refuses("tinyvit", "fc*", "and 2");
    refuses("tinycnn", "*", "'*' leaves nothing to train");
    refuses("tinycnn", "fc*,conv?.*", "leaves nothing to train");
    refuses("tinycnn", NULL, "freeze must be a text of 1 to 255 characters");
}

// A checkpoint belongs to a training with the same ones.
static void test_checkpoint(void **state) {
    (void)state;
    char path[] = "/tmp/shikaku-freeze-XXXXXX";
    struct shk_error err = {0};
    assert_true(close(mkstemp(path)) == 0);
    const struct subject *s = &subjects[0];
    struct training a = begin_with(s, options_of(s, true, 0), (struct way){NULL, 1}),
                    b = begin_with(s, options_of(s, false, 0), (struct way){NULL, 1});
    assert_true(shk_trainer_save(a.trainer, path, NULL, 0, &err) && shk_trainer_load(a.trainer, path, &err));
    assert_false(shk_trainer_load(b.trainer, path, &err));
    assert_non_null(strstr(err.text, "was made with freeze conv1.*, but this trainer has none"));
    assert_true(shk_trainer_save(b.trainer, path, NULL, 0, &err) && shk_trainer_load(b.trainer, path, &err));
    assert_false(shk_trainer_load(a.trainer, path, &err));
    assert_non_null(strstr(err.text, "was made with freeze none, but"));
    training_free(&a);
    training_free(&b);
    remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_as_restored), cmocka_unit_test(test_clipped),
                                       cmocka_unit_test(test_refusals), cmocka_unit_test(test_checkpoint)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
