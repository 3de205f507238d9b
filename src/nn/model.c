// SPDX-License-Identifier: MIT
// A model is made here: its graph, the layout that the ops choose for its parameters, and its initial weights.
#include "nn/model.h"

#include "base/fpenv.h"
#include "base/memory.h"
#include "base/shape.h"
#include "base/stream.h"
#include "nn/graph/build.h"
#include "nn/graph/prune.h"
#include "nn/ops/ops.h"
#include "nn/plan/plan.h"

#define XXH_INLINE_ALL
#include <string.h>
#include <xxhash.h>

// For the initial weights and their packings; which ISA draws them does not change their bits.
static const struct shk_kernels *best_kernels(void) {
    bool exists;
    return shk_kernels_find(NULL, &exists);
}

// Values in PyTorch's order, so that the draw of an element does not depend on our padding.
static bool draw_param(struct shk_model *m, unsigned index, uint64_t seed, const struct shk_kernels *k,
                       struct shk_error *err) {
    const struct shk_param *p = &m->params[index];
    float *values = shk_alloc(p->size, sizeof(float), "initial weights", err);
    if (!values) return false;
    struct shk_random_fill fill = {
        .n = p->size, .out = values, .stream = shk_stream_of(seed, SHK_PURPOSE_INIT, index, 0, 0)};
    if (p->init == SHK_INIT_UNIFORM) {
        fill.lo = p->mean - p->spread;
        fill.hi = p->mean + p->spread;
        k->random_uniform(&fill);
    }
    if (p->init == SHK_INIT_NORMAL) {
        fill.mean = p->mean;
        fill.deviation = p->spread;
        k->random_normal(&fill);
    }
    if (p->init == SHK_INIT_CONSTANT)
        for (size_t i = 0; i < p->size; i++) values[i] = p->mean;
    shk_param_scatter(p, 0, p->size, values, m->weights);
    shk_free(values);
    return true;
}

static void derive_whole(const struct shk_model *m, const struct shk_param *p, const struct shk_kernels *k) {
    for (size_t panel = 0; panel < shk_param_panels(p); panel++) shk_model_derive_rows(m, p, panel, 0, p->ld, k);
}

void shk_model_derive(const struct shk_model *m, const struct shk_kernels *k) {
    for (unsigned i = 0; i < m->param_count; i++) derive_whole(m, &m->params[i], k);
}

// From an image to a loss.
static bool check_ends(const struct shk_model *m, struct shk_error *err) {
    const struct shk_layer *first = &m->graph.layers[0], *last = &m->graph.layers[m->graph.count - 1];
    const struct shk_extent image = {m->shape.height, m->shape.width, m->shape.channels, true};
    if (last->kind != SHK_CROSS_ENTROPY)
        return shk_fail(err, SHK_BAD_INPUT, "the model's last layer must be a %s, not %s (%s)",
                        shk_layer_name(SHK_CROSS_ENTROPY), last->name, shk_layer_name(last->kind));
    return shk_extent_equal(first->out, image) ||
           shk_fail(err, SHK_BAD_INPUT, "the model's layer %s must be an image of %zux%zu pixels of %zu channels",
                    first->name, image.h, image.w, image.c);
}

// Whether a layer has what its kind needs, and nothing that another has, too: each would update it.
static bool check_layer_params(const struct shk_model *m, const struct shk_layer *l, bool taken[SHK_MAX_PARAMS],
                               struct shk_error *err) {
    const unsigned flags = shk_layer_flags(l->kind);
    for (int k = 0; k < 2; k++) {
        const int param = l->params[k];
        const bool needed =
            ((flags & SHK_WEIGHTED) && (k == 0 || !(flags & SHK_BIAS_OPTIONAL))) || (k == 0 && (flags & SHK_EMBEDS));
        if (param < 0 && needed)
            return shk_fail(err, SHK_BAD_INPUT, "the model's layer %s lacks its %s, which is not supported", l->name,
                            k ? "bias" : "weight");
        if (param < 0) continue;
        if (taken[param])
            return shk_fail(err, SHK_BAD_INPUT, "the model's layer %s shares %s with another, which is not supported",
                            l->name, m->params[param].name);
        taken[param] = true;
    }
    return true;
}

static bool check_params(const struct shk_model *m, struct shk_error *err) {
    bool taken[SHK_MAX_PARAMS] = {false};
    for (unsigned i = 0; i < m->graph.count; i++)
        if (!check_layer_params(m, &m->graph.layers[i], taken, err)) return false;
    return true;
}

bool shk_model_lay_out(struct shk_model *m, struct shk_error *err) {
    if (!check_ends(m, err) || !check_params(m, err) || !shk_graph_prune(&m->graph, &m->computed, err) ||
        !shk_plan_lay_out(m, shk_ops, err))
        return false;
    for (unsigned i = 0; i < m->param_count; i++) {
        struct shk_param *p = &m->params[i];
        if (p->layout == SHK_NO_LAYOUT)
            return shk_fail(err, SHK_BAD_INPUT, "the model cannot be computed: no op reads %s", p->name);
        p->offset = m->weight_floats;
        p->derived_offset = m->derived_floats;
        m->weight_floats += p->length;
        m->derived_floats += p->packed;
    }
    return true;
}

// Of a net's text places are told as it was typed.
static bool build(struct shk_model *m, const char *description, struct shk_error *err) {
    if (strncmp(description, "net:", 4) == 0) return shk_build(m, description + 4, err);
    char *net = shk_alloc(1, SHK_MAX_NET, "a net's text", err);
    if (!net) return false;
    shk_description_net(&m->config, net);
    struct shk_error why = {0};
    const bool ok = shk_build(m, net, &why), preset = m->config.family == SHK_NET;
    if (!ok) shk_fail(err, why.code, "%s%s%s", preset ? m->config.title : "", preset ? ": " : "", why.text);
    shk_free(net);
    return ok;
}

struct shk_model *shk_model_outline(const char *description, const struct shk_shape *shape, struct shk_error *err) {
    struct shk_model *m = shk_alloc(1, sizeof *m, "a model", err);
    if (!m) return NULL;
    m->shape = *shape;
    fenv_t saved = shk_fpenv_enter();
    const bool ok = shk_description_parse(description, &m->config, err) && shk_shape_check(shape, err) &&
                    build(m, description, err) && shk_model_lay_out(m, err);
    shk_fpenv_leave(&saved);
    if (ok) return m;
    shk_model_free(m);
    return NULL;
}

bool shk_model_allocate(struct shk_model *m, struct shk_error *err) {
    m->weights = shk_alloc(m->weight_floats, sizeof(float), "weights", err);
    m->derived = shk_alloc(m->derived_floats + 16, sizeof(float), "packed weights", err);
    if (!m->weights || !m->derived) return false;
    shk_populate(m->weights, m->weight_floats * sizeof(float));
    shk_populate(m->derived, m->derived_floats * sizeof(float));
    return true;
}

bool shk_model_draw(struct shk_model *m, uint64_t seed, struct shk_error *err) {
    fenv_t saved = shk_fpenv_enter();
    const struct shk_kernels *k = best_kernels();
    bool ok = true;
    for (unsigned i = 0; ok && i < m->param_count; i++) ok = draw_param(m, i, seed, k, err);
    if (ok) shk_model_derive(m, k);
    shk_fpenv_leave(&saved);
    return ok;
}

struct shk_model *shk_model_create(const char *description, const struct shk_shape *shape, uint64_t seed,
                                   struct shk_error *err) {
    struct shk_model *m = shk_model_outline(description, shape, err);
    if (!m) return NULL;
    if (shk_model_allocate(m, err) && shk_model_draw(m, seed, err)) return m;
    shk_model_free(m);
    return NULL;
}

void shk_model_free(struct shk_model *m) {
    if (!m) return;
    shk_names_free(&m->input.names);
    shk_free(m->weights);
    shk_free(m->derived);
    shk_free(m);
}

const char *shk_model_title(const struct shk_model *m) { return m->config.title; }
const char *shk_model_description(const struct shk_model *m) { return m->config.description; }
struct shk_shape shk_model_shape(const struct shk_model *m) {
    return m->shape;
}
const char *shk_model_class(const struct shk_model *m, size_t label) {
    return label < m->input.names.count ? m->input.names.names[label] : NULL;
}
struct shk_preprocessing shk_model_preprocessing(const struct shk_model *m) {
    return m->input.prepared;
}
size_t shk_model_parameters(const struct shk_model *m) { return m->parameters; }
double shk_model_training_flops(const struct shk_model *m) { return m->training_flops; }
size_t shk_model_tensor_count(const struct shk_model *m) { return m->param_count; }

struct shk_tensor_info shk_model_tensor(const struct shk_model *m, size_t index) {
    const struct shk_param *p = &m->params[index];
    struct shk_tensor_info info = {.name = p->name, .ndim = p->ndim, .size = p->size};
    memcpy(info.dims, p->dims, sizeof info.dims);
    return info;
}

void shk_model_get_tensor(const struct shk_model *m, size_t index, float *out) {
    const struct shk_param *p = &m->params[index];
    shk_param_gather(p, 0, p->size, m->weights, out);
}

void shk_model_set_tensor(struct shk_model *m, size_t index, const float *values) {
    const struct shk_param *p = &m->params[index];
    const struct shk_kernels *k = best_kernels();
    shk_param_scatter(p, 0, p->size, values, m->weights);
    m->params[index].damaged = false;
    fenv_t saved = shk_fpenv_enter();
    derive_whole(m, p, k);
    shk_fpenv_leave(&saved);
}

uint64_t shk_model_hash(const struct shk_model *m) {
    enum { CHUNK = 1024 };
    float values[CHUNK];
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (unsigned i = 0; i < m->param_count; i++) {
        const struct shk_param *p = &m->params[i];
        XXH3_64bits_update(&state, p->name, strlen(p->name) + 1);
        for (size_t at = 0; at < p->size; at += CHUNK) {
            size_t n = p->size - at < CHUNK ? p->size - at : CHUNK;
            shk_param_gather(p, at, n, m->weights, values);
            XXH3_64bits_update(&state, values, n * sizeof(float));
        }
    }
    return XXH3_64bits_digest(&state);
}
