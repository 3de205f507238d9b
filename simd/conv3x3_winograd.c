// SPDX-License-Identifier: MIT
// 3x3 convolution + bias + ReLU + 2x2 max-pool of a map by Winograd's F(2x2, 3x3) (Lavin and Gray 2016), whose output
// tile is the pool window: 16 products a window and pair of channels, where the direct way takes 36. Blocks of windows:
// their input is transformed, each of the 16 positions is a small matrix product, and the output transform ends in the
// pool.
#include "conv3x3.h"

// Blocks of WINDOWS windows; register tiles of TILE windows by PANELS panels of 16 output channels.
#if defined(SHK_ISA_AVX512)
#define WINDOWS 8
#define TILE 8
#define PANELS 2
#else
#define WINDOWS 12
#define TILE 6
#define PANELS 1
#endif
_Static_assert(WINDOWS <= SHK_CONV_WINDOWS, "scratch");
#ifdef __clang__
#define UNROLL4 _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL4 _Pragma("GCC unroll 4")
#endif
#define WIDTH (PANELS * 16 / PV_LANES)

// One call, and where it stands.
struct winograd {
    const struct shk_conv_pool *c;
    size_t ww;            // windows across
    size_t v_step;        // floats from a position of v to the next
    float *v;             // [16][in_ld / 16][WINDOWS][16]: the transformed input of a block
    float *m;             // [16][PANELS][WINDOWS][16]: its products
    size_t first, n;      // the block's windows, row-major
    size_t panel, panels; // the output channels, in panels
};
#define M_STEP (PANELS * WINDOWS * 16 + 16)

// ---- Weights

// U = G g G^T along one axis.
SHK_INLINE void transform_taps(const vf *g, const int step, vf *u, const int u_step) {
    const vf half = vf_set1(0.5f), outer = vf_add(g[0], g[2 * step]), middle = g[step];
    u[0] = g[0];
    u[u_step] = vf_mul(half, vf_add(outer, middle));
    u[2 * u_step] = vf_mul(half, vf_sub(outer, middle));
    u[3 * u_step] = g[2 * step];
}

void SHK_KERNEL(conv_weights)(const struct shk_conv_weights *a) {
    _Alignas(64) float taps[9][256]; // [9][ci][co]
    for (size_t ci = 0; ci < a->cin; ci += 16) {
        for (size_t t = 0; t < 9; t++) {
            vf r[16];
            SHK_UNROLL
            for (int co = 0; co < 16; co++) r[co] = vf_load(a->taps + (co * 9 + t) * a->in_ld + ci);
            vf_transpose16(r);
            SHK_UNROLL
            for (int i = 0; i < 16; i++) vf_store(taps[t] + 16 * i, r[i]);
        }
        for (size_t i = 0; i < 16 && ci + i < a->cin; i++) {
            vf g[9], h[12], u[16];
            SHK_UNROLL
            for (int t = 0; t < 9; t++) g[t] = vf_load(taps[t] + 16 * i);
            SHK_UNROLL
            for (int x = 0; x < 3; x++) transform_taps(g + x, 3, h + x, 3);
            SHK_UNROLL
            for (int y = 0; y < 4; y++) transform_taps(h + 3 * y, 1, u + 4 * y, 1);
            SHK_UNROLL
            for (int at = 0; at < 16; at++) vf_store(a->winograd + (at * a->cin + ci + i) * 16, u[at]);
        }
    }
}

// ---- Input

// B^T of one column of four pixels.
SHK_INLINE void transform_column(const float *d, size_t row, pv *t) {
    const pv d0 = pv_load(d), d1 = pv_load(d + row), d2 = pv_load(d + 2 * row), d3 = pv_load(d + 3 * row);
    t[0] = pv_sub(d0, d2);
    t[1] = pv_add(d1, d2);
    t[2] = pv_sub(d2, d1);
    t[3] = pv_sub(d1, d3);
}

// PV_LANES channels from `channel` on. The right half of a window's columns is the left half of the next.
SHK_INLINE void transform_lanes(const struct winograd *s, const size_t ld, size_t channel, float *v) {
    const size_t row = (s->c->w + 2) * ld;
    size_t wy = s->first / s->ww, wx = s->first % s->ww;
    const float *d = s->c->in + 2 * wy * row + 2 * wx * ld + channel;
    pv t[16]; // [column][4]
    transform_column(d, row, t);
    transform_column(d + ld, row, t + 4);
    for (size_t i = 0; i < s->n; i++, v += 16) {
        transform_column(d + 2 * ld, row, t + 8);
        transform_column(d + 3 * ld, row, t + 12);
        SHK_UNROLL
        for (int y = 0; y < 4; y++) {
            float *p = v + 4 * y * s->v_step;
            pv_store(p, pv_sub(t[y], t[8 + y]));
            pv_store(p + s->v_step, pv_add(t[4 + y], t[8 + y]));
            pv_store(p + 2 * s->v_step, pv_sub(t[8 + y], t[4 + y]));
            pv_store(p + 3 * s->v_step, pv_sub(t[4 + y], t[12 + y]));
        }
        d += 2 * ld;
        SHK_UNROLL
        for (int j = 0; j < 8; j++) t[j] = t[8 + j];
        if (++wx < s->ww || i + 1 == s->n) continue;
        wx = 0;
        d = s->c->in + 2 * ++wy * row + channel;
        transform_column(d, row, t);
        transform_column(d + ld, row, t + 4);
    }
}

static void transform_input(const struct winograd *s) {
    for (size_t channel = 0; channel < s->c->in_ld; channel += PV_LANES) {
        float *v = s->v + channel / 16 * (WINDOWS * 16) + channel % 16;
        if (s->c->in_ld == 16)
            transform_lanes(s, 16, channel, v);
        else
            transform_lanes(s, s->c->in_ld, channel, v);
    }
}

// ---- Products

// Every position's product for `windows` windows from `window` on and `width` pv of output channels. Positions follow
// one another in one function, so that the end of one tile overlaps the start of the next.
typedef void product_function(const struct winograd *, size_t window);

SHK_INLINE void product_step(const int windows, const int width, const float *v, const float *u, size_t u_panel,
                             pv *acc) {
    pv k[WIDTH];
    SHK_UNROLL
    for (int p = 0; p < width; p++) k[p] = pv_load(u + p * PV_LANES / 16 * u_panel + p * PV_LANES % 16);
    SHK_UNROLL
    for (int w = 0; w < windows; w++) {
        const pv x = pv_set1(v[16 * w]);
        SHK_UNROLL
        for (int p = 0; p < width; p++) acc[w * width + p] = pv_fma(x, k[p], acc[w * width + p]);
    }
}

SHK_INLINE void product(const int windows, const int width, const struct winograd *s, size_t window) {
    const size_t cin = s->c->cin, u_panel = 16 * cin * 16, v_step = s->v_step;
    const float *u = s->c->winograd + s->panel * u_panel, *bias = s->c->bias + 16 * s->panel;
    const float *position = s->v + 16 * window;
    float *m = s->m + 16 * window;
    for (int at = 0; at < 16; at++, position += v_step, m += M_STEP) {
        pv acc[TILE * WIDTH];
        const float *v = position;
        SHK_UNROLL
        for (int i = 0; i < windows * width; i++) acc[i] = pv_zero();
        if (at == 5) {
            SHK_UNROLL
            for (int i = 0; i < windows * width; i++) acc[i] = pv_load(bias + i % width * PV_LANES);
        }
        size_t left = cin;
        for (; left >= 16; left -= 16, v += WINDOWS * 16, u += 256) {
            UNROLL4
            for (int ci = 0; ci < 16; ci++) product_step(windows, width, v + ci, u + 16 * ci, u_panel, acc);
        }
        for (; left; left--, v++, u += 16) product_step(windows, width, v, u, u_panel, acc);
        SHK_UNROLL
        for (int i = 0; i < windows * width; i++) {
            const int lane = i % width * PV_LANES;
            pv_store(m + lane / 16 * (WINDOWS * 16) + i / width * 16 + lane % 16, acc[i]);
        }
    }
}

#define PRODUCT(windows, panels)                                                                                       \
    static __attribute__((noinline)) void product_##windows##x##panels(const struct winograd *s, size_t window) {      \
        product(windows, panels * 16 / PV_LANES, s, window);                                                           \
    }
PRODUCT(1, 1)
PRODUCT(2, 1)
PRODUCT(3, 1)
PRODUCT(4, 1)
PRODUCT(5, 1)
PRODUCT(6, 1)
#if PANELS == 2
PRODUCT(7, 1)
PRODUCT(8, 1)
PRODUCT(1, 2)
PRODUCT(2, 2)
PRODUCT(3, 2)
PRODUCT(4, 2)
PRODUCT(5, 2)
PRODUCT(6, 2)
PRODUCT(7, 2)
PRODUCT(8, 2)
static product_function *const products[PANELS][TILE] = {
    {product_1x1, product_2x1, product_3x1, product_4x1, product_5x1, product_6x1, product_7x1, product_8x1},
    {product_1x2, product_2x2, product_3x2, product_4x2, product_5x2, product_6x2, product_7x2, product_8x2}};
#else
static product_function *const products[PANELS][TILE] = {
    {product_1x1, product_2x1, product_3x1, product_4x1, product_5x1, product_6x1}};
#endif

// The block's windows in tiles of like size.
static void multiply(const struct winograd *s) {
    size_t window = 0;
    for (size_t tiles = (s->n + TILE - 1) / TILE; tiles; tiles--) {
        const size_t n = (s->n - window + tiles - 1) / tiles;
        products[s->panels - 1][n - 1](s, window);
        window += n;
    }
}

// ---- Output

// A^T of one column or row of four.
SHK_INLINE void transform_four(const vf *m, const int step, vf *s, const int s_step) {
    s[0] = vf_add(vf_add(m[0], m[step]), m[2 * step]);
    s[s_step] = vf_sub(vf_sub(m[step], m[2 * step]), m[3 * step]);
}

SHK_INLINE void output_window(const float *m, float *out, uint8_t *arg) {
    vf p[16], s[8], z[4];
    SHK_UNROLL
    for (int i = 0; i < 16; i++) p[i] = vf_load(m + i * M_STEP);
    SHK_UNROLL
    for (int x = 0; x < 4; x++) transform_four(p + x, 4, s + x, 4);
    SHK_UNROLL
    for (int y = 0; y < 2; y++) transform_four(s + 4 * y, 1, z + 2 * y, 1);
    pool(z, out, arg);
}

static void transform_output(const struct winograd *s) {
    const struct shk_conv_pool *c = s->c;
    for (size_t p = 0; p < s->panels; p++) {
        const size_t channel = 16 * (s->panel + p);
        const float *m = s->m + p * (WINDOWS * 16);
        size_t wy = s->first / s->ww, wx = s->first % s->ww;
        float *out = c->out + (ptrdiff_t)wy * c->out_row + (ptrdiff_t)wx * c->out_px + channel;
        uint8_t *arg = c->arg ? c->arg + s->first * c->cout + channel : NULL;
        for (size_t i = 0; i < s->n; i++, m += 16) {
            output_window(m, out, arg);
            if (arg) arg += c->cout;
            out += c->out_px;
            if (++wx < s->ww) continue;
            wx = 0;
            out = c->out + (ptrdiff_t)++wy * c->out_row + channel;
        }
    }
}

void SHK_KERNEL(conv_pool_winograd)(const struct shk_conv_pool *c) {
    struct winograd s = {.c = c, .ww = c->w / 2, .v_step = c->in_ld * WINDOWS + 16, .v = c->scratch};
    const size_t windows = c->h / 2 * s.ww, panels = c->cout / 16;
    s.m = s.v + 16 * s.v_step;
    for (; s.first < windows; s.first += s.n) {
        s.n = windows - s.first < WINDOWS ? windows - s.first : WINDOWS;
        transform_input(&s);
        for (s.panel = 0; s.panel < panels; s.panel += s.panels) {
            s.panels = panels - s.panel < PANELS ? panels - s.panel : PANELS;
            multiply(&s);
            transform_output(&s);
        }
    }
}
