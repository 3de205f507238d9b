// SPDX-License-Identifier: MIT
// This says what holds for every kernel, and has what the headers with their contracts share.
//
// - A kernel's header says as pseudocode what it computes; its argument struct says on which shapes. `for i < n` goes
//   upwards. Numbers are f32. fma(a, b, c) = a*b + c and fnma(a, b, c) = c - a*b are rounded once.
// - Every pointer to float is aligned to 64 bytes and every stride is a multiple of 16 floats, unless a field says
//   "any". Operands do not overlap unless a field says so. Channel and column counts are padded to multiples of 16; the
//   pad lanes of weights, biases and activations are zero.
// - Kernels never thread and never allocate; they read and write only what the contract names.
// - The bits are the same on every ISA: each output is ONE ordered chain of fused multiply-adds (or of adds),
//   vectorised across outputs. Where lanes are summed, 16 partial sums, element i in sum i % 16, are folded by vf_sum
//   (vec16.h): that is `fold`. The sizes of tiles may differ between ISAs since they do not enter the bits.
// - "Panels" are a matrix [K][N] stored as [N/16][K][16].
#ifndef SHK_SIMD_CONTRACT_H
#define SHK_SIMD_CONTRACT_H

#include "strict_math.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t shk_round16(size_t n) { return (n + 15) & ~(size_t)15; }

#endif
