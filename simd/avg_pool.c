// SPDX-License-Identifier: MIT
// avg_pool goes through the windows, sixteen channels at a time.
#include "kernel.h"
#include "window.h"

static vf share_of(const struct shk_avg_pool *a) { return vf_set1(1.0f / (float)(a->window * a->window)); }

static void mean16(const struct shk_avg_pool *a, struct shk_window y, struct shk_window x, const float *at,
                   float *out) {
    vf sum = vf_zero();
    for (size_t ky = 0; ky < y.to - y.from; ky++)
        for (size_t kx = 0; kx < x.to - x.from; kx++) sum = vf_add(sum, vf_load(at + (ky * a->w + kx) * a->c));
    vf_store(out, vf_mul(sum, share_of(a)));
}

static void spread16(const struct shk_avg_pool *a, struct shk_window y, struct shk_window x, float *at,
                     const float *out) {
    const vf gradient = vf_load(out), share = share_of(a);
    for (size_t ky = 0; ky < y.to - y.from; ky++) {
        for (size_t kx = 0; kx < x.to - x.from; kx++) {
            float *in = at + (ky * a->w + kx) * a->c;
            vf_store(in, vf_fma(gradient, share, vf_load(in)));
        }
    }
}

static void each_window(const struct shk_avg_pool *a, bool backward) {
    for (size_t i = 0; i < a->out_h; i++) {
        const struct shk_window y = shk_window_at(i, a->h, a->window, a->stride, a->pad);
        for (size_t j = 0; j < a->out_w; j++) {
            const struct shk_window x = shk_window_at(j, a->w, a->window, a->stride, a->pad);
            float *in = a->in + (y.pixel * a->w + x.pixel) * a->c, *out = a->out + (i * a->out_w + j) * a->c;
            for (size_t c = 0; c < a->c; c += 16) {
                if (backward)
                    spread16(a, y, x, in + c, out + c);
                else
                    mean16(a, y, x, in + c, out + c);
            }
        }
    }
}

void SHK_KERNEL(avg_pool_forward)(const struct shk_avg_pool *a) { each_window(a, false); }
void SHK_KERNEL(avg_pool_backward)(const struct shk_avg_pool *a) { each_window(a, true); }
