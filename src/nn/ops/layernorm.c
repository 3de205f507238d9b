// SPDX-License-Identifier: MIT
// The layernorm op normalises each row.
#include "nn/ops/ops.h"
#include "nn/plan/lower.h"

#include <string.h>

struct layernorm {
    struct shk_op op;
    size_t cols; // without padding
    float eps;
    int stats; // [rows][2], or -1
};

static struct shk_layernorm norm_of(const struct shk_op *op, const struct shk_slice *s, size_t start, size_t samples) {
    const struct layernorm *norm = (const struct layernorm *)op;
    ptrdiff_t first = (ptrdiff_t)(start * op->in.rows);
    struct shk_layernorm n = {.rows = samples * op->in.rows, .cols = norm->cols, .eps = norm->eps};
    n.x_row = shk_row_stride(s, &op->in);
    n.x = shk_rows_at(s, &op->in) + first * n.x_row;
    n.gamma = s->weights + op->weight->offset;
    n.beta = s->weights + op->bias->offset;
    n.y_row = shk_row_stride(s, &op->out);
    n.y = shk_rows_at(s, &op->out) + first * n.y_row;
    if (norm->stats >= 0) {
        const struct shk_buffer *b = &s->plan->buffers[norm->stats];
        n.stats = shk_buffer_at(s, norm->stats) + start * b->per_sample;
        n.stats_row = op->in.rows == 1 ? (ptrdiff_t)b->per_sample : 2;
    }
    return n;
}

// One by one, since a sample's statistics are padded to a multiple of 16 floats, unless they have a row each.
static size_t samples_at_once(const struct shk_op *op, size_t samples) { return op->in.rows == 1 ? samples : 1; }

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const size_t step = samples_at_once(op, s->samples);
    for (size_t i = 0; i < s->samples; i += step) {
        struct shk_layernorm n = norm_of(op, s, i, step);
        s->k->layernorm_forward(&n);
    }
}

// Both gradients.
static void backward(const struct shk_op *op, const struct shk_slice *s) {
    SHK_EACH_SEGMENT(s, g) {
        float *dgamma = g->own + op->weight_grad, *dbeta = g->own + op->bias_grad;
        if (g->first) {
            memset(dgamma, 0, op->weight->length * sizeof(float));
            memset(dbeta, 0, op->bias->length * sizeof(float));
        }
        const size_t step = samples_at_once(op, g->samples);
        for (size_t i = g->start; i < g->start + g->samples; i += step) {
            struct shk_layernorm n = norm_of(op, s, i, step);
            n.dy_row = shk_row_stride(s, &op->out_grad);
            n.dy = shk_rows_at(s, &op->out_grad) + (ptrdiff_t)(i * op->in.rows) * n.dy_row;
            n.dx_row = shk_row_stride(s, &op->in_grad);
            n.dx = shk_rows_at(s, &op->in_grad) + (ptrdiff_t)(i * op->in.rows) * n.dx_row;
            n.accumulate = op->accumulate;
            n.dgamma = dgamma;
            n.dbeta = dbeta;
            s->k->layernorm_backward(&n);
        }
        shk_segment_add(s, g, op->weight_grad, op->weight->length);
        shk_segment_add(s, g, op->bias_grad, op->bias->length);
    }
}

// ---- In the plan

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (l->kind != SHK_LAYER_NORM) return false;
    const struct shk_value *in = shk_input_of(f);
    if (in->axis.count != 1 && l->out.c != in->value.cols) { // of a map flattened, whose padding lies between
        f->failed = true;
        return shk_fail(
            f->err, SHK_BAD_INPUT,
            "the model cannot be computed: behind flatten, the layer norm %s wants maps of a multiple of 16 "
            "channels",
            l->name);
    }
    struct layernorm *norm = shk_op_new(f, &shk_op_layernorm, l->name, in);
    if (!norm) return false;
    const size_t rows = norm->op.in.rows, cols = norm->op.in.cols;
    norm->op.weight = shk_lay_out_vector(f, l->params[0], in->axis, cols);
    norm->op.bias = shk_lay_out_vector(f, l->params[1], in->axis, cols);
    norm->cols = l->out.c;
    norm->eps = (float)l->layer_norm.eps;
    norm->stats = f->plan->training ? shk_buffer_new(f->plan, 2 * rows) : -1;
    norm->op.out = shk_view_new(f->plan, rows, cols);
    norm->op.out_grad = shk_grad_new(f->plan, rows, cols);
    shk_gives(f, f->at, &norm->op, in->axis);
    return true;
}

static void declare(struct shk_op *op) {
    shk_op_uses_views(op, SHK_READS_BACKWARD, 0);
    shk_op_uses(op, ((struct layernorm *)op)->stats, SHK_WRITES_FORWARD | SHK_READS_BACKWARD);
}

static size_t shard_floats(const struct shk_op *op) { return op->weight->length + op->bias->length; }

static void updates(struct shk_op *op, struct shk_update_list *list) {
    op->weight_grad = shk_updates_from_shards(list, op, op->weight, op->weight->length);
    op->bias_grad = shk_updates_from_shards(list, op, op->bias, op->bias->length);
}

const struct shk_op_type shk_op_layernorm = {.name = "layernorm",
                                             .size = sizeof(struct layernorm),
                                             .match = match,
                                             .declare = declare,
                                             .run = {forward, backward},
                                             .updates = updates,
                                             .shard_floats = shard_floats};
