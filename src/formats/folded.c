// SPDX-License-Identifier: MIT
// With scale = weight / sqrt(variance + eps), what is computed is w x scale + (b - mean) scale + shift (Jacob et al. 2018, 3.2);
// in double, rounded once.
#include "formats/folded.h"
#include "base/memory.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

// ---- Weights in PyTorch's order ----

static struct shk_param plain(struct shk_param p, size_t offset) {
    p.layout = SHK_ROWS;
    p.outer = (struct shk_axis){0};
    p.inner = shk_axis1(p.size);
    p.ld = p.length = p.size;
    p.packing = NULL;
    p.packed = 0;
    p.offset = offset;
    return p;
}

static void copy_weights(struct shk_model *f, const struct shk_model *m) {
    size_t at = 0;
    for (unsigned i = 0; i < m->param_count; i++) {
        shk_param_gather(&m->params[i], 0, m->params[i].size, m->weights, f->weights + at);
        f->params[i] = plain(m->params[i], at);
        at += f->params[i].size;
    }
}

static float *numbers(const struct shk_model *f, int param) { return f->weights + f->params[param].offset; }

// ---- Folding ----

// The layer that a normalisation can become part of; -1: none.
static int folds_into(const struct shk_graph *g, int norm) {
    const int i = g->layers[norm].in[0];
    if (g->layers[norm].kind != SHK_BATCH_NORM || shk_graph_consumer(g, i) != norm) return -1;
    const enum shk_layer_kind kind = g->layers[i].kind;
    return kind == SHK_CONV || kind == SHK_GROUPED_CONV || kind == SHK_LINEAR ? i : -1;
}

static void fold(struct shk_model *f, struct shk_layer *l, const struct shk_layer *norm) {
    const struct shk_param *w = &f->params[l->params[0]];
    const size_t outputs = w->dims[0], each = w->size / outputs;
    const float *gamma = numbers(f, norm->params[0]), *mean = numbers(f, norm->running[0]),
                *variance = numbers(f, norm->running[1]), *beta = numbers(f, norm->params[1]);
    float *weight = numbers(f, l->params[0]), *bias = l->params[1] < 0 ? NULL : numbers(f, l->params[1]);
    float *to = bias ? bias : numbers(f, norm->params[1]);
    for (size_t o = 0; o < outputs; o++) {
        const double scale = (double)gamma[o] / sqrt((double)variance[o] + norm->batch_norm.eps);
        for (size_t i = 0; i < each; i++) weight[o * each + i] = (float)((double)weight[o * each + i] * scale);
        to[o] = (float)(((bias ? (double)bias[o] : 0) - (double)mean[o]) * scale + (double)beta[o]);
    }
}

// The normalisation's shift, which holds the bias now, is the layer's.
static void take_as_bias(struct shk_model *f, struct shk_layer *l, int shift) {
    struct shk_param *bias = &f->params[shift];
    char name[sizeof bias->name];
    snprintf(name, sizeof name, "%.47s.bias", l->name);
    memcpy(bias->name, name, sizeof name);
    l->params[1] = shift;
}

// Takes a layer out: who read it reads its input.
static void take_out(struct shk_graph *g, int at) {
    const int before = g->layers[at].in[0];
    g->count--;
    memmove(&g->layers[at], &g->layers[at + 1], (g->count - (unsigned)at) * sizeof *g->layers);
    for (unsigned i = (unsigned)at; i < g->count; i++)
        for (int k = 0; k < 2; k++) {
            int *in = &g->layers[i].in[k];
            if (*in == at) *in = before;
            if (*in > at) (*in)--;
        }
}

static void drop(struct shk_model *f, bool *dropped, int param) {
    dropped[param] = true;
    f->parameters -= f->params[param].running ? 0 : f->params[param].size;
}

static void fold_all(struct shk_model *f, bool *dropped) {
    for (int i = (int)f->graph.count - 1; i > 0; i--) {
        const int into = folds_into(&f->graph, i);
        if (into < 0) continue;
        const struct shk_layer norm = f->graph.layers[i];
        struct shk_layer *l = &f->graph.layers[into];
        fold(f, l, &norm);
        drop(f, dropped, norm.params[0]);
        for (int k = 0; k < 2; k++) drop(f, dropped, norm.running[k]);
        if (l->params[1] < 0)
            take_as_bias(f, l, norm.params[1]);
        else
            drop(f, dropped, norm.params[1]);
        take_out(&f->graph, i);
    }
}

// The parameters that are left, in their order.
static void close_ranks(struct shk_model *f, const bool *dropped) {
    int place[SHK_MAX_PARAMS];
    unsigned count = 0;
    for (unsigned i = 0; i < f->param_count; i++) {
        place[i] = (int)count;
        if (!dropped[i]) f->params[count++] = f->params[i];
    }
    f->param_count = count;
    for (unsigned i = 0; i < f->graph.count; i++)
        for (int k = 0; k < 2; k++) {
            struct shk_layer *l = &f->graph.layers[i];
            if (l->params[k] >= 0) l->params[k] = place[l->params[k]];
            if (l->kind == SHK_BATCH_NORM) l->running[k] = place[l->running[k]];
        }
}

struct shk_model *shk_folded_create(const struct shk_model *m, struct shk_error *err) {
    size_t floats = 0;
    for (unsigned i = 0; i < m->param_count; i++) floats += m->params[i].size;
    struct shk_model *f = shk_alloc(1, sizeof *f, "a model as it is written", err);
    float *weights = f ? shk_alloc(floats, sizeof *weights, "its weights", err) : NULL;
    if (!weights) {
        shk_free(f);
        return NULL;
    }
    bool dropped[SHK_MAX_PARAMS] = {false};
    *f = *m;
    f->weights = weights;
    f->derived = NULL;
    copy_weights(f, m);
    fold_all(f, dropped);
    close_ranks(f, dropped);
    return f;
}

void shk_folded_free(struct shk_model *f) {
    if (f) shk_free(f->weights);
    shk_free(f);
}
