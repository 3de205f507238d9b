// SPDX-License-Identifier: MIT
// vec16 is sixteen f32 lanes, the unit in which every kernel is written. One backend per ISA defines the types and
// operations below; the same operation gives the same bits on each (IEEE, round to nearest; no reciprocal estimates;
// denormals kept).
//
//   types     vf: 16 floats; vi: 16 x 32 bits (unsigned unless said); vm: 16 lane flags
//   memory    vf_load/vf_store (64-byte aligned), vf_loadu/vf_storeu (any)
//             vf_held(a) = a, in a register from here on, where a compiler would load for each use anew, or spill
//             vf_load_n(p, n)/vf_store_n(p, v, n): the first n lanes (0..16); no others are touched, and they read as 0
//             vf_store_pairs(p, a, b): a[0], b[0], a[1], b[1], ... (64-byte aligned)
//             vi_load/vi_store/vi_loadu/vi_storeu (uint32_t *)
//   set       vf_zero(), vf_set1(f), vf_spread(p) = vf_set1(*p) where loads are the bound; vi_set1(u),
//             vi_iota() = 0..15
//   float     vf_add, vf_sub, vf_mul, vf_div, vf_sqrt, vf_fma(a, b, c) = a*b+c, vf_fnma(a, b, c) = c-a*b, vf_abs,
//             vf_neg
//             vf_max(a, b) = a > b ? a : b, vf_min(a, b) = a < b ? a : b   (so -0, +0 and NaN give b)
//   convert   vf_from_vi(a): as int32; vf_as_vi, vi_as_vf: the bits
//   integer   vi_add, vi_sub, vi_mullo, vi_mulhi (unsigned high half), vi_and, vi_or, vi_xor, vi_shl(a, imm),
//             vi_shr(a, imm)
//   compare   vf_lt, vf_gt, vf_eq (ordered, quiet), vf_ordered (neither is NaN), vi_eq, vi_lt (unsigned) -> vm
//   masks     vm_and, vm_or, vm_not, vm_first(n), vm_bits(m) -> uint32_t (bit i: lane i), vm_from_bits(u)
//             vf_select(m, a, b) = m ? a : b, vi_select, vf_keep(m, a) = m ? a : +0
//   lanes     vf_sum(a): the fold: lane i + lane i+8, then i + i+4, i + i+2, i + i+1; vf_hmax(a): the same with vf_max
//             vf_sum4(r, out): out[i] = vf_sum(r[i]) for i < 4, any alignment; vf_sum16(r): lane i = vf_sum(r[i])
//             vf_permute(a, idx): lane i = a[idx[i] & 15]; vf_transpose16(vf r[16]): in place
//             vf_even(a, b), vf_odd(a, b): every second lane, from lane 0 or 1 on, of a, then of b
#ifndef SHK_SIMD_VEC16_H
#define SHK_SIMD_VEC16_H

#include "strict_math.h"

#include <stddef.h>
#include <stdint.h>

#if defined(SHK_ISA_AVX512)
#include "vec16_avx512.h"
#define SHK_ISA_NAME avx512
#elif defined(SHK_ISA_AVX2)
#include "vec16_avx2.h"
#define SHK_ISA_NAME avx2
#elif defined(SHK_ISA_NEON)
#include "vec16_neon.h"
#define SHK_ISA_NAME neon
#else
#include "vec16_c.h"
#define SHK_ISA_NAME c
#endif

// SHK_UNROLL stands before a loop with a constant count that must vanish: only then does an array of vectors stay in
// registers. Not in plain C, which has none, nor under a sanitizer, which checks the indices of a loop that is there;
// both would compile for minutes.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHK_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SHK_SANITIZED 1
#endif
#endif
#if defined(SHK_ISA_C) || defined(SHK_SANITIZED)
#define SHK_UNROLL
#elif defined(__clang__)
#define SHK_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SHK_UNROLL _Pragma("GCC unroll 36")
#endif

#define SHK_CAT2(a, b) a##_##b
#define SHK_CAT(a, b) SHK_CAT2(a, b)
// The name of a kernel in this ISA's build: SHK_KERNEL(gemm) is shk_gemm_avx2.
#define SHK_KERNEL(name) SHK_CAT(shk_##name, SHK_ISA_NAME)

#endif
