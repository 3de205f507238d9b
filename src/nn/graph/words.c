// SPDX-License-Identifier: MIT
// What each word of a net's text stands for. Parameters have the names and initial distributions of torch.nn modules'
// reset_parameters.
#include "nn/graph/words.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct shk_extent extent_of(const struct shk_builder *b) { return b->m->graph.layers[b->at].out; }

// ---- Parameters ----

static int add_param(struct shk_builder *b, struct shk_param p, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int add_param(struct shk_builder *b, struct shk_param p, const char *format, ...) {
    struct shk_model *m = b->m;
    if (m->param_count == SHK_MAX_PARAMS) return -1;
    va_list args;
    va_start(args, format);
    vsnprintf(p.name, sizeof p.name, format, args);
    va_end(args);
    p.size = 1;
    for (unsigned i = 0; i < p.ndim; i++) p.size *= p.dims[i];
    if (!p.running) m->parameters += p.size;
    m->params[m->param_count] = p;
    return (int)m->param_count++;
}

static struct shk_param uniform(struct shk_param p, double bound) {
    p.init = bound > 0 ? SHK_INIT_UNIFORM : SHK_INIT_CONSTANT;
    p.spread = (float)bound;
    return p;
}

static struct shk_param vector(size_t n, float value) {
    return (struct shk_param){.dims = {n}, .ndim = 1, .mean = value};
}

// A weight [out][in] and its bias, both named by a prefix: NAME.weight or NAME_weight.
static void add_weight(struct shk_builder *b, struct shk_layer *l, size_t out, size_t in, double weight_bound,
                       double bias_bound, const char *prefix) {
    l->params[0] =
        add_param(b, uniform((struct shk_param){.dims = {out, in}, .ndim = 2}, weight_bound), "%sweight", prefix);
    l->params[1] = add_param(b, uniform(vector(out, 0), bias_bound), "%sbias", prefix);
}

// ---- Layers ----

static struct shk_layer layer_of(enum shk_layer_kind kind, const char *name) {
    struct shk_layer l = {.kind = kind, .params = {-1, -1}};
    snprintf(l.name, sizeof l.name, "%.47s", name); // no name is longer
    return l;
}

static bool add_plain(struct shk_builder *b, enum shk_layer_kind kind) {
    return shk_builder_add(b, layer_of(kind, ""));
}

#define PLAIN(word, kind)                                                                                              \
    static bool build_##word(struct shk_builder *b, const char *name, const struct shk_values *v) {                    \
        (void)name;                                                                                                    \
        (void)v;                                                                                                       \
        return add_plain(b, kind);                                                                                     \
    }
PLAIN(relu, SHK_RELU)
PLAIN(gelu, SHK_GELU)
PLAIN(silu, SHK_SILU)
PLAIN(hardswish, SHK_HARDSWISH)
PLAIN(flatten, SHK_FLATTEN)
PLAIN(tokens, SHK_TOKENS)
PLAIN(cls, SHK_SELECT_CLS)
PLAIN(mean, SHK_MEAN_TOKENS)

// torch.nn.Conv2d.
static struct shk_layer conv_layer(struct shk_builder *b, const char *name, enum shk_layer_kind kind, size_t out,
                                   size_t in, size_t kernel, bool bias) {
    struct shk_layer l = layer_of(kind, name);
    const double bound = 1 / sqrt((double)(kernel * kernel * in));
    const struct shk_param p = {.dims = {out, in, kernel, kernel}, .ndim = 4};
    l.params[0] = add_param(b, uniform(p, bound), "%s.weight", name);
    if (bias) l.params[1] = add_param(b, uniform(vector(out, 0), bound), "%s.bias", name);
    return l;
}

enum { CONV_OUT, CONV_KERNEL, CONV_STRIDE, CONV_PAD, CONV_BIAS, CONV_GROUPS };

static bool check_conv(struct shk_builder *b, const struct shk_values *v) {
    const size_t kernel = v->whole[CONV_KERNEL], stride = v->whole[CONV_STRIDE], groups = v->whole[CONV_GROUPS];
    const size_t out = v->whole[CONV_OUT], c = extent_of(b).c;
    char why[120];
    if (kernel != stride && (kernel % 2 == 0 || kernel > 7 || stride > 2))
        return shk_builder_fail(
            b, "its kernel must be 1, 3, 5 or 7 and its stride 1 or 2, or both the same, as of patches");
    snprintf(why, sizeof why, "its %zu groups do not divide %zu channels into %zu", groups, c, out);
    return (c % groups == 0 && out % groups == 0) || shk_builder_fail(b, why);
}

static bool build_conv(struct shk_builder *b, const char *name, const struct shk_values *v) {
    const size_t kernel = v->whole[CONV_KERNEL], stride = v->whole[CONV_STRIDE], pad = v->whole[CONV_PAD];
    const size_t groups = v->whole[CONV_GROUPS], in = extent_of(b).c / groups;
    if (!check_conv(b, v)) return false;
    struct shk_layer l = conv_layer(b, name, groups == 1 ? SHK_CONV : SHK_GROUPED_CONV, v->whole[CONV_OUT], in, kernel,
                                    v->whole[CONV_BIAS] == 0);
    l.conv.out = v->whole[CONV_OUT];
    l.conv.kernel = kernel;
    l.conv.stride = stride;
    l.conv.pad = pad != SHK_NOT_GIVEN ? pad : kernel == stride ? 0 : kernel / 2;
    l.conv.groups = groups;
    return shk_builder_add(b, l);
}

enum { POOL_WINDOW, POOL_STRIDE, POOL_PAD };
static bool add_pool(struct shk_builder *b, enum shk_layer_kind kind, const struct shk_values *v) {
    struct shk_layer l = layer_of(kind, "");
    l.pool.window = v->whole[POOL_WINDOW];
    l.pool.stride = v->whole[POOL_STRIDE] == SHK_NOT_GIVEN ? l.pool.window : v->whole[POOL_STRIDE];
    l.pool.pad = v->whole[POOL_PAD];
    return shk_builder_add(b, l);
}

static bool build_max_pool(struct shk_builder *b, const char *name, const struct shk_values *v) {
    (void)name;
    return add_pool(b, SHK_MAX_POOL, v);
}

static bool build_avg_pool(struct shk_builder *b, const char *name, const struct shk_values *v) {
    (void)name;
    return add_pool(b, SHK_AVG_POOL, v);
}

static bool add_dropout(struct shk_builder *b, double p) {
    struct shk_layer l = layer_of(SHK_DROPOUT, "");
    l.dropout.p = p;
    return p == 0 || shk_builder_add(b, l);
}

bool shk_builder_drop_path(struct shk_builder *b, double p) {
    struct shk_layer l = layer_of(SHK_DROP_PATH, "");
    l.dropout.p = p;
    return p == 0 || shk_builder_add(b, l);
}

static bool build_dropout(struct shk_builder *b, const char *name, const struct shk_values *v) {
    (void)name;
    return add_dropout(b, v->real[0]);
}

// torch.nn.Linear.
static bool add_linear(struct shk_builder *b, size_t out, const char *name) {
    const size_t in = extent_of(b).c;
    struct shk_layer l = layer_of(SHK_LINEAR, name);
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%s.", name);
    l.linear.out = out;
    const double bound = 1 / sqrt((double)in);
    add_weight(b, &l, out, in, bound, bound, prefix);
    return shk_builder_add(b, l);
}

// The sequence pooling of a compact convolutional transformer: a torch.nn.Linear from a token to one number.
static bool build_seq_pool(struct shk_builder *b, const char *name, const struct shk_values *v) {
    (void)v;
    struct shk_layer l = layer_of(SHK_SEQ_POOL, name);
    const size_t in = extent_of(b).c;
    const double bound = 1 / sqrt((double)in);
    char prefix[64];
    if (extent_of(b).map) return shk_builder_fail(b, "it takes tokens, not a map: put tokens or patch_embed before it");
    snprintf(prefix, sizeof prefix, "%s.", name);
    add_weight(b, &l, 1, in, bound, bound, prefix);
    return shk_builder_add(b, l);
}

static bool build_linear(struct shk_builder *b, const char *name, const struct shk_values *v) {
    if (extent_of(b).map)
        return shk_builder_fail(b, "it takes a row of numbers, not a map: put flatten or mean before it");
    return add_linear(b, v->whole[0], name);
}

// ---- Squeeze-and-excitation (Hu et al. 2018), with the names and weights [out][in][1][1] of torchvision's ----

// A linear layer that PyTorch has as a convolution of one pixel.
static bool add_pixel_linear(struct shk_builder *b, size_t out, const char *block, const char *which) {
    const size_t in = extent_of(b).c;
    char name[48];
    snprintf(name, sizeof name, "%.40s.%s", block, which);
    struct shk_layer l = conv_layer(b, name, SHK_LINEAR, out, in, 1, true);
    l.linear.out = out;
    return shk_builder_add(b, l);
}

enum { SE_REDUCTION, SE_CHANNELS, SE_ACT };
static bool build_se(struct shk_builder *b, const char *name, const struct shk_values *v) {
    static const enum shk_layer_kind activations[] = {SHK_RELU, SHK_SILU};
    const struct shk_extent in = extent_of(b);
    const int map = b->at;
    const size_t fewer = in.c / v->whole[SE_REDUCTION], given = v->whole[SE_CHANNELS];
    if (!in.map) return shk_builder_fail(b, "it takes a map, not a matrix");
    if (!add_plain(b, SHK_MEAN_TOKENS) ||
        !add_pixel_linear(b,
                          given != SHK_NOT_GIVEN ? given
                          : fewer                ? fewer
                                                 : 1,
                          name, "fc1") ||
        !add_plain(b, activations[v->whole[SE_ACT]]) || !add_pixel_linear(b, in.c, name, "fc2") ||
        !add_plain(b, SHK_SIGMOID))
        return false;
    struct shk_layer scale = layer_of(SHK_SCALE, "");
    scale.in[1] = b->at;
    b->at = map;
    return shk_builder_add(b, scale);
}

// ---- Tokens ----

// N(0, 0.02), [1][rows][dim].
static struct shk_layer embedding(struct shk_builder *b, enum shk_layer_kind kind, size_t rows, const char *name) {
    const struct shk_param p = {.dims = {1, rows, extent_of(b).c}, .ndim = 3, .init = SHK_INIT_NORMAL, .spread = 0.02f};
    struct shk_layer l = layer_of(kind, "");
    l.params[0] = add_param(b, p, "%s", name);
    return l;
}

static bool build_patch_embed(struct shk_builder *b, const char *name, const struct shk_values *v) {
    const size_t dim = v->whole[0], patch = v->whole[1];
    const struct shk_extent in = extent_of(b);
    char why[120];
    snprintf(why, sizeof why, "its patches of %zu pixels do not divide the map of %zux%zu", patch, in.h, in.w);
    if (in.map && (in.h % patch || in.w % patch)) return shk_builder_fail(b, why);
    struct shk_layer l = conv_layer(b, name, SHK_PATCH_EMBED, dim, in.c, patch, true);
    l.patch_embed.dim = dim;
    l.patch_embed.patch = patch;
    return shk_builder_add(b, l);
}

static bool build_cls_token(struct shk_builder *b, const char *name, const struct shk_values *v) {
    (void)v;
    return shk_builder_add(b, embedding(b, SHK_CLS_TOKEN, 1, name));
}

// The grid whose tokens are at hand, as pixels or patches of a map; of no tokens where they are none's.
static struct shk_grid grid_of(const struct shk_builder *b) {
    const struct shk_layer *const layers = b->m->graph.layers;
    int i = b->at;
    while (!layers[i].out.map && layers[i].kind != SHK_TOKENS && layers[i].kind != SHK_PATCH_EMBED) i = layers[i].in[0];
    if (layers[i].out.map) return (struct shk_grid){0, 0};
    const struct shk_extent map = layers[layers[i].in[0]].out;
    const size_t side = layers[i].kind == SHK_TOKENS ? 1 : layers[i].patch_embed.patch;
    return (struct shk_grid){map.h / side, map.w / side};
}

static bool add_fixed_positions(struct shk_builder *b) {
    struct shk_layer l = layer_of(SHK_FIXED_POSITIONS, "");
    const struct shk_extent in = extent_of(b);
    char why[100];
    l.grid = grid_of(b);
    snprintf(why, sizeof why, "tokens of %zu numbers have no positions of sines and cosines: let it be a multiple of 4",
             in.c);
    if (!l.grid.h)
        return shk_builder_fail(b,
                                "what it reads are not the pixels or patches of a map as tokens: put it behind tokens "
                                "or patch_embed");
    return in.c % 4 ? shk_builder_fail(b, why) : shk_builder_add(b, l);
}

static bool build_positions(struct shk_builder *b, const char *name, const struct shk_values *v) {
    if (v->whole[0] == 1) return add_fixed_positions(b);
    return shk_builder_add(b, embedding(b, SHK_POSITIONS, extent_of(b).h, name));
}

static bool add_norm(struct shk_builder *b, const char *name, double eps) {
    struct shk_layer l = layer_of(SHK_LAYER_NORM, name);
    l.layer_norm.eps = eps;
    return shk_builder_add(b, l);
}

static void add_norm_params(struct shk_builder *b, int norm) {
    struct shk_layer *l = &b->m->graph.layers[norm];
    l->params[0] = add_param(b, vector(l->out.c, 1), "%s.weight", l->name);
    l->params[1] = add_param(b, vector(l->out.c, 0), "%s.bias", l->name);
}

// torch.nn.BatchNorm2d, or BatchNorm1d of a row.
static bool build_bn(struct shk_builder *b, const char *name, const struct shk_values *v) {
    const size_t c = extent_of(b).c;
    struct shk_layer l = layer_of(SHK_BATCH_NORM, name);
    struct shk_param mean = vector(c, 0), variance = vector(c, 1);
    mean.running = variance.running = variance.not_negative = true;
    l.batch_norm.eps = v->real[0];
    l.batch_norm.momentum = v->real[1];
    l.batch_norm.ghost = v->whole[2] == 0;
    if (!extent_of(b).map && extent_of(b).h != 1)
        return shk_builder_fail(b, "it takes a map or one row, not tokens: use ln");
    l.params[0] = add_param(b, vector(c, 1), "%s.weight", name);
    l.params[1] = add_param(b, vector(c, 0), "%s.bias", name);
    l.running[0] = add_param(b, mean, "%s.running_mean", name);
    l.running[1] = add_param(b, variance, "%s.running_var", name);
    return l.running[1] < 0 || shk_builder_add(b, l);
}

static bool build_ln(struct shk_builder *b, const char *name, const struct shk_values *v) {
    if (!add_norm(b, name, v->real[0])) return false;
    add_norm_params(b, b->at);
    return true;
}

// ---- torch.nn.TransformerEncoderLayer ----

enum {
    LAYER_NAME = 48,
    MOST_BLOCK = 28
}; // of any layer; of a block, whose layers are called PREFIX.self_attn.out_proj and so on
enum { ENCODER_HEADS, ENCODER_FF, ENCODER_NORM, ENCODER_ACT, ENCODER_DROPOUT, ENCODER_DROP_PATH, ENCODER_EPS };

// torch.nn.MultiheadAttention: Xavier-uniform for the stacked weight [3 dim][dim], zero biases, the output projection as
// nn.Linear.
static bool add_attention(struct shk_builder *b, const char *block, const struct shk_values *v) {
    const size_t dim = extent_of(b).c;
    char name[LAYER_NAME];
    snprintf(name, sizeof name, "%.28s.self_attn.in_proj", block);
    struct shk_layer in = layer_of(SHK_LINEAR, name);
    in.linear.out = 3 * dim;
    strcat(name, "_");
    add_weight(b, &in, 3 * dim, dim, sqrt(6.0 / (4.0 * (double)dim)), 0, name);
    snprintf(name, sizeof name, "%.28s.self_attn.out_proj", block);
    struct shk_layer out = layer_of(SHK_LINEAR, name);
    out.linear.out = dim;
    strcat(name, ".");
    add_weight(b, &out, dim, dim, 1 / sqrt((double)dim), 0, name);
    snprintf(name, sizeof name, "%.28s.self_attn", block);
    struct shk_layer heads = layer_of(SHK_ATTENTION, name);
    heads.attention.heads = v->whole[ENCODER_HEADS];
    heads.attention.dropout = v->real[ENCODER_DROPOUT];
    return shk_builder_add(b, in) && shk_builder_add(b, heads) && shk_builder_add(b, out);
}

static bool add_feed_forward(struct shk_builder *b, const char *block, const struct shk_values *v) {
    static const enum shk_layer_kind activations[] = {SHK_RELU, SHK_GELU, SHK_SILU};
    const size_t dim = extent_of(b).c, ff = v->whole[ENCODER_FF];
    char first[LAYER_NAME], second[LAYER_NAME];
    snprintf(first, sizeof first, "%.28s.linear1", block);
    snprintf(second, sizeof second, "%.28s.linear2", block);
    return add_linear(b, ff == SHK_NOT_GIVEN ? 4 * dim : ff, first) &&
           add_plain(b, activations[v->whole[ENCODER_ACT]]) && add_dropout(b, v->real[ENCODER_DROPOUT]) &&
           add_linear(b, dim, second);
}

static bool add_sublayer(struct shk_builder *b, const char *block, const struct shk_values *v, int half, int *norm) {
    const bool pre = v->whole[ENCODER_NORM] == 1;
    const int residual = b->at;
    char name[LAYER_NAME];
    snprintf(name, sizeof name, "%.28s.norm%d", block, half + 1);
    if (pre && !add_norm(b, name, v->real[ENCODER_EPS])) return false;
    if (pre) *norm = b->at;
    if (!(half == 0 ? add_attention : add_feed_forward)(b, block, v) || !add_dropout(b, v->real[ENCODER_DROPOUT]) ||
        !shk_builder_drop_path(b, v->real[ENCODER_DROP_PATH]))
        return false;
    struct shk_layer sum = layer_of(SHK_ADD, "");
    sum.in[1] = residual;
    if (!shk_builder_add(b, sum)) return false;
    if (!pre && !add_norm(b, name, v->real[ENCODER_EPS])) return false;
    if (!pre) *norm = b->at;
    return true;
}

// PyTorch lists a block's norms behind its linear layers, wherever they stand.
static bool build_encoder(struct shk_builder *b, const char *name, const struct shk_values *v) {
    const struct shk_extent in = extent_of(b);
    char why[80];
    if (in.map) return shk_builder_fail(b, "it takes tokens, not a map: put tokens or patch_embed before it");
    snprintf(why, sizeof why, "it reads %zu tokens, at most %d are supported", in.h, SHK_MOST_TOKENS);
    if (in.h > SHK_MOST_TOKENS) return shk_builder_fail(b, why);
    snprintf(why, sizeof why, "its %zu heads do not divide tokens of %zu numbers", v->whole[ENCODER_HEADS], in.c);
    if (in.c % v->whole[ENCODER_HEADS]) return shk_builder_fail(b, why);
    if (strlen(name) > MOST_BLOCK)
        return shk_builder_fail(b, "the names of its groups and its own are too long together");
    int norms[2];
    for (int half = 0; half < 2; half++)
        if (!add_sublayer(b, name, v, half, &norms[half])) return false;
    for (int half = 0; half < 2; half++) add_norm_params(b, norms[half]);
    return true;
}

// ---- The list ----

#define NOTHING                                                                                                        \
    {                                                                                                                  \
        { .key = NULL }                                                                                                \
    }
#define POOL_ARGUMENTS                                                                                                 \
    {                                                                                                                  \
        {"window", SHK_ARGUMENT_WHOLE, 1, 16, NULL, {NULL}}, {"stride", SHK_ARGUMENT_WHOLE, 1, 64, "", {NULL}}, {      \
            "pad", SHK_ARGUMENT_WHOLE, 0, 8, "0", { NULL }                                                             \
        }                                                                                                              \
    }
const struct shk_word shk_words[] = {
    {"conv",
     build_conv,
     {{"out", SHK_ARGUMENT_WHOLE, 1, 4096, NULL, {NULL}},
      {"kernel", SHK_ARGUMENT_WHOLE, 1, 16, "3", {NULL}},
      {"stride", SHK_ARGUMENT_WHOLE, 1, 16, "1", {NULL}},
      {"pad", SHK_ARGUMENT_WHOLE, 0, 6, "", {NULL}},
      {"bias", SHK_ARGUMENT_WORD, 0, 0, "yes", {"yes", "no", NULL}},
      {"groups", SHK_ARGUMENT_WHOLE, 1, 4096, "1", {NULL}}}},
    {"max_pool", build_max_pool, POOL_ARGUMENTS},
    {"avg_pool", build_avg_pool, POOL_ARGUMENTS},
    {"relu", build_relu, NOTHING},
    {"gelu", build_gelu, NOTHING},
    {"silu", build_silu, NOTHING},
    {"hardswish", build_hardswish, NOTHING},
    {"se",
     build_se,
     {{"reduction", SHK_ARGUMENT_WHOLE, 1, 256, "4", {NULL}},
      {"channels", SHK_ARGUMENT_WHOLE, 1, 4096, "", {NULL}},
      {"act", SHK_ARGUMENT_WORD, 0, 0, "relu", {"relu", "silu", NULL}}}},
    {"dropout", build_dropout, {{"p", SHK_ARGUMENT_SHARE, 0, 0, NULL, {NULL}}}},
    {"flatten", build_flatten, NOTHING},
    {"mean", build_mean, NOTHING},
    {"linear", build_linear, {{"out", SHK_ARGUMENT_OUTPUTS, 1, 65536, NULL, {NULL}}}},
    {"patch_embed",
     build_patch_embed,
     {{"dim", SHK_ARGUMENT_WHOLE, 1, 4096, NULL, {NULL}}, {"patch", SHK_ARGUMENT_WHOLE, 1, 256, NULL, {NULL}}}},
    {"tokens", build_tokens, NOTHING},
    {"cls_token", build_cls_token, NOTHING},
    {"positions", build_positions, {{"kind", SHK_ARGUMENT_WORD, 0, 0, "learned", {"learned", "sincos", NULL}}}},
    {"encoder",
     build_encoder,
     {{"heads", SHK_ARGUMENT_WHOLE, 1, 256, NULL, {NULL}},
      {"ff", SHK_ARGUMENT_WHOLE, 1, 65536, "", {NULL}},
      {"norm", SHK_ARGUMENT_WORD, 0, 0, "post", {"post", "pre", NULL}},
      {"act", SHK_ARGUMENT_WORD, 0, 0, "relu", {"relu", "gelu", "silu", NULL}},
      {"dropout", SHK_ARGUMENT_SHARE, 0, 0, "0", {NULL}},
      {"drop_path", SHK_ARGUMENT_SHARE, 0, 0, "0", {NULL}},
      {"eps", SHK_ARGUMENT_REAL, 0, 1, "1e-5", {NULL}}}},
    {"bn",
     build_bn,
     {{"eps", SHK_ARGUMENT_REAL, 0, 1, "1e-5", {NULL}},
      {"momentum", SHK_ARGUMENT_REAL, 0, 1, "0.1", {NULL}},
      {"ghost", SHK_ARGUMENT_WORD, 0, 0, "no", {"yes", "no", NULL}}}},
    {"ln", build_ln, {{"eps", SHK_ARGUMENT_REAL, 0, 1, "1e-5", {NULL}}}},
    {"cls", build_cls, NOTHING},
    {"seq_pool", build_seq_pool, NOTHING},
    {.name = NULL},
};
