// SPDX-License-Identifier: MIT
// Files of other tools are read here: PyTorch's torch.compile and DataParallel name tensors with prefixes, and nobody says which
// model of ours it is.
#include "formats/foreign.h"

#include "base/memory.h"
#include "formats/header.h"
#include <string.h>

// ---- Numbers ----

static float of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// IEEE binary16: 1 sign, 5 exponent and 10 fraction bits; every one of them is an f32.
static float of_half(uint16_t h) {
    const uint32_t sign = (uint32_t)(h >> 15) << 31, exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 0) return of_bits(sign | 0x3f800000u) * ((float)fraction * 0x1p-24f);
    return of_bits(sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | fraction << 13);
}

static float number_at(const unsigned char *at, enum shk_st_type type) {
    double d;
    float x;
    uint16_t half;
    if (type == SHK_ST_F64) {
        memcpy(&d, at, sizeof d);
        return (float)d;
    }
    if (type == SHK_ST_F32) {
        memcpy(&x, at, sizeof x);
        return x;
    }
    memcpy(&half, at, sizeof half);
    return type == SHK_ST_F16 ? of_half(half) : of_bits((uint32_t)half << 16);
}

static bool convert(struct shk_st *f, const unsigned char *data, struct shk_error *err) {
    size_t numbers = 0;
    for (size_t i = 0; i < f->count; i++) numbers += f->tensors[i].size; // each takes bytes of the file
    f->converted = shk_alloc(numbers + 1, sizeof *f->converted, "a file's numbers", err);
    if (!f->converted) return false;
    float *to = f->converted;
    for (size_t i = 0; i < f->count; i++) {
        struct shk_st_tensor *t = &f->tensors[i];
        const size_t step = shk_header_bytes(t->type);
        t->values = to;
        for (size_t k = 0; k < t->size; k++) *to++ = number_at(data + t->start + k * step, t->type);
    }
    return true;
}

// ---- Names ----

static bool all_begin(const struct shk_st *f, const char *prefix, size_t length) {
    for (size_t i = 0; i < f->count; i++)
        if (strncmp(f->tensors[i].name, prefix, length) != 0) return false;
    return f->count > 0;
}

static void drop_prefixes(struct shk_st *f) {
    static const char *const prefixes[] = {"module.", "_orig_mod.", "model."};
    for (size_t k = 0; k < sizeof prefixes / sizeof *prefixes; k++) {
        const size_t length = strlen(prefixes[k]);
        if (!all_begin(f, prefixes[k], length)) continue;
        for (size_t i = 0; i < f->count; i++) f->tensors[i].name += length;
        k = (size_t)-1; // another one may stand behind it
    }
}

// With a fixed momentum nothing follows from them.
static void drop_counters(struct shk_st *f) {
    size_t kept = 0;
    for (size_t i = 0; i < f->count; i++)
        if (!shk_header_is_counter(&f->tensors[i])) f->tensors[kept++] = f->tensors[i];
    f->count = kept;
}

bool shk_st_take_over(struct shk_st *f, const unsigned char *data, struct shk_error *err) {
    if (shk_st_text(f, "shikaku"))
        return shk_st_fail(f->path, err,
                           "says that shikaku has written it, but has lost its checksum: use another copy");
    drop_prefixes(f);
    drop_counters(f);
    return convert(f, data, err);
}

// ---- Which model ----

static const struct shk_st_tensor *named(const struct shk_st *f, const char *name) {
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->tensors[i].name, name) == 0) return &f->tensors[i];
    return NULL;
}

// How many tensors of the model are in the file with the same shape.
static size_t fitting(const struct shk_st *f, const struct shk_model *m) {
    size_t fit = 0;
    for (unsigned i = 0; i < m->param_count; i++) {
        const struct shk_param *p = &m->params[i];
        const struct shk_st_tensor *t = named(f, p->name);
        fit += t && t->ndim == p->ndim && memcmp(t->dims, p->dims, p->ndim * sizeof *p->dims) == 0;
    }
    return fit;
}

static const struct shk_st_tensor *first_of(const struct shk_st *f, const char *const *names, unsigned ndim) {
    for (; *names; names++) {
        const struct shk_st_tensor *t = named(f, *names);
        if (t && t->ndim == ndim) return t;
    }
    return NULL;
}

enum { USUAL = 32, MOST = 256 }; // sides of an image

// Of a size that it can have.
static struct shk_model *outline(const char *description, size_t size) {
    struct shk_model *m = NULL;
    for (size_t side = 0; !m && side <= (size ? 0 : MOST); side++) {
        const size_t pixels = side ? side : size ? size : USUAL;
        m = shk_model_outline(description, &(struct shk_shape){pixels, pixels, 1, 2}, NULL);
    }
    return m;
}

static const struct shk_layer *first_map_layer(const struct shk_model *m) {
    for (unsigned i = 0; i < m->graph.count; i++)
        if (m->graph.layers[i].params[0] >= 0 && m->params[m->graph.layers[i].params[0]].ndim == 4)
            return &m->graph.layers[i];
    return NULL;
}

static const struct shk_layer *last_linear(const struct shk_model *m) {
    for (unsigned i = m->graph.count; i-- > 0;)
        if (m->graph.layers[i].kind == SHK_LINEAR) return &m->graph.layers[i];
    return NULL;
}

// Channels and classes are those of the first weight and the last bias, which are called as in the model that the description
// stands for, or as in a family, so that what does not fit can be told.
static bool ends_of(const struct shk_st *f, const char *description, size_t size, struct shk_shape *shape) {
    struct shk_model *m = outline(description, size);
    const struct shk_layer *first = m ? first_map_layer(m) : NULL, *last = m ? last_linear(m) : NULL;
    const char *const firsts[] = {first ? m->params[first->params[0]].name : "", "conv1.weight", "patch_embed.weight",
                                  NULL},
                      *const lasts[] = {last ? m->params[last->params[1]].name : "", "fc2.bias", "fc1.bias",
                                        "head.bias", NULL};
    const struct shk_st_tensor *weight = first_of(f, firsts, 4), *bias = first_of(f, lasts, 1);
    if (weight) shape->channels = weight->dims[1];
    if (bias) shape->classes = bias->dims[0];
    shk_model_free(m);
    return weight && bias;
}

static bool fits_all(const struct shk_st *f, const struct shk_model *m) {
    return m->param_count == f->count && fitting(f, m) == f->count;
}

// What the description is for the size with the most tensors that fit, or for the given one; NULL: it is nothing for any. The
// usual size comes first, since some models fit several.
static struct shk_model *closest(const struct shk_st *f, const char *description, struct shk_shape shape, size_t size) {
    struct shk_model *best = NULL;
    for (size_t side = 0; side <= (size ? 0 : MOST) && !(best && fits_all(f, best)); side++) {
        shape.height = shape.width = side ? side : size ? size : USUAL;
        struct shk_model *m = shk_model_outline(description, &shape, NULL);
        const bool better = m && (!best || fitting(f, m) > fitting(f, best));
        shk_model_free(better ? best : m);
        if (better) best = m;
    }
    if (best) best->guessed = true;
    return best;
}

struct shk_model *shk_st_guess(const struct shk_st *f, size_t size, struct shk_error *err) {
    static const char *const presets[] = {"tinycnn", "tinyvit",  "tinyvit-pre", "tinyvit-nopos",
                                          "lenet5",  "resnet20", "resnet18",    "resnet18:stem=large"};
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        struct shk_shape shape = {0};
        struct shk_model *m = ends_of(f, presets[i], size, &shape) ? closest(f, presets[i], shape, size) : NULL;
        if (m && fits_all(f, m)) return m;
        shk_model_free(m);
    }
    shk_st_fail(f->path, err,
                "was not written by shikaku, and its %zu tensors are not those of a preset on square images of at most "
                "%d pixels, and no other: name its model (--model)",
                f->count, MOST);
    return NULL;
}

struct shk_model *shk_st_fit(const struct shk_st *f, const char *description, size_t size, struct shk_error *err) {
    struct shk_shape shape = {size ? size : USUAL, size ? size : USUAL, 0, 0};
    if (!ends_of(f, description, size, &shape)) {
        shk_st_fail(f->path, err,
                    "lacks the first weight of a map or the last bias of %.200s: its tensors are another "
                    "model's",
                    description);
        return NULL;
    }
    struct shk_model *m = closest(f, description, shape, size);
    return m ? m : shk_model_outline(description, &shape, err);
}
