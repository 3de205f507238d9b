// SPDX-License-Identifier: MIT
// A file of weights is read once, and asked for its model, its notes, or for weights to start others from: then all tensors must
// fit, but for those of the last linear layer, which may have other classes.
#include "base/memory.h"
#include "formats/input.h"
#include "formats/model_file.h"
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct shk_weights {
    char *path;
    struct shk_bytes bytes;
    struct shk_st file;
};

static bool read_file(struct shk_weights *w, struct shk_error *err) {
    if (!shk_file_read(w->path, shk_st_check_begin, &w->bytes, err) ||
        !shk_st_parse(w->path, w->bytes.data, w->bytes.size, &w->file, err))
        return false;
    return w->file.foreign || shk_check_kind(&w->file, NULL, err);
}

struct shk_weights *shk_weights_open(const char *path, struct shk_error *err) {
    struct shk_weights *w = shk_alloc(1, sizeof *w, "a file of weights", err);
    if (!w) return NULL;
    w->path = strdup(path);
    if (!w->path) shk_fail(err, SHK_FAILED, "out of memory for the name of %.200s", path);
    if (w->path && read_file(w, err)) return w;
    shk_weights_free(w);
    return NULL;
}

void shk_weights_free(struct shk_weights *w) {
    if (!w) return;
    shk_st_free(&w->file);
    shk_free(w->bytes.data);
    free(w->path);
    shk_free(w);
}

const char *shk_weights_description(const struct shk_weights *w) {
    return w->file.foreign ? NULL : shk_st_text(&w->file, "model");
}

bool shk_weights_preprocessing(const struct shk_weights *w, struct shk_preprocessing *out, struct shk_error *err) {
    if (err) err->code = SHK_OK;
    if (w->file.foreign) return false;
    struct shk_model *m = shk_st_outline(&w->file, err);
    const bool ok = m && shk_read_input(&w->file, m, err);
    if (ok) *out = m->input.prepared;
    shk_model_free(m);
    return ok;
}

const char *shk_weights_note(const struct shk_weights *w, const char *key) { return shk_st_note(&w->file, key); }

struct shk_model *shk_weights_model(struct shk_weights *w, const char *description, size_t size,
                                    struct shk_error *err) {
    return shk_st_model(&w->file, description, size, err);
}

struct shk_model *shk_model_load(const char *path, struct shk_error *err) {
    struct shk_weights *w = shk_weights_open(path, err);
    struct shk_model *m = w ? shk_weights_model(w, NULL, 0, err) : NULL;
    shk_weights_free(w);
    return m;
}

char *shk_file_note(const char *path, const char *key, struct shk_error *err) {
    if (err) err->code = SHK_OK;
    struct shk_weights *w = shk_weights_open(path, err);
    const char *text = w ? shk_weights_note(w, key) : NULL;
    char *copy = text ? strdup(text) : NULL;
    if (text && !copy) shk_fail(err, SHK_FAILED, "out of memory for a note of %.200s", path);
    shk_weights_free(w);
    return copy;
}

// ---- Models that start from them ----

// The last linear layer.
static const struct shk_layer *head_of(const struct shk_model *m) {
    const struct shk_layer *l = &m->graph.layers[m->graph.count - 1];
    while (l > m->graph.layers && l->kind != SHK_LINEAR) l--;
    return l;
}

static bool is_head(const struct shk_model *m, unsigned param) {
    const int *params = head_of(m)->params;
    return (int)param == params[0] || (int)param == params[1];
}

// The head's tensors may have any number of rows, the same in both.
static const struct shk_st_tensor *take(struct shk_st *f, const struct shk_model *m, unsigned param,
                                        struct shk_started *s, struct shk_error *err) {
    const struct shk_param *p = &m->params[param];
    const struct shk_st_tensor *t = shk_st_find(f, p->name);
    size_t dims[SHK_ST_MAX_DIMS];
    memcpy(dims, p->dims, sizeof dims);
    if (is_head(m, param) && t && t->ndim == p->ndim) {
        if (!s->classes) s->classes = t->dims[0];
        dims[0] = s->classes;
    }
    return shk_st_take(f, p->name, p->ndim, dims, err);
}

// What the file's model is, where that explains why its tensors do not fit.
static bool fail_misfit(const struct shk_weights *w, const struct shk_error *why, struct shk_error *err) {
    struct shk_model *m = why->code == SHK_BAD_INPUT && !w->file.foreign ? shk_st_outline(&w->file, NULL) : NULL;
    const char *more =
        why->code == SHK_BAD_INPUT ? "; a model starts from weights of the same layers and image size" : "";
    if (m)
        shk_fail(err, SHK_BAD_INPUT,
                 "%s; a model starts from weights of the same layers, and these are of %.60s, %zux%zux%zu", why->text,
                 m->config.title, m->shape.height, m->shape.width, m->shape.channels);
    else
        shk_fail(err, why->code, "%s%s", why->text, more);
    shk_model_free(m);
    return false;
}

static bool take_all(struct shk_weights *w, const struct shk_model *m, const struct shk_st_tensor **tensors,
                     struct shk_started *s, struct shk_error *err) {
    struct shk_st *f = &w->file;
    struct shk_error why = {0};
    for (size_t k = 0; k < f->count; k++) f->tensors[k].taken = false;
    bool ok = true;
    for (unsigned p = 0; ok && p < m->param_count; p++) {
        tensors[p] = take(f, m, p, s, &why);
        ok = tensors[p] && shk_check_values(f, tensors[p], false, &why);
    }
    ok = ok && shk_check_others(f, &why);
    return ok || fail_misfit(w, &why, err);
}

// shk_model_hash of the model that the file has.
static uint64_t hash_of(const struct shk_model *m, const struct shk_st_tensor *const *tensors) {
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (unsigned p = 0; p < m->param_count; p++) {
        XXH3_64bits_update(&state, m->params[p].name, strlen(m->params[p].name) + 1);
        XXH3_64bits_update(&state, tensors[p]->values, tensors[p]->size * sizeof(float));
    }
    return XXH3_64bits_digest(&state);
}

bool shk_model_start(struct shk_model *m, struct shk_weights *w, struct shk_started *started, struct shk_error *err) {
    const struct shk_st_tensor *tensors[SHK_MAX_PARAMS];
    struct shk_started s = {0};
    if (!take_all(w, m, tensors, &s, err)) return false;
    s.hash = hash_of(m, tensors);
    s.new_head = s.classes != m->shape.classes ? head_of(m)->name : NULL;
    for (unsigned p = 0; p < m->param_count; p++)
        if (!s.new_head || !is_head(m, p)) shk_model_set_tensor(m, p, tensors[p]->values);
    if (started) *started = s;
    return true;
}
