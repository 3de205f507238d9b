// SPDX-License-Identifier: MIT
// What a plan costs is the sum of what its ops say of themselves.
#include "nn/plan/op.h"

double shk_op_flops(const struct shk_op *op, enum shk_phase phase) {
    return op->type->flops ? op->type->flops(op, phase) : 0;
}

static double view_bytes(const struct shk_view *v) {
    return v->buffer < 0 ? 0 : (double)(v->rows * v->cols * sizeof(float));
}

double shk_op_bytes(const struct shk_plan *plan, const struct shk_op *op, enum shk_phase phase) {
    double weights = op->weight ? (double)(op->weight->length * sizeof(float)) : 0;
    weights /= (double)(op->dealt ? plan->batch : plan->slice);
    if (op->dealt && phase == SHK_WEIGHT_GRADIENT) weights *= 6; // and both moments, read and written
    if (phase == SHK_FORWARD) return view_bytes(&op->in) + view_bytes(&op->out) + weights;
    if (phase == SHK_INPUT_GRADIENT) return view_bytes(&op->out_grad) + view_bytes(&op->in_grad) + weights;
    return view_bytes(&op->out_grad) + view_bytes(&op->in) + weights;
}

double shk_update_flops(const struct shk_plan *p, size_t samples) {
    double flops = 0;
    for (unsigned i = 0; i < p->op_count; i++) {
        const struct shk_op *op = p->ops[i];
        if (op->type->batch_flops && !op->dealt) flops += (double)samples * op->type->batch_flops(op);
    }
    return flops;
}

// Weights and both moments are read and written; gradients are read.
double shk_update_bytes(const struct shk_plan *p, size_t buffers) {
    size_t floats = p->model->weight_floats - (p->dealt < 0 ? 0 : p->ops[p->dealt]->weight->length);
    return (double)(6 * floats + buffers * p->shard_floats) * sizeof(float);
}
