// SPDX-License-Identifier: MIT
// The dropout kernels draw masks, 128 elements from 16 blocks of random words, and apply them.
#include "kernel.h"
#include "vec16_philox.h"

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
                vf_store(y + i, vf_add(residual ? vf_load(residual + i) : zero, vf_mul(vf_load(x + i), scale)));
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
            for (size_t i = 0; i < args->cols; i += 16) vf_store(dx + i, vf_mul(vf_load(dy + i), scale));
        }
        dy += args->dy_row;
        dx += args->dx_row;
    }
}
