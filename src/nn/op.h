// SPDX-License-Identifier: MIT
// What the ops' implementations share.
#ifndef SHK_NN_OP_H
#define SHK_NN_OP_H

#include "base/stream.h"
#include "nn/plan.h"

extern const struct shk_op_kind shk_op_input, shk_op_conv, shk_op_linear, shk_op_embed, shk_op_norm, shk_op_attention,
    shk_op_cls_attention, shk_op_select_cls, shk_op_mean_tokens, shk_op_cross_entropy;

// The buffer's part of this slice: sample s of the slice at + s * per_sample.
static inline float *shk_buffer_at(const struct shk_slice *s, int buffer) {
    const struct shk_buffer *b = &s->plan->buffers[buffer];
    return b->space == SHK_WORKSPACE ? s->workspace + b->offset : s->batch_space + b->offset + s->first * b->per_sample;
}

static inline float *shk_rows_at(const struct shk_slice *s, const struct shk_view *v) {
    return shk_buffer_at(s, v->buffer) + v->offset;
}

// The gradient of a linear layer's product.
static inline const struct shk_view *shk_linear_gradient(const struct shk_op *op) {
    return op->u.linear.dz.buffer >= 0 ? &op->u.linear.dz : &op->out_grad;
}

// Whether a linear layer's weights are tiles, as before a ReLU that makes the gradients sparse.
static inline bool shk_has_tiles(const struct shk_op *op) { return op->weight->layout == SHK_INPUT_TILES; }
// Padded inputs of a linear layer.
static inline size_t shk_linear_inputs(const struct shk_op *op) {
    return shk_has_tiles(op) ? op->weight->length / op->weight->row : op->weight->row;
}
// Its weights for the forward pass: [columns / 16][inputs][16].
static inline const float *shk_linear_panels(const struct shk_op *op, const float *weights, const float *derived) {
    return shk_has_tiles(op) ? derived + op->weight->derived_offset : weights + op->weight->offset;
}
// dX = dY W of a tile's inputs, without the zeros of dY; dx points at the layer's first input.
void shk_tile_input_gradient(const struct shk_op *, const struct shk_kernels *, const float *weights, size_t tile,
                             size_t rows, const float *dy, ptrdiff_t dy_row, float *dx, ptrdiff_t dx_row);

static inline size_t shk_sample_stride(const struct shk_slice *s, const struct shk_view *v) {
    return s->plan->buffers[v->buffer].per_sample;
}

// Floats from a row of a view to the next, over all rows of the slice.
static inline ptrdiff_t shk_row_stride(const struct shk_slice *s, const struct shk_view *v) {
    return (ptrdiff_t)(v->rows == 1 ? shk_sample_stride(s, v) : v->ld);
}

static inline size_t shk_row_count(const struct shk_slice *s, const struct shk_view *v) { return s->samples * v->rows; }

// What kept values are multiplied by; 1 without dropout.
static inline float shk_dropout_scale(uint32_t threshold) { return 65536.0f / (float)(65536 - threshold); }

static inline struct shk_dropout_spec shk_dropout_of(const struct shk_op *op, const struct shk_slice *s,
                                                     size_t sample) {
    return (struct shk_dropout_spec){
        .threshold = op->threshold,
        .scale = shk_dropout_scale(op->threshold),
        .stream = shk_stream_of(s->seed, SHK_PURPOSE_DROPOUT, op->site, s->epoch, s->ids[sample]),
    };
}

// The samples of a slice that belong to one shard.
struct shk_segment {
    size_t shard;          // the next one
    size_t start, samples; // in the slice
    bool fresh;            // the shard's first samples: its gradients are written, not added to
    float *grads;          // the shard's gradient buffer
    float *sums;           // the same for what is groupable: the group's, where the slice is grouped
    bool adds;             // to these, since they hold the group's shards before
    float *apart;          // then for what can't be added where it is made: one for the whole group; else the sums
};

// Steps through a slice's shards, starting from {.shard = slice->shard}; false when there are no more.
bool shk_next_segment(const struct shk_slice *s, struct shk_segment *segment);
#define SHK_EACH_SEGMENT(s, g) for (struct shk_segment g = {.shard = (s)->shard}; shk_next_segment(s, &(g));)

#endif
