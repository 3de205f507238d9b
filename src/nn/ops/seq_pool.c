// SPDX-License-Identifier: MIT
// The seq_pool op takes the weighted mean of tokens: the weights are the softmax of a linear layer's number of each (sequence
// pooling, Hassani et al. 2021). That is the attention of one query, which is the layer's weight, and has its kernels. The layer's
// bias is the same for all tokens: the softmax does not see it, and it has no gradient.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

#include <string.h>

struct seq_pool {
    struct shk_op op;
    int shares; // [round16(tokens)] of a sample
    int dquery; // [cols]: what a sample adds to the weight's gradient; -1 in evaluation
};

static inline const struct seq_pool *seq_pool_of(const struct shk_op *op) { return (const struct seq_pool *)op; }

static size_t kernel_bytes(const struct shk_op *op) { return shk_cls_attention_scratch(op->in.rows, 1); }
// The weight and a sample's output gradient; behind them a sample's input gradient, where that is added to others.
static float *query_at(const struct shk_op *op, const struct shk_slice *s) {
    return (float *)s->scratch + shk_round16(kernel_bytes(op) / sizeof(float));
}

static float *sample_of(const struct shk_slice *s, int buffer, size_t sample) {
    return shk_buffer_at(s, buffer) + sample * s->plan->buffers[buffer].per_sample;
}

static struct shk_cls_attention kernel_of(const struct shk_op *op, const struct shk_slice *s, size_t sample) {
    return (struct shk_cls_attention){.tokens = op->in.rows,
                                      .cols = op->in.cols,
                                      .heads = 1,
                                      .scale = 1,
                                      .x = shk_sample_at(s, &op->in, sample),
                                      .x_row = op->in.ld,
                                      .u = s->weights + op->weight->offset,
                                      .p = sample_of(s, seq_pool_of(op)->shares, sample),
                                      .drop.scale = 1,
                                      .scratch = s->scratch};
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_cls_attention a = kernel_of(op, s, i);
        float all; // of the shares: 1
        a.z = shk_sample_at(s, &op->out, i);
        a.r = &all;
        s->k->cls_attention_forward(&a);
    }
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const size_t cols = op->in.cols, n = op->in.rows * cols;
    const float none = 0; // the gradient of the shares' sum
    float *query = query_at(op, s), *own = query + 2 * cols;
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_cls_attention a = kernel_of(op, s, i);
        float *dx = shk_sample_at(s, &op->in_grad, i);
        memcpy(query, a.u, cols * sizeof *query);
        memcpy(query + cols, shk_sample_at(s, &op->out_grad, i), cols * sizeof *query);
        a.u = query;
        a.dr = &none;
        a.du = sample_of(s, seq_pool_of(op)->dquery, i);
        a.dx = op->accumulate ? own : dx;
        a.dx_row = (ptrdiff_t)cols;
        s->k->cls_attention_backward(&a);
        if (op->accumulate) s->k->add(&(struct shk_add){.rows = 1, .cols = n, .x = own, .y = dx});
    }
}

static void weight_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const int dquery = seq_pool_of(op)->dquery;
    const size_t cols = op->in.cols;
    SHK_EACH_SEGMENT(s, g) {
        float *dw = g->own + op->weight_grad;
        s->k->column_sum(&(struct shk_column_sum){.rows = g->samples,
                                                  .cols = cols,
                                                  .x = sample_of(s, dquery, g->start),
                                                  .row = (ptrdiff_t)s->plan->buffers[dquery].per_sample,
                                                  .start = g->first ? NULL : dw,
                                                  .sum = dw});
        shk_segment_add(s, g, op->weight_grad, cols);
    }
}

// ---- In the plan

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (l->kind != SHK_SEQ_POOL) return false;
    const struct shk_value in = *shk_input_of(f);
    if (!shk_is_dense(&in.value) || in.axis.count != 1) return false;
    struct seq_pool *p = shk_op_new(f, &shk_op_seq_pool, l->name, &in);
    if (!p) return false;
    const size_t rows = in.value.rows, cols = in.value.cols;
    p->op.weight = shk_lay_out_vector(f, l->params[0], in.axis, cols);
    p->op.bias = shk_lay_out_vector(f, l->params[1], shk_axis1(1), 16);
    p->shares = shk_buffer_new(f->plan, rows);
    p->dquery = f->plan->training ? shk_buffer_new(f->plan, cols) : -1;
    p->op.out = shk_view_new(f->plan, 1, cols);
    p->op.out_grad = shk_grad_new(f->plan, 1, cols);
    shk_gives(f, f->at, &p->op, in.axis);
    return true;
}

static void declare(struct shk_op *op) {
    const struct seq_pool *p = seq_pool_of(op);
    shk_op_uses_views(op, SHK_READS_BACKWARD, 0);
    shk_op_uses(op, p->shares, SHK_READS_FORWARD | SHK_WRITES_FORWARD | SHK_READS_BACKWARD);
    shk_op_uses(op, p->dquery, SHK_READS_BACKWARD | SHK_WRITES_BACKWARD);
}

static size_t scratch(const struct shk_op *op) {
    const size_t own = op->accumulate ? op->in.rows * op->in.cols : 0;
    return (shk_round16(kernel_bytes(op) / sizeof(float)) + 2 * op->in.cols + own) * sizeof(float);
}

static size_t shard_floats(const struct shk_op *op) { return op->weight->length; }

static void updates(struct shk_op *op, struct shk_update_list *list) {
    op->weight_grad = shk_updates_from_shards(list, op, op->weight, op->weight->length);
    shk_updates_none(list, op->bias, 0, op->bias->length);
}

// Scores, and sums of tokens; backward those of the shares and of the scores.
static double flops(const struct shk_op *op, enum shk_phase phase) {
    const double product = 2.0 * (double)(op->in.rows * op->in.cols);
    return phase == SHK_FORWARD ? 2 * product : phase == SHK_INPUT_GRADIENT ? 3 * product : product;
}

const struct shk_op_type shk_op_seq_pool = {.name = "seq_pool",
                                            .size = sizeof(struct seq_pool),
                                            .match = match,
                                            .declare = declare,
                                            .run = {forward, input_gradient, weight_gradient},
                                            .scratch = scratch,
                                            .flops = flops,
                                            .updates = updates,
                                            .shard_floats = shard_floats};
