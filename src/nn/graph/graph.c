// SPDX-License-Identifier: MIT
// Layers are added here one by one; each is checked against what it reads.
#include "nn/graph/graph.h"

#include <stdio.h>

static const struct {
    const char *name;
    unsigned flags;
} kinds[SHK_LAYER_KINDS] = {
#define LAYER(kind, name, flags) {name, flags},
#include "nn/graph/layers.def"
#undef LAYER
};

const char *shk_layer_name(enum shk_layer_kind kind) { return kinds[kind].name; }
unsigned shk_layer_flags(enum shk_layer_kind kind) { return kinds[kind].flags; }

static bool refuse(const struct shk_layer *l, const char *why, struct shk_error *err) {
    return shk_fail(err, SHK_BAD_INPUT, "the model's layer %s %s", l->name, why);
}

// The side of a map behind windows of `window` pixels at steps of `stride`.
static size_t windows(size_t side, size_t pad, size_t window, size_t stride) {
    return side + 2 * pad < window ? 0 : (side + 2 * pad - window) / stride + 1;
}

static bool infer_conv(struct shk_layer *l, struct shk_extent in, struct shk_error *err) {
    if (!in.map) return refuse(l, "takes a map, not a matrix", err);
    if (l->kind == SHK_GROUPED_CONV && (in.c % l->conv.groups || l->conv.out % l->conv.groups))
        return refuse(l, "has groups that do not divide its channels", err);
    if (l->conv.pad >= l->conv.kernel) return refuse(l, "has a pad that is not less than its kernel", err);
    l->out = (struct shk_extent){windows(in.h, l->conv.pad, l->conv.kernel, l->conv.stride),
                                 windows(in.w, l->conv.pad, l->conv.kernel, l->conv.stride), l->conv.out, true};
    return (l->out.h && l->out.w) || refuse(l, "has a window larger than its map", err);
}

static bool infer_pool(struct shk_layer *l, struct shk_extent in, struct shk_error *err) {
    if (!in.map) return refuse(l, "takes a map, not a matrix", err);
    if (l->pool.pad > l->pool.window / 2) return refuse(l, "has a pad of more than half of its window", err);
    l->out = (struct shk_extent){windows(in.h, l->pool.pad, l->pool.window, l->pool.stride),
                                 windows(in.w, l->pool.pad, l->pool.window, l->pool.stride), in.c, true};
    return (l->out.h && l->out.w) || refuse(l, "shrinks its map to nothing", err);
}

static bool infer_patches(struct shk_layer *l, struct shk_extent in, struct shk_error *err) {
    const size_t patch = l->patch_embed.patch;
    if (!in.map || in.h % patch || in.w % patch) return refuse(l, "takes a map that its patches divide", err);
    l->out = (struct shk_extent){in.h / patch * (in.w / patch), 1, l->patch_embed.dim, false};
    return true;
}

// A row for each pixel.
static bool infer_tokens(struct shk_layer *l, struct shk_extent in, struct shk_error *err) {
    if (!in.map) return refuse(l, "takes a map, not a matrix", err);
    l->out = (struct shk_extent){in.h * in.w, 1, in.c, false};
    return true;
}

static bool infer_fixed_positions(struct shk_layer *l, struct shk_extent in, struct shk_error *err) {
    if (in.map || in.c % 4 || in.h < l->grid.h * l->grid.w)
        return refuse(l, "takes the tokens of its grid, of a multiple of four numbers", err);
    l->out = in;
    return true;
}

static bool infer_attention(struct shk_layer *l, struct shk_extent in, struct shk_error *err) {
    if (in.map || in.c % (3 * l->attention.heads))
        return refuse(l, "takes a matrix of queries, keys and values that its heads divide", err);
    l->out = (struct shk_extent){l->attention.cls_alone ? 1 : in.h, 1, in.c / 3, false};
    return true;
}

static bool infer_batch_norm(struct shk_layer *l, struct shk_extent in, struct shk_error *err) {
    if (!in.map && in.h != 1) return refuse(l, "takes a map or one row, not tokens", err);
    l->out = in;
    return true;
}

static bool infer_scale(const struct shk_graph *g, struct shk_layer *l, struct shk_extent in, struct shk_error *err) {
    const struct shk_extent factor = g->layers[l->in[1]].out;
    if (!in.map || factor.map || factor.h != 1 || factor.c != in.c)
        return refuse(l, "takes a map, and a row of as many numbers as that has channels", err);
    l->out = in;
    return true;
}

struct words {
    char text[60];
};
static struct words size_of(struct shk_extent e) {
    struct words w;
    snprintf(w.text, sizeof w.text, e.map ? "a map of %zux%zu pixels" : "%zu rows", e.h, e.w);
    return w;
}

// The channels of one value, and behind them those of another.
static bool infer_concat(const struct shk_graph *g, struct shk_layer *l, struct shk_extent in, struct shk_error *err) {
    const struct shk_extent other = g->layers[l->in[1]].out;
    char why[200];
    snprintf(why, sizeof why, "joins channels of %s and of %s: let both be maps of one size, or as many rows",
             size_of(in).text, size_of(other).text);
    if (in.map != other.map || in.h != other.h || in.w != other.w) return refuse(l, why, err);
    l->out = in;
    l->out.c += other.c;
    snprintf(why, sizeof why, "makes %zu channels of %zu and %zu, at most %d are supported", l->out.c, in.c, other.c,
             SHK_MOST_JOINED);
    return l->out.c <= SHK_MOST_JOINED || refuse(l, why, err);
}

static bool has_sizes(const struct shk_layer *l) {
    switch (l->kind) {
    case SHK_GROUPED_CONV:
        if (!l->conv.groups) return false;
        // fall through
    case SHK_CONV:
        return l->conv.out && l->conv.kernel && l->conv.stride;
    case SHK_MAX_POOL:
    case SHK_AVG_POOL:
        return l->pool.window && l->pool.stride;
    case SHK_PATCH_EMBED:
        return l->patch_embed.dim && l->patch_embed.patch;
    case SHK_LINEAR:
        return l->linear.out;
    case SHK_FIXED_POSITIONS:
        return l->grid.h && l->grid.w;
    case SHK_ATTENTION:
        return l->attention.heads;
    default:
        return true;
    }
}

static bool check_attributes(const struct shk_layer *l, struct shk_error *err) {
    const double most = 1 - 0x1p-17; // more would be all of 65536
    const bool drops = l->kind == SHK_DROPOUT || l->kind == SHK_DROP_PATH;
    const double p = l->kind == SHK_ATTENTION ? l->attention.dropout : drops ? l->dropout.p : 0;
    if (l->kind == SHK_BATCH_NORM &&
        !(l->batch_norm.eps > 0 && l->batch_norm.momentum >= 0 && l->batch_norm.momentum <= 1))
        return refuse(l, "has an eps that is not above 0, or a momentum that is not from 0 to 1", err);
    if (l->kind == SHK_LAYER_NORM && !(l->layer_norm.eps > 0)) return refuse(l, "has an eps that is not above 0", err);
    if (!has_sizes(l)) return refuse(l, "has an attribute of 0 that must be at least 1", err);
    return (p >= 0 && p < most) || refuse(l, "has a dropout that is not at least 0 and below 1", err);
}

static bool infer_sum(const struct shk_graph *g, struct shk_layer *l, struct shk_extent in, struct shk_error *err) {
    const struct shk_extent other = g->layers[l->in[1]].out;
    char why[200];
    snprintf(why, sizeof why, "adds up unequal values, %s of %zu channels and %s of %zu", size_of(in).text, in.c,
             size_of(other).text, other.c);
    return shk_extent_equal(in, other) || refuse(l, why, err);
}

static bool infer(const struct shk_graph *g, struct shk_layer *l, struct shk_error *err) {
    const struct shk_extent in = l->in[0] < 0 ? l->out : g->layers[l->in[0]].out;
    switch (l->kind) {
    case SHK_INPUT:
        return true; // the caller's
    case SHK_CONV:
    case SHK_GROUPED_CONV:
        return infer_conv(l, in, err);
    case SHK_MAX_POOL:
    case SHK_AVG_POOL:
        return infer_pool(l, in, err);
    case SHK_PATCH_EMBED:
        return infer_patches(l, in, err);
    case SHK_TOKENS:
        return infer_tokens(l, in, err);
    case SHK_FIXED_POSITIONS:
        return infer_fixed_positions(l, in, err);
    case SHK_ATTENTION:
        return infer_attention(l, in, err);
    case SHK_BATCH_NORM:
        return infer_batch_norm(l, in, err);
    case SHK_SCALE:
        return infer_scale(g, l, in, err);
    case SHK_CONCAT:
        return infer_concat(g, l, in, err);
    case SHK_FLATTEN:
        l->out = (struct shk_extent){1, 1, in.h * in.w * in.c, false};
        return true;
    default:
        break;
    }
    if (in.map && l->kind != SHK_MEAN_TOKENS && (kinds[l->kind].flags & SHK_ELEMENTWISE) != SHK_ELEMENTWISE)
        return refuse(l, "takes a matrix, not a map", err);
    l->out = in;
    if (l->kind == SHK_MEAN_TOKENS || l->kind == SHK_SEQ_POOL) l->out = (struct shk_extent){1, 1, in.c, false};
    if (l->kind == SHK_LINEAR) l->out.c = l->linear.out;
    if (l->kind == SHK_CLS_TOKEN) l->out.h++;
    if (l->kind == SHK_SELECT_CLS) l->out.h = 1;
    return l->kind != SHK_ADD || infer_sum(g, l, in, err);
}

int shk_graph_add(struct shk_graph *g, const struct shk_layer *layer, struct shk_error *err) {
    struct shk_layer l = *layer;
    const bool two = kinds[l.kind].flags & SHK_TWO_INPUTS;
    if ((l.kind != SHK_INPUT && l.in[0] < 0) || (two && l.in[1] < 0)) return -1;
    if (l.kind == SHK_INPUT) l.in[0] = -1;
    if (!two) l.in[1] = -1;
    if (!l.name[0]) snprintf(l.name, sizeof l.name, "%s", kinds[l.kind].name);
    if (g->count == SHK_MAX_LAYERS) {
        shk_fail(err, SHK_BAD_INPUT, "the model has more than %d layers", SHK_MAX_LAYERS);
        return -1;
    }
    if ((l.kind == SHK_INPUT) != (g->count == 0)) {
        refuse(&l, l.kind == SHK_INPUT ? "comes behind others" : "comes before the input", err);
        return -1;
    }
    if (!check_attributes(&l, err) || !infer(g, &l, err)) return -1;
    if ((kinds[l.kind].flags & SHK_DRAWS) && !l.draw) l.draw = ++g->draws;
    g->layers[g->count] = l;
    return (int)g->count++;
}

int shk_graph_last_consumer(const struct shk_graph *g, int i) {
    for (int c = (int)g->count; c-- > i + 1;)
        if (g->layers[c].in[0] == i || g->layers[c].in[1] == i) return c;
    return -1;
}

int shk_graph_consumer(const struct shk_graph *g, int i) {
    const int last = shk_graph_last_consumer(g, i);
    if (last >= 0 && g->layers[last].in[0] == g->layers[last].in[1]) return -1;
    for (int c = i + 1; c < last; c++)
        if (g->layers[c].in[0] == i || g->layers[c].in[1] == i) return -1;
    return last;
}

double shk_layer_flops(const struct shk_graph *g, const struct shk_layer *l) {
    if (l->in[0] < 0) return 0;
    const struct shk_extent in = g->layers[l->in[0]].out;
    const double positions = (double)(l->out.h * l->out.w), products = 2 * positions * (double)l->out.c;
    if (l->kind == SHK_CONV) return products * (double)(l->conv.kernel * l->conv.kernel * in.c);
    if (l->kind == SHK_GROUPED_CONV)
        return products * (double)(l->conv.kernel * l->conv.kernel * in.c / l->conv.groups);
    if (l->kind == SHK_LINEAR) return products * (double)in.c;
    if (l->kind == SHK_PATCH_EMBED) return products * (double)(in.c * l->patch_embed.patch * l->patch_embed.patch);
    if (l->kind == SHK_SEQ_POOL) return 2 * 2 * (double)(in.h * in.c); // scores, and sums of tokens
    if (l->kind == SHK_ATTENTION) return 2 * products * (double)in.h;  // scores, and sums of values
    return 0;
}
