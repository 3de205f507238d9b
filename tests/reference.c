// SPDX-License-Identifier: MIT
#include "reference.h"

#include "base/stream.h"
#include "kernels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What one sample has become after some layers: a map [channel][y][x], or a matrix [rows][cols].
struct state {
    const struct shk_model *model;
    const struct reference_batch *batch;
    double *const *weights;
    const struct shk_layer *layer, *last_attention; // last_attention: of a net that reads CLS alone, else NULL
    size_t sample;
    size_t c, h, w, rows, cols;
    double *x, *residual;
    uint32_t site; // number of the plan's op that the layer is a part of, from 1; it keys dropout
};

static double *numbers(size_t n) {
    double *x = calloc(n, sizeof *x);
    if (x) return x;
    fputs("reference: out of memory\n", stderr);
    abort();
}

static void becomes(struct state *s, double *x, size_t rows, size_t cols) {
    free(s->x);
    s->x = x;
    s->rows = rows;
    s->cols = cols;
}

static const double *param(const struct state *s, int i) { return s->weights[s->layer->params[i]]; }

static double dot(const double *a, const double *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

// ---- Dropout: the draws as kernels.h numbers them ----

static uint32_t threshold_of(const struct state *s, double p) {
    return s->batch->training ? (uint32_t)lrint(p * 65536) : 0;
}

// 0 or 1/(1 - p) for element e of the current site.
static double dropout_factor(const struct state *s, uint32_t threshold, size_t e) {
    if (threshold == 0) return 1;
    size_t j = e / 16 % 8;
    uint32_t block = (uint32_t)(e / 128 * 16 + e % 16), place = (uint32_t)SHK_PURPOSE_DROPOUT << 24 | s->site;
    philox4x32_ctr_t counter = {{block, s->batch->ids[s->sample], s->batch->epoch, place}};
    philox4x32_key_t key = {{(uint32_t)s->batch->seed, (uint32_t)(s->batch->seed >> 32)}};
    uint32_t word = philox4x32_R(7, counter, key).v[j / 2], bits = j % 2 ? word >> 16 : word & 0xffff;
    return bits < threshold ? 0 : 65536.0 / (65536.0 - threshold);
}

static void dropout(struct state *s) {
    uint32_t threshold = threshold_of(s, s->layer->dropout);
    size_t ld = shk_round16(s->cols);
    for (size_t r = 0; r < s->rows; r++)
        for (size_t c = 0; c < s->cols; c++) s->x[r * s->cols + c] *= dropout_factor(s, threshold, r * ld + c);
}

// ---- Convolution ----

static void conv2d(struct state *s) {
    size_t c = s->c, h = s->h, w = s->w, out = s->layer->a;
    const double *weight = param(s, 0), *bias = param(s, 1);
    double *padded = numbers(c * (h + 2) * (w + 2)), *y = numbers(out * h * w);
    for (size_t i = 0; i < c * h; i++)
        memcpy(padded + (i / h * (h + 2) + i % h + 1) * (w + 2) + 1, s->x + i * w, w * sizeof *y);
    for (size_t o = 0; o < out; o++) {
        double *map = y + o * h * w;
        for (size_t i = 0; i < h * w; i++) map[i] = bias[o];
        for (size_t i = 0; i < c; i++)
            for (size_t t = 0; t < 9; t++) {
                double tap = weight[(o * c + i) * 9 + t];
                for (size_t r = 0; r < h; r++) {
                    const double *in = padded + (i * (h + 2) + r + t / 3) * (w + 2) + t % 3;
                    for (size_t x = 0; x < w; x++) map[r * w + x] += tap * in[x];
                }
            }
    }
    free(padded);
    s->c = out;
    becomes(s, y, out, h * w);
}

static void max_pool(struct state *s) {
    size_t h = s->h / 2, w = s->w / 2;
    double *y = numbers(s->c * h * w);
    for (size_t i = 0; i < s->c * h * w; i++) {
        const double *at = s->x + (i / (h * w) * s->h + i / w % h * 2) * s->w + i % w * 2;
        y[i] = fmax(fmax(at[0], at[1]), fmax(at[s->w], at[s->w + 1]));
    }
    s->h = h;
    s->w = w;
    becomes(s, y, s->c, h * w);
}

// ---- Token matrices ----

static double *matmul(const struct state *s, const double *x, size_t in, size_t out, const double *weight,
                      const double *bias) {
    double *y = numbers(s->rows * out);
    for (size_t r = 0; r < s->rows; r++)
        for (size_t o = 0; o < out; o++) y[r * out + o] = bias[o] + dot(x + r * in, weight + o * in, in);
    return y;
}

static void linear(struct state *s) {
    s->site++;
    becomes(s, matmul(s, s->x, s->cols, s->layer->a, param(s, 0), param(s, 1)), s->rows, s->layer->a);
}

static void patch_embed(struct state *s) {
    size_t dim = s->layer->a, patch = s->layer->b, across = s->w / patch, patches = s->h / patch * across;
    size_t in = s->c * patch * patch;
    double *rows = numbers(patches * in);
    for (size_t i = 0; i < patches * in; i++) {
        size_t p = i / in, c = i % in / (patch * patch), y = i / patch % patch, x = i % patch;
        rows[i] = s->x[(c * s->h + p / across * patch + y) * s->w + p % across * patch + x];
    }
    s->site++;
    s->rows = patches;
    becomes(s, matmul(s, rows, in, dim, param(s, 0), param(s, 1)), patches, dim);
    free(rows);
}

static void cls_token(struct state *s) {
    double *y = numbers((s->rows + 1) * s->cols);
    memcpy(y, param(s, 0), s->cols * sizeof *y);
    memcpy(y + s->cols, s->x, s->rows * s->cols * sizeof *y);
    becomes(s, y, s->rows + 1, s->cols);
}

static void layer_norm(struct state *s) {
    size_t n = s->cols;
    const double *gamma = param(s, 0), *beta = param(s, 1);
    s->site++;
    for (double *x = s->x; x < s->x + s->rows * n; x += n) {
        double mean = 0, var = 0;
        for (size_t c = 0; c < n; c++) mean += x[c] / (double)n;
        for (size_t c = 0; c < n; c++) var += (x[c] - mean) * (x[c] - mean) / (double)n;
        for (size_t c = 0; c < n; c++) x[c] = (x[c] - mean) / sqrt(var + 1e-5) * gamma[c] + beta[c];
    }
}

static void softmax(double *x, size_t n) {
    double max = x[0], sum = 0;
    for (size_t i = 1; i < n; i++) max = fmax(max, x[i]);
    for (size_t i = 0; i < n; i++) sum += x[i] = exp(x[i] - max);
    for (size_t i = 0; i < n; i++) x[i] /= sum;
}

// Where the weight of a query and a token lies among those of its head (shk_attention in kernels.h).
static size_t weight_place(size_t rows, size_t query, size_t token) {
    size_t first = query / SHK_ATTENTION_BLOCK * SHK_ATTENTION_BLOCK, left = rows - first;
    size_t columns = shk_round16(left < SHK_ATTENTION_BLOCK ? left : SHK_ATTENTION_BLOCK);
    return first * rows + token * columns + query - first;
}

// One row of one head: qkv is [rows][q k v]; p is scratch [rows].
static void attend(const struct state *s, const double *qkv, size_t head, size_t query, size_t head_elements, double *p,
                   double *out) {
    size_t dim = s->layer->b, d = dim / s->layer->a, first = head * d;
    uint32_t threshold = threshold_of(s, s->layer->dropout);
    for (size_t t = 0; t < s->rows; t++)
        p[t] = dot(qkv + query * 3 * dim + first, qkv + (t * 3 + 1) * dim + first, d) / sqrt((double)d);
    softmax(p, s->rows);
    for (size_t t = 0; t < s->rows; t++) {
        p[t] *= dropout_factor(s, threshold, head * head_elements + weight_place(s->rows, query, t));
        for (size_t c = 0; c < d; c++) out[first + c] += p[t] * qkv[(t * 3 + 2) * dim + first + c];
    }
}

// The plan computes the last block's queries for CLS alone, as an op of their own.
static void attention(struct state *s) {
    size_t heads = s->layer->a, dim = s->layer->b;
    bool cls_alone = s->layer == s->last_attention;
    size_t head_elements = (s->rows * shk_round16(s->rows) + 127) / 128 * 128;
    double *qkv = matmul(s, s->x, dim, 3 * dim, param(s, 0), param(s, 1));
    double *y = numbers(s->rows * dim), *p = numbers(s->rows);
    s->site += cls_alone ? 3 : 2; // the op that copies CLS, the projection that comes before, and this
    for (size_t h = 0; h < heads; h++)
        for (size_t r = 0; r < s->rows; r++) attend(s, qkv, h, r, head_elements, p, y + r * dim);
    s->site++;
    becomes(s, matmul(s, y, dim, dim, param(s, 2), param(s, 3)), s->rows, dim);
    free(qkv);
    free(y);
    free(p);
}

static void residual(struct state *s) {
    const struct shk_layer *next = s->layer + 1;
    if (next->kind == SHK_LAYER_NORM) next++;
    if (next == s->last_attention) s->site++; // the op that selects CLS
    free(s->residual);
    s->residual = numbers(s->rows * s->cols);
    memcpy(s->residual, s->x, s->rows * s->cols * sizeof *s->x);
}

static void mean_tokens(struct state *s) {
    double *y = numbers(s->cols);
    for (size_t i = 0; i < s->rows * s->cols; i++) y[i % s->cols] += s->x[i] / (double)s->rows;
    s->site++;
    becomes(s, y, 1, s->cols);
}

// ---- The whole model ----

static void add(struct state *s, const double *y) {
    for (size_t i = 0; i < s->rows * s->cols; i++) s->x[i] += y[i];
}

static void relu(struct state *s) {
    for (size_t i = 0; i < s->rows * s->cols; i++) s->x[i] = fmax(s->x[i], 0);
}

static void gelu(struct state *s) {
    for (size_t i = 0; i < s->rows * s->cols; i++) s->x[i] *= 0.5 * (1 + erf(s->x[i] * sqrt(0.5)));
}

static void apply(struct state *s) {
    switch (s->layer->kind) {
    case SHK_CONV2D:
        conv2d(s);
        break;
    case SHK_RELU:
        relu(s);
        break;
    case SHK_GELU:
        gelu(s);
        break;
    case SHK_MAX_POOL:
        max_pool(s);
        break;
    case SHK_FLATTEN:
        s->cols = s->c * s->h * s->w;
        s->rows = 1;
        break;
    case SHK_LINEAR:
        linear(s);
        break;
    case SHK_PATCH_EMBED:
        patch_embed(s);
        break;
    case SHK_CLS_TOKEN:
        cls_token(s);
        break;
    case SHK_POSITIONS:
        add(s, param(s, 0));
        break;
    case SHK_RESIDUAL:
        residual(s);
        break;
    case SHK_ATTENTION:
        attention(s);
        break;
    case SHK_DROPOUT:
        dropout(s);
        break;
    case SHK_ADD:
        add(s, s->residual);
        break;
    case SHK_LAYER_NORM:
        layer_norm(s);
        break;
    case SHK_SELECT_CLS:
        s->rows = 1;
        break;
    case SHK_MEAN_TOKENS:
        mean_tokens(s);
        break;
    }
}

static void load_image(struct state *s) {
    const struct shk_shape *shape = &s->model->shape;
    s->c = shape->channels;
    s->h = shape->height;
    s->w = shape->width;
    size_t pixels = s->h * s->w;
    s->x = numbers(s->c * pixels);
    for (size_t i = 0; i < s->c * pixels; i++)
        s->x[i] = (double)s->batch->images[s->sample][i % pixels * s->c + i / pixels];
}

static const struct shk_layer *find_last_attention(const struct shk_model *m) {
    const struct shk_layer *last = NULL;
    for (unsigned i = 0; i < m->layer_count; i++) {
        if (m->layers[i].kind == SHK_ATTENTION) last = &m->layers[i];
        if (m->layers[i].kind == SHK_SELECT_CLS) return last;
    }
    return NULL;
}

static double cross_entropy(const double *logits, size_t classes, uint32_t label) {
    double max = logits[0], sum = 0;
    for (size_t i = 1; i < classes; i++) max = fmax(max, logits[i]);
    for (size_t i = 0; i < classes; i++) sum += exp(logits[i] - max);
    return log(sum) - (logits[label] - max);
}

double reference_loss(const struct shk_model *model, double *const *weights, const struct reference_batch *batch,
                      double *logits, double *losses) {
    size_t classes = model->shape.classes;
    double total = 0;
    for (size_t i = 0; i < batch->n; i++) {
        struct state s = {.model = model, .batch = batch, .weights = weights, .sample = i};
        s.last_attention = find_last_attention(model);
        load_image(&s);
        for (unsigned l = 0; l < model->layer_count; l++) {
            s.layer = &model->layers[l];
            apply(&s);
        }
        double loss = cross_entropy(s.x, classes, batch->labels[i]);
        if (logits) memcpy(logits + i * classes, s.x, classes * sizeof *logits);
        if (losses) losses[i] = loss;
        total += loss / (double)batch->n;
        free(s.x);
        free(s.residual);
    }
    return total;
}
