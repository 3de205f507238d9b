// SPDX-License-Identifier: MIT
// config.json and metrics.jsonl: what is written comes back, what makes no sense is refused by name, and lines of steps
// that did not count are dropped.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "report/config.h"
#include "report/metrics.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/shikaku-report-XXXXXX", path[100];

static int begin(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/a", folder);
    return 0;
}

static int end(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static const struct setting *setting_of(const char *name) {
    for (size_t i = 0; i < CONFIG_SETTINGS; i++)
        if (strcmp(config_settings[i].name, name) == 0) return &config_settings[i];
    fail_msg("no setting %s", name);
    return NULL;
}

static void write_text(const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static char *read_back(void) {
    static char text[1 << 16];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return text;
}

static void says(const struct shk_error *err, const char *text) {
    if (err->code != SHK_BAD_INPUT || !strstr(err->text, text))
        fail_msg("%d '%s' does not say '%s'", (int)err->code, err->text, text);
}

// ---- What is typed

static bool parse(const char *name, const char *text, struct config *c) {
    struct shk_error err = {0};
    const bool done = config_parse(c, setting_of(name), text, &err);
    if (!done) says(&err, name);
    return done;
}

static void test_parse(void **state) {
    (void)state;
    struct config c = CONFIG_DEFAULTS;
    static const struct {
        const char *name, *good[5], *bad[8];
    } cases[] = {
        {"epochs", {"1", "1000000"}, {"0", "1000001", "-1", "1.0", "1e3", "18446744073709551617"}},
        {"batch", {"1", "65536"}, {"0", "65537"}},
        {"shards", {"1", "1024"}, {"0", "1025"}},
        {"seed", {"0", "18446744073709551615"}, {"18446744073709551616", "-1", "0x8", "1 "}},
        {"lr", {"1000", "1e-300", "5", ".5"}, {"0", "1000.5", "-1", "inf", "nan", "1e-400", "1e400", ""}},
        {"clip-norm", {"inf", "1e-6", "1000000"}, {"0", "-inf", "+inf", "Inf", "1000001", "infinity", "nan"}},
        {"invert", {"0", "1", "0.25"}, {"-0.1", "1.0001", "inf", "0x1p-1", " 1", "+1"}},
        {"size", {"8", "256"}, {"7", "257"}},
        {"square", {"1", "85"}, {"0", "86"}},
        {"metrics-every", {"1", "4294967295"}, {"0", "4294967296"}},
        {"train-samples", {"1", "10000000"}, {"0", "10000001"}},
        {"test-samples", {"1", "10000000"}, {"0", "10000001"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t j = 0; j < 5 && cases[i].good[j]; j++)
            if (!parse(cases[i].name, cases[i].good[j], &c)) fail_msg("%s %s", cases[i].name, cases[i].good[j]);
        for (size_t j = 0; j < 8 && cases[i].bad[j]; j++)
            if (parse(cases[i].name, cases[i].bad[j], &c)) fail_msg("%s %s", cases[i].name, cases[i].bad[j]);
    }
    assert_true(parse("clip-norm", "inf", &c) && isinf(c.clip_norm));
    assert_true(parse("seed", "18446744073709551615", &c) && c.seed == UINT64_MAX);
}

// ---- As JSON

static struct config example(void) {
    struct config c = CONFIG_DEFAULTS;
    strcpy(c.model, "tinycnn");
    c.shards = 24;
    return c;
}

static void test_json_round_trip(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct shk_error err;
        struct config c = example(), back = {0};
        c.seed = i == 0 ? 0 : i == 1 ? INT64_MAX : i == 2 ? (uint64_t)INT64_MAX + 1 : UINT64_MAX;
        c.clip_norm = i == 0 ? 0 : i == 1 ? INFINITY : 0.1;
        c.lr = nextafter(0.001, 1);
        c.shards = i == 0 ? 0 : 7;
        json_t *object = config_to_json(&c);
        if (!config_from_json(object, "here", &back, &err)) fail_msg("%s", err.text);
        assert_string_equal(back.model, "tinycnn");
        for (size_t s = 0; s < CONFIG_SETTINGS; s++) assert_true(config_equal(&c, &back, &config_settings[s]));
        json_decref(object);
    }
}

// Reads the example's JSON with one member changed; value NULL: without it.
static bool read_changed(const char *key, const char *value, struct config *c, struct shk_error *err) {
    const struct config whole = example();
    json_t *object = config_to_json(&whole);
    if (value)
        json_object_set_new(object, key, json_loads(value, JSON_DECODE_ANY, NULL));
    else
        json_object_del(object, key);
    *err = (struct shk_error){0};
    const bool done = config_from_json(object, "here", c, err);
    json_decref(object);
    return done;
}

static void refuses(const char *key, const char *value, const char *text) {
    struct config c;
    struct shk_error err;
    if (read_changed(key, value, &c, &err)) fail_msg("%s: %s is taken", key, value ? value : "nothing");
    says(&err, text);
}

static void test_json_values(void **state) {
    (void)state;
    static const char *const never[] = {"\"x\"", "\"\"",  "-1",     "null",   "true", "[]",
                                        "{}",    "1e300", "\" 5\"", "\"-1\"", NULL};
    for (size_t i = 0; i < CONFIG_SETTINGS; i++) {
        char key[32], text[40];
        snprintf(key, sizeof key, "%s", config_settings[i].name);
        for (char *dash; (dash = strchr(key, '-'));) *dash = '_';
        for (size_t j = 0; never[j]; j++) refuses(key, never[j], key);
        refuses(key, NULL, key);
        if (config_settings[i].real) continue;
        refuses(key, "1.5", key);
        refuses(key, "\"18446744073709551616\"", key);
        if (config_settings[i].high == UINT64_MAX) continue;
        snprintf(text, sizeof text, "%" PRIu64, config_settings[i].high + 1);
        refuses(key, text, key);
        snprintf(text, sizeof text, "\"%" PRIu64 "\"", config_settings[i].high + 1);
        refuses(key, text, key);
        if (config_settings[i].low && !config_settings[i].zero) refuses(key, "0", key);
    }
    refuses("lr", "0", "lr");
    refuses("lr", "1000.5", "lr");
    refuses("lr", "\"inf\"", "lr");
    refuses("lr", "\"0.1\"", "lr");
    refuses("clip_norm", "\"-inf\"", "clip_norm");
    refuses("clip_norm", "\"nan\"", "clip_norm");
    refuses("invert", "1.5", "invert");
    refuses("model", NULL, "names no model");
    refuses("model", "7", "names no model");
    refuses("more", "7", "does not know");
    char longest[500];
    memset(longest, 'a', sizeof longest - 1);
    longest[0] = longest[sizeof longest - 2] = '"';
    longest[sizeof longest - 1] = 0;
    refuses("model", longest, "longer than 399");
    struct config c;
    struct shk_error err;
    assert_true(read_changed("clip_norm", "\"inf\"", &c, &err) && isinf(c.clip_norm));
    assert_true(read_changed("seed", "\"18446744073709551615\"", &c, &err) && c.seed == UINT64_MAX);
    assert_true(read_changed("lr", "1", &c, &err) && c.lr == 1);
    assert_false(config_from_json(NULL, "here", &c, &err));
    says(&err, "names no model");
}

// ---- As a file

static void test_file(void **state) {
    (void)state;
    struct shk_error err;
    const struct shk_shape shape = {32, 32, 1, 9};
    struct shk_model *model = shk_model_create("tinycnn", &shape, 1, &err);
    struct shk_runtime *runtime = shk_runtime_create(&(struct shk_runtime_options){.threads = 1}, &err);
    assert_true(model && runtime);
    const struct config c = example();
    struct config back = {0};
    assert_true(config_write(path, &c, model, runtime, &err));
    assert_true(config_read(path, &back, &err));
    for (size_t s = 0; s < CONFIG_SETTINGS; s++) assert_true(config_equal(&c, &back, &config_settings[s]));
    assert_true(config_raise_epochs(path, 17, &err));
    assert_true(config_read(path, &back, &err));
    assert_int_equal(back.epochs, 17);
    assert_true(back.lr == c.lr);
    shk_model_free(model);
    shk_runtime_free(runtime);

    // What is wrong with the text.
    char *text = strdup(read_back()), changed[1 << 14];
    const size_t size = strlen(text);
    for (size_t n = 0; n + 1 < size; n++) { // the last byte is a newline
        err = (struct shk_error){0};
        assert_false(config_read_text(text, n, "x/config.json", &back, &err));
        says(&err, "x/config.json");
    }
    const struct {
        const char *find, *with, *says;
    } cases[] = {
        {"\"numerics\": ", "\"numerics\": 1", "would give other bits"},
        {"\"numerics\": ", "\"numerics\": 0.5, \"a\": ", "is not the config.json of a run"},
        {"\"config\": 1", "\"config\": 2", "has version 2"},
        {"\"config\": 1", "\"kind\": 1", "is not the config.json of a run"},
        {"\"epochs\": 17", "\"epochs\": 17, \"epochs\": 17", "duplicate"},
        {"\"settings\"", "\"nothing\"", "names no model"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *at = strstr(text, cases[i].find);
        if (!at) fail_msg("no %s", cases[i].find);
        snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, cases[i].with,
                 at + strlen(cases[i].find));
        err = (struct shk_error){0};
        assert_false(config_read_text(changed, strlen(changed), "x/config.json", &back, &err));
        says(&err, cases[i].says);
        says(&err, "x/config.json");
    }
    free(text);
    assert_false(config_read("/nowhere/config.json", &back, &err));
    says(&err, "/nowhere/config.json cannot be read");
}

// ---- metrics.jsonl

static const char steps1[] = "{\"epoch\": 1, \"step\": 2, \"loss\": 2.5}\n{\"epoch\": 1, \"step\": 4, \"loss\": 2.4}\n",
                  epoch1[] = "{\"epoch\": 1, \"train_loss\": 2.45, \"best\": true}\n",
                  steps2[] = "{\"epoch\": 2, \"step\": 2, \"loss\": 2.3}\n",
                  step4[] = "{\"epoch\": 2, \"step\": 4, \"loss\": 2}\n",
                  epoch2[] = "{\"epoch\": 2, \"train_loss\": 2.2, \"best\": true}\n";

static void keeps(const char *text, size_t epoch, size_t step, size_t want) {
    struct shk_error err = {0};
    size_t keep = SIZE_MAX;
    if (!metrics_keep(text, strlen(text), (struct shk_position){epoch, step}, "x/metrics.jsonl", &keep, &err))
        fail_msg("%s", err.text);
    if (keep != want) fail_msg("epoch %zu, step %zu keeps %zu bytes, not %zu of '%s'", epoch, step, keep, want, text);
}

static void test_keep(void **state) {
    (void)state;
    char text[1000];
    snprintf(text, sizeof text, "%s%s%s%s%s", steps1, epoch1, steps2, step4, epoch2);
    const size_t line = strlen(steps1) / 2, one = strlen(steps1) + strlen(epoch1), two = one + strlen(steps2),
                 four = two + strlen(step4);
    keeps("", 0, 0, 0);
    keeps("", 5, 3, 0);
    keeps(text, 0, 0, 0);
    keeps(text, 0, 1, 0);
    keeps(text, 0, 2, line);
    keeps(text, 0, 3, line);
    keeps(text, 0, 4, 2 * line); // the epoch's own line comes later
    keeps(text, 1, 0, one);
    keeps(text, 1, 1, one);
    keeps(text, 1, 2, two);
    keeps(text, 1, 4, four);
    keeps(text, 2, 0, strlen(text));
    keeps(text, 9, 9, strlen(text));
    // Cut anywhere: whole lines are kept.
    for (size_t n = 0; n < strlen(text); n++) {
        char cut[1000];
        size_t whole = n;
        memcpy(cut, text, n);
        cut[n] = 0;
        while (whole && cut[whole - 1] != '\n') whole--;
        keeps(cut, 2, 0, whole);
    }
}

static void keep_refuses(const char *text, size_t size, const char *says_this) {
    struct shk_error err = {0};
    size_t keep;
    assert_false(metrics_keep(text, size, (struct shk_position){2, 0}, "x/metrics.jsonl", &keep, &err));
    says(&err, says_this);
    says(&err, "x/metrics.jsonl");
}

static void test_keep_bad_lines(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "7",
                                      "{}",
                                      "{\"epoch\": 0}",
                                      "{\"epoch\": -1}",
                                      "{\"epoch\": 1.5}",
                                      "{\"epoch\": \"1\"}",
                                      "{\"epoch\": 1, \"step\": 1.5}",
                                      "{\"epoch\": 1, \"epoch\": 1}",
                                      "{\"epoch\": 99999999999999999999}",
                                      "\xff",
                                      NULL};
    char text[1000];
    for (size_t i = 0; bad[i]; i++) {
        snprintf(text, sizeof text, "%s%s\n%s", steps1, bad[i], epoch1);
        keep_refuses(text, strlen(text), "line 3: not a line of metrics");
        snprintf(text, sizeof text, "%s%s\n", steps1, bad[i]); // at the end it is what a crash has left
        keeps(text, 2, 0, strlen(steps1));
        snprintf(text, sizeof text, "%s%s\n%s\n", steps1, bad[i], bad[i]);
        keeps(text, 2, 0, strlen(steps1));
    }
    // Zeros: what some file systems leave after a power failure.
    snprintf(text, sizeof text, "%s", steps1);
    const size_t n = strlen(text);
    memset(text + n, 0, 100);
    size_t keep;
    struct shk_error err;
    assert_true(metrics_keep(text, n + 100, (struct shk_position){2, 0}, "x", &keep, &err));
    assert_int_equal(keep, n);
    memcpy(text + n + 100, "\n", 1);
    assert_true(metrics_keep(text, n + 101, (struct shk_position){2, 0}, "x", &keep, &err));
    assert_int_equal(keep, n);
    memcpy(text + n + 101, epoch1, strlen(epoch1));
    keep_refuses(text, n + 101 + strlen(epoch1), "line 3");
}

static void test_open(void **state) {
    (void)state;
    struct shk_error err;
    char text[1000];
    unlink(path);
    struct metrics *m = metrics_open(path, (struct shk_position){0, 0}, &err);
    assert_non_null(m);
    assert_true(metrics_step(m, &(struct shk_step){1, 2, 2.5}, &err));
    assert_true(metrics_step(m, &(struct shk_step){1, 4, 2.25}, &err));
    assert_true(
        metrics_epoch(m, &(struct shk_epoch){.epoch = 1, .train_loss = 2.375, .test = {2, 0.5}, .best = true}, &err));
    assert_true(metrics_sync(m, &err));
    metrics_close(m);
    strcpy(text, read_back());
    assert_ptr_equal(strstr(text, "{\"epoch\": 1, \"step\": 2, \"loss\": 2.5}\n"), text);
    assert_non_null(strstr(
        text, "{\"epoch\": 1, \"train_loss\": 2.375, \"test_loss\": 2.0, \"test_accuracy\": 0.5, \"best\": true"));
    m = metrics_open(path, (struct shk_position){1, 0}, &err);
    assert_true(metrics_epoch(m, &(struct shk_epoch){.epoch = 2, .test = {NAN, 0}}, &err));
    assert_non_null(strstr(read_back(), "\"test_loss\": null, \"test_accuracy\": 0.0"));
    metrics_close(m);
    m = metrics_open(path, (struct shk_position){1, 0}, &err); // all of the first epoch stay
    assert_true(metrics_step(m, &(struct shk_step){2, 2, 2}, &err));
    metrics_close(m);
    assert_int_equal(strncmp(read_back(), text, strlen(text)), 0);
    assert_int_equal(truncate(path, (off_t)strlen(read_back()) - 1), 0);
    m = metrics_open(path, (struct shk_position){1, 2}, &err); // what is not whole goes
    metrics_close(m);
    assert_string_equal(read_back(), text);
    m = metrics_open(path, (struct shk_position){0, 3}, &err);
    assert_true(metrics_step(m, &(struct shk_step){1, 4, 2.25}, &err));
    metrics_close(m);
    assert_int_equal(strncmp(read_back(), text, strlen(read_back())), 0);
    write_text("nothing\n{\"epoch\": 1, \"train_loss\": 2}\n");
    assert_null(metrics_open(path, (struct shk_position){1, 0}, &err));
    says(&err, path);
    assert_string_equal(read_back(), "nothing\n{\"epoch\": 1, \"train_loss\": 2}\n");
    assert_null(metrics_open("/nowhere/metrics.jsonl", (struct shk_position){1, 0}, &err));
    assert_int_equal(err.code, SHK_FAILED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),       cmocka_unit_test(test_json_round_trip),
        cmocka_unit_test(test_json_values), cmocka_unit_test(test_file),
        cmocka_unit_test(test_keep),        cmocka_unit_test(test_keep_bad_lines),
        cmocka_unit_test(test_open),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
