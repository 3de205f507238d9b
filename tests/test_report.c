// SPDX-License-Identifier: MIT
// The table of settings, config.json and metrics.jsonl: what is written comes back, what makes no sense is refused by name, and lines of steps
// that did not count are dropped.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "report/config.h"
#include "report/metrics.h"
#include "train/shards.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/shikaku-report-XXXXXX";
static struct folder run;

static int begin(void **state) {
    (void)state;
    struct shk_error err;
    return mkdtemp(folder) && folder_open(&run, folder, false, &err) ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    for (int i = 0; i < FOLDER_FILES; i++) unlink(run.path[i]);
    folder_close(&run);
    return rmdir(folder); // nothing else is left
}

static void write_text(const char *text) {
    FILE *file = fopen(run.path[FOLDER_METRICS], "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static char *read_back(enum folder_file which) {
    static char text[1 << 16];
    FILE *file = fopen(run.path[which], "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return text;
}

static void says(const struct shk_error *err, const char *text) {
    if (err->code != SHK_BAD_INPUT || !strstr(err->text, text))
        fail_msg("%d '%s' does not say '%s'", (int)err->code, err->text, text);
}

// ---- The table

// Names and sentences of the house; a default that is within its own range.
static void test_rows(void **state) {
    (void)state;
    const struct shk_run_settings defaults = shk_settings_defaults();
    for (const struct shk_setting *s = shk_settings; s->name; s++) {
        struct shk_run_settings c = defaults;
        char option[SHK_SETTING_NAME], text[SHK_SETTING_TEXT];
        assert_ptr_equal(shk_setting_named(s->name), s);
        shk_setting_option(s, option);
        assert_int_equal(strlen(option), strlen(s->name));
        assert_true(strspn(option, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(option));
        assert_true(s->placeholder ||
                    (s->type == SHK_WHOLE && s->low == 0 && s->high == 1)); // an option without a value
        assert_true(s->sentence && s->sentence[0] >= 'A' && s->sentence[0] <= 'Z');
        assert_true(s->sentence[strlen(s->sentence) - 1] != '.');
        assert_true(s->section < SHK_SECTION_MACHINE || !shk_setting_kept(s));
        assert_true(!shk_setting_trains(s) || (s->section == SHK_SECTION_TRAINING && s->effect == SHK_BITS));
        shk_setting_print(s, &defaults, text);
        const bool lacks = s->unset || s->type == SHK_FREE || (s->type == SHK_PATH && !s->words); // a default
        struct shk_error err = {0};
        if (lacks == shk_setting_parse(s, &c, text, &err)) fail_msg("%s '%s': %s", s->name, text, err.text);
        assert_memory_equal(&c, &defaults, sizeof c);
    }
    assert_null(shk_setting_named("nothing"));
}

// What a caller leaves out has the default of the table, in which each field of the public struct has a row.
static void test_api_defaults(void **state) {
    (void)state;
    struct shk_train_options o = {0};
    struct shk_error err = {0};
    assert_true(shk_train_options_complete(&o, &err));
    const struct shk_train_options want = shk_settings_defaults().train;
    assert_memory_equal(&o, &want, sizeof o);
    size_t bytes = 0;
    for (const struct shk_setting *s = shk_settings; s->name; s++) bytes += shk_setting_trains(s) ? s->size : 0;
    assert_int_equal(bytes, sizeof o);
    assert_true(o.batch == 64 && o.lr == 1e-3 && o.shards == SHK_DEFAULT_SHARDS && o.clip_norm == 0 && o.seed == 0);
}

// Numbers that no setting of the training can have, through the API.
static void test_api_refuses(void **state) {
    (void)state;
    const double never[] = {1e300, NAN, -1, -INFINITY};
    for (const struct shk_setting *s = shk_settings; s->name; s++) {
        if (!shk_setting_trains(s) || s->type == SHK_FREE || s->high == UINT64_MAX) continue;
        for (size_t i = s->infinite ? 1 : 0; i < sizeof never / sizeof *never; i++) {
            struct shk_run_settings c = shk_settings_defaults();
            struct shk_error err = {0};
            const uint64_t beyond = s->high + 1;
            memcpy((char *)&c + s->offset, s->type == SHK_REAL ? (const void *)&never[i] : &beyond, s->size);
            assert_false(shk_train_options_complete(&c.train, &err));
            says(&err, s->name);
            says(&err, " must be a ");
        }
    }
}

// ---- What is typed

static bool parse(const char *name, const char *text, struct shk_run_settings *c) {
    struct shk_error err = {0};
    char option[SHK_SETTING_NAME];
    const struct shk_setting *s = shk_setting_named(name);
    const bool done = shk_setting_parse(s, c, text, &err);
    shk_setting_option(s, option);
    if (!done) says(&err, option);
    return done;
}

static void test_parse(void **state) {
    (void)state;
    struct shk_run_settings c = shk_settings_defaults();
    static const struct {
        const char *name, *good[5], *bad[8];
    } cases[] = {
        {"model", {"tinycnn", "x"}, {""}},
        {"init", {"a", "a/b c.safetensors"}, {""}},
        {"data", {"pictures", "a/b c.npz", "squares"}, {""}},
        {"train_data", {"a"}, {""}},
        {"test_data", {"a"}, {""}},
        {"split", {"0.1", "0.999"}, {"0", "1", "-0.1", "nan", ""}},
        {"channels", {"1", "3"}, {"0", "4", "rgb"}},
        {"fit", {"stretch", "crop", "letterbox"}, {"", "Crop", "pad"}},
        {"background", {"0", "255"}, {"256", "-1", "white"}},
        {"normalise", {"none", "auto"}, {"", "yes"}},
        {"mean", {"0.5", "0.5,0.4,0.3"}, {""}},
        {"std", {"0.5"}, {""}},
        {"skip_bad", {"0", "1"}, {"2", "yes", ""}},
        {"epochs", {"1", "1000000"}, {"0", "1000001", "-1", "1.0", "1e3", "18446744073709551617"}},
        {"batch", {"1", "65536"}, {"0", "65537"}},
        {"shards", {"1", "1024"}, {"0", "1025"}},
        {"freeze", {"conv1.*", "*.bias,head.weight"}, {""}},
        {"seed", {"0", "18446744073709551615"}, {"18446744073709551616", "-1", "0x8", "1 "}},
        {"lr", {"1000", "1e-300", "5", ".5"}, {"0", "1000.5", "-1", "inf", "nan", "1e-400", "1e400", ""}},
        {"beta1", {"0.5", "1e-9"}, {"0", "1", "-0.1", "nan", "inf"}},
        {"beta2", {"0.5", "0.9999"}, {"0", "1", "1.5"}},
        {"eps", {"1e-12", "1"}, {"0", "1.1", "-1e-8"}},
        {"clip_norm", {"inf", "1e-6", "1e30"}, {"0", "-inf", "+inf", "Inf", "-1", "infinity", "nan"}},
        {"invert", {"0", "1", "0.25"}, {"-0.1", "1.0001", "inf", "0x1p-1", " 1", "+1"}},
        {"size", {"8", "256"}, {"7", "257"}},
        {"square", {"1", "85"}, {"0", "86"}},
        {"metrics_every", {"1", "4294967295"}, {"0", "4294967296"}},
        {"train_samples", {"1", "10000000"}, {"0", "10000001"}},
        {"test_samples", {"1", "10000000"}, {"0", "10000001"}},
        {"out", {"a", "a/b c"}, {""}},
        {"checkpoint_seconds", {"0.1", "1e9"}, {"0", "inf", "1000000001", "-1"}},
        {"checkpoint_every", {"1", "4294967295"}, {"0", "4294967296"}},
        {"threads", {"1", "1024"}, {"0", "1025", "4294967297"}},
        {"max_seconds", {"0.1", "1e9"}, {"0", "inf", "-1"}},
        {"pin", {"cores"}, {""}},
        {"cache", {"auto", "none", "a/b c"}, {""}},
        {"progress", {"auto", "none", "line", "bar"}, {"", "bars", "Bar"}},
        {"quiet", {"0", "1"}, {"2", "yes", ""}},
    };
    assert_int_equal(sizeof cases / sizeof *cases, shk_setting_count);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct shk_run_settings before = c;
        for (size_t j = 0; j < 8 && cases[i].bad[j]; j++)
            if (parse(cases[i].name, cases[i].bad[j], &c)) fail_msg("%s %s", cases[i].name, cases[i].bad[j]);
        assert_memory_equal(&c, &before, sizeof c);
        for (size_t j = 0; j < 5 && cases[i].good[j]; j++)
            if (!parse(cases[i].name, cases[i].good[j], &c)) fail_msg("%s %s", cases[i].name, cases[i].good[j]);
    }
    assert_true(parse("clip_norm", "inf", &c) && isinf(c.train.clip_norm));
    assert_true(parse("seed", "18446744073709551615", &c) && c.train.seed == UINT64_MAX);
    assert_true(parse("threads", "7", &c) && c.threads == 7);
    char longest[5000];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof c.model - 1] = 0;
    assert_true(parse("model", longest, &c));
    longest[sizeof c.model - 1] = 'a';
    longest[sizeof c.model] = 0;
    assert_false(parse("model", longest, &c));
}

// Each kind of limit in words, and whether it holds.
static void test_ranges(void **state) {
    (void)state;
    static const char *const words[] = {"one", "two", "three", NULL};
    const struct {
        struct shk_setting s;
        const char *range, *good[3], *bad[5];
    } cases[] = {
        {{.type = SHK_WHOLE, .low = 2, .high = 3}, "a whole number from 2 to 3", {"2", "3"}, {"1", "4", "0", "2.0"}},
        {{.type = SHK_REAL, .high = 1}, "a number from 0 to 1", {"0", "1"}, {"-1e-9", "1.01", "inf"}},
        {{.type = SHK_REAL, .high = 1, .above = true}, "a number above 0 and at most 1", {"1e-9", "1"}, {"0", "1.01"}},
        {{.type = SHK_REAL, .high = 1, .below = true}, "a number from 0 and below 1", {"0", "0.999"}, {"-1", "1"}},
        {{.type = SHK_REAL, .high = 1, .above = true, .below = true},
         "a number above 0 and below 1",
         {"0.5"},
         {"0", "1"}},
        {{.type = SHK_REAL, .infinite = true}, "a number from 0, or inf", {"inf", "1e30"}, {"-inf", "-1"}},
        {{.type = SHK_WORD, .words = words},
         "one, two or three",
         {"one", "two", "three"},
         {"four", "", "on", "onetwo"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct shk_setting s = cases[i].s;
        struct shk_run_settings c = {0};
        struct shk_error err;
        char text[SHK_SETTING_TEXT];
        s.name = "it";
        s.offset =
            s.type == SHK_WORD ? offsetof(struct shk_run_settings, pin) : offsetof(struct shk_run_settings, train.lr);
        s.size = s.type == SHK_WORD ? sizeof c.pin : 8;
        shk_setting_range(&s, text);
        assert_string_equal(text, cases[i].range);
        for (size_t j = 0; j < 3 && cases[i].good[j]; j++)
            if (!shk_setting_parse(&s, &c, cases[i].good[j], &err)) fail_msg("%s", err.text);
        for (size_t j = 0; j < 5 && cases[i].bad[j]; j++)
            if (shk_setting_parse(&s, &c, cases[i].bad[j], &err)) fail_msg("%s: %s", text, cases[i].bad[j]);
    }
}

// ---- Resuming

static void test_resume(void **state) {
    (void)state;
    for (const struct shk_setting *s = shk_settings; s->name; s++) {
        const struct shk_run_settings was = shk_settings_defaults();
        struct shk_run_settings more = was;
        struct shk_error err = {0};
        char option[SHK_SETTING_NAME + 2] = "--";
        if (s->type == SHK_WHOLE || s->type == SHK_REAL)
            *((unsigned char *)&more + s->offset) ^= 1; // 5 and 0 become less or more
        else
            snprintf((char *)&more + s->offset, s->size, "other");
        shk_setting_option(s, option + 2);
        assert_true(shk_setting_may_become(s, &was, &was, "here", &err));
        const bool may = shk_setting_may_become(s, &was, &more, "here", &err);
        assert_true(may == (!shk_setting_kept(s) || s->moves));
        if (may) continue;
        says(&err, option);
        says(&err, "here: the run has ");
    }
    struct shk_run_settings was = shk_settings_defaults(), more = was;
    struct shk_error err = {0};
    more.epochs++;
    assert_true(shk_setting_may_become(shk_setting_named("epochs"), &was, &more, "here", &err));
    assert_false(shk_setting_may_become(shk_setting_named("epochs"), &more, &was, "here", &err));
    says(&err, "can raise it, but not lower it to 5");
}

// ---- As JSON

static struct shk_run_settings example(void) {
    struct shk_run_settings c = shk_settings_defaults();
    strcpy(c.model, "tinycnn");
    c.train.shards = 24;
    return c;
}

static void check_equal(const struct shk_run_settings *a, const struct shk_run_settings *b) {
    for (const struct shk_setting *s = shk_settings; s->name; s++) assert_true(shk_setting_equal(s, a, b));
}

static void test_json_round_trip(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct shk_error err;
        struct shk_run_settings c = example(), back = {0};
        c.train.seed = i == 0 ? 0 : i == 1 ? INT64_MAX : i == 2 ? (uint64_t)INT64_MAX + 1 : UINT64_MAX;
        c.train.clip_norm = i == 0 ? 0 : i == 1 ? INFINITY : 0.1;
        c.train.lr = nextafter(0.001, 1);
        c.train.shards = i == 0 ? 1024 : 7;
        json_t *object = config_to_json(&c);
        if (!config_from_json(object, "here", &back, &err)) fail_msg("%s", err.text);
        assert_string_equal(back.model, "tinycnn");
        check_equal(&c, &back);
        json_decref(object);
    }
}

// Reads the example's JSON with one member of a section changed; value NULL: without it.
static bool read_changed(const char *section, const char *key, const char *value, struct shk_run_settings *c,
                         struct shk_error *err) {
    const struct shk_run_settings whole = example();
    json_t *object = config_to_json(&whole), *part = json_object_get(object, section);
    if (value)
        json_object_set_new(part, key, json_loads(value, JSON_DECODE_ANY, NULL));
    else
        json_object_del(part, key);
    *err = (struct shk_error){0};
    const bool done = config_from_json(object, "here", c, err);
    json_decref(object);
    return done;
}

static void refuses(const char *key, const char *value, const char *text) {
    const struct shk_setting *s = shk_setting_named(key);
    struct shk_run_settings c;
    struct shk_error err;
    const char *section = shk_section_names[s ? s->section : SHK_SECTION_TRAINING];
    if (read_changed(section, key, value, &c, &err)) fail_msg("%s: %s is taken", key, value ? value : "nothing");
    says(&err, text);
}

static void refuses_numbers(const struct shk_setting *s) {
    static const char *const never[] = {"1e300", "\"x\"", "-1", "\" 5\"", "\"-1\"", NULL};
    char text[40];
    for (size_t j = s->infinite ? 1 : 0; never[j]; j++) refuses(s->name, never[j], s->name);
    if (s->type == SHK_REAL) return;
    refuses(s->name, "1.5", s->name);
    refuses(s->name, "\"18446744073709551616\"", s->name);
    if (s->high == UINT64_MAX) return;
    snprintf(text, sizeof text, "%" PRIu64, s->high + 1);
    refuses(s->name, text, s->name);
    snprintf(text, sizeof text, "\"%" PRIu64 "\"", s->high + 1);
    refuses(s->name, text, s->name);
    if (s->low && !s->unset) refuses(s->name, "0", s->name);
}

static void test_json_values(void **state) {
    (void)state;
    static const char *const never[] = {"\"\"", "null", "true", "[]", "{}", NULL};
    struct shk_run_settings c;
    struct shk_error err;
    for (const struct shk_setting *s = shk_settings; s->name; s++) {
        if (s->section >= SHK_SECTION_MACHINE) continue;
        if (!shk_setting_kept(s)) {
            refuses(s->name, "1", "is no setting of the section \"run\"");
            continue;
        }
        for (size_t j = 0; never[j]; j++) refuses(s->name, never[j], s->name);
        if (s->type == SHK_WHOLE || s->type == SHK_REAL)
            refuses_numbers(s);
        else
            refuses(s->name, "7", s->name);
        // A file that is older than the setting.
        if (s->type == SHK_FREE) continue;
        assert_true(read_changed(shk_section_names[s->section], s->name, NULL, &c, &err));
        const struct shk_run_settings defaults = shk_settings_defaults();
        assert_true(shk_setting_equal(s, &c, &defaults));
    }
    refuses("lr", "0", "lr");
    refuses("lr", "1000.5", "lr");
    refuses("lr", "\"inf\"", "lr");
    refuses("lr", "\"0.1\"", "lr");
    refuses("clip_norm", "\"-inf\"", "clip_norm");
    refuses("clip_norm", "\"nan\"", "clip_norm");
    refuses("invert", "1.5", "invert");
    refuses("model", NULL, "names no model");
    refuses("data", "7", "\"data\" must be a path");
    refuses("data", "\"\"", "\"data\" must be a path");
    refuses("more", "7", "\"more\" is no setting of the section \"training\"");
    char longest[5000];
    memset(longest, 'a', sizeof longest - 1);
    longest[0] = longest[sizeof longest - 2] = '"';
    longest[sizeof longest - 1] = 0;
    refuses("model", longest, "1 to 4095 characters");
    assert_false(read_changed("training", "size", "32", &c, &err)); // of another section
    says(&err, "\"size\" is no setting of the section \"training\"");
    assert_true(read_changed("training", "clip_norm", "\"inf\"", &c, &err) && isinf(c.train.clip_norm));
    assert_true(read_changed("training", "seed", "\"18446744073709551615\"", &c, &err) && c.train.seed == UINT64_MAX);
    assert_true(read_changed("training", "lr", "1", &c, &err) && c.train.lr == 1);
    assert_false(config_from_json(NULL, "here", &c, &err));
    says(&err, "here has no section \"model\"");
}

// What files of weights from before there were sections hold.
static void test_flat(void **state) {
    (void)state;
    static const char text[] =
        "{\"model\":\"tinyvit\",\"epochs\":3,\"batch\":20,\"lr\":0.01,\"clip_norm\":\"inf\",\"seed\":7,\"shards\":20,"
        "\"metrics_every\":5,\"train_samples\":200,\"test_samples\":50,\"size\":24,\"square\":3,\"invert\":0.25%s}";
    static const char *const more[] = {"", ",\"more\":1", ",\"threads\":2", ",\"lr\":\"x\""};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        char all[500];
        struct shk_run_settings c;
        struct shk_error err = {0};
        snprintf(all, sizeof all, text, more[i]);
        json_t *object = json_loads(all, 0, NULL);
        assert_true(config_from_json(object, "here", &c, &err) == (i == 0));
        json_decref(object);
        if (i) continue;
        assert_string_equal(c.model, "tinyvit");
        assert_string_equal(c.data.spec, "squares");
        assert_true(c.epochs == 3 && c.train.batch == 20 && c.train.lr == 0.01 && isinf(c.train.clip_norm));
        assert_true(c.train.seed == 7 && c.data.size == 24 && c.data.invert == 0.25 && c.metrics_every == 5);
    }
}

// ---- As a file

static void test_file(void **state) {
    (void)state;
    struct shk_error err;
    const struct shk_shape shape = {32, 32, 1, 9};
    struct shk_model *model = shk_model_create("tinycnn", &shape, 1, &err);
    struct shk_runtime *runtime = shk_runtime_create(&(struct shk_runtime_options){.threads = 1}, &err);
    assert_true(model && runtime);
    const struct shk_run_settings c = example();
    struct shk_run_settings back = {0};
    assert_true(config_write(&run, &c, model, runtime, &err));
    assert_true(config_read(&run, &back, &err));
    check_equal(&c, &back);
    assert_true(config_raise_epochs(&run, 17, &err));
    assert_true(config_read(&run, &back, &err));
    assert_int_equal(back.epochs, 17);
    assert_true(back.train.lr == c.train.lr);
    shk_model_free(model);
    shk_runtime_free(runtime);

    // What is wrong with the text.
    char *text = strdup(read_back(FOLDER_CONFIG)), changed[1 << 14];
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
        {"\"config\": 2", "\"config\": 1", "has version 1, this shikaku reads version 2: go on with the shikaku that"},
        {"\"config\": 2", "\"config\": 3", "has version 3, this shikaku reads version 2: use a newer one"},
        {"\"config\": 2", "\"kind\": 2", "is not the config.json of a run"},
        {"\"training\"", "\"trainings\"", "has no section \"training\""},
        {"\"run\": {", "\"run\": 5, \"a\": {", "has no section \"run\""},
        {"\"seed\"", "\"sead\"", "\"sead\" is no setting of the section \"training\""},
        {"\"epochs\": 17", "\"epochs\": 17, \"epochs\": 17", "duplicate"},
        {"\"model\": \"tinycnn\"", "", "names no model"},
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
    assert_int_equal(unlink(run.path[FOLDER_CONFIG]), 0);
    assert_false(config_read(&run, &back, &err));
    says(&err, "/config.json cannot be opened: No such file");
}

// What the data were is kept beside the settings; a run of before has no hashes.
static void test_hashes(void **state) {
    (void)state;
    static const struct shk_data_hashes hashes = {
        .of = {[SHK_PART_TRAIN] = "0123456789abcdef", [SHK_PART_TEST] = "fedcba9876543210"}};
    struct shk_error err = {0};
    struct shk_run_settings was = example(), is = example();
    was.hashes = is.hashes = hashes;
    char *note = config_to_note(&was);
    struct shk_run_settings back = {0};
    assert_true(config_from_note(note, "here", &back, &err));
    free(note);
    assert_memory_equal(&back.hashes, &hashes, sizeof hashes);
    assert_true(config_same_data(&was, &is, "here", &err));
    is.hashes.of[SHK_PART_TRAIN][0] = '1';
    assert_false(config_same_data(&was, &is, "here", &err));
    says(&err,
         "here: the training images and labels have the hash 0123456789abcdef, those of now have 1123456789abcdef");
    is.hashes = hashes;
    is.hashes.of[SHK_PART_TEST][15] = '1';
    assert_false(config_same_data(&was, &is, "here", &err));
    says(&err, "here: the test images and labels have the hash fedcba9876543210, those of now have fedcba9876543211");
    is.hashes = hashes;
    memcpy(is.hashes.of[SHK_PART_VAL], hashes.of[SHK_PART_TEST], 17);
    assert_false(config_same_data(&was, &is, "here", &err));
    says(&err, "here: the val images and labels have the hash of none, those of now have fedcba9876543210");
    was.hashes = (struct shk_data_hashes){0};
    assert_true(config_same_data(&was, &is, "here", &err));
    static const char *const bad[] = {"7",
                                      "{}",
                                      "{\"test\": \"0123456789abcdef\"}",
                                      "{\"train\": \"0123456789abcdef\", \"more\": \"0123456789abcdef\"}",
                                      "{\"train\": \"0123456789abcdef\", \"test\": \"0123456789ABCDEF\"}",
                                      "{\"train\": \"0123456789abcdef\", \"test\": \"0123456789abcdef0\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *object = config_to_json(&was);
        json_object_set_new(object, "data_hashes", json_loads(bad[i], JSON_DECODE_ANY, NULL));
        assert_false(config_from_json(object, "here", &back, &err));
        says(&err, "here: \"data_hashes\" must have");
        json_decref(object);
    }
}

// ---- metrics.jsonl

static const char steps1[] = "{\"epoch\": 1, \"step\": 2, \"loss\": 2.5}\n{\"epoch\": 1, \"step\": 4, \"loss\": 2.4}\n",
                  epoch1[] = "{\"epoch\": 1, \"train_loss\": 2.45, \"best\": true}\n",
                  steps2[] = "{\"epoch\": 2, \"step\": 2, \"loss\": 2.3}\n",
                  step4[] = "{\"epoch\": 2, \"step\": 4, \"loss\": 2}\n",
                  epoch2[] = "{\"epoch\": 2, \"train_loss\": 2.2, \"best\": true}\n";

static void keeps(const char *text, size_t epoch, size_t step, size_t want) {
    struct shk_error err = {0};
    struct metrics_found found;
    const struct metrics_place place = {{epoch, step}, 4, 2};
    if (!metrics_keep(text, strlen(text), &place, "x/metrics.jsonl", &found, &err)) fail_msg("%s", err.text);
    if (found.keep != want)
        fail_msg("epoch %zu, step %zu keeps %zu bytes, not %zu of '%s'", epoch, step, found.keep, want, text);
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
    // Cut anywhere: whole lines are kept, the last one without its end as well.
    for (size_t n = 0; n < strlen(text); n++) {
        char cut[1000];
        size_t whole = n;
        memcpy(cut, text, n);
        cut[n] = 0;
        while (whole && cut[whole - 1] != '\n' && cut[whole - 1] != '}') whole--;
        keeps(cut, 2, 0, whole);
    }
}

static void keep_refuses(const char *text, size_t size, const char *says_this) {
    struct shk_error err = {0};
    struct metrics_found found;
    const struct metrics_place place = {{2, 0}, 4, 2};
    assert_false(metrics_keep(text, size, &place, "x/metrics.jsonl", &found, &err));
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
        snprintf(text, sizeof text, "%s%s\n", steps1, bad[i]);
        keep_refuses(text, strlen(text), "line 3: not a line of metrics");
    }
    // A last line without an end is one that a training was writing, or somebody else's.
    static const char *const half[] = {"{", "{\"ep", "{\"epoch\": ", "{\"epoch\": 1, \"st",
                                       "{\"epoch\": 1, \"loss\": 2.5"},
                             *const other[] = {"[]", " {", "nothing", "{\"epochs\": ", "{\"epoch\": 1} {\"epoch\": 2"};
    for (size_t i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "%s%s", steps1, half[i]);
        keeps(text, 2, 0, strlen(steps1));
        snprintf(text, sizeof text, "%s%s", steps1, other[i]);
        keep_refuses(text, strlen(text), "line 3: not a line of metrics");
    }
    snprintf(text, sizeof text, "%s%s%s", steps1, epoch2, epoch1);
    struct metrics_found found;
    const struct metrics_place first = {{1, 0}, 4, 2}, second = {{2, 0}, 4, 2};
    struct shk_error err;
    assert_false(metrics_keep(text, strlen(text), &first, "x", &found, &err));
    says(&err, "line 4: it comes after lines of later steps");
    // Zeros: what some file systems leave after a power failure.
    snprintf(text, sizeof text, "%s", steps1);
    const size_t n = strlen(text);
    memset(text + n, 0, 100);
    assert_true(metrics_keep(text, n + 100, &second, "x", &found, &err));
    assert_int_equal(found.keep, n);
    memcpy(text + n + 100, "\n", 1);
    keep_refuses(text, n + 101, "line 3");
}

// Which of the lines up to a place are there.
static void lacks(const char *text, const struct metrics_place *place, size_t lines, size_t lacking, size_t epoch,
                  size_t step, size_t odd) {
    struct shk_error err = {0};
    struct metrics_found f;
    if (!metrics_keep(text, strlen(text), place, "x", &f, &err)) fail_msg("%s", err.text);
    if (f.lines != lines || f.lacking != lacking || (lacking && (f.epoch != epoch || f.step != step)) || f.odd != odd)
        fail_msg("%zu of %zu lines, from epoch %zu, step %zu on; odd is %zu: '%s'", f.lacking, f.lines, f.epoch, f.step,
                 f.odd, text);
}

static void test_lacking(void **state) {
    (void)state;
    const struct metrics_place end = {{2, 0}, 4, 2}, inside = {{1, 3}, 4, 2}, often = {{2, 1}, 4, 3},
                               seldom = {{1, 0}, 4, 9};
    char text[1000];
    snprintf(text, sizeof text, "%s%s%s%s%s", steps1, epoch1, steps2, step4, epoch2);
    lacks(text, &end, 6, 0, 0, 0, 0);
    lacks("", &end, 6, 6, 1, 2, 0);
    lacks(epoch1, &seldom, 1, 0, 0, 0, 0);
    lacks("", &seldom, 1, 1, 1, 0, 0);
    lacks(text, &inside, 4, 0, 0, 0, 0);
    lacks(steps1, &inside, 4, 2, 1, 0, 0);
    lacks(steps1, &often, 5, 5, 1, 3, 1); // lines of steps 3, 6 and 9 are written
    snprintf(text, sizeof text, "%s%s%s", steps1, epoch1, epoch2);
    lacks(text, &end, 6, 2, 2, 2, 0);
    snprintf(text, sizeof text, "%s%s%s%s%s%s", steps1, epoch1, steps2, steps2, step4, epoch2);
    lacks(text, &end, 6, 0, 0, 0, 5);
    snprintf(text, sizeof text, "%s%s%s%s%s", steps1, steps2, epoch1, step4, epoch2);
    lacks(text, &end, 6, 1, 1, 0, 4);
}

// Other programs end lines otherwise, and put blanks between; what they leave is JSON.
static void test_keep_foreign(void **state) {
    (void)state;
    static const char text[] =
        "{\"step\":2,\"epoch\":1,\"loss\":null,\"more\":[1]}\r\n \t{ \"epoch\" : 1, \"train_loss\" : 2 } \n";
    keeps(text, 1, 0, strlen(text));
}

static struct metrics *open_at(size_t epoch, size_t step) {
    struct shk_error err = {0};
    const struct metrics_place place = {{epoch, step}, 4, 2};
    struct metrics *m = metrics_open(&run, &place, &err);
    if (!m) fail_msg("%s", err.text);
    return m;
}

static void test_open(void **state) {
    (void)state;
    struct shk_error err;
    char text[1000];
    unlink(run.path[FOLDER_METRICS]);
    struct metrics *m = open_at(0, 0);
    assert_non_null(m);
    assert_true(metrics_step(m, &(struct shk_step){1, 2, 2.5}, &err));
    assert_true(metrics_step(m, &(struct shk_step){1, 4, 2.25}, &err));
    assert_true(metrics_epoch(m, &(struct shk_epoch){.epoch = 1, .train_loss = 2.375, .test = {2, 0.5}, .best = true},
                              "test", &err));
    assert_true(metrics_sync(m, &err));
    metrics_close(m);
    strcpy(text, read_back(FOLDER_METRICS));
    assert_ptr_equal(strstr(text, "{\"epoch\": 1, \"step\": 2, \"loss\": 2.5}\n"), text);
    assert_non_null(strstr(
        text, "{\"epoch\": 1, \"train_loss\": 2.375, \"test_loss\": 2.0, \"test_accuracy\": 0.5, \"best\": true"));
    m = open_at(1, 0);
    assert_true(metrics_epoch(m, &(struct shk_epoch){.epoch = 2, .test = {NAN, 0}}, "test", &err));
    assert_non_null(strstr(read_back(FOLDER_METRICS), "\"test_loss\": null, \"test_accuracy\": 0.0"));
    // Whatever JSON cannot hold is null: a clock that stands still, a loss that is none.
    assert_true(metrics_step(m, &(struct shk_step){2, 2, NAN}, &err));
    assert_true(
        metrics_epoch(m, &(struct shk_epoch){2, INFINITY, {-INFINITY, NAN}, false, INFINITY, 1.0 / 0.0}, "val", &err));
    assert_non_null(
        strstr(read_back(FOLDER_METRICS),
               "\"step\": 2, \"loss\": null}\n{\"epoch\": 2, \"train_loss\": null, \"val_loss\": null, "
               "\"val_accuracy\": null, \"best\": false, \"seconds\": null, \"samples_per_second\": null}\n"));
    metrics_close(m);
    m = open_at(1, 0); // all of the first epoch stay
    assert_true(metrics_step(m, &(struct shk_step){2, 2, 2}, &err));
    metrics_close(m);
    assert_int_equal(strncmp(read_back(FOLDER_METRICS), text, strlen(text)), 0);
    char more[1000];
    strcpy(more, read_back(FOLDER_METRICS));
    assert_int_equal(truncate(run.path[FOLDER_METRICS], (off_t)strlen(more) - 1), 0);
    m = open_at(1, 2); // a line is whole without its end
    metrics_close(m);
    assert_string_equal(read_back(FOLDER_METRICS), more);
    assert_int_equal(truncate(run.path[FOLDER_METRICS], (off_t)strlen(more) - 2), 0);
    m = open_at(1, 2); // what is not whole goes
    metrics_close(m);
    assert_string_equal(read_back(FOLDER_METRICS), text);
    m = open_at(0, 3);
    assert_true(metrics_step(m, &(struct shk_step){1, 4, 2.25}, &err));
    metrics_close(m);
    assert_int_equal(strncmp(read_back(FOLDER_METRICS), text, strlen(read_back(FOLDER_METRICS))), 0);
    write_text("nothing\n{\"epoch\": 1, \"train_loss\": 2}\n");
    const struct metrics_place place = {{1, 0}, 4, 2};
    assert_null(metrics_open(&run, &place, &err));
    says(&err, run.path[FOLDER_METRICS]);
    assert_string_equal(read_back(FOLDER_METRICS), "nothing\n{\"epoch\": 1, \"train_loss\": 2}\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),           cmocka_unit_test(test_api_defaults),
        cmocka_unit_test(test_api_refuses),    cmocka_unit_test(test_parse),
        cmocka_unit_test(test_ranges),         cmocka_unit_test(test_resume),
        cmocka_unit_test(test_flat),           cmocka_unit_test(test_json_round_trip),
        cmocka_unit_test(test_json_values),    cmocka_unit_test(test_file),
        cmocka_unit_test(test_hashes),         cmocka_unit_test(test_keep),
        cmocka_unit_test(test_keep_bad_lines), cmocka_unit_test(test_lacking),
        cmocka_unit_test(test_keep_foreign),   cmocka_unit_test(test_open),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
