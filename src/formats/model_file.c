// SPDX-License-Identifier: MIT
// A model's file: its weights as tensors, all else as metadata.
#include "formats/model_file.h"

#include "base/memory.h"
#include "base/text.h"
#include "formats/foreign.h"
#include "formats/input.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char note_prefix[] = "note.";
enum { MAX_KEY = 1000 }; // bytes of a note's key

// ---- Writing ----

static bool add_note(struct shk_st_out *o, const struct shk_note *note, size_t index, struct shk_error *err) {
    char key[sizeof note_prefix + MAX_KEY];
    if (strlen(note->key) > MAX_KEY)
        return shk_fail(err, SHK_BAD_INPUT, "the key of note %zu has more than %d bytes", index, MAX_KEY);
    snprintf(key, sizeof key, "%s%s", note_prefix, note->key);
    if (json_object_get(o->metadata, key))
        return shk_fail(err, SHK_BAD_INPUT, "note %zu has the key %s, which another one has", index, note->key);
    if (!shk_is_utf8(key, strlen(key)) || !shk_is_utf8(note->value, strlen(note->value)))
        return shk_fail(err, SHK_BAD_INPUT, "note %zu is not valid UTF-8", index);
    return shk_st_add_text(o, key, note->value) || shk_fail(err, SHK_FAILED, "out of memory for note %zu", index);
}

static void add_whole(struct shk_st_out *o, const char *key, uint64_t value) {
    char text[SHK_TEXT];
    shk_whole_text(value, text);
    shk_st_add_text(o, key, text);
}

bool shk_model_describe_in(struct shk_st_out *o, const struct shk_model *m, const char *kind,
                           const struct shk_note *notes, size_t note_count, struct shk_error *err) {
    if (!shk_st_out_init(o, err)) return false;
    const char *preset = shk_description_preset(&m->config);
    add_whole(o, "shikaku", SHK_FILE_VERSION);
    shk_st_add_text(o, "kind", kind);
    add_whole(o, "numerics", SHK_NUMERICS_VERSION);
    shk_st_add_text(o, "model", m->config.description);
    if (preset) shk_st_add_text(o, "preset", preset);
    add_whole(o, "height", m->shape.height);
    add_whole(o, "width", m->shape.width);
    add_whole(o, "channels", m->shape.channels);
    add_whole(o, "classes", m->shape.classes);
    if (!shk_add_input(o, m, err)) {
        shk_st_out_abandon(o);
        return false;
    }
    for (size_t i = 0; i < note_count; i++) {
        if (add_note(o, &notes[i], i, err)) continue;
        shk_st_out_abandon(o);
        return false;
    }
    return true;
}

static const char *tensor_name(char name[SHK_TENSOR_NAME], const char *prefix, const struct shk_param *p) {
    snprintf(name, SHK_TENSOR_NAME, "%s%s", prefix, p->name);
    return name;
}

// The optimizer keeps nothing of running statistics, which no rule updates.
static bool is_there(const struct shk_param *p, const char *prefix) { return !*prefix || !p->running; }

void shk_add_params(struct shk_st_out *o, const struct shk_model *m, const char *prefix) {
    char name[SHK_TENSOR_NAME];
    for (unsigned i = 0; i < m->param_count; i++) {
        const struct shk_param *p = &m->params[i];
        if (is_there(p, prefix)) shk_st_add_tensor(o, tensor_name(name, prefix, p), p->ndim, p->dims);
    }
}

bool shk_put_values(struct shk_st_out *o, const char *name, const float *values, size_t n, const char *path,
                    struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return shk_fail(err, SHK_FAILED, "%s is not written: %s holds %g, but must be finite",
                            shk_shown_path(path, shown), name, (double)values[i]);
    shk_st_put(o, values, n);
    return true;
}

bool shk_put_params(struct shk_st_out *o, const struct shk_model *m, const char *prefix, const float *padded,
                    const char *path, struct shk_error *err) {
    enum { CHUNK = 4096 };
    float values[CHUNK];
    char name[SHK_TENSOR_NAME];
    for (unsigned i = 0; i < m->param_count; i++) {
        const struct shk_param *p = &m->params[i];
        for (size_t at = 0; is_there(p, prefix) && at < p->size; at += CHUNK) {
            size_t n = p->size - at < CHUNK ? p->size - at : CHUNK;
            shk_param_gather(p, at, n, padded, values);
            if (!shk_put_values(o, tensor_name(name, prefix, p), values, n, path, err)) return false;
        }
    }
    return true;
}

bool shk_model_save_weights(const struct shk_model *m, const float *weights, const struct shk_folder *folder,
                            const char *path, const struct shk_note *notes, size_t note_count, struct shk_error *err) {
    struct shk_st_out o;
    if (!shk_model_describe_in(&o, m, "model", notes, note_count, err)) return false;
    shk_add_params(&o, m, "");
    if (shk_st_out_begin(&o, folder, path, err) && shk_put_params(&o, m, "", weights, path, err))
        return shk_st_out_finish(&o, err);
    shk_st_out_abandon(&o);
    return false;
}

bool shk_model_save(const struct shk_model *m, const char *path, const struct shk_note *notes, size_t note_count,
                    struct shk_error *err) {
    if (!shk_model_usable(m, err)) return false;
    return shk_model_save_weights(m, m->weights, NULL, path, notes, note_count, err);
}

// ---- Reading ----

const char *shk_need_text(const struct shk_st *f, const char *key, struct shk_error *err) {
    const char *text = shk_st_text(f, key);
    if (!text) shk_st_fail(f->path, err, "lacks '%s' in its metadata: it was not written by shikaku", key);
    return text;
}

bool shk_need_whole(const struct shk_st *f, const char *key, uint64_t most, uint64_t *out, struct shk_error *err) {
    const char *text = shk_need_text(f, key, err);
    if (!text) return false;
    if (shk_read_whole(text, most, out)) return true;
    return shk_st_fail(f->path, err, "metadata '%s' are %.40s, but must be a whole number of at most %llu", key, text,
                       (unsigned long long)most);
}

bool shk_need_real(const struct shk_st *f, const char *key, double *out, struct shk_error *err) {
    const char *text = shk_need_text(f, key, err);
    if (!text) return false;
    if (shk_read_real(text, out)) return true;
    return shk_st_fail(f->path, err, "metadata '%s' are %.40s, but must be a number", key, text);
}

bool shk_check_kind(const struct shk_st *f, const char *kind, struct shk_error *err) {
    uint64_t version;
    if (!shk_need_whole(f, "shikaku", UINT64_MAX, &version, err)) return false;
    if (version != SHK_FILE_VERSION)
        return shk_st_fail(f->path, err, "is of file version %llu, but this shikaku reads version %d",
                           (unsigned long long)version, SHK_FILE_VERSION);
    const char *has = shk_need_text(f, "kind", err);
    if (!has) return false;
    if (strcmp(has, "model") != 0 && strcmp(has, "checkpoint") != 0)
        return shk_st_fail(f->path, err, "is of the kind '%.40s', but must be a model or a checkpoint", has);
    if (!kind || !strcmp(has, kind)) return true;
    return shk_st_fail(f->path, err, "is a %s, but a %s is needed", has, kind);
}

bool shk_check_values(const struct shk_st *f, const struct shk_st_tensor *t, bool not_negative, struct shk_error *err) {
    for (size_t i = 0; i < t->size; i++) {
        if (!isfinite(t->values[i]))
            return shk_st_fail(f->path, err, "tensor '%s' holds %g, but must be finite", t->name, (double)t->values[i]);
        if (not_negative && t->values[i] < 0)
            return shk_st_fail(f->path, err, "tensor '%s' holds %g, but must not be negative", t->name,
                               (double)t->values[i]);
    }
    return true;
}

bool shk_take_params(struct shk_st *f, const struct shk_model *m, const char *prefix, bool not_negative,
                     const float **values, struct shk_error *err) {
    char name[SHK_TENSOR_NAME];
    for (unsigned i = 0; i < m->param_count; i++) {
        const struct shk_param *p = &m->params[i];
        if (!is_there(p, prefix)) continue;
        const struct shk_st_tensor *t = shk_st_take(f, tensor_name(name, prefix, p), p->ndim, p->dims, err);
        if (!t || !shk_check_values(f, t, not_negative || p->not_negative, err)) return false;
        values[i] = t->values;
    }
    return true;
}

static bool read_shape(const struct shk_st *f, struct shk_shape *shape, struct shk_error *err) {
    const char *keys[] = {"height", "width", "channels", "classes"};
    size_t *places[] = {&shape->height, &shape->width, &shape->channels, &shape->classes};
    for (unsigned i = 0; i < 4; i++) {
        uint64_t value;
        if (!shk_need_whole(f, keys[i], UINT32_MAX, &value, err)) return false;
        *places[i] = (size_t)value;
    }
    return true;
}

struct shk_model *shk_st_outline(const struct shk_st *f, struct shk_error *err) {
    struct shk_shape shape;
    struct shk_error why = {0};
    const char *description = shk_need_text(f, "model", err), *preset = shk_st_text(f, "preset");
    if (!description || !read_shape(f, &shape, err)) return NULL;
    struct shk_model *m = shk_model_outline(preset ? preset : description, &shape, &why);
    if (!m) {
        shk_st_fail(f->path, err, "describes no model: %s", why.text);
        if (err && why.code == SHK_FAILED) *err = why;
    } else if (strcmp(m->config.description, description) != 0) {
        shk_st_fail(f->path, err, "calls its model %.20s, which is %s and not %.200s", preset ? preset : description,
                    m->config.description, description);
        shk_model_free(m);
        m = NULL;
    }
    return m;
}

bool shk_check_others(struct shk_st *f, struct shk_error *err) {
    bool checkpoint = !f->foreign && !strcmp(shk_st_text(f, "kind"), "checkpoint");
    for (size_t i = 0; i < f->count; i++) {
        const char *name = f->tensors[i].name;
        if (checkpoint && (!strncmp(name, "optimizer.", 10) || !strncmp(name, "epoch.", 6))) f->tensors[i].taken = true;
    }
    const char *unknown = shk_st_not_taken(f);
    return !unknown || shk_st_fail(f->path, err, "has the tensor '%.100s', which its model lacks", unknown);
}

// What was named must be what the file says.
static struct shk_model *own_outline(const struct shk_st *f, const char *description, size_t size,
                                     struct shk_error *err) {
    struct shk_description named;
    struct shk_model *m = shk_check_kind(f, NULL, err) ? shk_st_outline(f, err) : NULL;
    if (!m || (description && !shk_description_parse(description, &named, err))) {
        shk_model_free(m);
        return NULL;
    }
    const bool other = description && strcmp(named.description, m->config.description) != 0;
    if (!other && (!size || (size == m->shape.height && size == m->shape.width))) return m;
    shk_st_fail(f->path, err, "says that its model is %.150s on images of %zux%zu: no other one can be named",
                m->config.description, m->shape.height, m->shape.width);
    shk_model_free(m);
    return NULL;
}

static struct shk_model *outline_of(const struct shk_st *f, const char *description, size_t size,
                                    struct shk_error *err) {
    if (!f->foreign) return own_outline(f, description, size, err);
    return description ? shk_st_fit(f, description, size, err) : shk_st_guess(f, size, err);
}

struct shk_model *shk_st_model(struct shk_st *f, const char *description, size_t size, struct shk_error *err) {
    const float *values[SHK_MAX_PARAMS];
    struct shk_model *m = outline_of(f, description, size, err);
    if (!m) return NULL;
    for (size_t i = 0; i < f->count; i++) f->tensors[i].taken = false;
    if ((!f->foreign && !shk_read_input(f, m, err)) || !shk_take_params(f, m, "", false, values, err) ||
        !shk_check_others(f, err) || !shk_model_allocate(m, err)) {
        shk_model_free(m);
        return NULL;
    }
    for (unsigned i = 0; i < m->param_count; i++) shk_model_set_tensor(m, i, values[i]);
    return m;
}

bool shk_model_guessed(const struct shk_model *m) { return m->guessed; }

struct shk_model *shk_model_from_bytes(const char *path, const struct shk_bytes *bytes, struct shk_error *err) {
    struct shk_st f;
    if (!shk_st_parse(path, bytes->data, bytes->size, &f, err)) return NULL;
    struct shk_model *m = shk_st_model(&f, NULL, 0, err);
    shk_st_free(&f);
    return m;
}

const char *shk_st_note(const struct shk_st *f, const char *key) {
    char name[sizeof note_prefix + MAX_KEY];
    if (strlen(key) > MAX_KEY || f->foreign) return NULL;
    snprintf(name, sizeof name, "%s%s", note_prefix, key);
    return shk_st_text(f, name);
}
