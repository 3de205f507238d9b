// SPDX-License-Identifier: MIT
// Models start here from the weights of a file: all tensors must fit, but for those of the last linear layer, which may have
// other classes.
#include "base/memory.h"
#include "formats/input.h"
#include "formats/model_file.h"
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct shk_start {
    char *path;
    struct shk_bytes bytes;
    struct shk_st file;
    struct shk_model *model; // what the file says that it is, without weights; NULL: another tool's file does not
};

static bool read_file(struct shk_start *i, struct shk_error *err) {
    if (!shk_file_read(i->path, shk_st_check_begin, &i->bytes, err) ||
        !shk_st_parse(i->path, i->bytes.data, i->bytes.size, &i->file, err))
        return false;
    if (i->file.foreign) return true;
    i->model = shk_check_kind(&i->file, NULL, err) ? shk_st_outline(&i->file, err) : NULL;
    return i->model && shk_read_input(&i->file, i->model, err);
}

struct shk_start *shk_start_open(const char *path, struct shk_error *err) {
    struct shk_start *i = shk_alloc(1, sizeof *i, "initial weights", err);
    if (!i) return NULL;
    i->path = strdup(path);
    if (!i->path) shk_fail(err, SHK_FAILED, "out of memory for the name of %.200s", path);
    if (i->path && read_file(i, err)) return i;
    shk_start_free(i);
    return NULL;
}

void shk_start_free(struct shk_start *i) {
    if (!i) return;
    shk_st_free(&i->file);
    shk_model_free(i->model);
    shk_free(i->bytes.data);
    free(i->path);
    shk_free(i);
}

const char *shk_start_description(const struct shk_start *i) { return i->model ? i->model->config.description : NULL; }

bool shk_start_preprocessing(const struct shk_start *i, struct shk_preprocessing *out) {
    if (i->model) *out = i->model->input.prepared;
    return i->model;
}

// ---- Tensors ----

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
static bool fail_misfit(const struct shk_start *i, const struct shk_error *why, struct shk_error *err) {
    if (why->code != SHK_BAD_INPUT || !i->model)
        return shk_fail(err, why->code, "%s%s", why->text,
                        why->code == SHK_BAD_INPUT ? "; a model starts from weights of the same layers and image size"
                                                   : "");
    const struct shk_shape s = i->model->shape;
    return shk_fail(err, SHK_BAD_INPUT,
                    "%s; a model starts from weights of the same layers, and these are of %.60s, %zux%zux%zu",
                    why->text, i->model->config.title, s.height, s.width, s.channels);
}

static bool take_all(struct shk_start *i, const struct shk_model *m, const struct shk_st_tensor **tensors,
                     struct shk_started *s, struct shk_error *err) {
    struct shk_st *f = &i->file;
    struct shk_error why = {0};
    for (size_t k = 0; k < f->count; k++) f->tensors[k].taken = false;
    bool ok = true;
    for (unsigned p = 0; ok && p < m->param_count; p++) {
        tensors[p] = take(f, m, p, s, &why);
        ok = tensors[p] && shk_check_values(f, tensors[p], false, &why);
    }
    ok = ok && shk_check_others(f, &why);
    return ok || fail_misfit(i, &why, err);
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

bool shk_model_start(struct shk_model *m, struct shk_start *i, struct shk_started *started, struct shk_error *err) {
    const struct shk_st_tensor *tensors[SHK_MAX_PARAMS];
    struct shk_started s = {0};
    if (!take_all(i, m, tensors, &s, err)) return false;
    s.hash = hash_of(m, tensors);
    s.new_head = s.classes != m->shape.classes ? head_of(m)->name : NULL;
    for (unsigned p = 0; p < m->param_count; p++)
        if (!s.new_head || !is_head(m, p)) shk_model_set_tensor(m, p, tensors[p]->values);
    if (started) *started = s;
    return true;
}
