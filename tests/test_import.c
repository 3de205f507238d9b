// SPDX-License-Identifier: MIT
// Files as other tools write them are read: any order, prefixes, kinds of numbers, no padding, no metadata; and those that fit no
// preset, or lie, are refused with a sentence.
#include "training.h"

#include "formats/model_file.h"

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
    char header[8192];
    unsigned char *data = malloc(8 * shk_model_parameters(m));
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
    };
    static const char *const models[] = {"tinycnn", "tinyvit", "tinyvit-pre"};
    for (unsigned k = 0; k < 3; k++)
        for (unsigned i = 0; i < sizeof variants / sizeof *variants; i++) {
            struct shk_error err = {0};
            struct shk_model *m = shk_model_create(models[k], &shape, 3, &err);
            struct shk_bytes file = file_of(m, variants[i]);
            struct shk_model *read = shk_model_from_bytes("x", &file, &err);
            if (!read) fail_msg("%s, variant %u: %s", models[k], i, err.text);
            assert_true(shk_model_guessed(read) && !shk_model_guessed(m));
            assert_string_equal(shk_model_description(read), shk_model_description(m));
            assert_memory_equal(&read->shape, &shape, sizeof shape);
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
            (struct variant){"F32", "", "", false, "\"n\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}", 0},
            "and no other");
    refuses("tinycnn",
            (struct variant){"F32", "", "", false,
                             "\"n\":{\"dtype\":\"F16\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}", 0},
            "more numbers than memory can hold");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_variants), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
