// SPDX-License-Identifier: MIT
// The convolution of images goes two ways: the direct one, where a tile of pool windows x output channels lives in
// registers from bias to winner, and Winograd's for one channel, where a window does. The map before the pool is never
// stored.
#include "conv3x3_parts.h"

#ifdef SHK_ISA_AVX512
#define TILE_ACC 16 // accumulators of the largest tile
#else
#define TILE_ACC 4
#endif

// The strides and bounds of one call.
struct forward {
    const struct shk_conv3x3 *c;
    size_t row;    // floats per row of `in`
    size_t panel;  // floats per panel
    size_t wh, ww; // windows down and across
};

SHK_INLINE void pool_tile(const int windows, const int panels, const bool may_be_nan, const struct forward *f,
                          size_t panel, size_t wy, size_t wx, const vf *acc) {
    const struct shk_conv3x3 *c = f->c;
    SHK_UNROLL
    for (int i = 0; i < windows; i++) {
        float *out = c->out + (ptrdiff_t)wy * c->out_row + (ptrdiff_t)(wx + i) * c->out_px + 16 * panel;
        uint8_t *winners = c->winners ? c->winners + (wy * f->ww + wx + i) * c->cout + 16 * panel : NULL;
        SHK_UNROLL
        for (int p = 0; p < panels; p++)
            pool(acc + (p * windows + i) * 4, may_be_nan, out + 16 * p, winners ? winners + 16 * p : NULL);
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
    pool_tile(windows, panels, true, f, panel, wy, wx, acc);
}

#ifdef SHK_ISA_AVX512
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

// ---- One input channel: Winograd's F(2x2, 3x3), a window being a tile

// Output channels, in panels, that share a block's transformed pixels.
enum { SHARE = 4 };

// Where the squares of what goes into z sum to less, with nine weights, a bias and sixteen pixels, no z is NaN: |U| and
// |V| are below 2^52, |z| below 2^109.
SHK_INLINE bool small(vf squares) { return vm_bits(vf_lt(squares, vf_set1(0x1p100f))) == 0xffff; }

// G of three taps, 16 lanes each.
static void transform_taps(const double *g, size_t step, double *u, size_t u_step) {
    for (size_t l = 0; l < 16; l++) {
        const double g0 = g[l], g1 = g[step + l], g2 = g[2 * step + l], a = g0 + g2;
        u[l] = g0;
        u[u_step + l] = 0.5 * (a + g1);
        u[2 * u_step + l] = 0.5 * (a - g1);
        u[3 * u_step + l] = g2;
    }
}

// U = G g G^T of one panel: u[16], rounded once. Whether weights and bias are small.
static bool transform_weights(const float *panel, const float *bias, float *u) {
    double g[9 * 16], h[12 * 16], d[16 * 16];
    vf squares = vf_mul(vf_load(bias), vf_load(bias));
    for (size_t t = 0; t < 9; t++) {
        const vf w = vf_load(panel + 16 * t);
        squares = vf_fma(w, w, squares);
    }
    for (size_t i = 0; i < 9 * 16; i++) g[i] = (double)panel[i];
    for (size_t x = 0; x < 3; x++) transform_taps(g + 16 * x, 48, h + 16 * x, 48);
    for (size_t y = 0; y < 4; y++) transform_taps(h + 48 * y, 16, d + 64 * y, 16);
    for (size_t i = 0; i < 16 * 16; i++) u[i] = (float)d[i];
    return small(squares);
}

// B^T of four values.
SHK_INLINE void transform_four(const vf *d, const int step, vf *t) {
    t[0] = vf_sub(d[0], d[2 * step]);
    t[1] = vf_add(d[step], d[2 * step]);
    t[2] = vf_sub(d[2 * step], d[step]);
    t[3] = vf_sub(d[step], d[3 * step]);
}

// V of n windows in a row: v[16][16], a window a lane. Whether the pixels are small.
SHK_INLINE bool transform_windows(const float *in, size_t row, const size_t n, float *v) {
    const size_t first = n < 8 ? 2 * n : 16, rest = 2 * n - first;
    vf d[16], t[16], squares = vf_zero(); // [y][x], [x][y]
    SHK_UNROLL
    for (int i = 0; i < 8; i++) {
        const float *p = in + i / 2 * row + i % 2 * 2;
        const vf a = vf_load_n(p, first), b = vf_load_n(p + 16, rest);
        d[2 * i] = vf_even(a, b);
        d[2 * i + 1] = vf_odd(a, b);
        squares = vf_fma(d[2 * i + 1], d[2 * i + 1], vf_fma(d[2 * i], d[2 * i], squares));
    }
    SHK_UNROLL
    for (int x = 0; x < 4; x++) transform_four(d + x, 4, t + 4 * x);
    SHK_UNROLL
    for (int y = 0; y < 4; y++) {
        vf r[4];
        transform_four(t + y, 4, r);
        SHK_UNROLL
        for (int x = 0; x < 4; x++) vf_store(v + (4 * y + x) * 16, r[x]);
    }
    return small(squares);
}

// z = A^T M A of one window.
SHK_INLINE void window(const vf *u, vf bias, const float *v, vf *z) {
    vf upper[4], lower[4]; // A^T M
    SHK_UNROLL
    for (int x = 0; x < 4; x++) {
        const vf v1 = vf_set1(v[(4 + x) * 16]), v2 = vf_set1(v[(8 + x) * 16]);
        const vf m1 = x == 1 ? vf_fma(v1, u[5], bias) : vf_mul(v1, u[4 + x]);
        upper[x] = vf_fma(vf_set1(v[x * 16]), u[x], vf_fma(v2, u[8 + x], m1));
        lower[x] = vf_fnma(vf_set1(v[(12 + x) * 16]), u[12 + x], vf_fnma(v2, u[8 + x], m1));
    }
    z[0] = vf_add(vf_add(upper[0], upper[1]), upper[2]);
    z[1] = vf_sub(vf_sub(upper[1], upper[2]), upper[3]);
    z[2] = vf_add(vf_add(lower[0], lower[1]), lower[2]);
    z[3] = vf_sub(vf_sub(lower[1], lower[2]), lower[3]);
}

// n windows in a row from (wy, wx) on.
SHK_INLINE void panel_windows(const bool may_be_nan, const struct forward *f, const float *panel_u, size_t panel,
                              size_t wy, size_t wx, size_t n, const float *v) {
    const vf bias = vf_load(f->c->bias + 16 * panel);
    vf u[16], z[4];
    SHK_UNROLL
    for (int i = 0; i < 16; i++) u[i] = vf_load(panel_u + 16 * i);
    for (size_t i = 0; i < n; i++) {
        window(u, bias, v + i, z);
        pool_tile(1, 1, may_be_nan, f, panel, wy, wx + i, z);
    }
}

static void image_rows(const struct forward *f, const float *u, bool small_weights, size_t panel, size_t panels) {
    _Alignas(64) float v[256];
    for (size_t wy = 0; wy < f->wh; wy++)
        for (size_t wx = 0; wx < f->ww; wx += 16) {
            const size_t n = f->ww - wx < 16 ? f->ww - wx : 16;
            const float *in = f->c->in + 2 * wy * f->row + 2 * wx;
            const bool small_pixels =
                n == 16 ? transform_windows(in, f->row, 16, v) : transform_windows(in, f->row, n, v);
            for (size_t p = 0; p < panels; p++) {
                if (small_weights && small_pixels)
                    panel_windows(false, f, u + 256 * p, panel + p, wy, wx, n, v);
                else
                    panel_windows(true, f, u + 256 * p, panel + p, wy, wx, n, v);
            }
        }
}

// ---- Images

static struct forward forward_of(const struct shk_conv3x3 *c) {
    return (struct forward){
        .c = c, .row = (c->w + 2) * c->in_ld, .panel = 9 * c->cin * 16, .wh = c->h / 2, .ww = c->w / 2};
}

static void next_sample(struct shk_conv3x3 *c) {
    c->in += c->in_sample;
    c->out += c->out_sample;
    if (c->winners) c->winners += c->winners_sample;
}

static void one_channel(const struct shk_conv3x3 *c) {
    _Alignas(64) float u[SHARE * 256];
    const size_t all = c->cout / 16;
    for (size_t panel = 0; panel < all; panel += SHARE) {
        const size_t panels = all - panel < SHARE ? all - panel : SHARE;
        bool small_weights = true;
        for (size_t p = panel; p < panel + panels; p++)
            small_weights &= transform_weights(c->panels + p * 9 * 16, c->bias + 16 * p, u + 256 * (p - panel));
        struct shk_conv3x3 one = *c;
        const struct forward f = forward_of(&one);
        for (size_t i = 0; i < c->samples; i++, next_sample(&one)) image_rows(&f, u, small_weights, panel, panels);
    }
}

static void direct(const struct forward *f) {
    const size_t panels = f->c->cout / 16;
    size_t panel = 0;
#ifdef SHK_ISA_AVX512
    for (; panel + 2 <= panels; panel += 2) two_panels(f, panel);
#endif
    for (; panel < panels; panel++) one_panel(f, panel);
}

void SHK_KERNEL(conv3x3_forward)(const struct shk_conv3x3 *c) {
    if (c->in_ld >= 16) {
        SHK_KERNEL(conv3x3_winograd)(c);
        return;
    }
    if (c->cin == 1) {
        one_channel(c);
        return;
    }
    struct shk_conv3x3 one = *c;
    const struct forward f = forward_of(&one);
    for (size_t i = 0; i < c->samples; i++, next_sample(&one)) direct(&f);
}
