// SPDX-License-Identifier: MIT
// max_pool goes through the windows, sixteen channels at a time.
#include "kernel.h"
#include "window.h"

// Places as floats, which compare and select as the values do. `at` is the window's first pixel.
static void pool16(const struct shk_max_pool *a, struct shk_window y, struct shk_window x, const float *at, float *out,
                   uint8_t *winners) {
    vf best = vf_load(at), winner = vf_set1((float)(y.from * a->window + x.from));
    for (size_t ky = y.from; ky < y.to; ky++) {
        for (size_t kx = x.from; kx < x.to; kx++) {
            const vf v = vf_load(at + ((ky - y.from) * a->w + kx - x.from) * a->c);
            const vm greater = vf_gt(v, best), unordered = vm_and(vm_not(vf_ordered(v, v)), vf_ordered(best, best));
            const vm wins = vm_or(greater, unordered);
            best = vf_select(wins, v, best);
            winner = vf_select(wins, vf_set1((float)(ky * a->window + kx)), winner);
        }
    }
    vf_store(out, best);
    if (!winners) return;
    float places[16] __attribute__((aligned(64)));
    vf_store(places, winner);
    for (unsigned lane = 0; lane < 16; lane++) winners[lane] = (uint8_t)places[lane];
}

void SHK_KERNEL(max_pool_forward)(const struct shk_max_pool *a) {
    for (size_t i = 0; i < a->out_h; i++) {
        const struct shk_window y = shk_window_at(i, a->h, a->window, a->stride, a->pad);
        for (size_t j = 0; j < a->out_w; j++) {
            const struct shk_window x = shk_window_at(j, a->w, a->window, a->stride, a->pad);
            const size_t from = (y.pixel * a->w + x.pixel) * a->c, to = (i * a->out_w + j) * a->c;
            for (size_t c = 0; c < a->c; c += 16)
                pool16(a, y, x, a->in + from + c, a->out + to + c, a->winners ? a->winners + to + c : NULL);
        }
    }
}

void SHK_KERNEL(max_pool_backward)(const struct shk_max_pool *a) {
    for (size_t y = 0; y < a->out_h; y++) {
        for (size_t x = 0; x < a->out_w; x++) {
            const float *out = a->out + (y * a->out_w + x) * a->c;
            const uint8_t *winners = a->winners + (y * a->out_w + x) * a->c;
            for (size_t c = 0; c < a->c; c++) {
                const size_t row = y * a->stride + winners[c] / a->window - a->pad;
                const size_t column = x * a->stride + winners[c] % a->window - a->pad;
                a->in[(row * a->w + column) * a->c + c] += out[c];
            }
        }
    }
}
