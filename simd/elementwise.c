// SPDX-License-Identifier: MIT
// Kernels that touch each element once: GELU, multiply, ReLU's gradient, dropout, add, column sums, transposition.
#include "kernel.h"
#include "vec16_gelu.h"
#include "vec16_philox.h"

void SHK_KERNEL(gelu_forward)(const struct shk_gelu *args) {
    const float *x = args->x;
    float *y = args->y, *derivative = args->derivative;
    vf d;
    if (derivative) {
        for (size_t i = 0; i < args->n; i += 16) {
            vf_store(y + i, vf_gelu(vf_load(x + i), &d));
            vf_store(derivative + i, d);
        }
    } else {
        for (size_t i = 0; i < args->n; i += 16) vf_store(y + i, vf_gelu(vf_load(x + i), &d));
    }
}

void SHK_KERNEL(multiply)(const struct shk_multiply *args) {
    for (size_t i = 0; i < args->n; i += 16) vf_store(args->y + i, vf_mul(vf_load(args->a + i), vf_load(args->b + i)));
}

void SHK_KERNEL(relu_backward)(const struct shk_relu_backward *args) {
    const vf scale = vf_set1(args->scale);
    for (size_t i = 0; i < args->n; i += 16) {
        const vm alive = vf_gt(vf_load(args->y + i), vf_zero());
        vf_store(args->dx + i, vf_keep(alive, vf_mul(vf_load(args->dy + i), scale)));
    }
}

void SHK_KERNEL(dropout_mask)(const struct shk_dropout_mask *args) {
    const size_t vectors = args->n / 16;
    uint16_t *mask = args->mask;
    vi words[4];
    uint32_t block = args->element / 128;
    size_t i = 0;
    for (; i + 8 <= vectors; i += 8) {
        shk_dropout_words(&args->drop, block++, words);
        for (int j = 0; j < 8; j++) mask[i + j] = (uint16_t)vm_bits(shk_dropout_keep(&args->drop, words, j));
    }
    if (i == vectors) return;
    shk_dropout_words(&args->drop, block, words);
    for (int j = 0; i + j < vectors; j++) mask[i + j] = (uint16_t)vm_bits(shk_dropout_keep(&args->drop, words, j));
}

static inline vf dropout_kept(const uint16_t *mask, size_t i, const float *x, vf scale) {
    return vf_keep(vm_from_bits(mask[i / 16]), vf_mul(vf_load(x + i), scale));
}

void SHK_KERNEL(dropout_forward)(const struct shk_dropout *args) {
    const vf scale = vf_set1(args->scale), zero = vf_zero();
    const float *x = args->x, *residual = args->residual;
    const uint16_t *mask = args->mask;
    float *y = args->y;
    for (size_t r = 0; r < args->rows; r++) {
        if (mask && residual) {
            for (size_t i = 0; i < args->cols; i += 16)
                vf_store(y + i, vf_add(vf_load(residual + i), dropout_kept(mask, i, x, scale)));
        } else if (mask) {
            for (size_t i = 0; i < args->cols; i += 16) vf_store(y + i, vf_add(zero, dropout_kept(mask, i, x, scale)));
        } else {
            for (size_t i = 0; i < args->cols; i += 16)
                vf_store(y + i, vf_add(residual ? vf_load(residual + i) : zero, vf_load(x + i)));
        }
        x += args->x_row;
        y += args->y_row;
        if (residual) residual += args->residual_row;
        if (mask) mask += args->cols / 16;
    }
}

void SHK_KERNEL(dropout_backward)(const struct shk_dropout *args) {
    const vf scale = vf_set1(args->scale);
    const float *dy = args->dy;
    const uint16_t *mask = args->mask;
    float *dx = args->dx;
    for (size_t r = 0; r < args->rows; r++) {
        if (mask) {
            for (size_t i = 0; i < args->cols; i += 16) vf_store(dx + i, dropout_kept(mask, i, dy, scale));
            mask += args->cols / 16;
        } else {
            for (size_t i = 0; i < args->cols; i += 16) vf_store(dx + i, vf_load(dy + i));
        }
        dy += args->dy_row;
        dx += args->dx_row;
    }
}

void SHK_KERNEL(add)(const struct shk_add *args) {
    const float *x = args->x;
    float *y = args->y;
    for (size_t r = 0; r < args->rows; r++) {
        for (size_t i = 0; i < args->cols; i += 16) vf_store(y + i, vf_add(vf_load(y + i), vf_load(x + i)));
        x += args->x_row;
        y += args->y_row;
    }
}

// Columns are summed side by side: enough chains to hide the latency of an add.
enum { SIDE = 4 };

void SHK_KERNEL(column_sum)(const struct shk_column_sum *args) {
    const vf zero = vf_zero();
    size_t i = 0;
    for (; i + SIDE * 16 <= args->cols; i += SIDE * 16) {
        const float *x = args->x + i;
        float *sum = args->sum + i;
        vf a = zero, b = zero, c = zero, d = zero;
        if (args->start) {
            a = vf_load(args->start + i);
            b = vf_load(args->start + i + 16);
            c = vf_load(args->start + i + 32);
            d = vf_load(args->start + i + 48);
        }
        for (size_t r = 0; r < args->rows; r++, x += args->row) {
            a = vf_add(a, vf_load(x));
            b = vf_add(b, vf_load(x + 16));
            c = vf_add(c, vf_load(x + 32));
            d = vf_add(d, vf_load(x + 48));
        }
        vf_store(sum, args->relu ? vf_max(zero, a) : a);
        vf_store(sum + 16, args->relu ? vf_max(zero, b) : b);
        vf_store(sum + 32, args->relu ? vf_max(zero, c) : c);
        vf_store(sum + 48, args->relu ? vf_max(zero, d) : d);
    }
    for (; i < args->cols; i += 16) {
        const float *x = args->x + i;
        vf a = args->start ? vf_load(args->start + i) : zero;
        for (size_t r = 0; r < args->rows; r++, x += args->row) a = vf_add(a, vf_load(x));
        vf_store(args->sum + i, args->relu ? vf_max(zero, a) : a);
    }
}

void SHK_KERNEL(transpose_panel)(const struct shk_transpose *args) {
    for (size_t b = 0; b < args->blocks; b++) {
        const float *src = args->src + (ptrdiff_t)b * args->src_block;
        float *dst = args->dst + (ptrdiff_t)b * args->dst_block;
        vf r[16];
        for (int j = 0; j < 16; j++) r[j] = vf_load(src + j * args->src_row);
        vf_transpose16(r);
        for (int i = 0; i < 16; i++) vf_store(dst + i * args->dst_row, r[i]);
    }
}

// What comes from memory is asked for this many floats ahead: hardware stops at the end of each page.
enum { PACK_AHEAD = 4096 };

void SHK_KERNEL(pack)(const struct shk_pack *args) {
    const size_t cols = args->groups * args->width;
    const ptrdiff_t ahead = (ptrdiff_t)(cols ? (PACK_AHEAD + cols - 1) / cols : 0) * args->src_row;
    for (size_t r = 0; r < args->rows; r++) {
        const float *src = args->src + (ptrdiff_t)r * args->src_row;
        float *dst = args->dst + r * args->width;
        for (size_t g = 0; g < args->groups; g++) {
            for (size_t j = 0; j < args->width; j += 16) {
                __builtin_prefetch(src + ahead + j, 0, 2);
                vf_store(dst + j, vf_load(src + j));
            }
            src += args->width;
            dst += args->dst_group;
        }
    }
}
