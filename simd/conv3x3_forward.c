// SPDX-License-Identifier: MIT
// 3x3 convolution + bias + ReLU + 2x2 max-pool, forward (kernels.h). Here the direct way, for images: a tile of pool
// windows x output channels lives in registers from bias to argmax; the map before the pool is never stored.
#include "conv3x3.h"

#ifdef SHK_ISA_AVX512
#define TILE_ACC 16 // accumulators of the largest tile
#else
#define TILE_ACC 4
#endif

// The strides and bounds of one call.
struct forward {
    const struct shk_conv_pool *c;
    size_t row;    // floats per row of `in`
    size_t panel;  // floats per panel
    size_t wh, ww; // windows down and across
};

SHK_INLINE void pool_tile(const int windows, const int panels, const struct forward *f, size_t panel, size_t wy,
                          size_t wx, const vf *acc) {
    const struct shk_conv_pool *c = f->c;
    SHK_UNROLL
    for (int i = 0; i < windows; i++) {
        float *out = c->out + (ptrdiff_t)wy * c->out_row + (ptrdiff_t)(wx + i) * c->out_px + 16 * panel;
        uint8_t *arg = c->arg ? c->arg + (wy * f->ww + wx + i) * c->cout + 16 * panel : NULL;
        SHK_UNROLL
        for (int p = 0; p < panels; p++) pool(acc + (p * windows + i) * 4, out + 16 * p, arg ? arg + 16 * p : NULL);
    }
}

// `windows` adjacent windows x `panels` panels; acc[p][window][position].
SHK_INLINE void tile(const int windows, const int panels, const size_t cin, const size_t ld, const struct forward *f,
                     size_t panel, size_t wy, size_t wx) {
    vf acc[TILE_ACC];
    const float *w = f->c->panels + panel * f->panel, *bias = f->c->bias + 16 * panel;
    SHK_UNROLL
    for (int i = 0; i < 4 * windows * panels; i++) acc[i] = vf_load(bias + i / (4 * windows) * 16);
    const float *in = f->c->in + 2 * wy * f->row + 2 * wx * ld;
    for (int ky = 0; ky < 3; ky++, in += f->row) {
        for (int kx = 0; kx < 3; kx++) {
            const float *x0 = in + kx * ld, *x1 = x0 + f->row;
            for (size_t ci = 0; ci < cin; ci++, w += 16, x0++, x1++) {
                vf k[2];
                SHK_UNROLL
                for (int p = 0; p < panels; p++) k[p] = vf_load(w + p * f->panel);
                SHK_UNROLL
                for (int i = 0; i < 4 * windows; i++) {
                    const vf x = vf_set1((i & 2 ? x1 : x0)[(i / 4 * 2 + i % 2) * ld]);
                    SHK_UNROLL
                    for (int p = 0; p < panels; p++)
                        acc[p * 4 * windows + i] = vf_fma(x, k[p], acc[p * 4 * windows + i]);
                }
            }
        }
    }
    pool_tile(windows, panels, f, panel, wy, wx, acc);
}

#ifdef SHK_ISA_AVX512
// One input channel, one panel: the nine weights stay in registers; each pixel is loaded once and used by up to six
// outputs, which sees every output's taps in ascending order.
SHK_INLINE void image_tile(const int windows, const struct forward *f, const vf *k, size_t panel, size_t wy,
                           size_t wx) {
    vf acc[TILE_ACC];
    const vf bias = vf_load(f->c->bias + 16 * panel);
    const float *in = f->c->in + 2 * wy * f->row + 2 * wx;
    SHK_UNROLL
    for (int i = 0; i < 4 * windows; i++) acc[i] = bias;
    SHK_UNROLL
    for (int y = 0; y < 4; y++) {
        SHK_UNROLL
        for (int x = 0; x < 2 * windows + 2; x++) {
            const vf v = vf_set1(in[y * f->row + x]);
            SHK_UNROLL
            for (int t = 0; t < 6; t++) {
                const int dy = t / 3, ky = y - dy, kx = t % 3, px = x - kx;
                if (ky < 0 || ky > 2 || px < 0 || px >= 2 * windows) continue;
                const int i = px / 2 * 4 + dy * 2 + px % 2;
                acc[i] = vf_fma(v, k[ky * 3 + kx], acc[i]);
            }
        }
    }
    pool_tile(windows, 1, f, panel, wy, wx, acc);
}

static void image_panel(const struct forward *f, size_t panel) {
    vf k[9];
    SHK_UNROLL
    for (int t = 0; t < 9; t++) k[t] = vf_load(f->c->panels + panel * f->panel + 16 * t);
    for (size_t wy = 0; wy < f->wh; wy++) {
        size_t wx = 0;
        for (; wx + 4 <= f->ww; wx += 4) image_tile(4, f, k, panel, wy, wx);
        for (; wx < f->ww; wx++) image_tile(1, f, k, panel, wy, wx);
    }
}

static void two_panels(const struct forward *f, size_t panel) {
    for (size_t wy = 0; wy < f->wh; wy++) {
        size_t wx = 0;
        for (; wx + 2 <= f->ww; wx += 2) tile(2, 2, f->c->cin, f->c->in_ld, f, panel, wy, wx);
        if (wx < f->ww) tile(1, 2, f->c->cin, f->c->in_ld, f, panel, wy, wx);
    }
}
#endif

static void one_panel(const struct forward *f, size_t panel) {
    for (size_t wy = 0; wy < f->wh; wy++) {
        size_t wx = 0;
#ifdef SHK_ISA_AVX512
        for (; wx + 4 <= f->ww; wx += 4) tile(4, 1, f->c->cin, f->c->in_ld, f, panel, wy, wx);
#endif
        for (; wx < f->ww; wx++) tile(1, 1, f->c->cin, f->c->in_ld, f, panel, wy, wx);
    }
}

#ifndef SHK_ISA_AVX512
static void image_panel(const struct forward *f, size_t panel) {
    for (size_t wy = 0; wy < f->wh; wy++)
        for (size_t wx = 0; wx < f->ww; wx++) tile(1, 1, 1, 1, f, panel, wy, wx);
}
#endif

static void image_forward(const struct shk_conv_pool *c) {
    const struct forward f = {
        .c = c, .row = (c->w + 2) * c->in_ld, .panel = 9 * c->cin * 16, .wh = c->h / 2, .ww = c->w / 2};
    size_t panel = 0;
    if (c->cin == 1)
        for (; panel < c->cout / 16; panel++) image_panel(&f, panel);
#ifdef SHK_ISA_AVX512
    for (; panel + 2 <= c->cout / 16; panel += 2) two_panels(&f, panel);
#endif
    for (; panel < c->cout / 16; panel++) one_panel(&f, panel);
}

void SHK_KERNEL(conv_pool_forward)(const struct shk_conv_pool *c) {
    if (c->in_ld >= 16) {
        SHK_KERNEL(conv_pool_winograd)(c);
        return;
    }
    struct shk_conv_pool one = *c;
    for (size_t i = 0; i < c->samples; i++) {
        image_forward(&one);
        one.in += c->in_sample;
        one.out += c->out_sample;
        if (one.arg) one.arg += c->arg_sample;
    }
}
