// SPDX-License-Identifier: MIT
// max_pool goes through the windows, sixteen channels at a time.
#include "kernel.h"

// Places as floats, which compare and select as the values do.
static void pool16(const struct shk_max_pool *a, const float *at, float *out, uint8_t *winners) {
    vf best = vf_load(at), winner = vf_zero();
    for (size_t i = 1; i < a->window * a->window; i++) {
        const vf v = vf_load(at + (i / a->window * a->w + i % a->window) * a->c);
        const vm greater = vf_gt(v, best), unordered = vm_and(vm_not(vf_ordered(v, v)), vf_ordered(best, best));
        const vm wins = vm_or(greater, unordered);
        best = vf_select(wins, v, best);
        winner = vf_select(wins, vf_set1((float)i), winner);
    }
    vf_store(out, best);
    if (!winners) return;
    float places[16] __attribute__((aligned(64)));
    vf_store(places, winner);
    for (unsigned lane = 0; lane < 16; lane++) winners[lane] = (uint8_t)places[lane];
}

void SHK_KERNEL(max_pool_forward)(const struct shk_max_pool *a) {
    for (size_t y = 0; y < a->out_h; y++) {
        for (size_t x = 0; x < a->out_w; x++) {
            const size_t from = (y * a->w + x) * a->stride * a->c, to = (y * a->out_w + x) * a->c;
            for (size_t c = 0; c < a->c; c += 16)
                pool16(a, a->in + from + c, a->out + to + c, a->winners ? a->winners + to + c : NULL);
        }
    }
}

void SHK_KERNEL(max_pool_backward)(const struct shk_max_pool *a) {
    for (size_t y = 0; y < a->out_h; y++) {
        for (size_t x = 0; x < a->out_w; x++) {
            const float *out = a->out + (y * a->out_w + x) * a->c;
            const uint8_t *winners = a->winners + (y * a->out_w + x) * a->c;
            float *in = a->in + (y * a->w + x) * a->stride * a->c;
            for (size_t c = 0; c < a->c; c++)
                in[(winners[c] / a->window * a->w + winners[c] % a->window) * a->c + c] += out[c];
        }
    }
}
