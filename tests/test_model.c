// SPDX-License-Identifier: MIT
// Descriptions, and the parameters that follow from them as PyTorch's state_dict would list them: names, shapes, initial
// distributions, hash.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nn/model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct shk_shape squares = {32, 32, 1, 9};

static struct shk_model *make(const char *description, const struct shk_shape *shape, uint64_t seed) {
    struct shk_error err;
    struct shk_model *m = shk_model_create(description, shape, seed, &err);
    if (!m) fail_msg("%s: %s", description, err.text);
    return m;
}

// ---- Descriptions ----

static const char tinyvit[] =
    "vit:dim=64,depth=2,heads=4,patch=4,ff=256,pool=cls,norm=post,pos=learned,dropout=0.1,act=relu";

static void test_descriptions(void **state) {
    (void)state;
    const struct {
        const char *text, *title, *canonical;
    } cases[] = {
        {"tinycnn", "TinyCNN", "cnn:channels=16-32,hidden=128"},
        {"tinyvit", "TinyViT", tinyvit},
        {"tinyvit-pre", "TinyViT-pre",
         "vit:dim=64,depth=2,heads=4,patch=4,ff=256,pool=cls,norm=pre,pos=learned,dropout=0,act=gelu"},
        {"tinyvit-nopos", "TinyViT-nopos",
         "vit:dim=64,depth=2,heads=4,patch=4,ff=256,pool=cls,norm=post,pos=none,dropout=0.1,act=relu"},
        {"cnn", "cnn", "cnn:channels=16-32,hidden=128"},
        {"vit", "vit", tinyvit},
        {"cnn:hidden=0", "cnn:hidden=0", "cnn:channels=16-32,hidden=0"},
        {"cnn:hidden=3,channels=7", "cnn:channels=7,hidden=3", "cnn:channels=7,hidden=3"},
        {"cnn:channels=1-2-3-4-5", "cnn:channels=1-2-3-4-5", "cnn:channels=1-2-3-4-5,hidden=128"},
        {"vit:act=gelu,dropout=0.25,pos=none,norm=pre,pool=mean,ff=10,patch=8,heads=3,depth=1,dim=12",
         "vit:dim=12,depth=1,heads=3,patch=8,ff=10,pool=mean,norm=pre,pos=none,dropout=0.25,act=gelu",
         "vit:dim=12,depth=1,heads=3,patch=8,ff=10,pool=mean,norm=pre,pos=none,dropout=0.25,act=gelu"},
        {"vit:heads=4,depth=12,dim=64", "vit:depth=12",
         "vit:dim=64,depth=12,heads=4,patch=4,ff=256,pool=cls,norm=post,pos=learned,dropout=0.1,act=relu"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct shk_model *m = make(cases[i].text, &squares, 1);
        assert_string_equal(shk_model_description(m), cases[i].canonical);
        assert_string_equal(shk_model_title(m), cases[i].title);
        struct shk_model *again = make(shk_model_description(m), &squares, 1);
        assert_string_equal(shk_model_description(again), cases[i].canonical);
        assert_true(shk_model_hash(again) == shk_model_hash(m));
        shk_model_free(again);
        shk_model_free(m);
    }
}

static void refused(const char *text, const struct shk_shape *shape, const char *says) {
    struct shk_error err = {0};
    struct shk_model *m = shk_model_create(text, shape, 1, &err);
    if (m) fail_msg("'%s' is not refused", text);
    assert_int_equal(err.code, SHK_BAD_INPUT);
    if (!strstr(err.text, says)) fail_msg("'%s': '%s' does not say '%s'", text, err.text, says);
    assert_null(shk_model_create(text, shape, 1, NULL));
}

static void test_bad_values(void **state) {
    (void)state;
    static const char *const numbers[] = {"", "abc", "-1", "+3", "1.5", "3x", " 3", "99999999", "99999999999999999999"};
    static const char *const keys[] = {"cnn:channels", "cnn:hidden", "vit:dim", "vit:depth",
                                       "vit:heads",    "vit:patch",  "vit:ff",  "vit:dropout"};
    static const char *const choices[] = {"pool", "norm", "pos", "act"};
    char text[64];
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
            bool dropout = strcmp(keys[k], "vit:dropout") == 0;
            if (dropout && strchr(numbers[i], '3') && !strchr(numbers[i], 'x')) continue; // refused below
            snprintf(text, sizeof text, "%s=%s", keys[k], numbers[i]);
            refused(text, &squares, keys[k] + 4);
        }
        snprintf(text, sizeof text, "%s=0", keys[k]);
        if (!strstr(text, "hidden") && !strstr(text, "dropout")) refused(text, &squares, keys[k] + 4);
    }
    for (size_t k = 0; k < sizeof choices / sizeof *choices; k++) {
        snprintf(text, sizeof text, "vit:%s=maybe", choices[k]);
        refused(text, &squares, choices[k]);
        snprintf(text, sizeof text, "vit:%s=", choices[k]);
        refused(text, &squares, choices[k]);
    }
    refused("vit:dropout=0.91", &squares, "dropout");
    refused("vit:dropout=nan", &squares, "dropout");
    refused("vit:dropout=inf", &squares, "dropout");
    refused("cnn:channels=16-", &squares, "channels");
    refused("cnn:channels=-16", &squares, "channels");
    refused("cnn:channels=16--32", &squares, "channels");
    refused("cnn:channels=16x32", &squares, "channels");
    refused("cnn:channels=16-4097", &squares, "channels");
    refused("cnn:channels=1-1-1-1-1-1-1-1-1", &squares, "channels");
}

static void test_bad_descriptions(void **state) {
    (void)state;
    char text[600] = "cnn:hidden=";
    memset(text + 11, '1', 500);
    refused(text, &squares, "longer");
    refused("", &squares, "unknown model");
    refused("resnet", &squares, "resnet");
    refused("cnnx", &squares, "cnnx");
    refused("TinyCNN", &squares, "TinyCNN");
    refused("tinycnn:hidden=3", &squares, "tinycnn:hidden=3");
    refused("cnn:dim=3", &squares, "dim");
    refused("vit:channels=3", &squares, "channels");
    refused("vit:Dim=3", &squares, "Dim");
    refused("cnn:hidden", &squares, "hidden");
    refused("cnn:=3", &squares, "''");
    refused("vit:dim=10,heads=3", &squares, "heads=3");
    refused("vit:patch=5", &squares, "patch=5");
    refused("vit:patch=4", &(struct shk_shape){32, 30, 1, 9}, "patch=4");
    refused("vit:patch=1", &(struct shk_shape){65, 65, 1, 9}, "patch=1");
    refused("cnn:channels=1-1-1-1-1-1", &squares, "channels");
    refused("cnn:channels=1-1-1-1", &(struct shk_shape){32, 8, 1, 9}, "channels");
    refused("cnn:channels=4096-4096,hidden=65536", &squares, "parameters");
    refused("vit:dim=4096,depth=64", &squares, "parameters");
}

// ---- Parameters ----

static void test_counts(void **state) {
    (void)state;
    const struct {
        const char *description;
        size_t parameters;
        double flops; // 0: not checked here
    } cases[] = {
        {"tinycnn", 268233, 2.0 * 2 * 9 * 1024 * 16 + 3.0 * 2 * (9 * 256 * 16 * 32 + 2048 * 128 + 128 * 9)},
        // embedding; CLS; 65 positions; 2 blocks of attention, feed-forward and two norms; head
        {"tinyvit", 17 * 64 + 64 + 65 * 64 + 2 * (65 * 192 + 65 * 64 + 65 * 256 + 257 * 64 + 4 * 64) + 65 * 9, 0},
        {"tinyvit-pre",
         17 * 64 + 64 + 65 * 64 + 2 * (65 * 192 + 65 * 64 + 65 * 256 + 257 * 64 + 4 * 64) + 2 * 64 + 65 * 9, 0},
        {"tinyvit-nopos", 17 * 64 + 64 + 2 * (65 * 192 + 65 * 64 + 65 * 256 + 257 * 64 + 4 * 64) + 65 * 9, 0},
        {"vit:dim=12,depth=1,heads=3,patch=8,ff=10,pool=mean",
         65 * 12 + 16 * 12 + (13 * 36 + 13 * 12 + 13 * 10 + 11 * 12 + 4 * 12) + 13 * 9,
         2.0 * 2 * 16 * 64 * 12 +
             3.0 * 2 * (16 * 12 * 36 + 2 * 16 * 16 * 12 + 16 * 12 * 12 + 2 * 16 * 12 * 10 + 12 * 9)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct shk_model *m = make(cases[i].description, &squares, 1);
        assert_int_equal(shk_model_parameters(m), cases[i].parameters);
        size_t sum = 0;
        for (size_t t = 0; t < shk_model_tensor_count(m); t++) sum += shk_model_tensor(m, t).size;
        assert_int_equal(sum, cases[i].parameters);
        if (cases[i].flops > 0) assert_true(shk_model_training_flops(m) == cases[i].flops);
        shk_model_free(m);
    }
    struct shk_model *m = make("tinycnn", &squares, 1);
    assert_true(fabs(shk_model_training_flops(m) - 9.25e6) < 0.005e6);
    shk_model_free(m);
}

// Expected distribution: constant a (b == 0), uniform -b..b (a == 0), normal with deviation b (a == -1).
struct tensor {
    const char *name;
    size_t dims[4];
    double a, b;
};

static void check_values(const struct tensor *want, const float *x, size_t n) {
    double sum = 0, squares_sum = 0, most = 0, b = want->b, count = (double)n;
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i];
        squares_sum += (double)x[i] * (double)x[i];
        most = fmax(most, fabs((double)x[i]));
        if (b == 0) assert_true((double)x[i] == want->a);
    }
    if (b == 0) return;
    bool normal = want->a == -1;
    // Variances of x and of x^2: b^2/3 and 4b^4/45 for the uniform, b^2 and 2b^4 for the normal distribution.
    double variance = normal ? b * b : b * b / 3, spread = b * b * sqrt(normal ? 2 : 4.0 / 45);
    assert_true(fabs(sum / count) < 4.5 * sqrt(variance / count));
    assert_true(fabs(squares_sum / count - variance) < 4.5 * spread / sqrt(count));
    if (normal) return;
    assert_true(most <= b * (1 + 1e-6));
    assert_true(most > b * (1 - 12 / count));
}

static void check_tensors(const char *description, const struct shk_shape *shape, const struct tensor *want,
                          size_t count) {
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct shk_model *m = make(description, shape, seed);
        assert_int_equal(shk_model_tensor_count(m), count);
        for (size_t t = 0; t < count; t++) {
            struct shk_tensor_info info = shk_model_tensor(m, t);
            assert_string_equal(info.name, want[t].name);
            size_t size = 1;
            for (unsigned i = 0; i < 4; i++) {
                assert_int_equal(i < info.ndim ? info.dims[i] : 0, want[t].dims[i]);
                if (i < info.ndim) size *= info.dims[i];
            }
            assert_int_equal(info.size, size);
            float *x = malloc(size * sizeof *x);
            shk_model_get_tensor(m, t, x);
            check_values(&want[t], x, size);
            free(x);
        }
        shk_model_free(m);
    }
}

#define INVERSE_SQRT(n) (1 / sqrt(n))

static void test_cnn_tensors(void **state) {
    (void)state;
    const struct tensor tinycnn[] = {
        {"conv1.weight", {16, 1, 3, 3}, 0, INVERSE_SQRT(9)},    {"conv1.bias", {16}, 0, INVERSE_SQRT(9)},
        {"conv2.weight", {32, 16, 3, 3}, 0, INVERSE_SQRT(144)}, {"conv2.bias", {32}, 0, INVERSE_SQRT(144)},
        {"fc1.weight", {128, 2048}, 0, INVERSE_SQRT(2048)},     {"fc1.bias", {128}, 0, INVERSE_SQRT(2048)},
        {"fc2.weight", {9, 128}, 0, INVERSE_SQRT(128)},         {"fc2.bias", {9}, 0, INVERSE_SQRT(128)},
    };
    check_tensors("tinycnn", &squares, tinycnn, 8);
    const struct tensor other[] = {
        {"conv1.weight", {20, 3, 3, 3}, 0, INVERSE_SQRT(27)},  {"conv1.bias", {20}, 0, INVERSE_SQRT(27)},
        {"conv2.weight", {5, 20, 3, 3}, 0, INVERSE_SQRT(180)}, {"conv2.bias", {5}, 0, INVERSE_SQRT(180)},
        {"conv3.weight", {7, 5, 3, 3}, 0, INVERSE_SQRT(45)},   {"conv3.bias", {7}, 0, INVERSE_SQRT(45)},
        {"fc1.weight", {11, 14}, 0, INVERSE_SQRT(14)},         {"fc1.bias", {11}, 0, INVERSE_SQRT(14)},
    };
    check_tensors("cnn:channels=20-5-7,hidden=0", &(struct shk_shape){10, 21, 3, 11}, other, 8);
}

static size_t add_block(struct tensor *t, unsigned index, size_t dim, size_t ff) {
    static char names[3][12][64];
    double d = (double)dim;
    const struct tensor block[12] = {
        {"self_attn.in_proj_weight", {3 * dim, dim}, 0, sqrt(6 / (4 * d))},
        {"self_attn.in_proj_bias", {3 * dim}, 0, 0},
        {"self_attn.out_proj.weight", {dim, dim}, 0, INVERSE_SQRT(d)},
        {"self_attn.out_proj.bias", {dim}, 0, 0},
        {"linear1.weight", {ff, dim}, 0, INVERSE_SQRT(d)},
        {"linear1.bias", {ff}, 0, INVERSE_SQRT(d)},
        {"linear2.weight", {dim, ff}, 0, INVERSE_SQRT((double)ff)},
        {"linear2.bias", {dim}, 0, INVERSE_SQRT((double)ff)},
        {"norm1.weight", {dim}, 1, 0},
        {"norm1.bias", {dim}, 0, 0},
        {"norm2.weight", {dim}, 1, 0},
        {"norm2.bias", {dim}, 0, 0},
    };
    for (size_t i = 0; i < 12; i++) {
        snprintf(names[index][i], sizeof names[index][i], "encoder.layers.%u.%s", index, block[i].name);
        t[i] = block[i];
        t[i].name = names[index][i];
    }
    return 12;
}

static void check_vit(const char *description, size_t dim, size_t ff, size_t patch, unsigned depth, bool cls,
                      bool positions, bool norm) {
    struct tensor t[64];
    size_t n = 0, tokens = 32 / patch * (32 / patch) + cls, in = patch * patch;
    double d = (double)dim;
    if (cls) t[n++] = (struct tensor){"cls_token", {1, 1, dim}, -1, 0.02};
    if (positions) t[n++] = (struct tensor){"pos_embed", {1, tokens, dim}, -1, 0.02};
    t[n++] = (struct tensor){"patch_embed.weight", {dim, 1, patch, patch}, 0, INVERSE_SQRT((double)in)};
    t[n++] = (struct tensor){"patch_embed.bias", {dim}, 0, INVERSE_SQRT((double)in)};
    for (unsigned i = 0; i < depth; i++) n += add_block(t + n, i, dim, ff);
    if (norm) t[n++] = (struct tensor){"norm.weight", {dim}, 1, 0};
    if (norm) t[n++] = (struct tensor){"norm.bias", {dim}, 0, 0};
    t[n++] = (struct tensor){"head.weight", {9, dim}, 0, INVERSE_SQRT(d)};
    t[n++] = (struct tensor){"head.bias", {9}, 0, INVERSE_SQRT(d)};
    check_tensors(description, &squares, t, n);
}

static void test_vit_tensors(void **state) {
    (void)state;
    check_vit("tinyvit", 64, 256, 4, 2, true, true, false);
    check_vit("tinyvit-pre", 64, 256, 4, 2, true, true, true);
    check_vit("tinyvit-nopos", 64, 256, 4, 2, true, false, false);
    check_vit("vit:dim=12,depth=1,heads=3,patch=8,ff=10,pool=mean", 12, 10, 8, 1, false, true, false);
    check_vit("vit:dim=40,depth=3,heads=2,patch=16,ff=36,norm=pre,pool=mean", 40, 36, 16, 3, false, true, true);
}

// ---- Reading and writing weights ----

static const char *const some[] = {"cnn:channels=5-20,hidden=7", "cnn:channels=16", "vit:dim=12,heads=3,ff=20,norm=pre",
                                   "vit:dim=40,heads=2,ff=36,pool=mean"};
enum { SOME = sizeof some / sizeof *some };

static void test_round_trip(void **state) {
    (void)state;
    for (size_t i = 0; i < SOME; i++) {
        struct shk_model *m = make(some[i], &squares, 1), *other = make(some[i], &squares, 2);
        assert_true(shk_model_hash(m) != shk_model_hash(other));
        for (size_t t = 0; t < shk_model_tensor_count(m); t++) {
            size_t bytes = shk_model_tensor(m, t).size * sizeof(float);
            float *x = malloc(bytes), *y = malloc(bytes);
            shk_model_get_tensor(m, t, x);
            shk_model_set_tensor(other, t, x);
            shk_model_get_tensor(other, t, y);
            assert_memory_equal(x, y, bytes);
            free(x);
            free(y);
        }
        assert_true(shk_model_hash(m) == shk_model_hash(other));
        assert_memory_equal(m->weights, other->weights, m->weight_floats * sizeof(float));
        if (m->derived_floats) assert_memory_equal(m->derived, other->derived, m->derived_floats * sizeof(float));
        shk_model_free(other);
        shk_model_free(m);
    }
}

static void test_hash(void **state) {
    (void)state;
    for (size_t i = 0; i < SOME; i++) {
        struct shk_model *m = make(some[i], &squares, 1), *again = make(some[i], &squares, 1);
        uint64_t hash = shk_model_hash(m);
        assert_true(shk_model_hash(again) == hash);
        shk_model_free(again);
        bool *used = calloc(m->weight_floats, sizeof *used);
        for (size_t t = 0; t < m->param_count; t++)
            for (size_t j = 0; j < m->params[t].size; j++) used[shk_param_position(&m->params[t], j)] = true;
        size_t seen[2] = {0}, every[2] = {m->parameters / 200 + 1, 64}; // weights, pads
        for (size_t at = 0; at < m->weight_floats; at++) {
            bool pad = !used[at];
            if (seen[pad]++ % every[pad]) continue;
            float was = m->weights[at];
            m->weights[at] = was + 1;
            assert_int_equal(shk_model_hash(m) == hash, pad);
            m->weights[at] = was;
        }
        assert_true(seen[true] > 0);
        assert_true(shk_model_hash(m) == hash);
        free(used);
        shk_model_free(m);
    }
}

// ---- The map from PyTorch's order to ours, many numbers at once ----

static void test_maps(void **state) {
    (void)state;
    const char *models[] = {"tinycnn", "tinyvit-pre", "cnn:channels=3-17,hidden=0",
                            "vit:dim=20,depth=1,heads=2,patch=8,ff=24,pool=mean"};
    struct shk_error err;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct shk_model *m = shk_model_create(models[i], &(struct shk_shape){32, 24, 3, 5}, 3, &err);
        float *padded = calloc(m->weight_floats, sizeof *padded), *values = malloc(m->parameters * sizeof *values);
        for (unsigned j = 0; j < m->param_count; j++) {
            const struct shk_param *p = &m->params[j];
            size_t parts[] = {0, p->size / 3, p->size / 3 + 1, p->size}; // from within a run, too
            if (parts[2] > p->size) parts[2] = p->size;
            for (unsigned part = 0; part < 3; part++) {
                size_t first = parts[part], n = parts[part + 1] - first;
                shk_param_gather(p, first, n, m->weights, values + first);
                shk_param_scatter(p, first, n, values + first, padded);
            }
            for (size_t k = 0; k < p->size; k++) {
                assert_true(values[k] == m->weights[shk_param_position(p, k)]);
                assert_true(values[k] == padded[shk_param_position(p, k)]);
            }
        }
        assert_memory_equal(padded, m->weights, m->weight_floats * sizeof *padded); // no padding was touched
        free(padded);
        free(values);
        shk_model_free(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptions),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_bad_descriptions),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_cnn_tensors),
        cmocka_unit_test(test_vit_tensors),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_maps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
