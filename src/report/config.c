// SPDX-License-Identifier: MIT
// Writes config.json from the table of settings, and reads it.
#include "report/config.h"

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- Values ----

// JSON has neither infinity nor, in many readers, whole numbers beyond 2^63: these are strings.
static json_t *value_to_json(const struct shk_setting *s, const struct shk_run_settings *c) {
    const double real = s->type == SHK_REAL ? shk_setting_real(s, c) : 0;
    const uint64_t whole = s->type == SHK_WHOLE ? shk_setting_whole(s, c) : 0;
    char text[SHK_SETTING_TEXT];
    if (s->type == SHK_REAL && !isinf(real)) return json_real(real);
    if (s->type == SHK_WHOLE && whole <= INT64_MAX) return json_integer((json_int_t)whole);
    if (s->type != SHK_REAL && s->type != SHK_WHOLE) return json_string(shk_setting_text(s, c));
    shk_setting_print(s, c, text);
    return json_string(text);
}

static bool whole_from_json(const json_t *value, const struct shk_setting *s, struct shk_run_settings *c) {
    const char *text = json_string_value(value);
    uint64_t whole = 0;
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        whole = (uint64_t)json_integer_value(value);
    else if (!text || !shk_typed_whole(text, &whole))
        return false;
    return shk_setting_set_whole(s, c, whole);
}

static bool value_from_json(const json_t *value, const struct shk_setting *s, struct shk_run_settings *c) {
    const char *text = json_string_value(value);
    if (s->type == SHK_WHOLE) return whole_from_json(value, s, c);
    if (s->type != SHK_REAL) return text && shk_setting_set_text(s, c, text);
    if (text) return strcmp(text, "inf") == 0 && shk_setting_set_real(s, c, INFINITY);
    return json_is_number(value) && shk_setting_set_real(s, c, json_number_value(value));
}

// ---- Sections ----

static bool is_of(const struct shk_setting *s, enum shk_section section, const struct shk_run_settings *c) {
    return s->section == section && shk_setting_kept(s) && shk_setting_applies(s, c);
}

// A text that is not chosen is not written.
static bool is_chosen(const struct shk_setting *s, const struct shk_run_settings *c) {
    return s->type == SHK_WHOLE || s->type == SHK_REAL || *shk_setting_text(s, c);
}

// Older files have the first alias as a name.
static const json_t *member(const json_t *object, const struct shk_setting *s) {
    const json_t *value = json_object_get(object, s->name);
    return value || !s->aliases[0] ? value : json_object_get(object, s->aliases[0]);
}

static json_t *section_to_json(enum shk_section section, const struct shk_run_settings *c) {
    json_t *object = json_object();
    bool ok = object != NULL;
    for (const struct shk_setting *s = shk_settings; ok && s->name; s++)
        if (is_of(s, section, c) && is_chosen(s, c))
            ok = json_object_set_new(object, s->name, value_to_json(s, c)) == 0;
    if (ok) return object;
    json_decref(object);
    return NULL;
}

static const char hashes_key[] = "data_hashes", init_key[] = "init_hash";

static const char *const parts[SHK_PARTS] = {"train", "val", "test"};

static json_t *hashes_to_json(const struct shk_data_hashes *h) {
    json_t *object = json_object();
    for (int i = 0; object && i < SHK_PARTS; i++) {
        if (!*h->of[i] || json_object_set_new(object, parts[i], json_string(h->of[i])) == 0) continue;
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *config_to_json(const struct shk_run_settings *c) {
    json_t *object = json_object();
    bool ok = object != NULL;
    if (ok && *c->hashes.of[SHK_PART_TRAIN])
        ok = json_object_set_new(object, hashes_key, hashes_to_json(&c->hashes)) == 0;
    if (ok && *c->init_hash) ok = json_object_set_new(object, init_key, json_string(c->init_hash)) == 0;
    for (int i = 0; ok && i < SHK_SECTION_MACHINE; i++)
        ok = json_object_set_new(object, shk_section_names[i], section_to_json((enum shk_section)i, c)) == 0;
    if (ok) return object;
    json_decref(object);
    return NULL;
}

// *found counts the settings that are there.
static bool read_section(const json_t *object, enum shk_section section, const char *where, size_t *found,
                         struct shk_run_settings *c, struct shk_error *err) {
    for (const struct shk_setting *s = shk_settings; s->name; s++) {
        const json_t *value = is_of(s, section, c) ? member(object, s) : NULL;
        char range[SHK_SETTING_TEXT];
        if (!value) continue;
        shk_setting_range(s, range);
        if (!value_from_json(value, s, c))
            return shk_fail(err, SHK_BAD_INPUT, "%.250s: \"%s\" must be %.200s", where, s->name, range);
        ++*found;
    }
    return true;
}

// Names a member of `object` that is none of `section`'s settings.
static bool fail_unknown(const json_t *object, enum shk_section section, const char *where,
                         const struct shk_run_settings *c, struct shk_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        const struct shk_setting *s = shk_setting_named(key);
        if (!s || !is_of(s, section, c))
            return shk_fail(err, SHK_BAD_INPUT, "%.250s: \"%.64s\" is no setting of the section \"%s\"", where, key,
                            shk_section_names[section]);
    }
    return false;
}

static bool read_sections(const json_t *object, const char *where, struct shk_run_settings *c, struct shk_error *err) {
    for (int i = 0; i < SHK_SECTION_MACHINE; i++) {
        const json_t *section = json_object_get(object, shk_section_names[i]);
        size_t found = 0;
        if (!json_is_object(section))
            return shk_fail(err, SHK_BAD_INPUT, "%.250s has no section \"%s\"", where, shk_section_names[i]);
        if (!read_section(section, (enum shk_section)i, where, &found, c, err)) return false;
        if (found != json_object_size(section)) return fail_unknown(section, (enum shk_section)i, where, c, err);
    }
    return true;
}

// Of a file of weights from before there were sections.
static bool read_flat(const json_t *object, const char *where, struct shk_run_settings *c, struct shk_error *err) {
    size_t found = 0;
    for (int i = 0; i < SHK_SECTION_MACHINE; i++)
        if (!read_section(object, (enum shk_section)i, where, &found, c, err)) return false;
    return found == json_object_size(object) ||
           shk_fail(err, SHK_BAD_INPUT, "%.250s holds a setting that this version does not know", where);
}

static bool hash_from_json(const json_t *value, char hash[17]) {
    const char *text = json_string_value(value);
    if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16) return false;
    memcpy(hash, text, 17);
    return true;
}

// A run of before there were hashes has none.
static bool read_hashes(const json_t *object, const char *where, struct shk_data_hashes *h, struct shk_error *err) {
    const json_t *hashes = json_object_get(object, hashes_key);
    if (!hashes) return true;
    size_t found = 0;
    bool ok = true;
    for (int i = 0; i < SHK_PARTS; i++) {
        const json_t *hash = json_object_get(hashes, parts[i]);
        ok = ok && (hash ? hash_from_json(hash, h->of[i]) : i != SHK_PART_TRAIN);
        found += hash != NULL;
    }
    return (ok && found == json_object_size(hashes)) ||
           shk_fail(
               err, SHK_BAD_INPUT,
               "%.250s: \"%s\" must have \"train\", and perhaps \"val\" and \"test\", of 16 hexadecimal digits each",
               where, hashes_key);
}

// A run that started from a file's weights has their hash.
static bool read_init(const json_t *object, const char *where, struct shk_run_settings *c, struct shk_error *err) {
    const json_t *hash = json_object_get(object, init_key);
    if (hash ? *c->init && hash_from_json(hash, c->init_hash) : !*c->init) return true;
    return shk_fail(err, SHK_BAD_INPUT,
                    "%.250s: \"%s\" must be 16 hexadecimal digits, and go with \"init\" of \"model\"", where, init_key);
}

bool config_from_json(const json_t *object, const char *where, struct shk_run_settings *out, struct shk_error *err) {
    struct shk_run_settings c = shk_settings_defaults();
    const bool flat = json_is_string(json_object_get(object, "model"));
    if (!(flat ? read_flat : read_sections)(object, where, &c, err) || !read_hashes(object, where, &c.hashes, err) ||
        !read_init(object, where, &c, err))
        return false;
    if (!*c.model) return shk_fail(err, SHK_BAD_INPUT, "%.250s names no model", where);
    *out = c;
    return true;
}

bool config_same_data(const struct shk_run_settings *was, const struct shk_run_settings *is, const char *where,
                      struct shk_error *err) {
    static const char *const names[SHK_PARTS] = {"training", "val", "test"};
    if (!*was->hashes.of[SHK_PART_TRAIN] || !*is->hashes.of[SHK_PART_TRAIN]) return true;
    for (int i = 0; i < SHK_PARTS; i++) {
        const char *then = was->hashes.of[i], *now = is->hashes.of[i];
        if (strcmp(then, now) != 0)
            return shk_fail(
                err, SHK_BAD_INPUT,
                "%.250s: the %s images and labels have the hash %s, those of now have %s: go on with the data "
                "with which the run began",
                where, names[i], *then ? then : "of none", *now ? now : "of none");
    }
    return true;
}

static void exchange(char *text, char from, char to) {
    for (char *at = text; (at = strchr(at, from));) *at = to;
}

char *config_to_note(const struct shk_run_settings *c) {
    json_t *object = config_to_json(c);
    char *text = object ? shk_json_text(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (text && !strchr(text, '\'') && !strchr(text, '\\')) exchange(text, '"', '\'');
    return text;
}

bool config_from_note(const char *note, const char *where, struct shk_run_settings *out, struct shk_error *err) {
    char *text = strdup(note);
    if (!text) return shk_fail(err, SHK_FAILED, "out of memory");
    if (strncmp(text, "{'", 2) == 0) exchange(text, '\'', '"');
    json_t *object = shk_json_read(text, strlen(text), NULL);
    free(text);
    const bool ok = config_from_json(object, where, out, err);
    json_decref(object);
    return ok;
}

// ---- File ----

enum { FILE_VERSION = 2, FILE_LIMIT = 1 << 20 };

static bool out_of_memory(struct shk_error *err) { return shk_fail(err, SHK_FAILED, "out of memory"); }

static bool write_json(const struct folder *f, json_t *file, struct shk_error *err) {
    char *text = shk_json_text(file, JSON_INDENT(2));
    if (!text) return out_of_memory(err);
    const size_t length = strlen(text);
    text[length] = '\n'; // in place of the end
    const bool ok = shk_write_file_in(f->held, folder_name(FOLDER_CONFIG), text, length + 1, err);
    free(text);
    return ok;
}

bool config_write(const struct folder *f, const struct shk_run_settings *c, const struct shk_model *model,
                  const struct shk_runtime *runtime, struct shk_error *err) {
    struct shk_machine *machine = shk_machine_create(NULL, err);
    if (!machine) return false;
    json_t *file = json_pack("{s:i, s:s, s:i}", "config", FILE_VERSION, "shikaku", shk_version(), "numerics",
                             SHK_NUMERICS_VERSION);
    json_t *settings = config_to_json(c);
    json_t *rest = json_pack("{s:s, s:{s:s, s:s, s:I, s:s}}", "description", shk_model_description(model), "machine",
                             "cpu", shk_machine_info(machine)->cpu_model, "isa", shk_runtime_isa(runtime), "threads",
                             (json_int_t)shk_runtime_threads(runtime), "line", shk_runtime_describe(runtime));
    shk_machine_free(machine);
    const bool whole = json_object_update(file, settings) == 0 && json_object_update(file, rest) == 0;
    const bool ok = whole ? write_json(f, file, err) : out_of_memory(err);
    json_decref(rest);
    json_decref(settings);
    json_decref(file);
    return ok;
}

// The parsed file, to be released.
static json_t *parse(const char *text, size_t size, const char *path, struct shk_error *err) {
    json_error_t why;
    json_t *file = shk_json_read(text, size, &why);
    if (!file && json_error_code(&why) == json_error_out_of_memory)
        out_of_memory(err);
    else if (!file)
        shk_fail(err, SHK_BAD_INPUT, "%.250s, line %d: %s", path, why.line, why.text);
    return file;
}

static bool check_versions(long long version, long long numerics, const char *path, struct shk_error *err) {
    if (version < FILE_VERSION)
        return shk_fail(err, SHK_BAD_INPUT,
                        "%.250s has version %lld, this shikaku reads version %d: go on with the shikaku that began the "
                        "run, or begin it anew in another folder; 'shikaku eval' reads its weights",
                        path, version, FILE_VERSION);
    if (version > FILE_VERSION)
        return shk_fail(err, SHK_BAD_INPUT, "%.250s has version %lld, this shikaku reads version %d: use a newer one",
                        path, version, FILE_VERSION);
    return numerics == SHK_NUMERICS_VERSION ||
           shk_fail(err, SHK_BAD_INPUT,
                    "%.250s: the run has numerics version %lld, this shikaku has %d and would give other bits: go on "
                    "with the shikaku that began it",
                    path, numerics, SHK_NUMERICS_VERSION);
}

static bool read_json(const json_t *file, const char *path, struct shk_run_settings *c, struct shk_error *err) {
    const json_t *version = json_object_get(file, "config"), *numerics = json_object_get(file, "numerics");
    if (!json_is_integer(version) || !json_is_integer(numerics))
        return shk_fail(err, SHK_BAD_INPUT, "%.250s is not the config.json of a run", path);
    return check_versions(json_integer_value(version), json_integer_value(numerics), path, err) &&
           config_from_json(file, path, c, err);
}

bool config_read_text(const char *text, size_t size, const char *path, struct shk_run_settings *c,
                      struct shk_error *err) {
    json_t *file = parse(text, size, path, err);
    const bool ok = file && read_json(file, path, c, err);
    json_decref(file);
    return ok;
}

// The whole file, to be freed.
static char *read_text(const struct folder *f, size_t *size, struct shk_error *err) {
    const char *path = f->path[FOLDER_CONFIG];
    const int handle = folder_open_file(f, FOLDER_CONFIG, O_RDONLY, err);
    if (handle < 0) return NULL;
    FILE *in = fdopen(handle, "r");
    char *text = in ? malloc(FILE_LIMIT) : NULL;
    if (text) *size = fread(text, 1, FILE_LIMIT, in);
    const int why = errno;
    if (!text)
        out_of_memory(err);
    else if (ferror(in))
        shk_fail(err, SHK_FAILED, "%.250s cannot be read: %s", path, strerror(why));
    else if (*size == FILE_LIMIT)
        shk_fail(err, SHK_BAD_INPUT, "%.250s is not the config.json of a run: it is larger than %d bytes", path,
                 FILE_LIMIT);
    const bool ok = text && !ferror(in) && *size < FILE_LIMIT;
    if (in)
        fclose(in);
    else
        close(handle);
    if (ok) return text;
    free(text);
    return NULL;
}

bool config_read(const struct folder *f, struct shk_run_settings *c, struct shk_error *err) {
    size_t size;
    char *text = read_text(f, &size, err);
    const bool ok = text && config_read_text(text, size, f->path[FOLDER_CONFIG], c, err);
    free(text);
    return ok;
}

bool config_raise_epochs(const struct folder *f, uint64_t epochs, struct shk_error *err) {
    size_t size;
    char *text = read_text(f, &size, err);
    json_t *file = text ? parse(text, size, f->path[FOLDER_CONFIG], err) : NULL;
    free(text);
    if (!file) return false;
    json_t *training = json_object_get(file, shk_section_names[SHK_SECTION_TRAINING]);
    const bool set = json_object_set_new(training, "epochs", json_integer((json_int_t)epochs)) == 0;
    const bool ok = set ? write_json(f, file, err) : out_of_memory(err);
    json_decref(file);
    return ok;
}
