// SPDX-License-Identifier: MIT
// Scaled dot-product attention of one head and its gradients (kernels.h): products through the GEMM kernel, softmax row
// by row between them.
#include "gemm_tile.h"
#include "kernels.h"
#include "vec16_math.h"
#include "vec16_philox.h"

#include <math.h>

#define KERNEL(name, type) void SHK_KERNEL(name)(const type *);
#include "kernels.def"
#undef KERNEL

// Query rows that forward takes at a time: scores stay in cache, whole tiles of 13, and their elements are whole
// dropout blocks of 128.
enum { ROWS = 104, GROUP = 8 };

#if defined(SHK_ISA_C)
// Panels of k^T or v^T, then dropped-out weights, then gradients of the scores.
size_t shk_attention_scratch(size_t queries, size_t tokens, size_t d) {
    return shk_round16(tokens) * (d + 2 * queries) * sizeof(float);
}
#endif

// Panels [round16(rows)/16][d][16] of the transpose of x [rows][d]; rows beyond the last are zero.
static void transpose_panels(size_t rows, size_t d, const float *x, size_t ld, float *panels) {
    for (size_t row = 0; row < rows; row += 16) {
        const size_t taken = rows - row < 16 ? rows - row : 16;
        for (size_t column = 0; column < d; column += 16, panels += 256) {
            vf t[16];
            GEMM_UNROLL
            for (size_t i = 0; i < 16; i++) t[i] = i < taken ? vf_load(x + (row + i) * ld + column) : vf_zero();
            vf_transpose16(t);
            GEMM_UNROLL
            for (size_t i = 0; i < 16; i++) vf_store(panels + 16 * i, t[i]);
        }
    }
}

// Scores to weights, in place: p = softmax(s * scale) of each row, pad columns 0. Rows go in groups so that their folds overlap.
static void softmax_rows(size_t rows, size_t tokens, float scale, float *p) {
    const size_t ld = shk_round16(tokens), last = ld - 16;
    const vf factor = vf_set1(scale), lowest = vf_set1(-INFINITY);
    const vm tail = vm_first(tokens - last);
    float most[GROUP], total[GROUP];
    for (size_t group; rows > 0; rows -= group, p += group * ld) {
        group = rows < GROUP ? rows : GROUP;
        for (size_t r = 0; r < group; r++) {
            const float *const s = p + r * ld;
            vf m = vf_select(tail, vf_mul(vf_load(s + last), factor), lowest);
            for (size_t i = 0; i < last; i += 16) m = vf_max(vf_mul(vf_load(s + i), factor), m);
            most[r] = vf_hmax(m);
        }
        for (size_t r = 0; r < group; r++) {
            float *const s = p + r * ld;
            const vf m = vf_set1(most[r]);
            vf sum = vf_zero();
            for (size_t i = 0; i < last; i += 16) {
                const vf e = vf_exp(vf_sub(vf_mul(vf_load(s + i), factor), m));
                sum = vf_add(sum, e);
                vf_store(s + i, e);
            }
            const vf e = vf_keep(tail, vf_exp(vf_sub(vf_mul(vf_load(s + last), factor), m)));
            vf_store(s + last, e);
            total[r] = vf_sum(vf_add(sum, e));
        }
        for (size_t r = 0; r < group; r++) {
            const vf sum = vf_set1(total[r]);
            for (size_t i = 0; i < ld; i += 16) vf_store(p + r * ld + i, vf_div(vf_load(p + r * ld + i), sum));
        }
    }
}

// The sign of p set where dropped, and dropped = p dropped ? 0 : p*scale. n elements, the first of which is `element`,
// a multiple of 128.
static void drop_weights(const struct shk_dropout_spec *drop, uint32_t element, size_t n, float *p, float *dropped) {
    const vf scale = vf_set1(drop->scale);
    const vi sign = vi_set1(0x80000000u);
    for (size_t i = 0; i < n; i += 128) {
        vi words[4];
        shk_dropout_words(drop, (element + (uint32_t)i) / 128, words);
        GEMM_UNROLL
        for (int j = 0; j < 8; j++) {
            const size_t at = i + 16 * (size_t)j;
            if (at >= n) break;
            const vm keep = shk_dropout_keep(drop, words, j);
            const vf x = vf_load(p + at);
            vf_store(dropped + at, vf_keep(keep, vf_mul(x, scale)));
            vf_store(p + at, vf_select(keep, x, vi_as_vf(vi_or(vf_as_vi(x), sign))));
        }
    }
}

void SHK_KERNEL(attention_forward)(const struct shk_attention *a) {
    const size_t ld = shk_round16(a->tokens);
    float *const panels = a->scratch, *const dropped = panels + ld * a->d;
    transpose_panels(a->tokens, a->d, a->k, a->ld_kv, panels);
    for (size_t row = 0; row < a->queries; row += ROWS) {
        const size_t rows = a->queries - row < ROWS ? a->queries - row : ROWS;
        float *const p = a->p + row * ld;
        SHK_KERNEL(gemm)
        (&(struct shk_gemm){
            .m = rows,
            .n = ld,
            .k = a->d,
            .a = a->q + row * a->ld_q,
            .a_row = (ptrdiff_t)a->ld_q,
            .a_col = 1,
            .b = panels,
            .b_row = 16,
            .b_panel = 16 * (ptrdiff_t)a->d,
            .c = p,
            .c_row = (ptrdiff_t)ld,
            .c_panel = 16,
        });
        softmax_rows(rows, a->tokens, a->scale, p);
        const bool drop = a->drop.threshold != 0;
        if (drop) drop_weights(&a->drop, a->element + (uint32_t)(row * ld), rows * ld, p, dropped);
        SHK_KERNEL(gemm)
        (&(struct shk_gemm){
            .m = rows,
            .n = a->d,
            .k = a->tokens,
            .a = drop ? dropped : p,
            .a_row = (ptrdiff_t)ld,
            .a_col = 1,
            .b = a->v,
            .b_row = (ptrdiff_t)a->ld_kv,
            .b_panel = 16,
            .c = a->out + row * a->ld_out,
            .c_row = (ptrdiff_t)a->ld_out,
            .c_panel = 16,
        });
    }
}

// On entry ds holds dpd. With p as forward left it: dropped = the weights that met v (not written if it is p), ds =
// gradient of the scores.
static void softmax_backward_rows(const struct shk_attention *a, float *dropped, float *ds) {
    const size_t ld = shk_round16(a->tokens);
    const vf scale = vf_set1(a->scale), drop_scale = vf_set1(a->drop.scale);
    const bool drop = a->drop.threshold != 0;
    const float *p = a->p;
    for (size_t row = 0; row < a->queries; row++, p += ld, dropped += ld, ds += ld) {
        vf sum = vf_zero();
        if (drop) {
            for (size_t i = 0; i < ld; i += 16) {
                const vf x = vf_load(p + i);
                const vf pd = vf_keep(vm_not(vf_lt(x, vf_zero())), vf_mul(vf_abs(x), drop_scale));
                vf_store(dropped + i, pd);
                sum = vf_fma(pd, vf_load(ds + i), sum);
            }
        } else {
            for (size_t i = 0; i < ld; i += 16) sum = vf_fma(vf_load(p + i), vf_load(ds + i), sum);
        }
        const vf delta = vf_set1(vf_sum(sum));
        for (size_t i = 0; i < ld; i += 16) {
            const vf pd = vf_load((drop ? dropped : p) + i);
            const vf g = vf_fnma(vf_abs(vf_load(p + i)), delta, vf_mul(pd, vf_load(ds + i)));
            vf_store(ds + i, vf_mul(g, scale));
        }
    }
}

void SHK_KERNEL(attention_backward)(const struct shk_attention *a) {
    const size_t ld = shk_round16(a->tokens);
    float *const panels = a->scratch, *const ds = panels + ld * a->d, *const dropped = ds + ld * a->queries;
    transpose_panels(a->tokens, a->d, a->v, a->ld_kv, panels);
    SHK_KERNEL(gemm)
    (&(struct shk_gemm){
        .m = a->queries,
        .n = ld,
        .k = a->d,
        .a = a->dout,
        .a_row = (ptrdiff_t)a->ld_out,
        .a_col = 1,
        .b = panels,
        .b_row = 16,
        .b_panel = 16 * (ptrdiff_t)a->d,
        .c = ds,
        .c_row = (ptrdiff_t)ld,
        .c_panel = 16,
    });
    softmax_backward_rows(a, dropped, ds);
    SHK_KERNEL(gemm)
    (&(struct shk_gemm){
        .m = a->tokens,
        .n = a->d,
        .k = a->queries,
        .a = a->drop.threshold != 0 ? dropped : a->p,
        .a_row = 1,
        .a_col = (ptrdiff_t)ld,
        .b = a->dout,
        .b_row = (ptrdiff_t)a->ld_out,
        .b_panel = 16,
        .c = a->dv,
        .c_row = (ptrdiff_t)a->ld_kv,
        .c_panel = 16,
    });
    SHK_KERNEL(gemm)
    (&(struct shk_gemm){
        .m = a->queries,
        .n = a->d,
        .k = a->tokens,
        .a = ds,
        .a_row = (ptrdiff_t)ld,
        .a_col = 1,
        .b = a->k,
        .b_row = (ptrdiff_t)a->ld_kv,
        .b_panel = 16,
        .c = a->dq,
        .c_row = (ptrdiff_t)a->ld_q,
        .c_panel = 16,
    });
    SHK_KERNEL(gemm)
    (&(struct shk_gemm){
        .m = a->tokens,
        .n = a->d,
        .k = a->queries,
        .a = ds,
        .a_row = 1,
        .a_col = (ptrdiff_t)ld,
        .b = a->q,
        .b_row = (ptrdiff_t)a->ld_q,
        .b_panel = 16,
        .c = a->dk,
        .c_row = (ptrdiff_t)a->ld_kv,
        .c_panel = 16,
    });
}
