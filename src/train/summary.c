// SPDX-License-Identifier: MIT
// A summary is read off the graph, and off plans whose memory is not taken.
#include <shikaku/summary.h>

#include "base/memory.h"
#include "nn/graph/syntax.h"
#include "nn/plan/op.h"
#include "train/evaluate.h"
#include "train/settings.h"
#include <stdio.h>
#include <string.h>

// ---- The text

static char *write_lines(const struct shk_syntax *s, struct shk_error *err) {
    const size_t size = shk_syntax_write(s, SHK_MANY_LINES, NULL, 0) + 1;
    char *text = shk_alloc(1, size, "a net's text", err);
    if (text) shk_syntax_write(s, SHK_MANY_LINES, text, size);
    return text;
}

static char *text_of(const struct shk_model *m, struct shk_error *err) {
    struct shk_syntax *syntax = shk_alloc(1, sizeof *syntax, "a net's text", err);
    char *net = shk_alloc(1, SHK_MAX_NET, "a net's text", err), *text = NULL;
    if (net) shk_description_net(&m->config, net);
    if (syntax && net && shk_syntax_read(syntax, net, err)) text = write_lines(syntax, err);
    shk_free(syntax);
    shk_free(net);
    return text;
}

// ---- Layers

static size_t size_of_param(const struct shk_model *m, int param) { return param < 0 ? 0 : m->params[param].size; }

// The first layer with weights makes no input gradient.
static struct shk_summary_layer layer_of(const struct shk_model *m, const struct shk_layer *l, bool first) {
    struct shk_summary_layer s = {.kind = shk_layer_name(l->kind),
                                  .height = l->out.h,
                                  .width = l->out.w,
                                  .channels = l->out.c,
                                  .map = l->out.map,
                                  .forward_flops = shk_layer_flops(&m->graph, l)};
    snprintf(s.name, sizeof s.name, "%s", l->name);
    s.parameters = size_of_param(m, l->params[0]) + size_of_param(m, l->params[1]);
    s.backward_flops = (first ? 1 : 2) * s.forward_flops;
    return s;
}

static void add_layers(struct shk_summary *s, const struct shk_model *m) {
    for (unsigned i = 0; i + 1 < m->graph.count; i++) { // the last is the loss
        s->layer[s->layers++] = layer_of(m, &m->graph.layers[i], s->forward_flops == 0);
        s->forward_flops += s->layer[i].forward_flops;
        s->backward_flops += s->layer[i].backward_flops;
    }
    for (unsigned i = 0; i < m->param_count; i++) s->floats += m->params[i].size;
    s->parameters = m->parameters;
}

// ---- Ops

static void add_ops(struct shk_summary *s, const struct shk_engine *e) {
    const struct shk_plan *p = e->plan;
    for (unsigned i = 0; i < p->op_count; i++) {
        const struct shk_op *op = p->ops[i];
        struct shk_summary_op *o = &s->op[s->ops++];
        snprintf(o->layer, sizeof o->layer, "%s", op->name);
        o->op = op->type->name;
        o->forward_flops = shk_op_flops(op, SHK_FORWARD);
        o->forward_bytes = shk_op_bytes(p, op, SHK_FORWARD);
        for (int phase = SHK_INPUT_GRADIENT; phase <= SHK_WEIGHT_GRADIENT; phase++) {
            if (!op->type->run[phase] && !op->type->task[phase]) continue;
            o->backward_flops += shk_op_flops(op, phase);
            o->backward_bytes += shk_op_bytes(p, op, phase);
        }
    }
    struct shk_summary_op *updates = &s->op[s->ops++];
    *updates = (struct shk_summary_op){.layer = "all", .op = "updates"};
    updates->backward_flops = shk_update_flops(p, s->batch) / (double)s->batch;
    updates->backward_bytes = shk_update_bytes(p, e->grad_buffers) / (double)s->batch;
}

// ---- Memory

static size_t bytes_of_model(const struct shk_model *m) {
    return sizeof *m + (m->weight_floats + m->derived_floats) * sizeof(float);
}

static size_t bytes_of_threads(const struct shk_engine *e) {
    return e->bytes.plan + e->bytes.workspaces + shk_engine_stages(e) * e->workers * sizeof *e->shares;
}

static struct shk_summary_memory sum_of(struct shk_summary_memory m) {
    m.all = m.model + m.optimizer + m.gradients + m.batch + m.threads + m.evaluation;
    return m;
}

// Of one for prediction: with all threads, or of one image on one.
static bool add_prediction(struct shk_summary *s, struct shk_model *m, const struct shk_runtime *runtime,
                           struct shk_error *err) {
    struct shk_runtime alone = *runtime;
    alone.team.workers = 1;
    for (int i = 0; i < 2; i++) {
        struct shk_engine e;
        if (!shk_engine_plan(&e, m, i ? &alone : runtime, i ? 1 : SHK_EVALUATION_BATCH, 1, false, err)) return false;
        *(i ? &s->single : &s->prediction) =
            sum_of((struct shk_summary_memory){.model = bytes_of_model(m), .threads = bytes_of_threads(&e)});
        shk_engine_free(&e);
    }
    return true;
}

static bool add_evaluation(struct shk_summary *s, const struct shk_engine *training, const struct shk_runtime *runtime,
                           struct shk_error *err) {
    struct shk_engine e;
    if (!shk_engine_plan(&e, training->model, runtime, SHK_EVALUATION_BATCH, 1, false, err)) return false;
    shk_engine_borrow(&e, training);
    s->training.evaluation = bytes_of_threads(&e) + e.model->weight_floats * sizeof(float);
    shk_engine_free(&e);
    return true;
}

static void add_memory(struct shk_summary *s, const struct shk_engine *e, double clip_norm) {
    struct shk_summary_memory *t = &s->training;
    const size_t clipping = e->model->weight_floats + shk_engine_norm_blocks(e) * SHK_FLAG_STRIDE;
    t->model = bytes_of_model(e->model);
    t->optimizer = e->bytes.moments;
    t->gradients = e->bytes.grads + e->bytes.levels + (clip_norm == 0 ? 0 : clipping * sizeof(float));
    t->batch = e->bytes.batch_space;
    t->threads = bytes_of_threads(e);
    *t = sum_of(*t);
    s->saved = shk_plan_saved(e->plan);
}

static bool add_training(struct shk_summary *s, struct shk_model *m, const struct shk_runtime *runtime,
                         const struct shk_train_options *o, struct shk_error *err) {
    struct shk_engine e;
    if (!shk_engine_plan(&e, m, runtime, o->batch, o->shards, true, err)) return false;
    s->op = shk_alloc(e.plan->op_count + 1, sizeof *s->op, "a summary", err);
    const bool ok = s->op && add_evaluation(s, &e, runtime, err);
    if (ok) add_ops(s, &e);
    if (ok) add_memory(s, &e, o->clip_norm);
    shk_engine_free(&e);
    return ok;
}

// ---- All of it

static bool fill(struct shk_summary *s, struct shk_model *m, const struct shk_runtime *runtime,
                 const struct shk_train_options *o, struct shk_error *err) {
    s->batch = o->batch;
    s->threads = runtime->team.workers;
    s->net = text_of(m, err);
    s->layer = shk_alloc(m->graph.count, sizeof *s->layer, "a summary", err);
    if (!s->net || !s->layer) return false;
    add_layers(s, m);
    return add_prediction(s, m, runtime, err) && add_training(s, m, runtime, o, err);
}

struct shk_summary *shk_summary_create(const char *description, const struct shk_shape *shape,
                                       const struct shk_runtime *runtime, const struct shk_train_options *options,
                                       struct shk_error *err) {
    struct shk_train_options o;
    if (!shk_settings_check(options, &o, err)) return NULL;
    struct shk_model *m = shk_model_outline(description, shape, err);
    if (!m) return NULL;
    struct shk_summary *s = shk_alloc(1, sizeof *s, "a summary", err);
    const bool ok = s && fill(s, m, runtime, &o, err);
    shk_model_free(m);
    if (ok) return s;
    shk_summary_free(s);
    return NULL;
}

void shk_summary_free(struct shk_summary *s) {
    if (!s) return;
    shk_free((char *)s->net);
    shk_free(s->layer);
    shk_free(s->op);
    shk_free(s);
}
