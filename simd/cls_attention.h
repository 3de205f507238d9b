// SPDX-License-Identifier: MIT
// cls_attention_forward and cls_attention_backward are the attention of CLS alone, in a block where nothing else is
// read: all heads of one sample, without keys and values (products reassociated). With x the block's input, Wk_h, Wv_h
// a head's columns of the projections and q_h its query, scores are u_h . x_t with u_h = Wk_h q_h (the key's bias is
// the same for all t, softmax does not see it), and the head's output is z_h Wv_h + r_h bv_h. The products with the
// weights are the caller's, over samples.
//
//   forward, for h < heads, t < tokens:
//       s[t] = fold of the chains fma(u[h][c], x[t][c], sum), c < cols
//       f = scale * log2(e); m = (max of s) * f
//       e[t] = 2^(s[t]*f - m), and 2^-64 at least; w[t] = e[t] * (1 / fold(e))    1 where one token has all the weight
//       dropped(h, t) = dropped(element + h*head_elements + t*columns)            (dropout.h); never without dropout
//           columns = min(round16(tokens), SHK_ATTENTION_BLOCK)
//           head_elements = tokens * round16(tokens), rounded up to 128
//                                                     as attention.h has them for query 0 of `tokens` queries
//       p[h][t] = w[t], with the SIGN BIT SET where dropped; columns >= tokens of p are 0
//       pd[h][t] = dropped(h, t) ? 0 : w[t] * drop.scale                          pd = w without dropout
//       for c < cols: z[h][c] = chain over t < tokens from 0 of fma(pd[h][t], x[t][c], z)
//       r[h] = fold(pd[h])
//   backward, with w = |p| and dropped from p's signs:
//       dp[h][t] = dr[h] + fold of the chains fma(dz[h][c], x[t][c], sum), c < cols;
//           without dropout as it is, else dropped(h, t) ? 0 : dp[h][t] * drop.scale
//       delta[h] = fold of the chains fma(w[h][t], dp[h][t], sum), t < tokens
//       ds[h][t] = (dp[h][t] - delta[h]) * w[h][t] * scale
//       du[h][c] = chain over t < tokens from 0 of fma(ds[h][t], x[t][c], du)
//       dx[t][c] = 0
//       for h < heads: dx[t][c] = fma(ds[h][t], u[h][c], dx[t][c])
//       for h < heads: dx[t][c] = fma(pd[h][t], dz[h][c], dx[t][c])
#ifndef SHK_SIMD_CLS_ATTENTION_H
#define SHK_SIMD_CLS_ATTENTION_H

#include "attention.h"

struct shk_cls_attention {
    size_t tokens, cols, heads; // cols: multiple of 16
    float scale;                // > 0
    const float *x;             // [tokens][cols]
    size_t x_row;
    const float *u; // [heads][cols]; for backward [2*heads][cols]: u, then dz
    float *p;       // [heads][round16(tokens)]; read by backward
    float *z;       // [heads][cols]; backward does not read it
    float *r;       // [heads], alignment: any; likewise
    struct shk_dropout_spec drop;
    uint32_t element; // of the first head, multiple of 128
    const float *dr;  // [heads], alignment: any
    float *du;        // [heads][cols], overwritten
    float *dx;        // [tokens][cols], overwritten
    ptrdiff_t dx_row;
    void *scratch; // shk_cls_attention_scratch() bytes, 64-byte aligned
};
size_t shk_cls_attention_scratch(size_t tokens, size_t heads);

#endif
