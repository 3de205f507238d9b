// SPDX-License-Identifier: MIT
// This gathers all kernels: as a table of one instruction set, of which it tells those that this CPU can run. What a
// kernel computes is in the header of its name; what holds for all of them is in contract.h.
#ifndef SHK_SIMD_KERNELS_H
#define SHK_SIMD_KERNELS_H

#include "add.h"
#include "apply_rule.h"
#include "attention.h"
#include "avg_pool.h"
#include "batch_norm.h"
#include "cls_attention.h"
#include "column_sum.h"
#include "concat.h"
#include "conv3x3.h"
#include "cross_entropy.h"
#include "depthwise.h"
#include "dropout.h"
#include "fma_peak.h"
#include "gelu.h"
#include "gemm.h"
#include "hardswish.h"
#include "im2col.h"
#include "layernorm.h"
#include "max_pool.h"
#include "multiply.h"
#include "pack.h"
#include "random.h"
#include "relu.h"
#include "rules.h"
#include "scale.h"
#include "sigmoid.h"
#include "silu.h"
#include "sparse_gemm.h"
#include "square_sum.h"
#include "transpose.h"
#include "winograd.h"

#define KERNEL(name, type) void (*name)(const type *);
struct shk_kernels {
    const char *isa; // "c", "avx2", "avx512", "neon"
#include "kernels.def"
};
#undef KERNEL

// The kernels of an ISA by name, or of the best that this CPU has for NULL or "auto". NULL: the name does not exist, or
// this CPU or build lacks it (then *exists tells which).
const struct shk_kernels *shk_kernels_find(const char *isa, bool *exists);
// The ISAs that this CPU can run, weakest first; NULL past the last.
const struct shk_kernels *shk_kernels_at(size_t index);

#endif
