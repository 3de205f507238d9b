// SPDX-License-Identifier: MIT
// The ops that there are, as a plan wants them.
#ifndef SHK_NN_OPS_OPS_H
#define SHK_NN_OPS_OPS_H

#include "nn/plan/op.h"

#define OP(name) extern const struct shk_op_type shk_op_##name;
#include "nn/ops/ops.def"
#undef OP

extern const struct shk_op_type *const shk_ops[]; // NULL at its end

// A bias's gradient is a sum over rows, in blocks: where a mean follows, all rows of a sample are the same, and each step of one
// long chain would be rounded the same way. Up to these tokens a product makes the sum on its way, in one chain.
enum { SHK_TOKENS_OF_A_CHAIN = 80 };

// db += the sum of the rows of dy.
static inline void shk_add_bias_gradient(const struct shk_kernels *k, const float *dy, ptrdiff_t dy_row, size_t rows,
                                         size_t cols, float *db) {
    k->column_sum(&(struct shk_column_sum){
        .rows = rows, .cols = cols, .x = dy, .row = dy_row, .start = db, .sum = db, .in_blocks = true});
}

#endif
