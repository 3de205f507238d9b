// SPDX-License-Identifier: MIT
// The first number that was not finite is looked for here, after the fact.
#include "train/failure.h"

#include "base/fpenv.h"
#include "nn/plan/op.h"
#include "train/slices.h"
#include <stdio.h>

static bool output_finite(const struct shk_engine *e, const struct shk_op *op, size_t samples) {
    const struct shk_view *v = &op->out;
    const struct shk_buffer *b = &e->plan->buffers[v->buffer];
    for (size_t i = 0; i < samples; i++)
        for (size_t row = 0; row < v->rows; row++)
            if (!shk_all_finite(e->workspaces + b->offset + i * b->per_sample + v->offset + row * v->ld, v->cols))
                return false;
    return true;
}

// The first op whose output is not finite for one of the samples, without dropout; NULL: none. Each output is looked at
// before the next op runs, since buffers share memory. The last op makes the loss.
static const struct shk_op *first_layer(const struct shk_engine *evaluation, const struct shk_batch *b) {
    const struct shk_plan *p = evaluation->plan;
    unsigned first = p->op_count - 1;
    fenv_t saved = shk_fpenv_enter();
    shk_engine_enter(evaluation, 0);
    for (size_t start = 0; start < b->n; start += p->slice) {
        size_t n = b->n - start < p->slice ? b->n - start : p->slice;
        for (unsigned i = 0; i < first; i++) {
            shk_slice_forward(evaluation, b, i, i + 1, 0, start, n);
            if (!output_finite(evaluation, p->ops[i], n)) first = i;
        }
    }
    shk_fpenv_leave(&saved);
    return first < p->op_count - 1 ? p->ops[first] : NULL;
}

static uint32_t higher(uint32_t a, uint32_t b) { return a > b ? a : b; }

// As the workers found it.
static uint32_t rank_of_flags(const struct shk_engine *e) {
    uint32_t highest = 0;
    for (unsigned i = 0; i < e->workers; i++) highest = higher(highest, e->bad[i * SHK_FLAG_STRIDE]);
    return highest;
}

// Of n collected gradients; 0: they are finite.
static uint32_t rank_of(const struct shk_engine *e, const struct shk_update *u, const struct shk_param *p, size_t at,
                        size_t n) {
    return shk_all_finite(e->gradients + at, n) ? 0 : shk_update_rank(e->plan, u, p);
}

static uint32_t rank_of_collected(const struct shk_engine *e) {
    uint32_t highest = 0;
    for (unsigned i = 0; i < e->plan->update_count; i++) {
        const struct shk_update *u = &e->plan->updates[i];
        for (size_t piece = 0; piece < shk_update_pieces(u); piece++)
            highest = higher(highest, rank_of(e, u, u->param, shk_update_at(u, piece), u->length));
        if (!u->bias) continue;
        const struct shk_param *bias = u->op->bias;
        size_t count, first = shk_update_bias(u, &count);
        highest = higher(highest, rank_of(e, u, bias, bias->offset + first, count));
    }
    return highest;
}

// The first gradient in the backward pass that is not finite. Where all are, their norm is not.
static void explain_gradient(const struct shk_engine *e, char *what, size_t size) {
    uint32_t rank = e->gradients ? rank_of_collected(e) : rank_of_flags(e);
    if (rank)
        snprintf(what, size, "the gradient of %s", shk_ranked_param(e->plan, rank)->name);
    else
        snprintf(what, size, "the gradients' norm");
}

static void explain_loss(const struct shk_trainer *t, const struct shk_batch *b, char *where, size_t size) {
    const struct shk_param *weights = shk_model_not_finite(t->model);
    const struct shk_op *layer = weights ? NULL : first_layer(&t->test, b);
    where[0] = '\0';
    if (weights) snprintf(where, size, ", and neither is %s", weights->name);
    if (layer) snprintf(where, size, ", first in %s", layer->name);
}

bool shk_explain_failure(const struct shk_trainer *t, const struct shk_batch *b, enum shk_outcome outcome,
                         struct shk_error *err) {
    char what[100] = "the loss", where[100] = "";
    if (outcome == SHK_STEP_BAD_LOSS)
        explain_loss(t, b, where, sizeof where);
    else
        explain_gradient(&t->train, what, sizeof what);
    return shk_fail(err, SHK_FAILED,
                    "%s is not finite in epoch %zu, step %zu%s: lower the learning rate, or check the data", what,
                    t->position.epoch + 1, t->position.step + 1, where);
}
