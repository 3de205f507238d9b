// SPDX-License-Identifier: MIT
// Numbers are written and read as files have them, in the locale of the environment and in each rounding mode; with a decimal comma,
// too, where tests/decimal_comma.sh starts this program.
#include "base/json.h"
#include "base/text.h"
#include "training.h"

#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
enum { MODES = sizeof modes / sizeof *modes };

static void writes(double value, const char *want) {
    char text[SHK_TEXT];
    double back;
    for (int i = 0; i < MODES; i++) {
        fesetround(modes[i]);
        shk_real_text(value, text);
        const bool read = shk_read_real(text, &back);
        const int mode = fegetround();
        fesetround(FE_TONEAREST);
        assert_string_equal(text, want);
        assert_true(read && mode == modes[i]);
        assert_memory_equal(&back, &value, sizeof value);
    }
}

static void numbers_are_as_short_as_they_can_be(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {0.1, "0.1"},
        {0.3, "0.3"},
        {-2.5, "-2.5"},
        {100, "100"},
        {1 / 3.0, "0.3333333333333333"},
        {0.1 + 0.2, "0.30000000000000004"},
        {0.001, "0.001"},
        {0.000001, "0.000001"},
        {1e-7, "1e-07"},
        {1e-8, "1e-08"},
        {123456789012345680, "1.2345678901234568e+17"},
        {1e15, "1000000000000000"},
        {9007199254740994, "9007199254740994"},
        {1e16, "1e+16"},
        {1e23, "1e+23"},
        {0x1p-44, "5.684341886080802e-14"},
        {0x1p-1017, "7.120236347223045e-307"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {0x1p-1074, "5e-324"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {INFINITY, "inf"},
        {-INFINITY, "-inf"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) writes(cases[i].value, cases[i].text);
}

static void other_texts_are_no_numbers(void **state) {
    (void)state;
    static const char *const cases[] = {"",      " 1",  "1 ",   "1,5", "0x1p3",    "1e",   "e1",   ".",
                                        "1.2.3", "--1", "+inf", "INF", "infinity", "nan1", "1e5x", "\t1"};
    double value;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(shk_read_real(cases[i], &value));
        assert_false(shk_typed_real(cases[i], &value));
    }
    static const char *const untyped[] = {"inf", "nan", "-inf", "+1", "1e400", "1e-400"};
    for (size_t i = 0; i < sizeof untyped / sizeof *untyped; i++) assert_false(shk_typed_real(untyped[i], &value));
    assert_true(shk_read_real("nan", &value) && isnan(value));
}

// This is the C library's, but it leaves an errno behind, as it may.
void freelocale(locale_t locale) {
    void (*real)(locale_t);
    *(void **)&real = dlsym(RTLD_NEXT, "freelocale");
    real(locale);
    errno = ERANGE;
}

static void what_is_typed_is_not_judged_by_what_follows(void **state) {
    (void)state;
    double value = 0;
    assert_true(shk_typed_real("0.25", &value) && value == 0.25);
    assert_false(shk_typed_real("1e400", &value));
    assert_true(shk_read_real("1e400", &value) && isinf(value));
}

static void json_has_the_same_numbers(void **state) {
    (void)state;
    static const char want[] = "{\"1.50e1\":[0.1,100.0,1e-08,1e+16,-0.0,3],\"e\\\"0.10\\\\\":true,\"n\":null}";
    for (int i = 0; i < MODES; i++) {
        fesetround(modes[i]);
        json_t *json = shk_json_read(want, strlen(want), NULL);
        char *text = json ? shk_json_text(json, JSON_COMPACT) : NULL;
        const double first = json_real_value(json_array_get(json_object_get(json, "1.50e1"), 0));
        fesetround(FE_TONEAREST);
        assert_non_null(text);
        assert_string_equal(text, want);
        assert_true(first == 0.1);
        free(text);
        json_decref(json);
    }
}

// ---- Files ----

struct file {
    char description[200], bytes[1 << 18];
    size_t size;
};

// A description, and a checkpoint with settings that are no binary fractions, which is read again.
static void save(struct file *f) {
    const struct shk_shape shape = {8, 8, 1, 9};
    const struct shk_train_options options = {.batch = 8, .lr = 0.0003, .beta2 = 0.9, .eps = 1e-7, .clip_norm = 0.7};
    char path[] = "/tmp/test_numbers.XXXXXX";
    const int file = mkstemp(path);
    struct shk_error err = {0};
    struct shk_runtime *r = shk_runtime_create(&(struct shk_runtime_options){.threads = 1}, &err);
    struct shk_model *m = shk_model_create("vit:dim=8,depth=1,heads=1,ff=8,dropout=0.300001", &shape, 1, &err);
    struct shk_trainer *t = m && r ? shk_trainer_create(m, r, &options, &err) : NULL;
    const bool ok = t && shk_trainer_save(t, path, NULL, 0, &err) && shk_trainer_load(t, path, &err);
    snprintf(f->description, sizeof f->description, "%s", m ? shk_model_description(m) : "");
    const int mode = fegetround();
    fesetround(FE_TONEAREST);
    if (file < 0 || !ok) fail_msg("%s", err.text);
    FILE *in = fopen(path, "rb");
    f->size = in ? fread(f->bytes, 1, sizeof f->bytes, in) : 0;
    if (in) fclose(in);
    close(file);
    unlink(path);
    shk_trainer_free(t);
    shk_model_free(m);
    shk_runtime_free(r);
    fesetround(mode);
}

static void files_are_the_same(void **state) {
    (void)state;
    static struct file plain, other;
    const char *locale = setlocale(LC_ALL, NULL);
    char *own = strdup(locale);
    setlocale(LC_ALL, "C");
    save(&plain);
    setlocale(LC_ALL, own);
    free(own);
    assert_non_null(strstr(plain.description, "dropout=0.300001,"));
    for (int i = 0; i < MODES; i++) {
        fesetround(modes[i]);
        save(&other);
        fesetround(FE_TONEAREST);
        assert_string_equal(other.description, plain.description);
        assert_true(plain.size > 0 && other.size == plain.size);
        assert_memory_equal(other.bytes, plain.bytes, plain.size);
    }
}

// --comma: the environment's locale must have one.
int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_as_short_as_they_can_be),
        cmocka_unit_test(other_texts_are_no_numbers),
        cmocka_unit_test(what_is_typed_is_not_judged_by_what_follows),
        cmocka_unit_test(json_has_the_same_numbers),
        cmocka_unit_test(files_are_the_same),
    };
    const bool comma = argc == 2 && strcmp(argv[1], "--comma") == 0;
    setlocale(LC_ALL, "");
    if (comma && strcmp(localeconv()->decimal_point, ",") != 0) {
        fputs("test_numbers: the locale has no decimal comma\n", stderr);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
