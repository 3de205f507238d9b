// SPDX-License-Identifier: MIT
// The reference computes layer after layer of a graph as the textbooks do, and keeps what each has made.
#include "reference.h"

#include "base/stream.h"
#include "kernels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// One sample on its way. The value of a layer is a map [channel][y][x] or a matrix [row][column].
struct state {
    const struct shk_model *model;
    const struct reference_batch *batch;
    double *const *weights;
    size_t sample;
    double *values[SHK_MAX_LAYERS];
};

// A layer, what it reads, and where its value goes.
struct node {
    const struct state *s;
    const struct shk_layer *l;
    struct shk_extent in;
    const double *x, *other; // other: the second input
    double *y;
};

static double *numbers(size_t n) {
    double *x = calloc(n, sizeof *x);
    if (x) return x;
    fputs("reference: out of memory\n", stderr);
    abort();
}

static size_t size_of(struct shk_extent e) { return e.h * e.w * e.c; }

static const double *param(const struct node *n, int i) { return n->s->weights[n->l->params[i]]; }

// Four sums at a time, which a compiler can keep in vectors.
static double dot(const double *a, const double *b, size_t n) {
    double sums[4] = {0};
    const size_t whole = n / 4 * 4;
    for (size_t i = 0; i < whole; i += 4)
        for (size_t j = 0; j < 4; j++) sums[j] += a[i + j] * b[i + j];
    for (size_t i = whole; i < n; i++) sums[i - whole] += a[i] * b[i];
    return sums[0] + sums[1] + (sums[2] + sums[3]);
}

// ---- Dropout: the draws as dropout.h numbers them ----

// 0 or 1/(1 - p) for element e of a layer that draws.
static double dropout_factor(const struct node *n, double p, size_t e) {
    const struct reference_batch *b = n->s->batch;
    const uint32_t threshold = b->training ? (uint32_t)lrint(p * 65536) : 0;
    if (threshold == 0) return 1;
    size_t j = e / 16 % 8;
    uint32_t block = (uint32_t)(e / 128 * 16 + e % 16), place = (uint32_t)SHK_PURPOSE_DROPOUT << 24 | n->l->draw;
    philox4x32_ctr_t counter = {{block, b->ids[n->s->sample], b->epoch, place}};
    philox4x32_key_t key = {{(uint32_t)b->seed, (uint32_t)(b->seed >> 32)}};
    uint32_t word = philox4x32_R(7, counter, key).v[j / 2], bits = j % 2 ? word >> 16 : word & 0xffff;
    return bits < threshold ? 0 : 65536.0 / (65536.0 - threshold);
}

// The map that a flattened value was, and whether it is an image; else what it is.
static struct shk_extent map_of(const struct node *n, bool *image) {
    const struct shk_graph *g = &n->s->model->graph;
    int i = n->l->in[0];
    while (g->layers[i].kind == SHK_SELECT_CLS || g->layers[i].kind == SHK_MEAN_TOKENS ||
           g->layers[i].kind == SHK_RELU || g->layers[i].kind == SHK_GELU || g->layers[i].kind == SHK_SILU ||
           g->layers[i].kind == SHK_DROPOUT || g->layers[i].kind == SHK_DROP_PATH)
        i = g->layers[i].in[0];
    *image = g->layers[i].kind == SHK_FLATTEN && g->layers[i].in[0] == 0;
    return g->layers[i].kind == SHK_FLATTEN ? g->layers[g->layers[i].in[0]].out : n->in;
}

// Elements are numbered row by row of columns that are padded to 16; a map's rows are its pixels, its columns channels, also where it
// is flattened. An image's channels are not padded.
static void dropout(const struct node *n) {
    bool image;
    const struct shk_extent map = map_of(n, &image);
    const size_t pixels = map.h * map.w, ld = image ? map.c : shk_round16(map.c);
    for (size_t i = 0; i < pixels * map.c; i++) {
        const size_t row = map.map ? i % pixels : i / map.c, column = map.map ? i / pixels : i % map.c;
        n->y[i] = n->x[i] * dropout_factor(n, n->l->dropout.p, row * ld + column);
    }
}

// A sample's draw is that of its first element.
static void drop_path(const struct node *n) {
    const double factor = dropout_factor(n, n->l->dropout.p, 0);
    for (size_t i = 0; i < size_of(n->in); i++) n->y[i] = factor * n->x[i];
}

// ---- Maps ----

// y += tap * x, where x begins at the pixel that the tap sees first.
static void add_tap(const struct node *n, double tap, const double *x, size_t row, double *y) {
    const size_t stride = n->l->conv.stride, h = n->l->out.h, w = n->l->out.w;
    for (size_t r = 0; r < h; r++, x += stride * row, y += w)
        for (size_t i = 0; i < w; i++) y[i] += tap * x[i * stride];
}

static void conv(const struct node *n) {
    const size_t k = n->l->conv.kernel, pad = n->l->conv.pad, h = n->in.h, w = n->in.w, c = n->in.c;
    const size_t row = w + 2 * pad, map = (h + 2 * pad) * row, out = n->l->out.h * n->l->out.w;
    double *padded = numbers(c * map);
    for (size_t i = 0; i < c * h; i++)
        memcpy(padded + i / h * map + (i % h + pad) * row + pad, n->x + i * w, w * sizeof *padded);
    const size_t groups = n->l->kind == SHK_CONV ? 1 : n->l->conv.groups, of = c / groups;
    for (size_t o = 0; o < n->l->out.c; o++) {
        double *y = n->y + o * out;
        const double *first = padded + o / (n->l->out.c / groups) * of * map;
        for (size_t i = 0; i < out; i++) y[i] = n->l->params[1] < 0 ? 0 : param(n, 1)[o];
        for (size_t i = 0; i < of; i++)
            for (size_t t = 0; t < k * k; t++)
                add_tap(n, param(n, 0)[(o * of + i) * k * k + t], first + i * map + t / k * row + t % k, row, y);
    }
    free(padded);
}

// Where y and x count from the padding's corner; NULL: beside the map.
static const double *pooled(const struct node *n, size_t c, size_t y, size_t x) {
    const size_t pad = n->l->pool.pad;
    if (y < pad || x < pad || y - pad >= n->in.h || x - pad >= n->in.w) return NULL;
    return n->x + (c * n->in.h + y - pad) * n->in.w + x - pad;
}

static void max_pool(const struct node *n) {
    const size_t window = n->l->pool.window, stride = n->l->pool.stride, h = n->l->out.h, w = n->l->out.w;
    for (size_t i = 0; i < size_of(n->l->out); i++) {
        n->y[i] = -INFINITY;
        for (size_t t = 0; t < window * window; t++) {
            const double *x = pooled(n, i / (h * w), i / w % h * stride + t / window, i % w * stride + t % window);
            if (x) n->y[i] = fmax(n->y[i], *x);
        }
    }
}

static void avg_pool(const struct node *n) {
    const size_t window = n->l->pool.window, stride = n->l->pool.stride, h = n->l->out.h, w = n->l->out.w;
    for (size_t i = 0; i < size_of(n->l->out); i++) {
        for (size_t t = 0; t < window * window; t++) {
            const double *x = pooled(n, i / (h * w), i / w % h * stride + t / window, i % w * stride + t % window);
            if (x) n->y[i] += *x / (double)(window * window);
        }
    }
}

// ---- Matrices ----

static void multiply(const struct node *n, const double *x, size_t rows, size_t in, size_t out, double *y) {
    const double *weight = param(n, 0), *bias = param(n, 1);
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < out; o++) y[r * out + o] = bias[o] + dot(x + r * in, weight + o * in, in);
}

static void linear(const struct node *n) { multiply(n, n->x, n->in.h, n->in.c, n->l->out.c, n->y); }

static void patch_embed(const struct node *n) {
    const size_t patch = n->l->patch_embed.patch, across = n->in.w / patch, patches = n->l->out.h;
    const size_t in = n->in.c * patch * patch;
    double *rows = numbers(patches * in);
    for (size_t i = 0; i < patches * in; i++) {
        const size_t p = i / in, c = i % in / (patch * patch), y = i / patch % patch, x = i % patch;
        rows[i] = n->x[(c * n->in.h + p / across * patch + y) * n->in.w + p % across * patch + x];
    }
    multiply(n, rows, patches, in, n->l->out.c, n->y);
    free(rows);
}

static void tokens(const struct node *n) {
    const size_t pixels = n->in.h * n->in.w, c = n->in.c;
    for (size_t i = 0; i < pixels * c; i++) n->y[i] = n->x[i % c * pixels + i / c];
}

static void cls_token(const struct node *n) {
    memcpy(n->y, param(n, 0), n->in.c * sizeof *n->y);
    memcpy(n->y + n->in.c, n->x, n->in.h * n->in.c * sizeof *n->y);
}

// Of a channel's values, in map or row, one after the other.
static double *channel_at(const struct node *n, double *x, size_t c) { return x + c * n->in.h * n->in.w; }

// The samples that are normalised together, first .. end - 1: all of them, or those of a block of at most 256, of a power of two
// of blocks.
struct together {
    size_t first, end;
};

static struct together together_with(const struct node *n) {
    const size_t samples = n->s->batch->n;
    size_t blocks = 1, block = 0;
    while (n->l->batch_norm.ghost && (samples + blocks - 1) / blocks > 256) blocks *= 2;
    while (samples * (block + 1) / blocks <= n->s->sample) block++;
    return (struct together){samples * block / blocks, samples * (block + 1) / blocks};
}

// A running statistic, or that of the samples that are normalised together.
static void moments_of(const struct node *n, size_t c, double *mean, double *variance) {
    const struct reference_batch *batch = n->s->batch;
    const size_t pixels = n->in.h * n->in.w;
    *mean = n->s->weights[n->l->running[0]][c];
    *variance = n->s->weights[n->l->running[1]][c];
    if (!batch->training) return;
    const struct state *all = n->s - n->s->sample;
    const struct together t = together_with(n);
    const double values = (double)((t.end - t.first) * pixels);
    double sum = 0, squares = 0;
    for (size_t i = t.first; i < t.end; i++)
        for (size_t k = 0; k < pixels; k++) sum += channel_at(n, all[i].values[n->l->in[0]], c)[k];
    *mean = sum / values;
    for (size_t i = t.first; i < t.end; i++)
        for (size_t k = 0; k < pixels; k++) squares += pow(channel_at(n, all[i].values[n->l->in[0]], c)[k] - *mean, 2);
    *variance = squares / values;
}

static void batch_norm(const struct node *n) {
    for (size_t c = 0; c < n->in.c; c++) {
        double mean, variance;
        moments_of(n, c, &mean, &variance);
        const double *x = channel_at(n, n->s->values[n->l->in[0]], c);
        double *y = channel_at(n, n->y, c);
        for (size_t k = 0; k < n->in.h * n->in.w; k++)
            y[k] = (x[k] - mean) / sqrt(variance + n->l->batch_norm.eps) * param(n, 0)[c] + param(n, 1)[c];
    }
}

static void layer_norm(const struct node *n) {
    const size_t cols = n->in.c;
    const double *gamma = param(n, 0), *beta = param(n, 1), *x = n->x;
    double *y = n->y;
    for (size_t r = 0; r < n->in.h; r++, x += cols, y += cols) {
        double mean = 0, var = 0;
        for (size_t c = 0; c < cols; c++) mean += x[c] / (double)cols;
        for (size_t c = 0; c < cols; c++) var += (x[c] - mean) * (x[c] - mean) / (double)cols;
        for (size_t c = 0; c < cols; c++) y[c] = (x[c] - mean) / sqrt(var + n->l->layer_norm.eps) * gamma[c] + beta[c];
    }
}

static void mean_tokens(const struct node *n) {
    const size_t rows = n->in.h * n->in.w;
    for (size_t i = 0; i < rows * n->in.c; i++) n->y[n->in.map ? i / rows : i % n->in.c] += n->x[i] / (double)rows;
}

// ---- Attention ----

static void softmax(double *x, size_t n) {
    double max = x[0], sum = 0;
    for (size_t i = 1; i < n; i++) max = fmax(max, x[i]);
    for (size_t i = 0; i < n; i++) sum += x[i] = exp(x[i] - max);
    for (size_t i = 0; i < n; i++) x[i] /= sum;
}

static void seq_pool(const struct node *n) {
    double *shares = numbers(n->in.h);
    multiply(n, n->x, n->in.h, n->in.c, 1, shares);
    softmax(shares, n->in.h);
    for (size_t i = 0; i < n->in.h * n->in.c; i++) n->y[i % n->in.c] += shares[i / n->in.c] * n->x[i];
    free(shares);
}

// Where the weight of a query and a token lies among those of its head (attention.h).
static size_t weight_place(size_t rows, size_t query, size_t token) {
    size_t first = query / SHK_ATTENTION_BLOCK * SHK_ATTENTION_BLOCK, left = rows - first;
    size_t columns = shk_round16(left < SHK_ATTENTION_BLOCK ? left : SHK_ATTENTION_BLOCK);
    return first * rows + token * columns + query - first;
}

// One row of one head: the input is [rows][q k v]; p is scratch [rows].
static void attend(const struct node *n, size_t head, size_t query, double *p) {
    const size_t rows = n->in.h, dim = n->in.c / 3, d = dim / n->l->attention.heads, first = head * d;
    const size_t head_elements = (rows * shk_round16(rows) + 127) / 128 * 128;
    double *out = n->y + query * dim + first;
    for (size_t t = 0; t < rows; t++)
        p[t] = dot(n->x + query * 3 * dim + first, n->x + (t * 3 + 1) * dim + first, d) / sqrt((double)d);
    softmax(p, rows);
    for (size_t t = 0; t < rows; t++) {
        p[t] *= dropout_factor(n, n->l->attention.dropout, head * head_elements + weight_place(rows, query, t));
        for (size_t c = 0; c < d; c++) out[c] += p[t] * n->x[(t * 3 + 2) * dim + first + c];
    }
}

static void attention(const struct node *n) {
    double *p = numbers(n->in.h);
    for (size_t h = 0; h < n->l->attention.heads; h++)
        for (size_t r = 0; r < n->in.h; r++) attend(n, h, r, p);
    free(p);
}

// ---- Any value ----

static void input(const struct node *n) {
    const struct shk_extent image = n->l->out;
    const size_t pixels = image.h * image.w;
    for (size_t i = 0; i < image.c * pixels; i++)
        n->y[i] = (double)n->s->batch->images[n->s->sample][i % pixels * image.c + i / pixels];
}

static void copy(const struct node *n) { memcpy(n->y, n->x, size_of(n->l->out) * sizeof *n->y); }

static void relu(const struct node *n) {
    for (size_t i = 0; i < size_of(n->in); i++) n->y[i] = fmax(n->x[i], 0);
}

static void gelu(const struct node *n) {
    for (size_t i = 0; i < size_of(n->in); i++) n->y[i] = n->x[i] * 0.5 * (1 + erf(n->x[i] * sqrt(0.5)));
}

static void silu(const struct node *n) {
    for (size_t i = 0; i < size_of(n->in); i++) n->y[i] = n->x[i] / (1 + exp(-n->x[i]));
}

static void hardswish(const struct node *n) {
    for (size_t i = 0; i < size_of(n->in); i++) n->y[i] = n->x[i] * fmin(fmax(n->x[i] + 3, 0), 6) / 6;
}

static void sigmoid(const struct node *n) {
    for (size_t i = 0; i < size_of(n->in); i++) n->y[i] = 1 / (1 + exp(-n->x[i]));
}

static void scale(const struct node *n) {
    for (size_t i = 0; i < size_of(n->in); i++) n->y[i] = n->x[i] * n->other[i / (n->in.h * n->in.w)];
}

static void concat(const struct node *n) {
    const size_t rows = n->in.map ? 1 : n->in.h, all = size_of(n->l->out) / rows, own = size_of(n->in) / rows;
    for (size_t r = 0; r < rows; r++) {
        memcpy(n->y + r * all, n->x + r * own, own * sizeof *n->y);
        memcpy(n->y + r * all + own, n->other + r * (all - own), (all - own) * sizeof *n->y);
    }
}

static void sum(const struct node *n, const double *other) {
    for (size_t i = 0; i < size_of(n->in); i++) n->y[i] = n->x[i] + other[i];
}

static void add(const struct node *n) { sum(n, n->other); }
static void positions(const struct node *n) { sum(n, param(n, 0)); }

// As He et al. (2022) have them: sines and cosines of the column, then of the row; what comes before the grid has none.
static void fixed_positions(const struct node *n) {
    const struct shk_grid *g = &n->l->grid;
    const size_t before = n->in.h - g->h * g->w, dim = n->in.c, quarter = dim / 4;
    copy(n);
    for (size_t e = before * dim; e < n->in.h * dim; e++) {
        const size_t token = e / dim - before, part = e % dim / quarter, i = e % quarter;
        const double at = (double)(part < 2 ? token % g->w : token / g->w);
        const double angle = at * pow(10000, -(double)i / (double)quarter);
        n->y[e] += part % 2 ? cos(angle) : sin(angle);
    }
}

// The loss, in the first number of the value.
static void cross_entropy(const struct node *n) {
    const size_t classes = n->in.c;
    double max = n->x[0], total = 0;
    for (size_t i = 1; i < classes; i++) max = fmax(max, n->x[i]);
    for (size_t i = 0; i < classes; i++) total += exp(n->x[i] - max);
    n->y[0] = log(total) - (n->x[n->s->batch->labels[n->s->sample]] - max);
}

static void (*const compute[SHK_LAYER_KINDS])(const struct node *) = {
    [SHK_INPUT] = input,
    [SHK_CONV] = conv,
    [SHK_GROUPED_CONV] = conv,
    [SHK_MAX_POOL] = max_pool,
    [SHK_AVG_POOL] = avg_pool,
    [SHK_FLATTEN] = copy, // PyTorch's features are (channel, y, x)
    [SHK_PATCH_EMBED] = patch_embed,
    [SHK_TOKENS] = tokens,
    [SHK_CLS_TOKEN] = cls_token,
    [SHK_POSITIONS] = positions,
    [SHK_FIXED_POSITIONS] = fixed_positions,
    [SHK_LINEAR] = linear,
    [SHK_RELU] = relu,
    [SHK_GELU] = gelu,
    [SHK_SILU] = silu,
    [SHK_HARDSWISH] = hardswish,
    [SHK_SIGMOID] = sigmoid,
    [SHK_SCALE] = scale,
    [SHK_CONCAT] = concat,
    [SHK_DROPOUT] = dropout,
    [SHK_DROP_PATH] = drop_path,
    [SHK_ADD] = add,
    [SHK_BATCH_NORM] = batch_norm,
    [SHK_LAYER_NORM] = layer_norm,
    [SHK_ATTENTION] = attention,
    [SHK_SELECT_CLS] = copy, // of row 0
    [SHK_MEAN_TOKENS] = mean_tokens,
    [SHK_SEQ_POOL] = seq_pool,
    [SHK_CROSS_ENTROPY] = cross_entropy,
};

// ---- The whole model ----

static const double *value_of(const struct state *s, int layer) { return layer < 0 ? NULL : s->values[layer]; }

// Layer by layer, of all samples: some layers look at all of them.
static void run_layer(struct state *s, unsigned i) {
    const struct shk_graph *g = &s->model->graph;
    const struct shk_layer *l = &g->layers[i];
    const struct node n = {s,
                           l,
                           l->in[0] < 0 ? l->out : g->layers[l->in[0]].out,
                           value_of(s, l->in[0]),
                           value_of(s, l->in[1]),
                           s->values[i] = numbers(size_of(l->out))};
    compute[l->kind](&n);
}

static struct state *run_all(const struct shk_model *model, double *const *weights,
                             const struct reference_batch *batch) {
    struct state *all = calloc(batch->n, sizeof *all);
    for (size_t i = 0; i < batch->n; i++)
        all[i] = (struct state){.model = model, .batch = batch, .weights = weights, .sample = i};
    for (unsigned l = 0; l < model->graph.count; l++)
        for (size_t i = 0; i < batch->n; i++) run_layer(&all[i], l);
    return all;
}

double reference_loss(const struct shk_model *model, double *const *weights, const struct reference_batch *batch,
                      double *logits, double *losses) {
    const struct shk_graph *g = &model->graph;
    const unsigned last = g->count - 1;
    const size_t classes = model->shape.classes;
    double total = 0;
    struct state *all = run_all(model, weights, batch);
    for (size_t i = 0; i < batch->n; i++) {
        struct state *s = &all[i];
        const double loss = s->values[last][0];
        if (logits) memcpy(logits + i * classes, s->values[g->layers[last].in[0]], classes * sizeof *logits);
        if (losses) losses[i] = loss;
        total += loss / (double)batch->n;
        for (unsigned l = 0; l <= last; l++) free(s->values[l]);
    }
    free(all);
    return total;
}
