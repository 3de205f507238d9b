// SPDX-License-Identifier: MIT
// Lowering goes through a graph and lets the ops' matchers take its layers. What a matcher may do is here.
#ifndef SHK_NN_PLAN_LOWER_H
#define SHK_NN_PLAN_LOWER_H

#include "nn/plan/op.h"

// The output of a layer: where it and its gradient lie, how PyTorch's features are laid out in a row of it, and who made it.
struct shk_value {
    struct shk_view value, grad;
    struct shk_axis axis;
    const struct shk_op *op; // NULL: the layer's output is in no buffer (an op took it in)
    bool bordered;           // a map with a border (ops/map.h); else a row for each pixel, as for each token
};

struct shk_lowering {
    struct shk_plan *plan;
    struct shk_model *placing; // the model whose parameters are given their layouts; or NULL
    const struct shk_graph *graph;
    int at; // the first layer that no op has taken yet
    bool taken[SHK_MAX_LAYERS];
    struct shk_value values[SHK_MAX_LAYERS];
    struct shk_error *err;
    bool failed; // no op could be made
    unsigned op_room;
    size_t op_size; // bytes of each
};

// Goes through the model's graph. False where no matcher takes a layer.
bool shk_lower(struct shk_plan *, struct shk_model *placing, const struct shk_op_type *const *types,
               struct shk_error *);

static inline const struct shk_layer *shk_layer_at(const struct shk_lowering *f, int layer) {
    return &f->graph->layers[layer];
}
static inline bool shk_layer_is(const struct shk_lowering *f, int layer, enum shk_layer_kind kind) {
    return layer >= 0 && f->graph->layers[layer].kind == kind;
}
// The layer behind this one if it alone reads it and is of this kind; else -1.
int shk_follower(const struct shk_lowering *, int layer, enum shk_layer_kind);
// What the next layer reads.
static inline struct shk_value *shk_input_of(struct shk_lowering *f) {
    return &f->values[shk_layer_at(f, f->at)->in[0]];
}
// Whether nobody who reads the input of the next layer comes later: then its op is the first to write that gradient.
bool shk_reads_last(const struct shk_lowering *);

// A new op of this type, named like the layer, that reads value `in`. NULL: out of memory or ops.
void *shk_op_new(struct shk_lowering *, const struct shk_op_type *, const char *name, const struct shk_value *in);
// The op takes a layer.
void shk_takes(struct shk_lowering *, int layer);
// The op's output is that of `layer`, which it takes, too.
void shk_gives(struct shk_lowering *, int layer, struct shk_op *, struct shk_axis);

int shk_buffer_new(struct shk_plan *, size_t floats);
struct shk_view shk_view_new(struct shk_plan *, size_t rows, size_t cols);
// Of a plan for training; else none.
struct shk_view shk_grad_new(struct shk_plan *, size_t rows, size_t cols);

// Numbers that the plan keeps, all 0: what an op knows before any step. NULL: out of memory.
float *shk_constants_new(struct shk_lowering *, size_t floats);

// How a parameter is laid out. Where the model is being placed, this is written down in it.
struct shk_param_form {
    enum shk_param_layout layout;
    struct shk_axis outer, inner;
    size_t ld, outputs; // outputs: padded extent of the outer axis, or of the inner one of tiles
    const struct shk_packing *packing;
    size_t packed;
};
const struct shk_param *shk_lay_out(struct shk_lowering *, int param, const struct shk_param_form *);
// A vector of this axis, of `padded` floats.
const struct shk_param *shk_lay_out_vector(struct shk_lowering *, int param, struct shk_axis, size_t padded);

// Of 65536; 0 in evaluation.
struct shk_drops shk_drops_of(const struct shk_lowering *, const struct shk_layer *, double dropout);

#endif
