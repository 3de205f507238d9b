// SPDX-License-Identifier: MIT
#include "report/config.h"

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE(field) .offset = offsetof(struct config, field)
#define REAL(field) .offset = offsetof(struct config, field), .real = true
const struct setting config_settings[CONFIG_SETTINGS] = {
    {"epochs", WHOLE(epochs), .low = 1, .high = 1000000, .text = "N", .doc = "Epochs (5)"},
    {"batch", WHOLE(batch), .low = 1, .high = SHK_MAX_BATCH, .text = "N", .doc = "Samples per step (64)"},
    {"lr", REAL(lr), .low = 0, .high = 1000, .above = true, .text = "X", .doc = "Learning rate of Adam (1e-3)"},
    {"clip-norm", REAL(clip_norm), .low = 0, .high = 1000000, .above = true, .zero = true, .infinite = true,
     .text = "X", .doc = "Scale the gradients of a step down to this norm; inf: never (no clipping)"},
    {"seed", WHOLE(seed), .low = 0, .high = UINT64_MAX, .group = SETTING_DATA, .text = "N",
     .doc = "Seed of data, weights, shuffling and dropout (0)"},
    {"shards", WHOLE(shards), .low = 1, .high = SHK_MAX_SHARDS, .zero = true, .text = "N",
     .doc = "Parts of a batch; they fix the order of sums (by batch: 24 for 64)"},
    {"metrics-every", WHOLE(metrics_every), .low = 1, .high = UINT32_MAX, .group = SETTING_RUN, .text = "N",
     .doc = "A line in metrics.jsonl every N steps (100)"},
    {"train-samples", WHOLE(train_samples), .low = 1, .high = 10000000, .text = "N", .doc = "Training samples (5000)"},
    {"test-samples", WHOLE(test_samples), .low = 1, .high = 10000000, .group = SETTING_DATA, .text = "N",
     .doc = "Test samples (1000)"},
    {"size", WHOLE(size), .low = 8, .high = 256, .group = SETTING_DATA, .text = "N",
     .doc = "Height and width of an image, 8 to 256 pixels (32)"},
    {"square", WHOLE(square), .low = 1, .high = 85, .group = SETTING_DATA, .text = "N",
     .doc = "Side of the square, at most a third of the image (6)"},
    {"invert", REAL(invert), .low = 0, .high = 1, .group = SETTING_DATA, .text = "P",
     .doc = "Probability that an image is inverted (0.5)"},
};
#undef WHOLE
#undef REAL

static uint64_t whole_of(const struct config *c, const struct setting *s) {
    uint64_t value;
    memcpy(&value, (const char *)c + s->offset, sizeof value);
    return value;
}

static double real_of(const struct config *c, const struct setting *s) {
    double value;
    memcpy(&value, (const char *)c + s->offset, sizeof value);
    return value;
}

bool config_equal(const struct config *a, const struct config *b, const struct setting *s) {
    return s->real ? real_of(a, s) == real_of(b, s) : whole_of(a, s) == whole_of(b, s);
}

void config_copy(struct config *to, const struct config *from, const struct setting *s) {
    memcpy((char *)to + s->offset, (const char *)from + s->offset, s->real ? sizeof(double) : sizeof(uint64_t));
}

void config_print(const struct config *c, const struct setting *s, char text[32]) {
    if (s->real)
        snprintf(text, 32, "%.10g", real_of(c, s));
    else
        snprintf(text, 32, "%" PRIu64, whole_of(c, s));
}

// ---- Values ----

static bool set_whole(struct config *c, const struct setting *s, uint64_t value) {
    memcpy((char *)c + s->offset, &value, sizeof value);
    return value >= s->low && value <= s->high;
}

static bool set_real(struct config *c, const struct setting *s, double value) {
    memcpy((char *)c + s->offset, &value, sizeof value);
    if (isinf(value)) return s->infinite && value > 0;
    return value <= (double)s->high && (s->above ? value > (double)s->low : value >= (double)s->low);
}

// What a value has to be, as the end of a sentence.
static void describe(const struct setting *s, char text[96]) {
    if (s->real)
        snprintf(text, 96, "a number %s %" PRIu64 "%s%" PRIu64 "%s", s->above ? "above" : "from", s->low,
                 s->above ? " and at most " : " to ", s->high, s->infinite ? ", or inf" : "");
    else
        snprintf(text, 96, "a whole number from %" PRIu64 " to %" PRIu64, s->low, s->high);
}

bool config_parse(struct config *c, const struct setting *s, const char *text, struct shk_error *err) {
    uint64_t whole;
    double real;
    bool good;
    if (!s->real)
        good = shk_typed_whole(text, &whole) && set_whole(c, s, whole);
    else if (s->infinite && strcmp(text, "inf") == 0)
        good = set_real(c, s, INFINITY);
    else
        good = shk_typed_real(text, &real) && set_real(c, s, real);
    if (good) return true;
    char wanted[96];
    describe(s, wanted);
    return shk_fail(err, SHK_BAD_INPUT, "--%s must be %s, not '%.64s'", s->name, wanted, text);
}

// ---- JSON ----

static void json_key(const struct setting *s, char key[32]) {
    snprintf(key, 32, "%s", s->name);
    for (char *dash; (dash = strchr(key, '-'));) *dash = '_';
}

// JSON has neither infinity nor, in many readers, whole numbers beyond 2^63: these are strings.
static json_t *value_to_json(const struct config *c, const struct setting *s) {
    char text[32];
    config_print(c, s, text);
    if (s->real) return isinf(real_of(c, s)) ? json_string(text) : json_real(real_of(c, s));
    const uint64_t value = whole_of(c, s);
    return value <= INT64_MAX ? json_integer((json_int_t)value) : json_string(text);
}

static bool value_from_json(const json_t *value, const struct setting *s, struct config *c) {
    const char *text = json_string_value(value);
    if (s->real) {
        const double real = text && strcmp(text, "inf") == 0 ? INFINITY : json_number_value(value);
        if (text ? !isinf(real) : !json_is_number(value)) return false;
        return set_real(c, s, real) || (s->zero && real == 0);
    }
    uint64_t whole = 0;
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        whole = (uint64_t)json_integer_value(value);
    else if (!text || !shk_typed_whole(text, &whole))
        return false;
    return set_whole(c, s, whole) || (s->zero && whole == 0);
}

json_t *config_to_json(const struct config *c) {
    json_t *object = json_object();
    bool ok = object && json_object_set_new(object, "model", json_string(c->model)) == 0;
    for (size_t i = 0; ok && i < CONFIG_SETTINGS; i++) {
        char key[32];
        json_key(&config_settings[i], key);
        ok = json_object_set_new(object, key, value_to_json(c, &config_settings[i])) == 0;
    }
    if (ok) return object;
    json_decref(object);
    return NULL;
}

bool config_from_json(const json_t *object, const char *where, struct config *c, struct shk_error *err) {
    const char *model = json_string_value(json_object_get(object, "model"));
    if (!model) return shk_fail(err, SHK_BAD_INPUT, "%.250s names no model", where);
    if (strlen(model) >= sizeof c->model)
        return shk_fail(err, SHK_BAD_INPUT, "%.250s: the model's description is longer than %zu characters", where,
                        sizeof c->model - 1);
    strcpy(c->model, model);
    for (size_t i = 0; i < CONFIG_SETTINGS; i++) {
        const struct setting *s = &config_settings[i];
        char key[32], wanted[96];
        json_key(s, key);
        const json_t *value = json_object_get(object, key);
        if (!value) return shk_fail(err, SHK_BAD_INPUT, "%.250s has no \"%s\"", where, key);
        describe(s, wanted);
        if (!value_from_json(value, s, c))
            return shk_fail(err, SHK_BAD_INPUT, "%.250s: \"%s\" must be %s", where, key, wanted);
    }
    if (json_object_size(object) != CONFIG_SETTINGS + 1)
        return shk_fail(err, SHK_BAD_INPUT, "%s holds a setting that this version does not know", where);
    return true;
}

// ---- File ----

enum { FILE_VERSION = 1, FILE_LIMIT = 1 << 20 };

static bool out_of_memory(struct shk_error *err) { return shk_fail(err, SHK_FAILED, "out of memory"); }

static bool write_json(const char *path, json_t *file, struct shk_error *err) {
    char *text = shk_json_text(file, JSON_INDENT(2));
    if (!text) return out_of_memory(err);
    const size_t length = strlen(text);
    text[length] = '\n'; // in place of the end
    const bool ok = shk_write_file(path, text, length + 1, err);
    free(text);
    return ok;
}

bool config_write(const char *path, const struct config *c, const struct shk_model *model,
                  const struct shk_runtime *runtime, struct shk_error *err) {
    struct shk_machine *machine = shk_machine_create(NULL, err);
    if (!machine) return false;
    json_t *file = json_pack("{s:i, s:s, s:i, s:o, s:s, s:{s:s, s:s, s:I, s:s}}", "config", FILE_VERSION, "shikaku",
                             shk_version(), "numerics", SHK_NUMERICS_VERSION, "settings", config_to_json(c),
                             "description", shk_model_description(model), "machine", "cpu",
                             shk_machine_info(machine)->cpu_model, "isa", shk_runtime_isa(runtime), "threads",
                             (json_int_t)shk_runtime_threads(runtime), "line", shk_runtime_describe(runtime));
    shk_machine_free(machine);
    const bool ok = write_json(path, file, err);
    json_decref(file);
    return ok;
}

// The parsed file, to be released.
static json_t *parse(const char *text, size_t size, const char *path, struct shk_error *err) {
    json_error_t why;
    json_t *file = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
    if (!file && json_error_code(&why) == json_error_out_of_memory)
        out_of_memory(err);
    else if (!file)
        shk_fail(err, SHK_BAD_INPUT, "%.250s, line %d: %s", path, why.line, why.text);
    return file;
}

static bool read_json(const json_t *file, const char *path, struct config *c, struct shk_error *err) {
    const json_t *version = json_object_get(file, "config"), *numerics = json_object_get(file, "numerics");
    if (!json_is_integer(version) || !json_is_integer(numerics))
        return shk_fail(err, SHK_BAD_INPUT, "%.250s is not the config.json of a run", path);
    if (json_integer_value(version) != FILE_VERSION)
        return shk_fail(err, SHK_BAD_INPUT, "%.250s has version %lld, this shikaku reads version %d", path,
                        (long long)json_integer_value(version), FILE_VERSION);
    if (json_integer_value(numerics) != SHK_NUMERICS_VERSION)
        return shk_fail(
            err, SHK_BAD_INPUT,
            "%.250s: the run has numerics version %lld, this shikaku has %d and would give other bits: go on with "
            "the shikaku that began it",
            path, (long long)json_integer_value(numerics), SHK_NUMERICS_VERSION);
    return config_from_json(json_object_get(file, "settings"), path, c, err);
}

bool config_read_text(const char *text, size_t size, const char *path, struct config *c, struct shk_error *err) {
    json_t *file = parse(text, size, path, err);
    const bool ok = file && read_json(file, path, c, err);
    json_decref(file);
    return ok;
}

// The whole file, to be freed.
static char *read_text(const char *path, size_t *size, struct shk_error *err) {
    FILE *in = fopen(path, "re");
    char *text = in ? malloc(FILE_LIMIT) : NULL;
    if (text) *size = fread(text, 1, FILE_LIMIT, in);
    const int why = errno;
    if (!in)
        shk_fail(err, SHK_BAD_INPUT, "%.250s cannot be read: %s", path, strerror(why));
    else if (!text)
        out_of_memory(err);
    else if (ferror(in))
        shk_fail(err, SHK_FAILED, "%.250s cannot be read: %s", path, strerror(why));
    else if (*size == FILE_LIMIT)
        shk_fail(err, SHK_BAD_INPUT, "%.250s is not the config.json of a run: it is larger than %d bytes", path,
                 FILE_LIMIT);
    const bool ok = text && !ferror(in) && *size < FILE_LIMIT;
    if (in) fclose(in);
    if (ok) return text;
    free(text);
    return NULL;
}

bool config_read(const char *path, struct config *c, struct shk_error *err) {
    size_t size;
    char *text = read_text(path, &size, err);
    const bool ok = text && config_read_text(text, size, path, c, err);
    free(text);
    return ok;
}

bool config_raise_epochs(const char *path, uint64_t epochs, struct shk_error *err) {
    size_t size;
    char *text = read_text(path, &size, err);
    json_t *file = text ? parse(text, size, path, err) : NULL;
    free(text);
    if (!file) return false;
    const bool set =
        json_object_set_new(json_object_get(file, "settings"), "epochs", json_integer((json_int_t)epochs)) == 0;
    const bool ok = set ? write_json(path, file, err) : out_of_memory(err);
    json_decref(file);
    return ok;
}
