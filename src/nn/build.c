// SPDX-License-Identifier: MIT
// Layers and parameters from a description. Initial distributions are PyTorch's defaults (torch.nn modules'
// reset_parameters).
#include "nn/build.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const size_t max_parameters = 100000000;

// Where the list of layers has got to.
struct builder {
    struct shk_model *m;
    size_t h, w, c;        // of the feature map
    size_t rows, features; // of the token matrix, or 1 x features
    struct shk_axis in;    // the index of a feature as PyTorch counts it, to ours
    size_t in_padded;
    bool first; // no parameter before: no input gradient
};

static struct shk_layer *add_layer(struct builder *b, enum shk_layer_kind kind, size_t a) {
    struct shk_layer *l = &b->m->layers[b->m->layer_count++];
    *l = (struct shk_layer){.kind = kind, .a = a, .params = {-1, -1, -1, -1}};
    return l;
}

static struct shk_axis axis1(size_t n) { return (struct shk_axis){1, {{n, 1}}}; }

// Places a parameter whose name, dims, layout, axes and row are set; `outputs` is the padded extent of the outer axis, or of
// the inner one of tiles.
static int add_param(struct builder *b, const struct shk_param *param, size_t outputs, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static int add_param(struct builder *b, const struct shk_param *param, size_t outputs, const char *format, ...) {
    struct shk_model *m = b->m;
    struct shk_param *p = &m->params[m->param_count];
    *p = *param;
    va_list args;
    va_start(args, format);
    vsnprintf(p->name, sizeof p->name, format, args);
    va_end(args);
    p->size = 1;
    for (unsigned i = 0; i < p->ndim; i++) p->size *= p->dims[i];
    p->offset = m->weight_floats;
    p->length = shk_round16(outputs * p->row);
    m->weight_floats += p->length;
    m->parameters += p->size;
    if (p->derived == SHK_TRANSPOSED) {
        p->derived_offset = m->derived_floats;
        m->derived_floats += p->length;
    } else if (p->derived == SHK_WINOGRAD) {
        p->derived_offset = m->derived_floats;
        m->derived_floats += outputs * SHK_WINOGRAD_POINTS * p->cin;
    }
    return (int)m->param_count++;
}

static void uniform(struct shk_param *p, double bound) {
    p->init = SHK_INIT_UNIFORM;
    p->a = (float)-bound;
    p->b = (float)bound;
}

static int add_vector(struct builder *b, struct shk_axis axis, size_t padded, double bound, float constant,
                      const char *name) {
    struct shk_param p = {
        .dims = {shk_axis_extent(&axis)}, .ndim = 1, .layout = SHK_ROWS, .inner = axis, .row = padded, .a = constant};
    if (bound > 0) uniform(&p, bound);
    return add_param(b, &p, 1, "%s", name);
}

// Two names that share a prefix: NAME.weight and NAME.bias.
static const char *join(char buffer[64], const char *name, const char *suffix) {
    snprintf(buffer, 64, "%.40s%s", name, suffix);
    return buffer;
}

static void count_flops(struct builder *b, double forward) {
    b->m->forward_flops += forward;
    b->m->training_flops += b->first ? 2 * forward : 3 * forward;
    b->first = false;
}

// A weight [out][in] as panels or tiles and its bias; out and in given by axes and padded sizes.
static void add_weight(struct builder *b, enum shk_param_layout layout, struct shk_axis out, size_t out_padded,
                       struct shk_axis in, size_t in_padded, double weight_bound, double bias_bound, const char *weight,
                       const char *bias, int params[2]) {
    bool tiles = layout == SHK_INPUT_TILES;
    struct shk_param p = {.dims = {shk_axis_extent(&out), shk_axis_extent(&in)},
                          .ndim = 2,
                          .layout = layout,
                          .outer = out,
                          .inner = in,
                          .row = tiles ? out_padded : in_padded,
                          .derived = SHK_TRANSPOSED};
    uniform(&p, weight_bound);
    params[0] = add_param(b, &p, tiles ? in_padded : out_padded, "%s", weight);
    params[1] = add_vector(b, out, out_padded, bias_bound, 0, bias);
}

static void add_linear(struct builder *b, enum shk_param_layout layout, size_t out, const char *name) {
    char weight[64], bias[64];
    struct shk_layer *l = add_layer(b, SHK_LINEAR, out);
    snprintf(l->name, sizeof l->name, "%s", name);
    double bound = 1 / sqrt((double)b->features);
    add_weight(b, layout, axis1(out), shk_round16(out), b->in, b->in_padded, bound, bound,
               join(weight, name, ".weight"), join(bias, name, ".bias"), l->params);
    count_flops(b, 2.0 * (double)b->rows * (double)b->features * (double)out);
    b->features = out;
    b->in = axis1(out);
    b->in_padded = shk_round16(out);
}

static struct shk_layer *add_norm(struct builder *b, const char *name) {
    struct shk_layer *l = add_layer(b, SHK_LAYER_NORM, b->features);
    snprintf(l->name, sizeof l->name, "%s", name);
    return l;
}

static void add_norm_params(struct builder *b, struct shk_layer *l) {
    char buffer[64];
    const char *name = l->name;
    l->params[0] = add_vector(b, b->in, b->in_padded, 0, 1, join(buffer, name, ".weight"));
    l->params[1] = add_vector(b, b->in, b->in_padded, 0, 0, join(buffer, name, ".bias"));
}

// ---- CNN ----

static void add_conv(struct builder *b, size_t out, unsigned number) {
    struct shk_layer *l = add_layer(b, SHK_CONV2D, out);
    snprintf(l->name, sizeof l->name, "conv%u", number);
    size_t cin_pad = shk_round16(b->c), c = b->c, outputs = shk_round16(out);
    struct shk_param p = {.dims = {out, c, 3, 3}, .ndim = 4, .outer = axis1(out), .cin = c};
    if (b->first) { // an image: panels, no input gradient
        p.layout = SHK_PANELS;
        p.inner = (struct shk_axis){2, {{c, 1}, {9, c}}};
        p.row = 9 * c;
    } else {
        p.layout = SHK_ROWS;
        p.inner = (struct shk_axis){2, {{c, 1}, {9, cin_pad}}};
        p.row = 9 * cin_pad;
        p.derived = SHK_WINOGRAD;
    }
    double bound = 1 / sqrt(9.0 * (double)c);
    uniform(&p, bound);
    char bias[64];
    l->params[0] = add_param(b, &p, outputs, "%s.weight", l->name);
    l->params[1] = add_vector(b, axis1(out), outputs, bound, 0, join(bias, l->name, ".bias"));
    count_flops(b, 2.0 * 9 * (double)(b->h * b->w) * (double)c * (double)out);
    b->c = out;
}

static bool build_cnn(struct builder *b, struct shk_error *err) {
    const struct shk_config *c = &b->m->config;
    for (unsigned i = 0; i < c->blocks; i++) {
        if (b->h < 2 || b->w < 2)
            return shk_fail(
                err, SHK_BAD_INPUT,
                "model description: %u pools shrink an image of %zux%zu to nothing, use fewer channels entries",
                c->blocks, b->m->shape.height, b->m->shape.width);
        add_conv(b, c->channels[i], i + 1);
        add_layer(b, SHK_RELU, 0);
        add_layer(b, SHK_MAX_POOL, 0);
        b->h /= 2;
        b->w /= 2;
    }
    add_layer(b, SHK_FLATTEN, 0);
    size_t pad = shk_round16(b->c); // our rows are (y, x, channel); PyTorch's are (channel, y, x)
    b->features = b->c * b->h * b->w;
    b->in = (struct shk_axis){3, {{b->c, 1}, {b->h, b->w * pad}, {b->w, pad}}};
    b->in_padded = b->h * b->w * pad;
    b->rows = 1;
    if (c->hidden) {
        add_linear(b, SHK_INPUT_TILES, c->hidden, "fc1"); // whose gradient a ReLU makes sparse
        add_layer(b, SHK_RELU, 0);
    }
    add_linear(b, SHK_PANELS, b->m->shape.classes, c->hidden ? "fc2" : "fc1");
    return true;
}

// ---- ViT ----

static void add_dropout(struct builder *b, double p) {
    if (p > 0) add_layer(b, SHK_DROPOUT, 0)->dropout = p;
}

// One row or `rows` rows of dim floats, N(0, 0.02).
static int add_embedding(struct builder *b, size_t rows, size_t dim, const char *name) {
    struct shk_param p = {.dims = {1, rows, dim},
                          .ndim = 3,
                          .layout = SHK_ROWS,
                          .outer = axis1(rows),
                          .inner = axis1(dim),
                          .row = shk_round16(dim),
                          .init = SHK_INIT_NORMAL,
                          .a = 0,
                          .b = 0.02f};
    if (rows == 1) p.outer.count = 0;
    if (rows == 1) p.outer.digits[0].extent = 1;
    return add_param(b, &p, rows, "%s", name);
}

static void add_patch_embed(struct builder *b, size_t dim, size_t patch) {
    struct shk_layer *l = add_layer(b, SHK_PATCH_EMBED, dim);
    snprintf(l->name, sizeof l->name, "patch_embed");
    l->b = patch;
    size_t in = b->c * patch * patch;
    double bound = 1 / sqrt((double)in);
    struct shk_param p = {.dims = {dim, b->c, patch, patch},
                          .ndim = 4,
                          .layout = SHK_PANELS,
                          .outer = axis1(dim),
                          .inner = axis1(in),
                          .row = shk_round16(in)};
    uniform(&p, bound);
    l->params[0] = add_param(b, &p, shk_round16(dim), "patch_embed.weight");
    l->params[1] = add_vector(b, axis1(dim), shk_round16(dim), bound, 0, "patch_embed.bias");
    size_t patches = b->h / patch * (b->w / patch);
    count_flops(b, 2.0 * (double)patches * (double)in * (double)dim);
    b->features = dim;
    b->in = axis1(dim);
    b->in_padded = shk_round16(dim);
}

// PyTorch: Xavier-uniform for the stacked weight [3 dim][dim], zero biases, the output projection as nn.Linear.
static void add_attention(struct builder *b, const struct shk_config *c, const char *prefix) {
    struct shk_layer *l = add_layer(b, SHK_ATTENTION, c->heads);
    snprintf(l->name, sizeof l->name, "%s.self_attn", prefix);
    l->b = c->dim;
    l->dropout = c->dropout;
    size_t d = c->dim / c->heads, d_pad = shk_round16(d), inner = c->heads * d_pad;
    struct shk_axis stacked = {3, {{3, inner}, {c->heads, d_pad}, {d, 1}}}, heads = {2, {{c->heads, d_pad}, {d, 1}}};
    char weight[64], bias[64];
    add_weight(b, SHK_PANELS, stacked, 3 * inner, b->in, b->in_padded, sqrt(6.0 / (4.0 * (double)c->dim)), 0,
               join(weight, l->name, ".in_proj_weight"), join(bias, l->name, ".in_proj_bias"), l->params);
    add_weight(b, SHK_PANELS, b->in, b->in_padded, heads, inner, 1 / sqrt((double)c->dim), 0,
               join(weight, l->name, ".out_proj.weight"), join(bias, l->name, ".out_proj.bias"), l->params + 2);
    double t = (double)b->rows, dim = (double)c->dim;
    count_flops(b, 2 * t * dim * 3 * dim + 2 * 2 * t * t * dim + 2 * t * dim * dim);
}

// PyTorch lists both norms' parameters after the linear layers', wherever the norms stand.
static void add_block(struct builder *b, const struct shk_config *c, unsigned index) {
    struct shk_layer *norms[2] = {0};
    char prefix[32], name[48];
    snprintf(prefix, sizeof prefix, "encoder.layers.%u", index);
    for (int half = 0; half < 2; half++) {
        char norm[48];
        snprintf(norm, sizeof norm, "%s.norm%d", prefix, half + 1);
        add_layer(b, SHK_RESIDUAL, 0);
        if (c->pre_norm) norms[half] = add_norm(b, norm);
        if (half == 0) {
            add_attention(b, c, prefix);
        } else {
            snprintf(name, sizeof name, "%s.linear1", prefix);
            add_linear(b, SHK_PANELS, c->ff, name);
            add_layer(b, c->gelu ? SHK_GELU : SHK_RELU, 0);
            add_dropout(b, c->dropout);
            snprintf(name, sizeof name, "%s.linear2", prefix);
            add_linear(b, SHK_PANELS, c->dim, name);
        }
        add_dropout(b, c->dropout);
        add_layer(b, SHK_ADD, 0);
        if (!c->pre_norm) norms[half] = add_norm(b, norm);
    }
    for (int half = 0; half < 2; half++) add_norm_params(b, norms[half]);
}

static bool build_vit(struct builder *b, struct shk_error *err) {
    const struct shk_config *c = &b->m->config;
    if (b->h % c->patch || b->w % c->patch)
        return shk_fail(err, SHK_BAD_INPUT, "model description: patch=%zu does not divide the image size %zux%zu",
                        c->patch, b->h, b->w);
    size_t tokens = b->h / c->patch * (b->w / c->patch) + (c->mean_pool ? 0 : 1);
    if (tokens > 4096)
        return shk_fail(
            err, SHK_BAD_INPUT,
            "model description: patch=%zu makes %zu tokens of an image of %zux%zu, at most 4096 are supported",
            c->patch, tokens, b->h, b->w);
    int cls = c->mean_pool ? -1 : add_embedding(b, 1, c->dim, "cls_token");
    int positions = c->positions ? add_embedding(b, tokens, c->dim, "pos_embed") : -1;
    add_patch_embed(b, c->dim, c->patch);
    if (cls >= 0) add_layer(b, SHK_CLS_TOKEN, 0)->params[0] = cls;
    if (positions >= 0) add_layer(b, SHK_POSITIONS, 0)->params[0] = positions;
    b->rows = tokens;
    for (unsigned i = 0; i < c->depth; i++) add_block(b, c, i);
    if (c->pre_norm) add_norm_params(b, add_norm(b, "norm"));
    add_layer(b, c->mean_pool ? SHK_MEAN_TOKENS : SHK_SELECT_CLS, 0);
    b->rows = 1;
    add_linear(b, SHK_PANELS, b->m->shape.classes, "head");
    return true;
}

bool shk_build(struct shk_model *m, struct shk_error *err) {
    struct builder b = {
        .m = m, .h = m->shape.height, .w = m->shape.width, .c = m->shape.channels, .rows = 1, .first = true};
    if (!(m->config.family == SHK_CNN ? build_cnn : build_vit)(&b, err)) return false;
    if (m->parameters > max_parameters)
        return shk_fail(err, SHK_BAD_INPUT, "model description: %s has %zu parameters, at most %zu are supported",
                        m->config.description, m->parameters, max_parameters);
    return true;
}
