// SPDX-License-Identifier: MIT
// How queries, keys and values of all heads lie in a row, for the ops that write and read them.
#ifndef SHK_NN_OPS_ATTENTION_H
#define SHK_NN_OPS_ATTENTION_H

#include "nn/plan/lower.h"

// A head's columns are padded to a multiple of 16; `dim` is that of all heads together.
static inline struct shk_axis shk_heads_axis(size_t heads, size_t dim) {
    return (struct shk_axis){2, {{heads, shk_round16(dim / heads)}, {dim / heads, 1}}};
}
// Queries, then keys, then values; PyTorch's in_proj stacks them so.
static inline struct shk_axis shk_stacked_axis(size_t heads, size_t dim) {
    const size_t d = shk_round16(dim / heads);
    return (struct shk_axis){3, {{3, heads * d}, {heads, d}, {dim / heads, 1}}};
}
static inline size_t shk_heads_columns(size_t heads, size_t dim) { return heads * shk_round16(dim / heads); }

#endif
