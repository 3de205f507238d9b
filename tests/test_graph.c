// SPDX-License-Identifier: MIT
// Graphs that no description makes: each kind of layer in each place of a few nets, alone, beside a sum, read by two, read by
// nobody. Each is computed as the reference does, on every ISA, or refused in one sentence that names a layer.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "reference.h"
#include "settings/settings.h"
#include "train/step.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- Making a graph

struct builder {
    struct shk_model *m;
    struct shk_error err;
    char last[48]; // name of the layer added last
    bool failed;
};

static bool has(enum shk_layer_kind kind, const enum shk_layer_kind *kinds, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (kinds[i] == kind) return true;
    return false;
}

static int add_param(struct builder *b, const char *layer, const char *name, struct shk_param p) {
    snprintf(p.name, sizeof p.name, "%s.%s", layer, name);
    p.size = 1;
    for (unsigned i = 0; i < p.ndim; i++) p.size *= p.dims[i];
    p.init = SHK_INIT_UNIFORM;
    p.spread = 0.5f;
    if (!p.running) b->m->parameters += p.size;
    b->m->params[b->m->param_count] = p;
    return (int)b->m->param_count++;
}

// The parameters that a layer has beside an input of extent `in`.
static void add_params(struct builder *b, struct shk_layer *l, struct shk_extent in) {
    struct shk_param w = {.ndim = 2}, bias = {.ndim = 1};
    l->params[0] = l->params[1] = -1;
    if (l->kind == SHK_CLS_TOKEN || l->kind == SHK_POSITIONS) {
        w = (struct shk_param){.dims = {1, l->kind == SHK_POSITIONS ? in.h : 1, in.c}, .ndim = 3};
        l->params[0] = add_param(b, l->name, "embedding", w);
        return;
    }
    static const enum shk_layer_kind with[] = {SHK_CONV,       SHK_PATCH_EMBED, SHK_LINEAR,
                                               SHK_LAYER_NORM, SHK_BATCH_NORM,  SHK_SEQ_POOL};
    if (!has(l->kind, with, sizeof with / sizeof *with)) return;
    const size_t kernel = l->kind == SHK_CONV ? l->conv.kernel : l->patch_embed.patch;
    if (l->kind == SHK_LINEAR) w = (struct shk_param){.dims = {l->linear.out, in.c}, .ndim = 2};
    if (l->kind == SHK_SEQ_POOL) w = (struct shk_param){.dims = {1, in.c}, .ndim = 2};
    if (l->kind == SHK_LAYER_NORM || l->kind == SHK_BATCH_NORM) w = (struct shk_param){.dims = {in.c}, .ndim = 1};
    if (l->kind == SHK_CONV) w = (struct shk_param){.dims = {l->conv.out, in.c, kernel, kernel}, .ndim = 4};
    if (l->kind == SHK_PATCH_EMBED)
        w = (struct shk_param){.dims = {l->patch_embed.dim, in.c, kernel, kernel}, .ndim = 4};
    bias.dims[0] = w.dims[0];
    l->params[0] = add_param(b, l->name, "weight", w);
    l->params[1] = add_param(b, l->name, "bias", bias);
    if (l->kind != SHK_BATCH_NORM) return;
    bias.running = true;
    l->running[0] = add_param(b, l->name, "running_mean", bias);
    bias.mean = 1;
    l->running[1] = add_param(b, l->name, "running_var", bias);
}

// Adds a layer that reads a and, if it has two inputs, c. Returns its index.
static int add(struct builder *b, struct shk_layer l, int a, int c, const char *prefix) {
    if (b->failed) return 0;
    const struct shk_graph *g = &b->m->graph;
    const bool reads = l.kind != SHK_INPUT && a >= 0;
    l.in[0] = reads ? a : -1;
    l.in[1] = c;
    if (l.kind == SHK_LAYER_NORM) l.layer_norm.eps = 1e-5;
    snprintf(l.name, sizeof l.name, "%s%u.%s", prefix, g->count, shk_layer_name(l.kind));
    snprintf(b->last, sizeof b->last, "%s", l.name);
    add_params(b, &l, reads ? g->layers[a].out : l.out);
    const int i = shk_graph_add(&b->m->graph, &l, &b->err);
    b->failed = i < 0;
    return i < 0 ? 0 : i;
}

static struct builder builder_of(struct shk_shape shape) {
    struct builder b = {.m = shk_alloc(1, sizeof *b.m, "a model", NULL)};
    assert_non_null(b.m);
    b.m->shape = shape;
    return b;
}

// The model, with weights; NULL where it is refused.
static struct shk_model *finish(struct builder *b) {
    if (!b->failed && shk_model_lay_out(b->m, &b->err) && shk_model_allocate(b->m, &b->err) &&
        shk_model_draw(b->m, 3, &b->err))
        return b->m;
    return NULL;
}

// ---- The nets that are edited

enum { MOST = 40 };

struct net {
    const char *name;
    struct shk_shape shape;
    struct {
        struct shk_layer layer;
        int in[2]; // of the net; 0, 0: the layer before
    } nodes[MOST];
};

#define IMAGE(h_, w_, c_)                                                                                              \
    {                                                                                                                  \
        {.kind = SHK_INPUT, .out = {h_, w_, c_, true}}, { 0 }                                                          \
    }
#define CONV(out_, kernel_, stride_, pad_)                                                                             \
    {                                                                                                                  \
        .kind = SHK_CONV, .conv = {.out = out_, .kernel = kernel_, .stride = stride_, .pad = pad_ }                    \
    }
#define POOL(window_, stride_)                                                                                         \
    {                                                                                                                  \
        .kind = SHK_MAX_POOL, .pool = { window_, stride_, 0 }                                                          \
    }
#define LINEAR(out_)                                                                                                   \
    {                                                                                                                  \
        .kind = SHK_LINEAR, .linear = { out_ }                                                                         \
    }
#define PATCHES(dim_, patch_)                                                                                          \
    {                                                                                                                  \
        .kind = SHK_PATCH_EMBED, .patch_embed = { dim_, patch_ }                                                       \
    }
#define HEADS(heads_, p_)                                                                                              \
    {                                                                                                                  \
        .kind = SHK_ATTENTION, .attention = {.heads = heads_, .dropout = p_ }                                          \
    }
#define DROPOUT(p_)                                                                                                    \
    {                                                                                                                  \
        .kind = SHK_DROPOUT, .dropout = { p_ }                                                                         \
    }
#define BATCH_NORM                                                                                                     \
    {                                                                                                                  \
        .kind = SHK_BATCH_NORM, .batch_norm = {.eps = 0.1, .momentum = 0.3 }                                           \
    }
#define PLAIN(kind_)                                                                                                   \
    { .kind = SHK_##kind_ }
#define NEXT(...)                                                                                                      \
    {                                                                                                                  \
        __VA_ARGS__, { 0 }                                                                                             \
    }
#define SUM(a, b)                                                                                                      \
    {                                                                                                                  \
        PLAIN(ADD), { a, b }                                                                                           \
    }

static const struct net nets[] = {
    {"cnn",
     {8, 8, 1, 3},
     {IMAGE(8, 8, 1), NEXT(CONV(5, 3, 1, 1)), NEXT(PLAIN(RELU)), NEXT(POOL(2, 2)), NEXT(CONV(4, 3, 1, 1)),
      NEXT(PLAIN(RELU)), NEXT(POOL(2, 2)), NEXT(PLAIN(FLATTEN)), NEXT(LINEAR(6)), NEXT(PLAIN(RELU)), NEXT(LINEAR(3)),
      NEXT(PLAIN(CROSS_ENTROPY))}},
    {"small cnn",
     {8, 9, 3, 2},
     {IMAGE(8, 9, 3), NEXT(CONV(17, 3, 1, 1)), NEXT(PLAIN(RELU)), NEXT(POOL(2, 2)), NEXT(PLAIN(FLATTEN)),
      NEXT(LINEAR(2)), NEXT(PLAIN(CROSS_ENTROPY))}},
    {"wide cnn", // that deals out its work
     {8, 8, 1, 3},
     {IMAGE(8, 8, 1), NEXT(CONV(32, 3, 1, 1)), NEXT(PLAIN(RELU)), NEXT(POOL(2, 2)), NEXT(PLAIN(FLATTEN)),
      NEXT(LINEAR(128)), NEXT(PLAIN(RELU)), NEXT(LINEAR(3)), NEXT(PLAIN(CROSS_ENTROPY))}},
    {"two convolutions in a row",
     {8, 8, 2, 3},
     {IMAGE(8, 8, 2), NEXT(CONV(5, 3, 1, 1)), NEXT(PLAIN(RELU)), NEXT(CONV(4, 3, 1, 1)), NEXT(PLAIN(RELU)),
      NEXT(POOL(2, 2)), NEXT(PLAIN(FLATTEN)), NEXT(LINEAR(3)), NEXT(PLAIN(CROSS_ENTROPY))}},
    {"branches of maps",
     {8, 8, 2, 3},
     {IMAGE(8, 8, 2),
      NEXT(CONV(5, 3, 1, 1)),
      NEXT(PLAIN(RELU)),
      NEXT(CONV(5, 3, 1, 1)),
      SUM(3, 2),
      NEXT(PLAIN(RELU)),
      NEXT(CONV(12, 3, 2, 1)),
      {CONV(12, 1, 2, 0), {5, 0}},
      SUM(7, 6),
      NEXT(PLAIN(RELU)),
      NEXT(PLAIN(MEAN_TOKENS)),
      NEXT(LINEAR(3)),
      NEXT(PLAIN(CROSS_ENTROPY))}},
    {"batch normalisation",
     {9, 8, 2, 3},
     {IMAGE(9, 8, 2), NEXT(CONV(5, 3, 1, 1)), NEXT(BATCH_NORM), NEXT(PLAIN(RELU)), NEXT(CONV(5, 3, 1, 1)),
      NEXT(BATCH_NORM), SUM(5, 3), NEXT(PLAIN(RELU)), NEXT(PLAIN(MEAN_TOKENS)), NEXT(LINEAR(6)), NEXT(BATCH_NORM),
      NEXT(PLAIN(GELU)), NEXT(LINEAR(3)), NEXT(PLAIN(CROSS_ENTROPY))}},
    {"windows of any size",
     {9, 8, 1, 3},
     {IMAGE(9, 8, 1), NEXT(CONV(4, 5, 2, 2)), NEXT(PLAIN(GELU)), NEXT(DROPOUT(0.2)), NEXT(CONV(6, 1, 1, 0)),
      NEXT(POOL(3, 1)), NEXT(PLAIN(FLATTEN)), NEXT(LINEAR(3)), NEXT(PLAIN(CROSS_ENTROPY))}},
    {"post-norm, CLS",
     {8, 8, 1, 3},
     {IMAGE(8, 8, 1),
      NEXT(PATCHES(12, 4)),
      NEXT(PLAIN(CLS_TOKEN)),
      NEXT(PLAIN(POSITIONS)),
      NEXT(LINEAR(36)),
      NEXT(HEADS(2, 0.2)),
      NEXT(LINEAR(12)),
      NEXT(DROPOUT(0.2)),
      SUM(7, 3),
      NEXT(PLAIN(LAYER_NORM)),
      NEXT(LINEAR(20)),
      NEXT(PLAIN(RELU)),
      NEXT(DROPOUT(0.2)),
      NEXT(LINEAR(12)),
      NEXT(DROPOUT(0.2)),
      SUM(14, 9),
      NEXT(PLAIN(LAYER_NORM)),
      NEXT(PLAIN(SELECT_CLS)),
      NEXT(LINEAR(3)),
      NEXT(PLAIN(CROSS_ENTROPY))}},
    {"pre-norm, mean",
     {8, 8, 1, 3},
     {IMAGE(8, 8, 1), NEXT(PATCHES(12, 4)), NEXT(PLAIN(POSITIONS)), NEXT(PLAIN(LAYER_NORM)), NEXT(LINEAR(36)),
      NEXT(HEADS(3, 0)), NEXT(LINEAR(12)), SUM(6, 2), NEXT(PLAIN(LAYER_NORM)), NEXT(LINEAR(20)), NEXT(PLAIN(GELU)),
      NEXT(LINEAR(12)), SUM(11, 7), NEXT(PLAIN(LAYER_NORM)), NEXT(PLAIN(MEAN_TOKENS)), NEXT(LINEAR(3)),
      NEXT(PLAIN(CROSS_ENTROPY))}},
    {"pre-norm, CLS, depth 2",
     {8, 8, 2, 3},
     {IMAGE(8, 8, 2),
      NEXT(PATCHES(12, 4)),
      NEXT(PLAIN(CLS_TOKEN)),
      NEXT(PLAIN(LAYER_NORM)),
      NEXT(LINEAR(36)),
      NEXT(HEADS(2, 0.2)),
      NEXT(LINEAR(12)),
      NEXT(DROPOUT(0.2)),
      SUM(7, 2),
      NEXT(PLAIN(LAYER_NORM)),
      NEXT(LINEAR(18)),
      NEXT(PLAIN(GELU)),
      NEXT(LINEAR(12)),
      SUM(12, 8),
      NEXT(PLAIN(LAYER_NORM)),
      NEXT(LINEAR(36)),
      NEXT(HEADS(2, 0.2)),
      NEXT(LINEAR(12)),
      SUM(17, 13),
      NEXT(PLAIN(LAYER_NORM)),
      NEXT(PLAIN(SELECT_CLS)),
      NEXT(LINEAR(3)),
      NEXT(PLAIN(CROSS_ENTROPY))}},
    {"sums in odd places",
     {8, 8, 1, 3},
     {IMAGE(8, 8, 1), NEXT(PATCHES(12, 4)), NEXT(LINEAR(12)), NEXT(PLAIN(GELU)), SUM(3, 1), NEXT(LINEAR(12)), SUM(5, 4),
      NEXT(PLAIN(LAYER_NORM)), NEXT(LINEAR(12)), SUM(8, 6), NEXT(PLAIN(MEAN_TOKENS)), NEXT(LINEAR(3)),
      NEXT(PLAIN(CROSS_ENTROPY))}},
    {"tokens of linear layers",
     {8, 8, 1, 3},
     {IMAGE(8, 8, 1), NEXT(PATCHES(12, 4)), NEXT(LINEAR(7)), NEXT(PLAIN(GELU)), NEXT(DROPOUT(0.3)), NEXT(LINEAR(12)),
      NEXT(LINEAR(12)), SUM(6, 5), NEXT(PLAIN(MEAN_TOKENS)), NEXT(LINEAR(12)), NEXT(PLAIN(RELU)), NEXT(DROPOUT(0.3)),
      NEXT(LINEAR(3)), NEXT(PLAIN(CROSS_ENTROPY))}},
    {"tokens of a map",
     {8, 8, 2, 3},
     {IMAGE(8, 8, 2), NEXT(CONV(12, 3, 2, 1)), NEXT(PLAIN(RELU)), NEXT(PLAIN(TOKENS)), NEXT(PLAIN(CLS_TOKEN)),
      NEXT(PLAIN(POSITIONS)), NEXT(LINEAR(36)), NEXT(HEADS(2, 0)), NEXT(LINEAR(12)), SUM(8, 5), NEXT(PLAIN(LAYER_NORM)),
      NEXT(PLAIN(SELECT_CLS)), NEXT(LINEAR(3)), NEXT(PLAIN(CROSS_ENTROPY))}},
    {"linear layers alone",
     {8, 8, 1, 3},
     {IMAGE(8, 8, 1), NEXT(PLAIN(FLATTEN)), NEXT(LINEAR(6)), NEXT(PLAIN(RELU)), NEXT(LINEAR(3)),
      NEXT(PLAIN(CROSS_ENTROPY))}},
};
enum { NETS = sizeof nets / sizeof *nets };

// ---- Edits

// Layers that are put in, one behind the other.
struct odd {
    struct shk_layer layers[3];
};
static const struct odd odd[] = {
    {{CONV(5, 3, 1, 1)}},
    {{CONV(4, 1, 1, 0)}},
    {{CONV(4, 3, 2, 1)}},
    {{CONV(3, 5, 1, 2)}},
    {{POOL(2, 2)}},
    {{POOL(3, 1)}},
    {{POOL(3, 2)}},
    {{PLAIN(FLATTEN)}},
    {{PLAIN(TOKENS)}},
    {{PATCHES(12, 2)}},
    {{PLAIN(CLS_TOKEN)}},
    {{PLAIN(POSITIONS)}},
    {{{.kind = SHK_FIXED_POSITIONS, .grid = {2, 2}}}},
    {{LINEAR(12)}},
    {{LINEAR(3)}},
    {{LINEAR(17)}},
    {{PLAIN(RELU)}},
    {{PLAIN(GELU)}},
    {{DROPOUT(0.3)}},
    {{{.kind = SHK_DROP_PATH, .dropout = {0.4}}}},
    {{PLAIN(LAYER_NORM)}},
    {{BATCH_NORM}},
    {{HEADS(1, 0.3)}},
    {{HEADS(2, 0)}},
    {{PLAIN(SELECT_CLS)}},
    {{PLAIN(MEAN_TOKENS)}},
    {{PLAIN(SEQ_POOL)}},
    {{PLAIN(CROSS_ENTROPY)}},
    {{{.kind = SHK_INPUT, .out = {8, 8, 1, true}}}},
    {{CONV(5, 3, 1, 1), PLAIN(RELU), POOL(2, 2)}},
    {{CONV(5, 3, 1, 1), BATCH_NORM, PLAIN(RELU)}},
    {{LINEAR(6), BATCH_NORM, PLAIN(RELU)}},
    {{LINEAR(6), PLAIN(RELU)}},
    {{LINEAR(128), PLAIN(RELU)}},
    {{LINEAR(12), PLAIN(RELU), DROPOUT(0.3)}},
    {{LINEAR(12), PLAIN(GELU)}},
    {{LINEAR(12), DROPOUT(0.3)}},
    {{LINEAR(36), HEADS(2, 0.3), LINEAR(12)}},
    {{PLAIN(LAYER_NORM), PLAIN(SELECT_CLS)}},
};
enum { ODD = sizeof odd / sizeof *odd };

// What is done behind a node n with odd layers X.
enum edit {
    BETWEEN,    // all that read n read X(n)
    ON_THE_WAY, // the next node alone does
    READ_BY_NONE,
    BESIDE,        // X(n) + n
    JOINED,        // the channels of both
    TWO_BESIDE,    // X(n) + X'(n)
    DOUBLED,       // X(n) + X(n), the same
    LINEAR_BESIDE, // X(n) + linear(n)
    FROM_AFAR,     // X(n) + the last value before n that is as large
    LATER,         // X(n) + the next node, where X comes behind it
    BEFORE_RELU,   // relu(X(n)), and likewise
    BEFORE_GELU,
    BEFORE_DROPOUT,
    BEFORE_LINEAR,
    BEFORE_NORM,
    EDITS,
    REMOVED = EDITS, // n is left out
};

static int find_equal(const struct shk_graph *g, int before, struct shk_extent e) {
    for (int i = before; i-- > 0;) {
        const struct shk_extent o = g->layers[i].out;
        if (o.h == e.h && o.w == e.w && o.c == e.c && o.map == e.map) return i;
    }
    return -1;
}

static int behind(struct builder *b, enum edit edit, int x) {
    static const struct shk_layer layers[] = {PLAIN(RELU), PLAIN(GELU), DROPOUT(0.3), LINEAR(12), PLAIN(LAYER_NORM)};
    return add(b, layers[edit - BEFORE_RELU], x, -1, "behind");
}

static int join(struct builder *b, int x, int y) { return add(b, (struct shk_layer)PLAIN(CONCAT), x, y, "joined"); }
static int add_sum(struct builder *b, int x, int y) { return add(b, (struct shk_layer)PLAIN(ADD), x, y, "sum"); }

static int add_odd(struct builder *b, const struct odd *x, int n) {
    int at = add(b, x->layers[0], n, n, "odd");
    for (int i = 1; i < 3 && x->layers[i].kind != SHK_INPUT; i++) at = add(b, x->layers[i], at, at, "odd");
    return at;
}

// What is read instead of node n.
static int edit_behind(struct builder *b, enum edit edit, const struct odd *layers, int n) {
    const struct shk_graph *g = &b->m->graph;
    const int x = add_odd(b, layers, n);
    if (b->failed) return 0;
    switch (edit) {
    case READ_BY_NONE:
        return n;
    case BESIDE:
        return add_sum(b, x, n);
    case JOINED:
        return join(b, x, n);
    case TWO_BESIDE:
        return add_sum(b, x, add_odd(b, layers, n));
    case LINEAR_BESIDE:
        return add_sum(b, x, add(b, (struct shk_layer)LINEAR(g->layers[x].out.c), n, -1, "odd"));
    case DOUBLED:
        return add_sum(b, x, x);
    case FROM_AFAR: {
        const int other = find_equal(g, n, g->layers[x].out);
        return other < 0 ? x : add_sum(b, other, x);
    }
    case BEFORE_RELU:
    case BEFORE_GELU:
    case BEFORE_DROPOUT:
    case BEFORE_LINEAR:
    case BEFORE_NORM:
        return behind(b, edit, x);
    default:
        return x;
    }
}

static int nodes_of(const struct net *net) {
    int n = 1;
    while (n < MOST && net->nodes[n].layer.kind != SHK_INPUT) n++;
    return n;
}

// A net with an edit behind node `place`.
static struct builder edited(const struct net *net, enum edit edit, const struct odd *layers, int place) {
    struct builder b = builder_of(net->shape);
    int at[MOST], way = -1; // where each node is, for those who read it; way: for the next one
    for (int i = 0; i < nodes_of(net); i++) {
        const int first = net->nodes[i].in[0], second = net->nodes[i].in[1];
        const int reads = first || second || i == 0 ? first : i - 1;
        if (edit == REMOVED && i == place) {
            at[i] = at[reads];
            continue;
        }
        at[i] = add(&b, net->nodes[i].layer, reads == place && way >= 0 ? way : at[reads], at[second], "n");
        way = -1;
        if (edit == LATER && i == place + 1) at[i] = add_sum(&b, at[i], add_odd(&b, layers, at[place]));
        if (i != place || edit == REMOVED || edit == LATER) continue;
        if (edit == ON_THE_WAY)
            way = edit_behind(&b, edit, layers, at[i]);
        else
            at[i] = edit_behind(&b, edit, layers, at[i]);
    }
    return b;
}

// ---- Refused

static bool names_a_layer(const struct builder *b) {
    const struct shk_graph *g = &b->m->graph;
    for (unsigned i = 0; i < g->count; i++)
        if (strstr(b->err.text, g->layers[i].name)) return true;
    return strstr(b->err.text, b->last);
}

// One sentence of ours, which names a layer.
static bool check_sentence(const struct builder *b, const char *label) {
    const char *text = b->err.text;
    const size_t n = strlen(text);
    const bool sentence = n > 10 && n + 1 < sizeof b->err.text && strncmp(text, "the model", 9) == 0 &&
                          !strchr(text, '\n') && text[n - 1] != '.' && b->err.code == SHK_BAD_INPUT;
    if (!sentence || !names_a_layer(b)) print_error("%s: '%s' is no sentence that names a layer\n", label, text);
    return sentence && names_a_layer(b);
}

// ---- Computed

enum { SAMPLES = 3, MOST_CLASSES = 8 };
static const uint64_t seed = 99;
static const double bound = 1e-5, gradient_bound = 1e-4; // a norm of rows that hardly vary multiplies errors
static const double h = 1e-6;                            // of the differences

struct problem {
    const struct shk_model *model;
    struct shk_dataset *data;
    const float *images[SAMPLES];
    uint32_t labels[SAMPLES], ids[SAMPLES];
    double *weights[SHK_MAX_PARAMS], *directions[SHK_MAX_PARAMS];
    double loss, losses[SAMPLES], logits[SAMPLES * MOST_CLASSES]; // loss: of training, else of evaluation
    double slopes[SHK_MAX_PARAMS], kinks[SHK_MAX_PARAMS];
};

static double noise(uint32_t *state) { // -1 .. 1
    *state = *state * 1664525 + 1013904223;
    return (double)(*state >> 8) * 0x1p-23 - 1;
}

static void read_weights(const struct shk_model *m, double *const *weights) {
    for (unsigned t = 0; t < m->param_count; t++) {
        float *values = malloc(m->params[t].size * sizeof *values);
        shk_model_get_tensor(m, t, values);
        for (size_t i = 0; i < m->params[t].size; i++) weights[t][i] = (double)values[i];
        free(values);
    }
}

static void make_data(struct problem *p) {
    const struct shk_shape *s = &p->model->shape;
    enum { MOST_FLOATS = 512 };
    static float images[2 * SAMPLES * MOST_FLOATS];
    uint32_t labels[2 * SAMPLES], state = 5;
    const size_t pixels = s->height * s->width * s->channels;
    assert_true(pixels <= MOST_FLOATS && s->classes <= MOST_CLASSES);
    for (size_t i = 0; i < 2 * SAMPLES * pixels; i++) images[i] = (float)noise(&state);
    for (size_t i = 0; i < 2 * SAMPLES; i++) labels[i] = (uint32_t)(i % s->classes);
    p->data = shk_dataset_copy(images, labels, 2 * SAMPLES, s, NULL);
    assert_non_null(p->data);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        p->ids[i] = 2 * SAMPLES - 1 - i;
        p->labels[i] = labels[p->ids[i]];
        p->images[i] = shk_dataset_image(p->data, p->ids[i]);
    }
}

static double reference(struct problem *p, bool training, uint32_t epoch, double *logits, double *losses) {
    const struct reference_batch batch = {SAMPLES, p->images, p->labels, p->ids, training, seed, epoch};
    return reference_loss(p->model, p->weights, &batch, logits, losses);
}

static void move(struct problem *p, unsigned tensor, double by) {
    for (size_t i = 0; i < p->model->params[tensor].size; i++) p->weights[tensor][i] += by * p->directions[tensor][i];
}

// Along a direction of each tensor.
static void differentiate(struct problem *p, unsigned tensor) {
    move(p, tensor, h);
    const double above = reference(p, true, 1, NULL, NULL);
    move(p, tensor, -2 * h);
    const double below = reference(p, true, 1, NULL, NULL);
    move(p, tensor, h);
    p->slopes[tensor] = (above - below) / (2 * h);
    p->kinks[tensor] = fabs(above - 2 * p->loss + below) / h;
}

static void open_problem(struct problem *p, const struct shk_model *m) {
    uint32_t state = 17;
    *p = (struct problem){.model = m};
    make_data(p);
    for (unsigned t = 0; t < m->param_count; t++) {
        p->weights[t] = malloc(m->params[t].size * sizeof(double));
        p->directions[t] = malloc(m->params[t].size * sizeof(double));
        for (size_t i = 0; i < m->params[t].size; i++) p->directions[t][i] = noise(&state);
    }
    read_weights(m, p->weights);
    reference(p, false, 1, p->logits, p->losses);
    p->loss = reference(p, true, 1, NULL, NULL);
    for (unsigned t = 0; t < m->param_count; t++)
        if (!m->params[t].running) differentiate(p, t);
}

static void close_problem(struct problem *p) {
    for (unsigned t = 0; t < p->model->param_count; t++) {
        free(p->weights[t]);
        free(p->directions[t]);
    }
    shk_dataset_free(p->data);
}

struct run {
    struct shk_engine engine;
    struct shk_batch batch;
    float loss[SAMPLES];
    uint32_t predicted[SAMPLES];
};

static void run_alone(const struct shk_team *team, shk_worker work, void *arg) {
    (void)team;
    work(arg, 0, 1);
}

static void open_run(struct run *r, struct problem *p, struct shk_model *m, const struct shk_kernels *k,
                     bool training) {
    const struct shk_runtime runtime = {.kernels = k, .team = {.workers = 1, .run = run_alone}};
    *r = (struct run){.batch = {.data = p->data, .ids = p->ids, .n = SAMPLES, .epoch = 1}};
    assert_true(shk_engine_init(&r->engine, m, &runtime, SAMPLES, 2, training, NULL));
    r->engine.options.lr = 0.01;
    assert_true(shk_train_options_complete(&r->engine.options, NULL));
    r->engine.seed = seed;
    r->batch.loss = r->loss;
    r->batch.predicted = r->predicted;
}

static double worse(double worst, double error) { return isnan(error) || error > worst ? error : worst; }

static double loss_error(const struct run *r, double want) {
    double got = 0;
    for (size_t i = 0; i < SAMPLES; i++) got += (double)r->loss[i] / SAMPLES;
    return fabs(got - want) / fmax(1, want);
}

// The last sample's, since a slice's logits do not outlive it.
static double logit_error(const struct run *r, const struct problem *p) {
    const struct shk_view *v = &r->engine.plan->logits;
    const size_t classes = p->model->shape.classes, per_sample = r->engine.plan->buffers[v->buffer].per_sample;
    const float *got = r->engine.workspaces + r->engine.plan->buffers[v->buffer].offset + v->offset;
    double worst = 0, largest = 1;
    for (size_t i = 0; i < SAMPLES * classes; i++) {
        const double want = p->logits[i];
        worst = worse(worst, fabs((double)got[i / classes * per_sample + i % classes] - want));
        largest = fmax(largest, fabs(want));
    }
    return worst / largest;
}

// What is added to all values before a batch normalisation has no gradient, only rounding errors of what cancels out.
static bool normalises(const struct shk_model *m) {
    for (unsigned i = 0; i < m->graph.count; i++)
        if (m->graph.layers[i].kind == SHK_BATCH_NORM) return true;
    return false;
}

// After the first step m = (1 - beta1) * gradient.
static double gradient_error(const struct run *r, const struct problem *p, const char **name) {
    const double share = normalises(p->model) ? 5e-2 : 1e-2;
    double worst = 0, all = 0;
    for (size_t i = 0; i < p->model->weight_floats; i++) all = worse(all, fabs((double)r->engine.m[i]) * 10);
    for (unsigned t = 0; t < p->model->param_count; t++) {
        const struct shk_param *param = &p->model->params[t];
        double norm = 0, slope = 0;
        for (size_t i = 0; i < param->size; i++) {
            const double g = (double)r->engine.m[shk_param_position(param, i)] / (double)(float)(1 - 0.9);
            norm += g * g;
            slope += g * p->directions[t][i];
        }
        const double unit = sqrt(norm) + share * all + 1e-6;
        if (param->running || p->kinks[t] > bound * unit) continue;
        const double error = fabs(slope - p->slopes[t]) / unit;
        if (!(error <= worst)) *name = param->name;
        worst = worse(worst, error);
    }
    return worst;
}

struct errors {
    double logits, evaluation, training, next, gradients;
    const char *name;
};

static struct shk_model *copy_of(const struct shk_model *m) {
    struct shk_model *copy = shk_alloc(1, sizeof *copy, "a model", NULL);
    *copy = *m;
    assert_true(shk_model_allocate(copy, NULL));
    memcpy(copy->weights, m->weights, m->weight_floats * sizeof(float));
    memcpy(copy->derived, m->derived, m->derived_floats * sizeof(float));
    return copy;
}

static struct errors errors_of(struct problem *p, const struct shk_kernels *k) {
    struct errors e = {.name = ""};
    struct run r;
    struct shk_model *m = copy_of(p->model);
    open_run(&r, p, m, k, false);
    shk_forward(&r.engine, &r.batch, 0, 1);
    e.logits = logit_error(&r, p);
    for (size_t i = 0; i < SAMPLES; i++)
        e.evaluation = worse(e.evaluation, fabs((double)r.loss[i] - p->losses[i]) / fmax(1, p->losses[i]));
    shk_engine_free(&r.engine);
    open_run(&r, p, m, k, true);
    assert_int_equal(shk_train_step(&r.engine, &r.batch, 0, 1), SHK_STEP_DONE);
    e.training = loss_error(&r, p->loss);
    e.gradients = gradient_error(&r, p, &e.name);
    struct problem after = *p; // after the step
    read_weights(m, after.weights);
    r.batch.epoch = 2;
    assert_int_equal(shk_train_step(&r.engine, &r.batch, 0, 1), SHK_STEP_DONE);
    e.next = loss_error(&r, reference(&after, true, 2, NULL, NULL));
    read_weights(p->model, p->weights);
    shk_engine_free(&r.engine);
    shk_model_free(m);
    return e;
}

static bool check_isa(struct problem *p, const struct shk_kernels *k, const char *label) {
    const struct errors e = errors_of(p, k);
    const bool good = e.logits < bound && e.evaluation < bound && e.training < bound && e.next < 10 * bound &&
                      e.gradients < gradient_bound;
    if (!good)
        print_error("%s, %s: logits %.1e, losses %.1e, training %.1e, next step %.1e, gradients %.1e (%s)\n", label,
                    k->isa, e.logits, e.evaluation, e.training, e.next, e.gradients, e.name);
    return good;
}

static bool check_computed(const struct shk_model *m, const char *label) {
    struct problem p;
    open_problem(&p, m);
    const struct shk_kernels *k;
    bool good = true;
    for (size_t isa = 0; good && (k = shk_kernels_at(isa)); isa++) good = check_isa(&p, k, label);
    close_problem(&p);
    return good;
}

// ---- All of them

struct counts {
    unsigned computed, refused, bad;
};

// Of those that can be computed, every tenth is; with SHK_TEST_WHOLE all of them.
static void check(struct builder *b, struct counts *counts, const char *label) {
    const struct shk_model *m = finish(b);
    const bool left_out = m && counts->computed % 10 && !getenv("SHK_TEST_WHOLE");
    if (!left_out && !(m ? check_computed(m, label) : check_sentence(b, label))) counts->bad++;
    *(m ? &counts->computed : &counts->refused) += 1;
    shk_model_free(b->m);
}

static void check_net(const struct net *net, struct counts *counts) {
    char label[128];
    const int nodes = nodes_of(net);
    for (int place = 0; place < nodes; place++) {
        struct builder b;
        if (place > 0) {
            b = edited(net, REMOVED, NULL, place);
            snprintf(label, sizeof label, "%s without node %d", net->name, place);
            check(&b, counts, label);
        }
        for (int edit = 0; edit < EDITS; edit++) {
            for (size_t i = 0; i < ODD; i++) {
                b = edited(net, (enum edit)edit, &odd[i], place);
                snprintf(label, sizeof label, "%s, behind node %d edit %d of %zu (%s)", net->name, place, edit, i,
                         shk_layer_name(odd[i].layers[0].kind));
                check(&b, counts, label);
            }
        }
    }
}

static void test_net(void **state) {
    const struct net *net = *state;
    struct counts counts = {0, 0, 0};
    struct builder b = edited(net, REMOVED, NULL, -1);
    check(&b, &counts, net->name);
    check_net(net, &counts);
    printf("%-26s %5u graphs can be computed, %5u are refused\n", net->name, counts.computed, counts.refused);
    assert_int_equal(counts.bad, 0);
}

// ---- What no edit makes

static void refused(struct builder *b, const char *says) {
    assert_null(finish(b));
    assert_true(check_sentence(b, says));
    if (!strstr(b->err.text, says)) fail_msg("'%s' does not say '%s'", b->err.text, says);
    shk_model_free(b->m);
}

static const struct shk_shape square = {8, 8, 1, 3};

static struct builder begun(void) {
    struct builder b = builder_of(square);
    add(&b, (struct shk_layer){.kind = SHK_INPUT, .out = {8, 8, 1, true}}, -1, -1, "n");
    return b;
}

static void test_attributes(void **state) {
    (void)state;
    static const struct shk_layer bad[] = {CONV(0, 3, 1, 1), CONV(4, 0, 1, 1),  CONV(4, 3, 0, 1), CONV(4, 9, 1, 0),
                                           POOL(0, 2),       POOL(2, 0),        POOL(9, 1),       PATCHES(0, 4),
                                           PATCHES(12, 0),   PATCHES(12, 3),    PATCHES(12, 9),   DROPOUT(-0.1),
                                           DROPOUT(1),       DROPOUT(0.999999), DROPOUT(NAN),     DROPOUT(INFINITY)};
    static const struct shk_layer bad_of_rows[] = {LINEAR(0), HEADS(0, 0), HEADS(5, 0), HEADS(1, 1), HEADS(1, NAN)};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct builder b = begun();
        add(&b, bad[i], 0, -1, "bad");
        refused(&b, "bad1");
    }
    for (size_t i = 0; i < sizeof bad_of_rows / sizeof *bad_of_rows; i++) {
        struct builder b = begun();
        add(&b, (struct shk_layer)PATCHES(12, 4), 0, -1, "n");
        add(&b, bad_of_rows[i], 1, -1, "bad");
        refused(&b, "bad2");
    }
}

static struct builder headed(struct builder b, int at) {
    at = add(&b, (struct shk_layer)PLAIN(MEAN_TOKENS), at, -1, "n");
    at = add(&b, (struct shk_layer)LINEAR(3), at, -1, "n");
    add(&b, (struct shk_layer)PLAIN(CROSS_ENTROPY), at, -1, "n");
    return b;
}

static void test_shared_weights(void **state) {
    (void)state;
    struct builder b = begun();
    int at = add(&b, (struct shk_layer)PATCHES(12, 4), 0, -1, "n");
    at = add(&b, (struct shk_layer)LINEAR(12), at, -1, "n");
    at = add(&b, (struct shk_layer)LINEAR(12), at, -1, "twin");
    struct shk_graph *g = &b.m->graph;
    memcpy(g->layers[at].params, g->layers[at - 1].params, sizeof g->layers[at].params);
    b = headed(b, at);
    refused(&b, "twin3.linear");
}

static void test_missing_weights(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct builder b = begun();
        int at = add(&b, (struct shk_layer)PATCHES(12, 4), 0, -1, "n");
        at = add(&b, (struct shk_layer)LINEAR(12), at, -1, "bare");
        b.m->graph.layers[at].params[k] = -1;
        b = headed(b, at);
        refused(&b, "bare2.linear");
    }
}

static void test_many(void **state) {
    (void)state;
    for (int layers = SHK_MAX_OPS; layers <= SHK_MAX_LAYERS; layers += SHK_MAX_LAYERS - SHK_MAX_OPS) {
        struct builder b = begun();
        int at = add(&b, (struct shk_layer)PATCHES(12, 4), 0, -1, "n");
        for (int i = 0; i < layers; i++) at = add(&b, (struct shk_layer)PLAIN(MEAN_TOKENS), at, -1, "n");
        b = headed(b, at);
        assert_null(finish(&b));
        assert_non_null(strstr(b.err.text, "the model"));
        assert_non_null(strstr(b.err.text, "more than"));
        shk_model_free(b.m);
    }
}

static void test_ends(void **state) {
    (void)state;
    struct builder b = begun();
    refused(&b, "n0.input");
    b = begun();
    b.m->shape.width = 9;
    b = headed(b, add(&b, (struct shk_layer)PATCHES(12, 4), 0, -1, "n"));
    refused(&b, "n0.input");
    b = builder_of(square);
    add(&b, (struct shk_layer)PLAIN(RELU), 0, -1, "first");
    refused(&b, "first0");
}

int main(void) {
    enum { OTHERS = 5 };
    struct CMUnitTest tests[NETS + OTHERS] = {cmocka_unit_test(test_attributes), cmocka_unit_test(test_shared_weights),
                                              cmocka_unit_test(test_missing_weights), cmocka_unit_test(test_many),
                                              cmocka_unit_test(test_ends)};
    for (size_t i = 0; i < NETS; i++)
        tests[OTHERS + i] = (struct CMUnitTest){
            .name = nets[i].name, .test_func = test_net, .initial_state = (void *)(uintptr_t)&nets[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
