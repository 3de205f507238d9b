// SPDX-License-Identifier: MIT
// The convolution of maps is Winograd's F(4x4, 3x3) (Lavin and Gray 2016): a tile of 2x2 pool windows takes 36 products
// a pair of channels, where the direct way takes 144. Blocks of tiles: their input is transformed, each of the 36
// positions is a small matrix product, and the output transform ends in the pool.
#include "winograd_products.h"

// A tile's place: of which sample, and its first window.
struct place {
    size_t sample, wy, wx;
};

// One call, and where it stands.
struct winograd {
    const struct shk_conv3x3 *c;
    size_t wh, ww; // windows down and across
    struct block b;
    struct place at[TILES];
    size_t panel; // the output channels, in panels
};

// ---- Weights

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
            vf g[9];
            SHK_UNROLL
            for (int t = 0; t < 9; t++) g[t] = vf_load(taps[t] + 16 * i);
            transform_nine(g, a->winograd + (ci + i) * 16, a->cin * 16);
        }
    }
}

// ---- Input

// PV_LANES channels of one tile.
SHK_INLINE void transform_tile(const float *in, size_t row, const size_t ld, float *v, size_t v_step) {
    pv d[6], t[36]; // [column][6]
    SHK_UNROLL
    for (int x = 0; x < 6; x++) {
        SHK_UNROLL
        for (int y = 0; y < 6; y++) d[y] = pv_load(in + y * row + x * ld);
        transform_six(d, t + 6 * x);
    }
    transform_rows(t, v, v_step);
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
    for (size_t i = 0; i < s->b.n; i++) {
        const struct place *at = &s->at[i];
        const bool whole = 2 * at->wy + 6 <= s->c->h + 2 && 2 * at->wx + 6 <= s->c->w + 2;
        const float *in = s->c->in + at->sample * s->c->in_sample + 2 * at->wy * row + 2 * at->wx * ld;
        for (size_t channel = 0; channel < ld; channel += 16) {
            float *v = s->b.v + channel * TILES + 16 * i;
            if (!whole) copy_edge(s, at, channel, edge);
            for (size_t l = 0; l < 16; l += PV_LANES) {
                if (whole)
                    transform_tile(in + channel + l, row, ld, v + l, s->b.v_step);
                else
                    transform_tile(edge + l, 6 * 16, 16, v + l, s->b.v_step);
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

static void transform_output(const struct winograd *w) {
    for (size_t i = 0; i < w->b.n; i++) {
        const struct place *at = &w->at[i];
        vf s[24];
        load_columns(w->b.m + 16 * i, s);
        pool_rows(w, s, at, at->wy);
        if (at->wy + 1 < w->wh) pool_rows(w, s + 12, at, at->wy + 1);
    }
}

// ---- All

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
    struct winograd s = {.c = c, .wh = c->h / 2, .ww = c->w / 2};
    s.b = (struct block){.k = c->cin, .v_step = c->in_ld * TILES + 16, .v = c->scratch};
    s.b.m = s.b.v + POINTS * s.b.v_step;
    for (struct place next = {0, 0, 0}; next.sample < c->samples;) {
        for (s.b.n = 0; s.b.n < TILES && next.sample < c->samples; advance(&s, &next)) s.at[s.b.n++] = next;
        transform_input(&s);
        for (s.panel = 0; s.panel < c->cout / 16; s.panel++) {
            s.b.u = c->winograd + s.panel * POINTS * c->cin * 16;
            s.b.bias = c->bias + 16 * s.panel;
            multiply(&s.b);
            transform_output(&s);
        }
    }
}
