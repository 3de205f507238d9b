// SPDX-License-Identifier: MIT
// attention_forward and attention_backward are one head of one sample: scaled dot-product attention (Vaswani et al.
// 2017) with dropout on the weights.
//
// Queries go in blocks of SHK_ATTENTION_BLOCK, the last of which may be smaller. The weight of query i and token j lies
// at
//   place(i, j) = first*tokens + j*columns + i - first        of p, with first = that of the block, columns =
//                                                             round16(queries of the block); pad columns: unspecified
// and behind all weights inverse [round16(queries)].
//
//   forward, for each query i:
//       f = scale * log2(e)
//       for j < tokens:
//           s[j] = 0; for c < d: s[j] = fma(k[j][c], q[i][c]*f, s[j])
//       for j < tokens: e[j] = 2^(s[j] - max of s), and 2^-64 at least
//       inverse[i] = 1 / (sum of e[j], j even + sum of e[j], j odd)               the softmax is e * inverse
//       dropped(j) = dropped(element + place(i, j))                              (dropout.h); never without dropout
//       p[place(i, j)] = e[j], with the SIGN BIT SET where dropped
//       for c < d:
//           o = 0; for j < tokens: o = fma(dropped(j) ? 0 : e[j], v[j][c], o)
//           out[i][c] = o * (inverse[i] * drop.scale)                             drop.scale: 1 without dropout
//   Forward without training: p is still scratch.
//   backward, with e, dropped and inverse from p, and left[j] = dropped(j) ? 0 : e[j]:
//       g[i][c] = dout[i][c] * (inverse[i] * drop.scale)
//       h[i][j] = chain over c < d from 0 of fma(v[j][c], g[i][c]*scale, h)
//       t[i][j] = h[i][j] * left[j]
//       delta[i] = (sum of t[i][j], j < tokens, from 0) * inverse[i]
//       ds[i][j] = fnma(e[j], delta[i], t[i][j])              exactly 0 where e and inverse are 1: delta is that t then
//       dv[j][c] = chain over i < queries from 0 of fma(left[j], g[i][c], dv)
//       dq[i][c] = chain over j < tokens from 0 of fma(ds[i][j], k[j][c], dq)
//       dk[j][c] = chain over i < queries from 0 of fma(ds[i][j], q[i][c], dk)
//
// A last query that has 16 lanes to itself (queries % 16 = 1) has its tokens side by side instead: its s and e are
// those of cls_attention.h's s and p, with inverse = 1; its h is the fold of the chains fma(v[j][c], g[i][c]*scale,
// sum), its delta the fold of the sums of t.
#ifndef SHK_SIMD_ATTENTION_H
#define SHK_SIMD_ATTENTION_H

#include "dropout.h"

enum { SHK_ATTENTION_BLOCK = 128 };
struct shk_attention {
    size_t queries, tokens, d;  // d: multiple of 16
    size_t ld_q, ld_kv, ld_out; // rows of q, dq; of k, v, dk, dv; of out, dout: parts of larger matrices
    float scale;
    const float *q, *k, *v; // [queries][d], [tokens][d], [tokens][d]
    float *out;             // [queries][d]; backward does not read it
    float *p;               // [(tokens + 1) * round16(queries)]; read by backward
    struct shk_dropout_spec drop;
    uint32_t element;    // of the head's first weight, multiple of 128
    const float *dout;   // [queries][d]
    float *dq, *dk, *dv; // overwritten
    void *scratch;       // shk_attention_scratch() bytes, 64-byte aligned
};
size_t shk_attention_scratch(size_t queries, size_t tokens, size_t d);

#endif
