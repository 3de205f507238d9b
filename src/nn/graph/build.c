// SPDX-License-Identifier: MIT
// The short forms of a description, cnn:... and vit:..., are written out as layers here. Initial distributions are those of
// torch.nn modules' reset_parameters.
#include "nn/graph/build.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static const size_t max_parameters = 100000000;

struct builder {
    struct shk_model *m;
    struct shk_error *err;
    int at; // the layer whose output the next one reads; -1: something could not be added
};

static struct shk_extent extent_of(const struct builder *b) {
    return b->at < 0 ? (struct shk_extent){1, 1, 1, true} : b->m->graph.layers[b->at].out;
}

// ---- Parameters ----

static int add_param(struct builder *b, struct shk_param p, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int add_param(struct builder *b, struct shk_param p, const char *format, ...) {
    struct shk_model *m = b->m;
    va_list args;
    va_start(args, format);
    vsnprintf(p.name, sizeof p.name, format, args);
    va_end(args);
    p.size = 1;
    for (unsigned i = 0; i < p.ndim; i++) p.size *= p.dims[i];
    m->parameters += p.size;
    m->params[m->param_count] = p;
    return (int)m->param_count++;
}

static struct shk_param uniform(struct shk_param p, double bound) {
    p.init = bound > 0 ? SHK_INIT_UNIFORM : SHK_INIT_CONSTANT;
    p.spread = (float)bound;
    return p;
}

// A weight [out][in] and its bias, both named by a prefix: NAME.weight or NAME_weight.
static void add_weight(struct builder *b, struct shk_layer *l, size_t out, size_t in, double weight_bound,
                       double bias_bound, const char *prefix) {
    l->params[0] = add_param(b, uniform((struct shk_param){.dims = {out, in}, .ndim = 2}, weight_bound), "%.50s%s",
                             prefix, "weight");
    l->params[1] =
        add_param(b, uniform((struct shk_param){.dims = {out}, .ndim = 1}, bias_bound), "%.50s%s", prefix, "bias");
}

// N(0, 0.02), [1][rows][dim].
static int add_embedding(struct builder *b, size_t rows, size_t dim, const char *name) {
    const struct shk_param p = {.dims = {1, rows, dim}, .ndim = 3, .init = SHK_INIT_NORMAL, .spread = 0.02f};
    return add_param(b, p, "%s", name);
}

// ---- Layers ----

static int add(struct builder *b, struct shk_layer l) {
    l.in[0] = b->at;
    return b->at = shk_graph_add(&b->m->graph, &l, b->err);
}

static int add_plain(struct builder *b, enum shk_layer_kind kind) {
    return add(b, (struct shk_layer){.kind = kind, .params = {-1, -1}});
}

// torch.nn.Linear.
static void add_linear(struct builder *b, size_t out, const char *name) {
    const size_t in = extent_of(b).c;
    struct shk_layer l = {.kind = SHK_LINEAR, .linear = {out}};
    char prefix[64];
    snprintf(l.name, sizeof l.name, "%s", name);
    snprintf(prefix, sizeof prefix, "%s.", name);
    const double bound = 1 / sqrt((double)in);
    add_weight(b, &l, out, in, bound, bound, prefix);
    add(b, l);
}

// torch.nn.Conv2d.
static struct shk_layer conv_layer(struct builder *b, const char *name, enum shk_layer_kind kind, size_t out,
                                   size_t kernel) {
    const size_t c = extent_of(b).c;
    struct shk_layer l = {.kind = kind};
    snprintf(l.name, sizeof l.name, "%s", name);
    const double bound = 1 / sqrt((double)(kernel * kernel * c));
    struct shk_param p = {.dims = {out, c, kernel, kernel}, .ndim = 4};
    l.params[0] = add_param(b, uniform(p, bound), "%s.weight", l.name);
    l.params[1] = add_param(b, uniform((struct shk_param){.dims = {out}, .ndim = 1}, bound), "%s.bias", l.name);
    return l;
}

// ---- CNN ----

static bool build_cnn(struct builder *b) {
    const struct shk_description *c = &b->m->config;
    for (unsigned i = 0; i < c->blocks; i++) {
        const struct shk_extent map = extent_of(b);
        if (map.h < 2 || map.w < 2)
            return shk_fail(
                b->err, SHK_BAD_INPUT,
                "model description: %u pools shrink an image of %zux%zu to nothing, use fewer channels entries",
                c->blocks, b->m->shape.height, b->m->shape.width);
        char name[16];
        snprintf(name, sizeof name, "conv%u", i + 1);
        struct shk_layer conv = conv_layer(b, name, SHK_CONV, c->channels[i], 3);
        conv.conv.out = c->channels[i];
        conv.conv.kernel = 3;
        conv.conv.stride = conv.conv.pad = 1;
        add(b, conv);
        add_plain(b, SHK_RELU);
        add(b, (struct shk_layer){.kind = SHK_MAX_POOL, .params = {-1, -1}, .pool = {2, 2}});
    }
    add_plain(b, SHK_FLATTEN);
    if (c->hidden) {
        add_linear(b, c->hidden, "fc1");
        add_plain(b, SHK_RELU);
    }
    add_linear(b, b->m->shape.classes, c->hidden ? "fc2" : "fc1");
    return b->at >= 0;
}

// ---- ViT ----

static void add_dropout(struct builder *b, double p) {
    if (p > 0) add(b, (struct shk_layer){.kind = SHK_DROPOUT, .params = {-1, -1}, .dropout = {p}});
}

static void add_embed(struct builder *b, const struct shk_description *c, size_t tokens) {
    int cls = c->mean_pool ? -1 : add_embedding(b, 1, c->dim, "cls_token");
    int positions = c->positions ? add_embedding(b, tokens, c->dim, "pos_embed") : -1;
    struct shk_layer l = conv_layer(b, "patch_embed", SHK_PATCH_EMBED, c->dim, c->patch);
    l.patch_embed.dim = c->dim;
    l.patch_embed.patch = c->patch;
    add(b, l);
    if (cls >= 0) add(b, (struct shk_layer){.kind = SHK_CLS_TOKEN, .params = {cls, -1}});
    if (positions >= 0) add(b, (struct shk_layer){.kind = SHK_POSITIONS, .params = {positions, -1}});
}

// torch.nn.MultiheadAttention: Xavier-uniform for the stacked weight [3 dim][dim], zero biases, the output projection as
// nn.Linear.
static void add_attention(struct builder *b, const struct shk_description *c, const char *prefix) {
    struct shk_layer in = {.kind = SHK_LINEAR, .linear = {3 * c->dim}}, heads = {.kind = SHK_ATTENTION};
    struct shk_layer out = {.kind = SHK_LINEAR, .linear = {c->dim}};
    char name[64];
    const double bound = sqrt(6.0 / (4.0 * (double)c->dim));
    snprintf(name, sizeof name, "%s.self_attn.in_proj_", prefix);
    snprintf(in.name, sizeof in.name, "%s.self_attn.in_proj", prefix);
    add_weight(b, &in, 3 * c->dim, c->dim, bound, 0, name);
    snprintf(name, sizeof name, "%s.self_attn.out_proj.", prefix);
    snprintf(out.name, sizeof out.name, "%s.self_attn.out_proj", prefix);
    add_weight(b, &out, c->dim, c->dim, 1 / sqrt((double)c->dim), 0, name);
    snprintf(heads.name, sizeof heads.name, "%s.self_attn", prefix);
    heads.params[0] = heads.params[1] = -1;
    heads.attention.heads = c->heads;
    heads.attention.dropout = c->dropout;
    add(b, in);
    add(b, heads);
    add(b, out);
}

static void add_feed_forward(struct builder *b, const struct shk_description *c, const char *prefix) {
    char name[48];
    snprintf(name, sizeof name, "%s.linear1", prefix);
    add_linear(b, c->ff, name);
    add_plain(b, c->act);
    add_dropout(b, c->dropout);
    snprintf(name, sizeof name, "%s.linear2", prefix);
    add_linear(b, c->dim, name);
}

static int add_norm(struct builder *b, const char *name) {
    struct shk_layer l = {.kind = SHK_LAYER_NORM, .params = {-1, -1}};
    snprintf(l.name, sizeof l.name, "%s", name);
    return add(b, l);
}

// PyTorch lists a block's norms behind its linear layers, wherever they stand.
static void add_norm_params(struct builder *b, int norm) {
    if (norm < 0) return;
    struct shk_layer *l = &b->m->graph.layers[norm];
    const struct shk_param vector = {.dims = {l->out.c}, .ndim = 1, .mean = 1};
    struct shk_param zero = vector;
    zero.mean = 0;
    l->params[0] = add_param(b, vector, "%s.weight", l->name);
    l->params[1] = add_param(b, zero, "%s.bias", l->name);
}

static void add_block(struct builder *b, const struct shk_description *c, unsigned index) {
    int norms[2];
    char prefix[32];
    snprintf(prefix, sizeof prefix, "encoder.layers.%u", index);
    for (int half = 0; half < 2; half++) {
        char norm[48];
        const int residual = b->at;
        snprintf(norm, sizeof norm, "%s.norm%d", prefix, half + 1);
        if (c->pre_norm) norms[half] = add_norm(b, norm);
        (half == 0 ? add_attention : add_feed_forward)(b, c, prefix);
        add_dropout(b, c->dropout);
        add(b, (struct shk_layer){.kind = SHK_ADD, .in = {0, residual}, .params = {-1, -1}});
        if (!c->pre_norm) norms[half] = add_norm(b, norm);
    }
    for (int half = 0; half < 2; half++) add_norm_params(b, norms[half]);
}

static bool build_vit(struct builder *b) {
    const struct shk_description *c = &b->m->config;
    const size_t h = b->m->shape.height, w = b->m->shape.width;
    if (h % c->patch || w % c->patch)
        return shk_fail(b->err, SHK_BAD_INPUT, "model description: patch=%zu does not divide the image size %zux%zu",
                        c->patch, h, w);
    size_t tokens = h / c->patch * (w / c->patch) + (c->mean_pool ? 0 : 1);
    if (tokens > 4096)
        return shk_fail(
            b->err, SHK_BAD_INPUT,
            "model description: patch=%zu makes %zu tokens of an image of %zux%zu, at most 4096 are supported",
            c->patch, tokens, h, w);
    add_embed(b, c, tokens);
    for (unsigned i = 0; i < c->depth; i++) add_block(b, c, i);
    if (c->pre_norm) add_norm_params(b, add_norm(b, "norm"));
    add_plain(b, c->mean_pool ? SHK_MEAN_TOKENS : SHK_SELECT_CLS);
    add_linear(b, b->m->shape.classes, "head");
    return b->at >= 0;
}

// The first layer with weights makes no input gradient.
static void count_flops(struct shk_model *m) {
    bool first = true;
    for (unsigned i = 0; i < m->graph.count; i++) {
        const double forward = shk_layer_flops(&m->graph, &m->graph.layers[i]);
        if (forward == 0) continue;
        m->forward_flops += forward;
        m->training_flops += (first ? 2 : 3) * forward;
        first = false;
    }
}

bool shk_build(struct shk_model *m, struct shk_error *err) {
    struct builder b = {.m = m, .err = err};
    const struct shk_layer input = {
        .kind = SHK_INPUT, .params = {-1, -1}, .out = {m->shape.height, m->shape.width, m->shape.channels, true}};
    b.at = shk_graph_add(&m->graph, &input, err);
    if (!(m->config.family == SHK_CNN ? build_cnn : build_vit)(&b) || add_plain(&b, SHK_CROSS_ENTROPY) < 0)
        return false;
    count_flops(m);
    if (m->parameters > max_parameters)
        return shk_fail(err, SHK_BAD_INPUT, "model description: %s has %zu parameters, at most %zu are supported",
                        m->config.description, m->parameters, max_parameters);
    return true;
}
