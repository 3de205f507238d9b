// SPDX-License-Identifier: MIT
// These parts are what the attention kernels share: softmax of score rows, dropout of the weights, and the way back.
#ifndef SHK_SIMD_ATTENTION_PARTS_H
#define SHK_SIMD_ATTENTION_PARTS_H

#include "gemm_tile.h"
#include "vec16_philox.h"
#include "vec8.h"

#include <math.h>
#include <string.h>

// Heads whose products are summed side by side, and tokens: sums enough for one fold of all.
#if defined(SHK_ISA_AVX512)
enum { SUMS = 16, HEADS = 4 };
#else
enum { SUMS = 4, HEADS = 1 };
#endif

// c [heads][ld] = sums of so many heads and tokens, where heads * tokens is SUMS, or of one token.
SHK_INLINE void shk_fold_tile(const int tokens, const int heads, const vf *sums, float *c, size_t ld) {
    if (tokens == 1) {
        for (int h = 0; h < heads; h++) c[(size_t)h * ld] = vf_sum(sums[h]);
        return;
    }
    if (SUMS == 4) {
        vf_sum4(sums, c);
        return;
    }
    _Alignas(64) float all[16];
    vf_store(all, vf_sum16(sums));
    for (int h = 0; h < heads; h++) memcpy(c + (size_t)h * ld, all + h * tokens, (size_t)tokens * sizeof *c);
}

// c [heads][ld] = rows [heads][cols] times x^T, of so many heads and tokens.
SHK_INLINE void shk_dot_tile(const int tokens, const int heads, size_t cols, const float *x, size_t x_row,
                             const float *rows, float *c, size_t ld) {
    vf acc[SUMS], u[HEADS];
    SHK_UNROLL
    for (int i = 0; i < tokens * heads; i++) acc[i] = vf_zero();
    for (size_t column = 0; column < cols; column += 16) {
        SHK_UNROLL
        for (int h = 0; h < heads; h++) u[h] = vf_load(rows + (size_t)h * cols + column);
        SHK_UNROLL
        for (int t = 0; t < tokens; t++) {
            const vf token = vf_load(x + (size_t)t * x_row + column);
            SHK_UNROLL
            for (int h = 0; h < heads; h++) acc[h * tokens + t] = vf_fma(u[h], token, acc[h * tokens + t]);
        }
    }
    shk_fold_tile(tokens, heads, acc, c, ld);
}

SHK_INLINE void shk_dot_heads(const int heads, size_t tokens, size_t cols, const float *x, size_t x_row,
                              const float *rows, float *c) {
    const size_t ld = shk_round16(tokens), side = SUMS / (size_t)heads;
    size_t t = 0;
    for (int h = 0; h < heads; h++) vf_store(c + (size_t)h * ld + ld - 16, vf_zero()); // the pad columns
    for (; t + side <= tokens; t += side, x += side * x_row)
        shk_dot_tile(SUMS / heads, heads, cols, x, x_row, rows, c + t, ld);
    for (; t < tokens; t++, x += x_row) shk_dot_tile(1, heads, cols, x, x_row, rows, c + t, ld);
}

// c [heads][round16(tokens)] = rows [heads][cols] times the transpose of x [tokens][cols], pad columns 0.
SHK_INLINE void shk_times_tokens(size_t heads, size_t tokens, size_t cols, const float *x, size_t x_row,
                                 const float *rows, float *c) {
    const size_t ld = shk_round16(tokens);
    size_t h = 0;
    for (; h + HEADS <= heads; h += HEADS) shk_dot_heads(HEADS, tokens, cols, x, x_row, rows + h * cols, c + h * ld);
    for (; h < heads; h++) shk_dot_heads(1, tokens, cols, x, x_row, rows + h * cols, c + h * ld);
}

// Scores to weights, in place: p = softmax(s * scale) of each row, pad columns 0. Rows go in groups so that their folds
// overlap.
SHK_INLINE void shk_softmax_rows(size_t rows, size_t tokens, float scale, float *p) {
    enum { GROUP = 8 };
    const size_t ld = shk_round16(tokens), last = ld - 16;
    const float by = scale * 1.44269504f; // log2(e)
    const vf factor = vf_set1(by), lowest = vf_set1(-INFINITY);
    const vm tail = vm_first(tokens - last);
    float most[GROUP], inverse[GROUP];
    for (size_t group; rows > 0; rows -= group, p += group * ld) {
        group = rows < GROUP ? rows : GROUP;
        for (size_t r = 0; r < group; r++) {
            const float *const s = p + r * ld;
            vf m = vf_select(tail, vf_load(s + last), lowest);
            for (size_t i = 0; i < last; i += 16) m = vf_max(vf_load(s + i), m);
            most[r] = vf_hmax(m) * by;
        }
        for (size_t r = 0; r < group; r++) {
            float *const s = p + r * ld;
            const vf m = vf_set1(most[r]);
            vf sum = vf_zero();
            for (size_t i = 0; i <= last; i += 16) {
                vf e = vf_sub(vf_mul(vf_load(s + i), factor), m); // 0 for the largest
                vf_exp2_weights(1, &e);
                if (i == last) e = vf_keep(tail, e);
                sum = vf_add(sum, e);
                vf_store(s + i, e);
            }
            inverse[r] = 1.0f / vf_sum(sum);
        }
        for (size_t r = 0; r < group; r++) {
            const vf share = vf_set1(inverse[r]);
            for (size_t i = 0; i < ld; i += 16) vf_store(p + r * ld + i, vf_mul(vf_load(p + r * ld + i), share));
        }
    }
}

// 16 weights: the sign of p set where dropped, and dropped = p dropped ? 0 : p*scale.
SHK_INLINE void shk_drop16(vm keep, vf scale, float *p, float *dropped) {
    const vf x = vf_load(p);
    vf_store(dropped, vf_keep(keep, vf_mul(x, scale)));
    vf_store(p, vf_select(keep, x, vi_as_vf(vi_or(vf_as_vi(x), vi_set1(0x80000000u)))));
}

// The same of n weights, whose places are consecutive elements, the first of which is `element`, a multiple of 128.
SHK_INLINE void shk_drop_weights(const struct shk_dropout_spec *drop, float factor, uint32_t element, size_t n,
                                 float *p, float *dropped) {
    const vf scale = vf_set1(factor);
    for (size_t i = 0; i < n; i += 128) {
        vi words[4];
        shk_dropout_words(drop, (element + (uint32_t)i) / 128, words);
        SHK_UNROLL
        for (int j = 0; j < 8; j++) {
            const size_t at = i + 16 * (size_t)j;
            if (at >= n) break;
            shk_drop16(shk_dropout_keep(drop, words, j), scale, p + at, dropped + at);
        }
    }
}

// On entry ds holds what start of its row is still to be added to for dpd. With p as forward left it: dropped = the
// weights that met the values (not written without dropout, where it is p), ds = gradient of the scores.
SHK_INLINE void shk_softmax_backward_rows(size_t rows, size_t tokens, float score_scale,
                                          const struct shk_dropout_spec *spec, const float *start, const float *p,
                                          float *dropped, float *ds) {
    const size_t ld = shk_round16(tokens);
    const vf scale = vf_set1(score_scale), drop_scale = vf_set1(spec->scale);
    const bool drop = spec->threshold != 0;
    for (size_t row = 0; row < rows; row++, p += ld, dropped += ld, ds += ld) {
        const vf first = vf_set1(start[row]);
        vf sum = vf_zero();
        for (size_t i = 0; i < ld; i += 16) {
            const vf x = vf_load(p + i), w = vf_abs(x);
            vf h = vf_add(first, vf_load(ds + i));
            if (drop) {
                const vm keep = vm_not(vf_lt(x, vf_zero()));
                h = vf_keep(keep, vf_mul(h, drop_scale));
                vf_store(dropped + i, vf_keep(keep, vf_mul(w, drop_scale)));
            }
            sum = vf_fma(w, h, sum);
            vf_store(ds + i, h);
        }
        const vf delta = vf_set1(vf_sum(sum));
        for (size_t i = 0; i < ld; i += 16)
            vf_store(ds + i, vf_mul(vf_mul(vf_sub(vf_load(ds + i), delta), vf_abs(vf_load(p + i))), scale));
    }
}

#endif
