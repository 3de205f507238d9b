// SPDX-License-Identifier: MIT
#include "nn/cost.h"

#include "nn/op.h"

static double product(size_t m, size_t n, size_t k) { return 2.0 * (double)m * (double)n * (double)k; }

static double linear_flops(const struct shk_op *op, enum shk_phase phase, bool layer) {
    if (phase == SHK_WEIGHT_GRADIENT && op->u.linear.batch_gradient && !layer) return 0; // an update task
    return product(op->in.rows, op->u.linear.columns, shk_linear_inputs(op));
}

// An image is convolved directly, in 36 products a window, but one of one channel by Winograd's F(2x2,3x3), in 16; a map
// by F(4x4,3x3), in 36 a tile of 2x2 windows. Backward, one position in four of a window takes part.
static double conv_flops(const struct shk_op *op, enum shk_phase phase) {
    size_t wh = op->u.conv.h / 2, ww = op->u.conv.w / 2;
    double windows = (double)(wh * ww), tiles = (double)((wh + 1) / 2 * ((ww + 1) / 2));
    double channels = (double)(op->u.conv.cin * op->u.conv.cout);
    bool image = op->weight->derived == SHK_NOT_DERIVED;
    if (phase == SHK_FORWARD)
        return 2 * channels * (!image ? 36 * tiles : op->u.conv.cin == 1 ? 16 * windows : 36 * windows);
    if (phase == SHK_INPUT_GRADIENT && image) return 0;
    return 2 * windows * channels * 9;
}

static double embed_flops(const struct shk_op *op, enum shk_phase phase) {
    return phase == SHK_INPUT_GRADIENT ? 0 : product(op->u.embed.patches, op->out.cols, op->weight->row);
}

// Scores and sums forward; twice that backward, with the input gradient.
static double attention_flops(const struct shk_op *op, enum shk_phase phase) {
    double forward =
        (double)op->u.attention.heads * 2 * product(op->out.rows, op->u.attention.tokens, op->u.attention.d);
    return phase == SHK_FORWARD ? forward : phase == SHK_INPUT_GRADIENT ? 2 * forward : 0;
}

static double cls_attention_flops(const struct shk_op *op, enum shk_phase phase) {
    size_t heads = op->u.cls_attention.heads, cols = op->in.cols;
    double rows = 2 * product(heads, cols, op->in.rows), weights = 2 * product(heads, cols, op->u.cls_attention.d);
    return phase == SHK_FORWARD ? rows + weights : phase == SHK_INPUT_GRADIENT ? 2 * rows + weights : 0;
}

double shk_op_flops(const struct shk_plan *p, const struct shk_op *op, enum shk_phase phase) {
    if (op->kind == &shk_op_linear) return linear_flops(op, phase, shk_is_batch_layer(p, op));
    if (op->kind == &shk_op_conv) return conv_flops(op, phase);
    if (op->kind == &shk_op_embed) return embed_flops(op, phase);
    if (op->kind == &shk_op_attention) return attention_flops(op, phase);
    if (op->kind == &shk_op_cls_attention) return cls_attention_flops(op, phase);
    return 0;
}

static double view_bytes(const struct shk_view *v) {
    return v->buffer < 0 ? 0 : (double)(v->rows * v->cols * sizeof(float));
}

double shk_op_bytes(const struct shk_plan *plan, const struct shk_op *op, enum shk_phase phase) {
    bool layer = shk_is_batch_layer(plan, op);
    double weights = op->weight ? (double)(op->weight->length * sizeof(float)) : 0;
    weights /= (double)(layer ? plan->batch : plan->slice);
    if (layer && phase == SHK_WEIGHT_GRADIENT) weights *= 6; // and both moments, read and written
    if (phase == SHK_FORWARD) return view_bytes(&op->in) + view_bytes(&op->out) + weights;
    if (phase == SHK_INPUT_GRADIENT) return view_bytes(&op->out_grad) + view_bytes(&op->in_grad) + weights;
    return view_bytes(&op->out_grad) + view_bytes(&op->in) + weights;
}

double shk_update_flops(const struct shk_plan *p, size_t samples) {
    double flops = 0;
    for (unsigned i = 0; i < p->op_count; i++) {
        const struct shk_op *op = &p->ops[i];
        if (op->kind == &shk_op_linear && op->u.linear.batch_gradient && !shk_is_batch_layer(p, op))
            flops += product(samples * op->in.rows, op->u.linear.columns, shk_linear_inputs(op));
        if (op->kind == &shk_op_cls_attention)
            flops += product(samples, 2 * op->u.cls_attention.heads * op->u.cls_attention.d, op->weight->row);
    }
    return flops;
}

// Weights and both moments are read and written; so is a shard's gradient, read.
double shk_update_bytes(const struct shk_plan *p) {
    size_t floats = p->model->weight_floats - (p->batch_layer < 0 ? 0 : p->ops[p->batch_layer].weight->length);
    return (double)(6 * floats + p->shards * p->shard_floats) * sizeof(float);
}
