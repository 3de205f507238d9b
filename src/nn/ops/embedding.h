// SPDX-License-Identifier: MIT
// A CLS token in row 0 and positions that are added to all rows, for the ops that make tokens.
#ifndef SHK_NN_OPS_EMBEDDING_H
#define SHK_NN_OPS_EMBEDDING_H

#include "nn/plan/lower.h"

struct shk_embedding {
    const struct shk_param *cls, *positions; // [1][ld], [rows][ld]; or NULL
    const float *fixed;                      // positions that nobody learns, likewise
    size_t ld;
    size_t cls_grad, positions_grad;
};

// The layer of positions, learned or fixed, that alone reads this one; -1: none.
int shk_embedding_behind(const struct shk_lowering *, int layer);
// Takes the layers `cls` and `positions` (-1: there is none).
struct shk_embedding shk_embedding_take(struct shk_lowering *, int cls, int positions);
// What is added to a row and those behind it; NULL: nothing.
const float *shk_embedding_positions(const struct shk_embedding *, const struct shk_slice *, size_t row);
// Row 0 of a sample, where there is a token.
void shk_embedding_begin(const struct shk_embedding *, const struct shk_slice *, float *row);
// Both gradients of a segment's samples, from that of the op's output.
void shk_embedding_gradient(const struct shk_embedding *, const struct shk_op *, const struct shk_slice *,
                            const struct shk_segment *);
void shk_embedding_updates(struct shk_embedding *, const struct shk_op *, struct shk_update_list *);
size_t shk_embedding_floats(const struct shk_embedding *);

#endif
