// SPDX-License-Identifier: MIT
// Files as other tools write them are read: any order, prefixes, kinds of numbers, no padding, no metadata; and those that fit no
// preset, or lie, are refused with a sentence.
#include "training.h"

#include "formats/model_file.h"
#include <unistd.h>

static const struct shk_shape shape = {8, 8, 2, 5};

// What a file is to have otherwise than ours.
struct variant {
    const char *type, *prefix, *metadata; // metadata: JSON with a comma, or ""
    bool reversed;
    const char *extra; // one tensor more, of no numbers; NULL: none
    unsigned lacking;  // so many tensors at the end
};

// IEEE binary16, cut off: below 2^-14 a multiple of 2^-24.
static uint16_t half_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits >> 31 << 15;
    if (fabsf(x) < 0x1p-14f) return (uint16_t)(sign | (uint32_t)(fabsf(x) * 0x1p24f));
    return (uint16_t)(sign | ((bits >> 13 & 0x3ffff) - (112u << 10)));
}

static size_t put_number(unsigned char *to, const char *type, float x) {
    const double d = (double)x;
    const uint16_t half = half_of(x);
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint16_t upper = (uint16_t)(bits >> 16);
    if (!strcmp(type, "F64")) return memcpy(to, &d, 8), 8;
    if (!strcmp(type, "F16")) return memcpy(to, &half, 2), 2;
    if (!strcmp(type, "BF16")) return memcpy(to, &upper, 2), 2;
    return memcpy(to, &x, 4), 4;
}

static float rounded(float x, const char *type) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits &= 0xffff0000u;
    if (!strcmp(type, "F16")) {
        if (fabsf(x) < 0x1p-14f) return truncf(x * 0x1p24f) * 0x1p-24f;
        memcpy(&bits, &x, sizeof bits);
        bits &= 0xffffe000u;
        memcpy(&x, &bits, sizeof x);
    }
    if (!strcmp(type, "BF16")) memcpy(&x, &bits, sizeof x);
    return x;
}

static struct shk_bytes file_of(const struct shk_model *m, struct variant v) {
    const size_t count = shk_model_tensor_count(m);
    char header[32768];
    unsigned char *data = malloc(16 * shk_model_parameters(m)); // of running statistics, too
    size_t at = (size_t)sprintf(header, "{%s", v.metadata), bytes = 0;
    for (size_t k = 0; k < count - v.lacking; k++) {
        const size_t i = v.reversed ? count - 1 - k : k, begin = bytes;
        const struct shk_tensor_info t = shk_model_tensor(m, i);
        float *values = malloc(t.size * sizeof *values);
        shk_model_get_tensor(m, i, values);
        for (size_t n = 0; n < t.size; n++) bytes += put_number(data + bytes, v.type, values[n]);
        free(values);
        at += (size_t)sprintf(header + at, "%s\"%s%s\":{\"dtype\":\"%s\",\"shape\":[", k ? "," : "", v.prefix, t.name,
                              v.type);
        for (unsigned d = 0; d < t.ndim; d++) at += (size_t)sprintf(header + at, "%s%zu", d ? "," : "", t.dims[d]);
        at += (size_t)sprintf(header + at, "],\"data_offsets\":[%zu,%zu]}", begin, bytes);
    }
    if (v.extra) at += (size_t)sprintf(header + at, ",%s", v.extra);
    at += (size_t)sprintf(header + at, "}");
    struct shk_bytes file = {aligned_alloc(64, (8 + at + bytes + 63) / 64 * 64), 8 + at + bytes};
    const uint64_t length = at;
    memcpy(file.data, &length, 8);
    memcpy(file.data + 8, header, at);
    memcpy(file.data + 8 + at, data, bytes);
    free(data);
    return file;
}

static void check_same(const struct shk_model *m, const struct shk_model *read, const char *type) {
    for (size_t i = 0; i < shk_model_tensor_count(m); i++) {
        const size_t n = shk_model_tensor(m, i).size;
        float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
        shk_model_get_tensor(m, i, a);
        shk_model_get_tensor(read, i, b);
        for (size_t k = 0; k < n; k++)
            if (b[k] != rounded(a[k], type)) fail_msg("%s: %g became %g", type, (double)a[k], (double)b[k]);
        free(a);
        free(b);
    }
}

static void test_variants(void **state) {
    (void)state;
    static const struct variant variants[] = {
        {"F32", "", "", false, NULL, 0},
        {"F32", "", "\"__metadata__\":{},", true, NULL, 0},
        {"F32", "module.", "\"__metadata__\":{\"format\":\"pt\"},", false, NULL, 0},
        {"F64", "_orig_mod.", "", true, NULL, 0},
        {"F16", "model.", "", false, NULL, 0},
        {"BF16", "module._orig_mod.", "", true, NULL, 0},
        {"F32", "", "", false, "\"bn.num_batches_tracked\":{\"dtype\":\"I64\",\"shape\":[0],\"data_offsets\":[0,0]}",
         0},
    };
    static const char *const models[] = {"tinycnn", "tinyvit", "tinyvit-pre", "resnet20"};
    for (unsigned k = 0; k < 4; k++)
        for (unsigned i = 0; i < sizeof variants / sizeof *variants; i++) {
            struct shk_error err = {0};
            struct shk_model *m = shk_model_create(models[k], &shape, 3, &err);
            struct shk_bytes file = file_of(m, variants[i]);
            struct shk_model *read = shk_model_from_bytes("x", &file, &err);
            if (!read) fail_msg("%s, variant %u: %s", models[k], i, err.text);
            assert_true(shk_model_guessed(read) && !shk_model_guessed(m));
            assert_string_equal(shk_model_description(read), shk_model_description(m));
            const size_t side = k == 3 ? 32 : shape.height; // of any size, so of the usual one
            assert_memory_equal(&read->shape, &((struct shk_shape){side, side, shape.channels, shape.classes}),
                                sizeof shape);
            check_same(m, read, variants[i].type);
            shk_model_free(read);
            shk_model_free(m);
            free(file.data);
        }
}

static void refuses(const char *description, struct variant v, const char *says) {
    struct shk_error err = {0};
    struct shk_model *m = shk_model_create(description, &shape, 3, &err);
    struct shk_bytes file = file_of(m, v);
    struct shk_model *read = shk_model_from_bytes("x", &file, &err);
    if (read || err.code != SHK_BAD_INPUT || !strstr(err.text, says))
        fail_msg("'%s' does not say '%s'", err.text, says);
    shk_model_free(m);
    free(file.data);
}

static void test_refusals(void **state) {
    (void)state;
    refuses("tinycnn", (struct variant){"F32", "", "", false, NULL, 1}, "tensors are not those of");
    refuses("cnn:channels=3,hidden=4", (struct variant){"F32", "", "", false, NULL, 0}, "tensors are not those of");
    refuses("tinycnn", (struct variant){"F32", "", "\"__metadata__\":{\"shikaku\":\"1\"},", false, NULL, 0},
            "has lost its checksum");
    refuses("tinycnn", (struct variant){"F8_E4M3", "", "", false, NULL, 0}, "must have F32, F64, F16 or BF16");
    refuses("tinycnn",
            (struct variant){"F32", "", "", false, "\"n\":{\"dtype\":\"I64\",\"shape\":[0],\"data_offsets\":[0,0]}", 0},
            "must have F32, F64, F16 or BF16");
    refuses("tinycnn",
            (struct variant){"F32", "", "", false, "\"n\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}", 0},
            "and no other");
    refuses("tinycnn",
            (struct variant){"F32", "", "", false,
                             "\"n\":{\"dtype\":\"F16\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}", 0},
            "more numbers than memory can hold");
}

// ---- Weights of a file

static char folder[] = "/tmp/shikaku-import-XXXXXX", path[100];

static struct shk_weights *weights_of(const struct shk_model *m, struct variant v) {
    struct shk_error err = {0};
    struct shk_bytes file = file_of(m, v);
    assert_true(shk_write_file(path, file.data, file.size, &err));
    free(file.data);
    struct shk_weights *weights = shk_weights_open(path, &err);
    if (!weights) fail_msg("%s", err.text);
    return weights;
}

static struct shk_model *model_of_classes(const char *description, size_t classes, uint64_t seed) {
    struct shk_shape s = shape;
    s.classes = classes;
    struct shk_model *m = shk_model_create(description, &s, seed, NULL);
    assert_non_null(m);
    return m;
}

// What a file is where its model is named; and with another name or size, why it is not.
static void check_named(const char *description, size_t size, const char *other, size_t other_size, const char *says) {
    struct shk_error err = {0};
    struct shk_model *from = model_of_classes(description, 5, 3);
    struct shk_weights *weights = weights_of(from, (struct variant){"F32", "", "", true, NULL, 0});
    assert_null(shk_weights_model(weights, NULL, 0, &err));
    assert_non_null(strstr(err.text, "--model"));
    struct shk_model *m = shk_weights_model(weights, description, size, &err);
    if (!m) fail_msg("%s", err.text);
    assert_true(shk_model_guessed(m) && shk_model_hash(m) == shk_model_hash(from));
    assert_int_equal(shk_model_shape(m).channels, shape.channels);
    assert_int_equal(shk_model_shape(m).classes, 5);
    if (size) assert_int_equal(shk_model_shape(m).height, size);
    assert_null(shk_weights_model(weights, other, other_size, &err));
    if (err.code != SHK_BAD_INPUT || !strstr(err.text, says)) fail_msg("'%s' does not say '%s'", err.text, says);
    shk_model_free(m);
    shk_model_free(from);
    shk_weights_free(weights);
}

static void test_named(void **state) {
    (void)state;
    static const char cnn[] = "cnn:channels=3-4,hidden=0", vit[] = "vit:dim=16,depth=1,heads=2,ff=20";
    check_named(cnn, 0, "cnn:channels=3-5,hidden=0", 0,
                "tensor 'conv2.weight' has the shape [4, 3, 3, 3], but must have [5");
    check_named(cnn, 8, cnn, 16, "tensor 'fc1.weight' has the shape [5, 16], but must have [5, 64]");
    check_named(cnn, 11, "tinyvit", 0, "lacks the tensor 'cls_token'");
    check_named(vit, 0, "vit:dim=16,depth=1,heads=2,ff=24", 0, "'encoder.layers.0.linear1.weight'");
    check_named(vit, 8, "vit:dim=16,heads=2,ff=20,depth=0", 8, "depth");
    check_named(vit, 8, "vit:dim=16,depth=2,heads=2,ff=20", 8, "lacks the tensor 'encoder.layers.1");
}

// All tensors of a model come from a file, but for the last two where it has other classes.
static void check_started(const char *description, size_t classes, const char *head) {
    static const struct variant others = {"BF16", "module.", "", true, NULL, 0};
    struct shk_error err = {0};
    struct shk_started started;
    struct shk_model *from = model_of_classes(description, 5, 3), *m = model_of_classes(description, classes, 4),
                     *drawn = model_of_classes(description, classes, 4);
    struct shk_weights *weights = weights_of(from, others);
    assert_null(shk_weights_description(weights));
    if (!shk_model_start(m, weights, &started, &err)) fail_msg("%s", err.text);
    assert_int_equal(started.classes, 5);
    if (head)
        assert_string_equal(started.new_head, head);
    else
        assert_null(started.new_head);
    const size_t tensors = shk_model_tensor_count(m);
    for (size_t i = 0; i < tensors; i++) {
        const bool is_new = head && strncmp(shk_model_tensor(m, i).name, head, strlen(head)) == 0;
        const size_t n = shk_model_tensor(m, i).size;
        float *got = malloc(n * sizeof *got), *want = malloc(n * sizeof *want);
        shk_model_get_tensor(m, i, got);
        shk_model_get_tensor(is_new ? drawn : from, i, want);
        for (size_t k = 0; k < n; k++) assert_true(got[k] == (is_new ? want[k] : rounded(want[k], "BF16")));
        free(got);
        free(want);
    }
    assert_true(!head == (started.hash == shk_model_hash(m)));
    shk_weights_free(weights);
    shk_model_free(from);
    shk_model_free(m);
    shk_model_free(drawn);
}

static void test_start(void **state) {
    (void)state;
    check_started("tinycnn", 5, NULL);
    check_started("tinycnn", 3, "fc2");
    check_started("cnn:channels=3,hidden=0", 7, "fc1");
    check_started("vit:dim=16,depth=1,heads=2,ff=20", 9, "head");
}

static void refuses_start(const char *description, struct variant v, const char *says) {
    struct shk_error err = {0};
    struct shk_model *from = model_of_classes("cnn:channels=3,hidden=4", 5, 3),
                     *m = model_of_classes(description, 3, 4);
    const uint64_t hash = shk_model_hash(m);
    struct shk_weights *weights = weights_of(from, v);
    if (shk_model_start(m, weights, NULL, &err) || err.code != SHK_BAD_INPUT || !strstr(err.text, says))
        fail_msg("'%s' does not say '%s'", err.text, says);
    assert_true(shk_model_hash(m) == hash);
    shk_weights_free(weights);
    shk_model_free(from);
    shk_model_free(m);
}

static void test_start_refusals(void **state) {
    (void)state;
    static const struct variant plain = {"F32", "", "", false, NULL, 0};
    refuses_start("cnn:channels=4,hidden=4", plain,
                  "tensor 'conv1.weight' has the shape [3, 2, 3, 3], but must have [4");
    refuses_start("cnn:channels=3,hidden=5", plain, "tensor 'fc1.weight'");
    refuses_start("cnn:channels=3,hidden=0", plain, "tensor 'fc2.bias', which its model lacks");
    refuses_start("cnn:channels=3,hidden=4", (struct variant){"F32", "", "", false, NULL, 1},
                  "lacks the tensor 'fc2.bias'");
    refuses_start(
        "cnn:channels=3,hidden=4",
        (struct variant){"F32", "", "", false, "\"n\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}", 0},
        "tensor 'n'");
}

// Of ours, the file says what it is, and what pixels its weights expect.
static void test_start_of_ours(void **state) {
    (void)state;
    struct shk_error err = {0};
    struct shk_model *from = shk_model_create("tinycnn", &shape, 3, NULL),
                     *m = shk_model_create("tinycnn", &shape, 4, NULL);
    struct shk_preprocessing p;
    struct shk_started started;
    from->input.prepared = (struct shk_preprocessing){.normalised = true, .mean = {0.5f, 0.25f}, .deviation = {2, 3}};
    assert_true(shk_model_save(from, path, NULL, 0, &err));
    struct shk_weights *weights = shk_weights_open(path, &err);
    assert_non_null(weights);
    struct shk_model *named = shk_weights_model(weights, "tinycnn", 8, &err);
    assert_true(named && shk_model_hash(named) == shk_model_hash(from));
    shk_model_free(named);
    assert_null(shk_weights_model(weights, "tinyvit", 0, &err));
    assert_non_null(strstr(err.text, "says that its model is cnn:channels=16-32,hidden=128 on images of 8x8"));
    assert_null(shk_weights_model(weights, NULL, 9, &err));
    assert_null(shk_weights_model(weights, "tinycat", 0, &err));
    assert_string_equal(shk_weights_description(weights), shk_model_description(from));
    assert_true(shk_weights_preprocessing(weights, &p, &err) && p.normalised && p.mean[1] == 0.25f &&
                p.deviation[1] == 3);
    assert_true(shk_model_start(m, weights, &started, &err));
    assert_true(shk_model_hash(m) == shk_model_hash(from) && started.hash == shk_model_hash(m) && !started.new_head);
    shk_weights_free(weights);
    assert_null(shk_weights_open("nowhere", &err));
    shk_model_free(from);
    shk_model_free(m);
    remove(path);
}

static int begin(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int end(void **state) {
    (void)state;
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_variants),       cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_named),          cmocka_unit_test(test_start),
                                       cmocka_unit_test(test_start_refusals), cmocka_unit_test(test_start_of_ours)};
    return cmocka_run_group_tests(tests, begin, end);
}
