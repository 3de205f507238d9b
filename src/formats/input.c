// SPDX-License-Identifier: MIT
// Writes and reads the metadata of a model's input.
#include "formats/input.h"

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const fits[] = {"stretch", "crop", "letterbox", NULL};

const char *shk_fit_name(enum shk_fit fit) { return fits[fit]; }

// ---- Writing ----

static bool is_plain(const struct shk_input *in) {
    const struct shk_preprocessing *p = &in->prepared;
    return in->names.count == 0 && p->fit == SHK_FIT_STRETCH && p->background == 0 && !p->normalised;
}

static bool add_channels(struct shk_st_out *o, const char *key, const float *values, size_t n) {
    char text[SHK_MAX_CHANNELS * (SHK_TEXT + 1)] = "";
    for (size_t c = 0; c < n; c++) {
        char number[SHK_TEXT];
        shk_real_text((double)values[c], number);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", c ? "," : "", number);
    }
    return shk_st_add_text(o, key, text);
}

char *shk_names_text(const struct shk_names *names) {
    json_t *array = json_array();
    bool ok = array;
    for (size_t i = 0; ok && i < names->count; i++)
        ok = json_array_append_new(array, json_string(names->names[i])) == 0;
    char *text = ok ? shk_json_text(array, JSON_COMPACT) : NULL;
    json_decref(array);
    return text;
}

static bool add_names(struct shk_st_out *o, const struct shk_names *names) {
    char *text = shk_names_text(names);
    const bool ok = text && shk_st_add_text(o, "class_names", text);
    free(text);
    return ok;
}

bool shk_add_input(struct shk_st_out *o, const struct shk_model *m, struct shk_error *err) {
    const struct shk_preprocessing *p = &m->input.prepared;
    char background[SHK_TEXT];
    if (is_plain(&m->input)) return true;
    shk_whole_text(p->background, background);
    bool ok = shk_st_add_text(o, "fit", fits[p->fit]) && shk_st_add_text(o, "background", background);
    if (p->normalised)
        ok = ok && add_channels(o, "mean", p->mean, m->shape.channels) &&
             add_channels(o, "std", p->deviation, m->shape.channels);
    ok = ok && (m->input.names.count == 0 || add_names(o, &m->input.names));
    return ok || shk_fail(err, SHK_FAILED, "out of memory for a file's metadata");
}

// ---- Reading ----

static bool read_channels(const struct shk_st *f, const char *key, size_t n, double least, float *out,
                          struct shk_error *err) {
    const char *text = shk_st_text(f, key);
    char *copy = strdup(text ? text : ""), *rest = copy, *each;
    size_t found = 0;
    double x;
    if (!copy) return shk_fail(err, SHK_FAILED, "out of memory");
    while ((each = strsep(&rest, ",")) && found < n && shk_read_real(each, &x) && x > least && x < 1e6)
        out[found++] = (float)x;
    const bool ok = found == n && !each;
    free(copy);
    return ok ||
           shk_st_fail(f->path, err, "metadata '%s' are '%.60s', but must be %zu numbers", key, text ? text : "", n);
}

static bool read_preprocessing(const struct shk_st *f, struct shk_model *m, struct shk_error *err) {
    struct shk_preprocessing *p = &m->input.prepared;
    const char *fit = shk_st_text(f, "fit"), *background = shk_st_text(f, "background");
    uint64_t level = 0;
    int kind = 0;
    while (fit && fits[kind] && strcmp(fits[kind], fit) != 0) kind++;
    if (fit && !fits[kind])
        return shk_st_fail(f->path, err, "metadata 'fit' are '%.40s', but must be stretch, crop or letterbox", fit);
    if (background && !shk_read_whole(background, 255, &level))
        return shk_st_fail(f->path, err, "metadata 'background' are '%.40s', but must be 0 to 255", background);
    *p = (struct shk_preprocessing){.fit = (enum shk_fit)kind, .background = (unsigned)level};
    p->normalised = shk_st_text(f, "mean") || shk_st_text(f, "std");
    return !p->normalised || (read_channels(f, "mean", m->shape.channels, -1e6, p->mean, err) &&
                              read_channels(f, "std", m->shape.channels, 0, p->deviation, err));
}

static bool read_names(const struct shk_st *f, struct shk_model *m, struct shk_error *err) {
    const char *text = shk_st_text(f, "class_names");
    if (!text) return true;
    json_t *array = shk_json_read(text, strlen(text), NULL);
    bool ok = json_is_array(array) && json_array_size(array) == m->shape.classes;
    for (size_t i = 0; ok && i < m->shape.classes; i++) {
        const char *name = json_string_value(json_array_get(array, i));
        ok = name && shk_names_add(&m->input.names, name, err);
    }
    json_decref(array);
    return ok ||
           shk_st_fail(f->path, err, "metadata 'class_names' must be a JSON array of %zu texts", m->shape.classes);
}

bool shk_read_input(const struct shk_st *f, struct shk_model *m, struct shk_error *err) {
    return read_preprocessing(f, m, err) && read_names(f, m, err);
}
