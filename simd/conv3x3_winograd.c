// SPDX-License-Identifier: MIT
// The convolution of maps is Winograd's F(4x4, 3x3) (Lavin and Gray 2016): a tile of 2x2 pool windows takes 36 products
// a pair of channels, where the direct way takes 144. Blocks of tiles: their input is transformed, each of the 36
// positions is a small matrix product, and the output transform ends in the pool.
#include "conv3x3_parts.h"

// Blocks of TILES tiles; register blocks of GROUP tiles by 16 output channels.
#if defined(SHK_ISA_AVX512)
#define GROUP 4
#else
#define GROUP 6
#endif
enum { POINTS = SHK_WINOGRAD_POINTS, TILES = SHK_CONV3X3_TILES };
#ifdef __clang__
#define UNROLL4 _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL4 _Pragma("GCC unroll 4")
#endif
#define WIDTH (16 / PV_LANES) // pv of 16 output channels

// A tile's place: of which sample, and its first window.
struct place {
    size_t sample, wy, wx;
};

// One call, and where it stands.
struct winograd {
    const struct shk_conv3x3 *c;
    size_t wh, ww; // windows down and across
    size_t v_step; // floats from a position of v to the next
    float *v;      // [36][in_ld / 16][TILES][16]: the transformed input of a block
    float *m;      // [36][TILES][16]: its products; or [4][6][TILES][16]: these, columns transformed
    size_t n;      // the block's tiles
    struct place at[TILES];
    size_t panel; // the output channels, in panels
};
#define M_STEP (TILES * 16 + 16)

// ---- Weights

// G of three taps.
SHK_INLINE void transform_taps(const vf *g, const int step, vf *u, const int u_step) {
    const vf g0 = g[0], g1 = g[step], g2 = g[2 * step];
    const vf a = vf_add(g0, g2), b = vf_fma(vf_set1(4), g2, g0);
    const vf sixth = vf_set1(-1.0f / 6), part = vf_set1(1.0f / 24);
    u[0] = vf_mul(vf_set1(0.25f), g0);
    u[u_step] = vf_mul(sixth, vf_add(a, g1));
    u[2 * u_step] = vf_mul(sixth, vf_sub(a, g1));
    u[3 * u_step] = vf_mul(part, vf_fma(vf_set1(2), g1, b));
    u[4 * u_step] = vf_mul(part, vf_fma(vf_set1(-2), g1, b));
    u[5 * u_step] = g2;
}

void SHK_KERNEL(conv3x3_weights)(const struct shk_conv3x3_weights *a) {
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
            vf g[9], h[18], u[6];
            SHK_UNROLL
            for (int t = 0; t < 9; t++) g[t] = vf_load(taps[t] + 16 * i);
            SHK_UNROLL
            for (int x = 0; x < 3; x++) transform_taps(g + x, 3, h + x, 3);
            SHK_UNROLL
            for (int y = 0; y < 6; y++) {
                transform_taps(h + 3 * y, 1, u, 1);
                SHK_UNROLL
                for (int x = 0; x < 6; x++) vf_store(a->winograd + ((6 * y + x) * a->cin + ci + i) * 16, u[x]);
            }
        }
    }
}

// ---- Input

// B^T of six values.
SHK_INLINE void transform_six(const pv *d, pv *t) {
    const pv four = pv_set1(4), minus5 = pv_set1(-5), minus4 = pv_set1(-4), two = pv_set1(2), minus2 = pv_set1(-2);
    const pv a = pv_fma(minus4, d[2], d[4]), b = pv_fma(minus4, d[1], d[3]);
    const pv e = pv_sub(d[4], d[2]), f = pv_sub(d[3], d[1]);
    t[0] = pv_fma(four, d[0], pv_fma(minus5, d[2], d[4]));
    t[1] = pv_add(a, b);
    t[2] = pv_sub(a, b);
    t[3] = pv_fma(two, f, e);
    t[4] = pv_fma(minus2, f, e);
    t[5] = pv_fma(four, d[1], pv_fma(minus5, d[3], d[5]));
}

// PV_LANES channels of one tile.
SHK_INLINE void transform_tile(const float *in, size_t row, const size_t ld, float *v, size_t v_step) {
    pv d[6], t[36]; // [column][6]
    SHK_UNROLL
    for (int x = 0; x < 6; x++) {
        SHK_UNROLL
        for (int y = 0; y < 6; y++) d[y] = pv_load(in + y * row + x * ld);
        transform_six(d, t + 6 * x);
    }
    SHK_UNROLL
    for (int y = 0; y < 6; y++) {
        pv r[6];
        SHK_UNROLL
        for (int x = 0; x < 6; x++) d[x] = t[6 * x + y];
        transform_six(d, r);
        SHK_UNROLL
        for (int x = 0; x < 6; x++) pv_store(v + (6 * y + x) * v_step, r[x]);
    }
}

// The pixels of a tile that overlaps the end of the map, zeros beyond; 16 channels.
static void copy_edge(const struct winograd *s, const struct place *at, size_t channel, float *edge) {
    const size_t ld = s->c->in_ld, row = (s->c->w + 2) * ld;
    const float *in = s->c->in + at->sample * s->c->in_sample + 2 * at->wy * row + 2 * at->wx * ld + channel;
    for (size_t y = 0; y < 6; y++)
        for (size_t x = 0; x < 6; x++) {
            const bool inside = 2 * at->wy + y < s->c->h + 2 && 2 * at->wx + x < s->c->w + 2;
            vf_store(edge + (6 * y + x) * 16, inside ? vf_load(in + y * row + x * ld) : vf_zero());
        }
}

SHK_INLINE void transform_block(const struct winograd *s, const size_t ld) {
    const size_t row = (s->c->w + 2) * ld;
    _Alignas(64) float edge[36 * 16];
    for (size_t i = 0; i < s->n; i++) {
        const struct place *at = &s->at[i];
        const bool whole = 2 * at->wy + 6 <= s->c->h + 2 && 2 * at->wx + 6 <= s->c->w + 2;
        const float *in = s->c->in + at->sample * s->c->in_sample + 2 * at->wy * row + 2 * at->wx * ld;
        for (size_t channel = 0; channel < ld; channel += 16) {
            float *v = s->v + channel * TILES + 16 * i;
            if (!whole) copy_edge(s, at, channel, edge);
            for (size_t l = 0; l < 16; l += PV_LANES) {
                if (whole)
                    transform_tile(in + channel + l, row, ld, v + l, s->v_step);
                else
                    transform_tile(edge + l, 6 * 16, 16, v + l, s->v_step);
            }
        }
    }
}

static void transform_input(const struct winograd *s) {
    if (s->c->in_ld == 16)
        transform_block(s, 16);
    else
        transform_block(s, s->c->in_ld);
}

// ---- Output

// A^T of six values.
SHK_INLINE void transform_output_six(const vf *m, vf *z, const int z_step) {
    const vf a = vf_add(m[1], m[2]), b = vf_sub(m[1], m[2]), c = vf_add(m[3], m[4]), d = vf_sub(m[3], m[4]);
    z[0] = vf_add(vf_add(m[0], a), c);
    z[z_step] = vf_fma(vf_set1(2), d, b);
    z[2 * z_step] = vf_fma(vf_set1(4), c, a);
    z[3 * z_step] = vf_add(vf_fma(vf_set1(8), d, b), m[5]);
}

// Two rows of a tile's pixels (s: [2][6]) are two windows; the second may not exist.
SHK_INLINE void pool_rows(const struct winograd *w, const vf *s, const struct place *at, size_t wy) {
    const struct shk_conv3x3 *c = w->c;
    const size_t channel = 16 * w->panel;
    vf upper[4], lower[4];
    transform_output_six(s, upper, 1);
    transform_output_six(s + 6, lower, 1);
    float *out = c->out + (ptrdiff_t)(at->sample * c->out_sample) + (ptrdiff_t)wy * c->out_row +
                 (ptrdiff_t)at->wx * c->out_px + channel;
    uint8_t *winners =
        c->winners ? c->winners + at->sample * c->winners_sample + (wy * w->ww + at->wx) * c->cout + channel : NULL;
    pool((const vf[4]){upper[0], upper[1], lower[0], lower[1]}, true, out, winners);
    if (at->wx + 1 == w->ww) return;
    pool((const vf[4]){upper[2], upper[3], lower[2], lower[3]}, true, out + c->out_px,
         winners ? winners + c->cout : NULL);
}

// s[4][6] of a tile, its columns transformed.
SHK_INLINE void load_columns(const float *m, vf *s) {
#ifdef SHK_ISA_AVX512
    SHK_UNROLL
    for (int i = 0; i < 24; i++) s[i] = vf_load(m + i * M_STEP);
#else
    SHK_UNROLL
    for (int x = 0; x < 6; x++) {
        vf p[6];
        SHK_UNROLL
        for (int y = 0; y < 6; y++) p[y] = vf_load(m + (6 * y + x) * M_STEP);
        transform_output_six(p, s + x, 6);
    }
#endif
}

static void transform_output(const struct winograd *w) {
    for (size_t i = 0; i < w->n; i++) {
        const struct place *at = &w->at[i];
        vf s[24];
        load_columns(w->m + 16 * i, s);
        pool_rows(w, s, at, at->wy);
        if (at->wy + 1 < w->wh) pool_rows(w, s + 12, at, at->wy + 1);
    }
}

// ---- Products

// The products of six positions, a column (AVX-512) or a row, for `tiles` tiles from `tile` on and 16 output channels.
typedef void product_function(const struct winograd *, size_t six, size_t tile);

#ifdef SHK_ISA_AVX512

// Six positions below one another: two pointers that stay and three offsets that advance, since more would be spilled.
struct column {
    const float *half[2];
    ptrdiff_t at[3];
};

SHK_INLINE struct column column_of(const float *first, ptrdiff_t step) {
    struct column c = {{first, first + 3 * step}, {0, step, 2 * step}};
    __asm__("" : "+r"(c.half[1]));
    return c;
}

SHK_INLINE void advance_column(struct column *c, ptrdiff_t by) {
    c->at[0] += by;
    c->at[1] += by;
    c->at[2] += by;
}

SHK_INLINE void product_step(const int tiles, const struct column *v, const struct column *u, const int ci, vf *acc) {
    vf k[6];
    SHK_UNROLL
    for (int y = 0; y < 6; y++) k[y] = vf_held(vf_load(u->half[y / 3] + u->at[y % 3] + 16 * ci));
    SHK_UNROLL
    for (int i = 0; i < tiles * 6; i++) {
        const int y = i % 6;
        acc[i] = vf_fma(vf_set1(v->half[y / 3][v->at[y % 3] + i / 6 * 16 + ci]), k[y], acc[i]);
    }
}

// A column's six positions in registers, and from there through A^T.
SHK_INLINE void product(const int tiles, const struct winograd *s, size_t x, size_t tile) {
    const size_t cin = s->c->cin;
    const float *weights = s->c->winograd + s->panel * POINTS * cin * 16;
    struct column u = column_of(weights + x * cin * 16, (ptrdiff_t)(6 * cin * 16));
    struct column v = column_of(s->v + x * s->v_step + 16 * tile, (ptrdiff_t)(6 * s->v_step));
    vf acc[GROUP * 6];
    SHK_UNROLL
    for (int i = 0; i < tiles * 6; i++) acc[i] = vf_zero();
    if (x == 1) {
        SHK_UNROLL
        for (int t = 0; t < tiles; t++) acc[6 * t + 1] = vf_load(s->c->bias + 16 * s->panel);
    }
    size_t left = cin;
    for (; left >= 16; left -= 16, advance_column(&v, TILES * 16 - 16)) {
        for (int i = 0; i < 4; i++, advance_column(&v, 4), advance_column(&u, 64)) {
            SHK_UNROLL
            for (int ci = 0; ci < 4; ci++) product_step(tiles, &v, &u, ci, acc);
        }
    }
    for (; left; left--, advance_column(&v, 1), advance_column(&u, 16)) product_step(tiles, &v, &u, 0, acc);
    float *m = s->m + x * M_STEP + 16 * tile;
    SHK_UNROLL
    for (int t = 0; t < tiles; t++) {
        vf z[4];
        transform_output_six(acc + 6 * t, z, 1);
        SHK_UNROLL
        for (int r = 0; r < 4; r++) vf_store(m + 6 * r * M_STEP + 16 * t, z[r]);
    }
}

#else

SHK_INLINE void product_step(const int tiles, const float *v, const float *u, pv *acc) {
    pv k[WIDTH];
    SHK_UNROLL
    for (int p = 0; p < WIDTH; p++) k[p] = pv_load(u + p * PV_LANES);
    SHK_UNROLL
    for (int w = 0; w < tiles; w++) {
        const pv x = pv_set1(v[16 * w]);
        SHK_UNROLL
        for (int p = 0; p < WIDTH; p++) acc[w * WIDTH + p] = pv_fma(x, k[p], acc[w * WIDTH + p]);
    }
}

// A row's six positions.
SHK_INLINE void product(const int tiles, const struct winograd *s, size_t y, size_t tile) {
    const size_t cin = s->c->cin, v_step = s->v_step;
    const float *u = s->c->winograd + (s->panel * POINTS + 6 * y) * cin * 16, *bias = s->c->bias + 16 * s->panel;
    const float *position = s->v + 6 * y * v_step + 16 * tile;
    float *m = s->m + 6 * y * M_STEP + 16 * tile;
    for (size_t x = 0; x < 6; x++, position += v_step, m += M_STEP) {
        pv acc[GROUP * WIDTH];
        const float *v = position;
        SHK_UNROLL
        for (int i = 0; i < tiles * WIDTH; i++) acc[i] = pv_zero();
        if (x == 1 && y == 1) {
            SHK_UNROLL
            for (int i = 0; i < tiles * WIDTH; i++) acc[i] = pv_load(bias + i % WIDTH * PV_LANES);
        }
        size_t left = cin;
        for (; left >= 16; left -= 16, v += TILES * 16, u += 256) {
            UNROLL4
            for (int ci = 0; ci < 16; ci++) product_step(tiles, v + ci, u + 16 * ci, acc);
        }
        for (; left; left--, v++, u += 16) product_step(tiles, v, u, acc);
        SHK_UNROLL
        for (int i = 0; i < tiles * WIDTH; i++) pv_store(m + i / WIDTH * 16 + i % WIDTH * PV_LANES, acc[i]);
    }
}

#endif

#define PRODUCT(tiles)                                                                                                 \
    static __attribute__((noinline)) void product_##tiles(const struct winograd *s, size_t six, size_t tile) {         \
        product(tiles, s, six, tile);                                                                                  \
    }
PRODUCT(1)
PRODUCT(2)
PRODUCT(3)
PRODUCT(4)
#if GROUP > 4
PRODUCT(5)
PRODUCT(6)
static product_function *const products[GROUP] = {product_1, product_2, product_3, product_4, product_5, product_6};
#else
static product_function *const products[GROUP] = {product_1, product_2, product_3, product_4};
#endif

// Six positions at a time, whose weights stay in L1 while the block's tiles take them, in groups of like size.
static void multiply(const struct winograd *s) {
    for (size_t six = 0; six < POINTS / 6; six++) {
        size_t tile = 0;
        for (size_t groups = (s->n + GROUP - 1) / GROUP; groups; groups--) {
            const size_t n = (s->n - tile + groups - 1) / groups;
            products[n - 1](s, six, tile);
            tile += n;
        }
    }
}

// The next tile of all samples, row-major.
static void advance(const struct winograd *s, struct place *next) {
    next->wx += 2;
    if (next->wx < s->ww) return;
    next->wx = 0;
    next->wy += 2;
    if (next->wy < s->wh) return;
    next->wy = 0;
    next->sample++;
}

void SHK_KERNEL(conv3x3_winograd)(const struct shk_conv3x3 *c) {
    struct winograd s = {.c = c, .wh = c->h / 2, .ww = c->w / 2, .v_step = c->in_ld * TILES + 16, .v = c->scratch};
    s.m = s.v + POINTS * s.v_step;
    for (struct place next = {0, 0, 0}; next.sample < c->samples;) {
        for (s.n = 0; s.n < TILES && next.sample < c->samples; advance(&s, &next)) s.at[s.n++] = next;
        transform_input(&s);
        for (s.panel = 0; s.panel < c->cout / 16; s.panel++) {
            multiply(&s);
            transform_output(&s);
        }
    }
}
