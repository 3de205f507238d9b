// SPDX-License-Identifier: MIT
// A linear layer's op, for the files that make one or compute a part of it.
#ifndef SHK_NN_OPS_LINEAR_H
#define SHK_NN_OPS_LINEAR_H

#include "nn/ops/ops.h"
#include "nn/plan/lower.h"

enum { SHK_BLOCK = 256 }; // inputs of a layer of one row a sample that are summed in one chain
struct shk_linear {
    struct shk_op op;
    size_t columns; // outputs computed: the first ones of the weight
    struct shk_view residual;
    size_t blocks; // of SHK_BLOCK inputs each, whose sums are added in order; 1: one chain from the bias
    int partials;  // [blocks][columns], or -1
    bool relu, gelu;
    bool batch_gradient; // dW = X^T dY over the whole batch, by the update tasks
    int derivative;      // GELU's, in training, or -1
    // The layer that made the input, where this op takes its input gradient through that one's dropout and activation as
    // well (then that one's out_grad is the gradient of its product); or NULL.
    const struct shk_linear *producer;
    bool taken_by_next; // the op behind does so with this one
    // Bits of the outputs that are not 0 by dropout or, where the op behind takes gradients through it, by the ReLU; or -1.
    int mask;
    struct shk_view dz; // gradient of the linear output where that is not out_grad itself
    struct shk_drops drops;
};

static inline const struct shk_linear *shk_linear_of(const struct shk_op *op) { return (const struct shk_linear *)op; }

// The gradient of the layer's product.
static inline const struct shk_view *shk_product_gradient(const struct shk_linear *l) {
    return l->dz.buffer >= 0 ? &l->dz : &l->op.out_grad;
}

static inline bool shk_has_tiles(const struct shk_linear *l) { return l->op.weight->layout == SHK_INPUT_TILES; }
// Padded inputs.
static inline size_t shk_readers_of(const struct shk_linear *l) {
    const struct shk_param *w = l->op.weight;
    return shk_has_tiles(l) ? w->length / w->ld : w->ld;
}
// Its weights for the forward pass: [columns / 16][inputs][16].
static inline const float *shk_panels_of(const struct shk_linear *l, const float *weights, const float *derived) {
    return shk_has_tiles(l) ? derived + l->op.weight->derived_offset : weights + l->op.weight->offset;
}

// dX = dY W of a tile's inputs, without the zeros of dY; dx points at the layer's first input.
void shk_tile_input_gradient(const struct shk_linear *, const struct shk_kernels *, const float *weights, size_t tile,
                             size_t rows, const float *dy, ptrdiff_t dy_row, float *dx, ptrdiff_t dx_row);

// ---- Over the whole batch (linear_batch.c): as struct shk_op_type has them

void shk_linear_gradient(const struct shk_whole_batch *, const struct shk_update *, float *scratch);
void shk_linear_gradient_and_rule(const struct shk_whole_batch *, const struct shk_update *, const struct shk_rule *,
                                  float *scratch);
void shk_linear_batch_updates(const struct shk_linear *, struct shk_update_list *);
size_t shk_linear_tasks(const struct shk_op *, enum shk_phase);
unsigned shk_linear_task_updates(const struct shk_op *);
void shk_linear_begin_tasks(const struct shk_op *, const struct shk_whole_batch *, float *scratch);
void shk_linear_task_forward(const struct shk_op *, const struct shk_whole_batch *, size_t task, float *scratch);
void shk_linear_task_input_gradient(const struct shk_op *, const struct shk_whole_batch *, size_t task, float *scratch);

// Of a weight in panels: its transpose in panels, for the input gradient.
extern const struct shk_packing shk_transposed;

// ---- For another op, which needs a projection beside what it does itself

// Lays out a weight [out][in] as panels, with its transpose as packing, and its bias.
void shk_linear_lay_out(struct shk_lowering *, const struct shk_layer *, struct shk_axis out, size_t out_padded,
                        struct shk_axis in, size_t in_padded);
// A new op for the first `columns` outputs of a layer whose weight is laid out so. It reads `in`, the gradient of which it
// writes. NULL: out of memory.
struct shk_linear *shk_linear_new(struct shk_lowering *, const struct shk_layer *, const struct shk_value *in,
                                  size_t columns);
// Its gradients are those of the whole batch, whose rows stay until all samples are through.
void shk_linear_use_batch(struct shk_linear *, struct shk_plan *);

#endif
