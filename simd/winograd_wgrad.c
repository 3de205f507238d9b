// SPDX-License-Identifier: MIT
// winograd_wgrad multiplies transformed gradients with transformed pixels, four output channels by sixteen input channels in
// registers, along a run of tiles; what it adds to the taps' gradient is transformed back once for each run.
#include "winograd_tiles.h"

enum { CHANNELS = 4 }; // output channels at a time

// One call, and where it stands.
struct wgrad {
    const struct shk_winograd *c;
    struct map_tiles in, dout;
    size_t n;              // tiles of this run
    struct map_tile first; // of them
    size_t v_step;         // floats from a position of v to the next
    size_t n_step;         // and of gradients
    float *v;              // [36][run][16]: of sixteen input channels
    float *gradient;       // [36][cout / 16][run][16]
    float *columns;        // [3][6][cout][16]: dU of a panel of input channels, its columns transformed
};

// A of four values.
SHK_INLINE void transform_four(const pv *y, pv *m) {
    const pv a = pv_add(y[0], y[2]), b = pv_add(y[1], y[3]);
    const pv c = pv_fma(pv_set1(4), y[2], y[0]), d = pv_fma(pv_set1(8), y[3], pv_add(y[1], y[1]));
    m[0] = y[0];
    m[1] = pv_add(a, b);
    m[2] = pv_sub(a, b);
    m[3] = pv_add(c, d);
    m[4] = pv_sub(c, d);
    m[5] = y[3];
}

// G^T of six values.
SHK_INLINE void transform_back(const vf *u, vf *g, const int g_step) {
    const vf sixth = vf_set1(-1.0f / 6), part = vf_set1(1.0f / 24);
    const vf a = vf_add(u[1], u[2]), b = vf_sub(u[1], u[2]), c = vf_add(u[3], u[4]), d = vf_sub(u[3], u[4]);
    g[0] = vf_fma(part, c, vf_fma(sixth, a, vf_mul(vf_set1(0.25f), u[0])));
    g[g_step] = vf_fma(vf_set1(1.0f / 12), d, vf_mul(sixth, b));
    g[2 * g_step] = vf_fma(vf_set1(1.0f / 6), c, vf_fma(sixth, a, u[5]));
}

// PV_LANES channels of a tile's 4x4 gradients.
SHK_INLINE void transform_gradients(const struct map_tiles *m, const struct map_tile *at, size_t channel, float *n,
                                    size_t n_step) {
    const size_t ld = m->ld, top = 4 * at->ty, left = 4 * at->tx;
    const float *map = m->map + at->sample * m->sample + (top * m->w + left) * ld + channel;
    pv t[24]; // [column][6]
    SHK_UNROLL
    for (size_t x = 0; x < 4; x++) {
        pv d[4];
        SHK_UNROLL
        for (size_t y = 0; y < 4; y++)
            d[y] = top + y < m->h && left + x < m->w ? pv_load(map + (y * m->w + x) * ld) : pv_zero();
        transform_four(d, t + 6 * x);
    }
    SHK_UNROLL
    for (int y = 0; y < 6; y++) {
        pv d[4], r[6];
        SHK_UNROLL
        for (int x = 0; x < 4; x++) d[x] = t[6 * x + y];
        transform_four(d, r);
        SHK_UNROLL
        for (int x = 0; x < 6; x++) pv_store(n + (6 * y + x) * n_step, r[x]);
    }
}

static void transform_run_gradients(const struct wgrad *s) {
    struct map_tile at = s->first;
    for (size_t i = 0; i < s->n; i++, next_tile(&s->in, &at))
        for (size_t channel = 0; channel < s->c->cout; channel += 16)
            for (size_t l = 0; l < 16; l += PV_LANES)
                transform_gradients(&s->dout, &at, channel + l, s->gradient + channel * s->c->run + 16 * i + l,
                                    s->n_step);
}

// Of sixteen input channels from `ci` on.
static void transform_run_pixels(const struct wgrad *s, size_t ci) {
    struct map_tile at = s->first;
    for (size_t i = 0; i < s->n; i++, next_tile(&s->in, &at))
        transform_map_tile(&s->in, &at, ci, s->v + 16 * i, s->v_step);
}

// ---- Products: u [CHANNELS][6] of column x, of the run's tiles; v and n: [6][run][16] at its positions.

#ifdef SHK_ISA_AVX512

SHK_INLINE void multiply_column(const struct wgrad *s, const float *v, const float *n, vf *u) {
    struct column at_v = column_of(v, (ptrdiff_t)(6 * s->v_step)), at_n = column_of(n, (ptrdiff_t)(6 * s->n_step));
    SHK_UNROLL
    for (int i = 0; i < CHANNELS * 6; i++) u[i] = vf_zero();
    for (size_t i = 0; i < s->n; i++, advance_column(&at_v, 16), advance_column(&at_n, 16))
        product_step(CHANNELS, 1, &at_n, &at_v, 0, u);
}

#else

SHK_INLINE void multiply_column(const struct wgrad *s, const float *v, const float *n, vf *u) {
    for (int y = 0; y < 6; y++) {
        const float *at_v = v + 6 * y * s->v_step, *at_n = n + 6 * y * s->n_step;
        _Alignas(64) float sums[CHANNELS * 16];
        pv acc[CHANNELS * WIDTH];
        SHK_UNROLL
        for (int i = 0; i < CHANNELS * WIDTH; i++) acc[i] = pv_zero();
        for (size_t i = 0; i < s->n; i++, at_v += 16, at_n += 16) product_step(CHANNELS, 1, at_n, at_v, acc);
        SHK_UNROLL
        for (int i = 0; i < CHANNELS * WIDTH; i++) pv_store(sums + i * PV_LANES, acc[i]);
        for (int co = 0; co < CHANNELS; co++) u[6 * co + y] = vf_load(sums + 16 * co);
    }
}

#endif

static void multiply_run(const struct wgrad *s) {
    const size_t cout = s->c->cout;
    for (size_t x = 0; x < 6; x++) {
        const float *v = s->v + x * s->v_step;
        for (size_t co = 0; co < cout; co += CHANNELS) {
            const float *n = s->gradient + (co & ~(size_t)15) * s->c->run + co % 16 + x * s->n_step;
            vf u[CHANNELS * 6];
            multiply_column(s, v, n, u);
            SHK_UNROLL
            for (int i = 0; i < CHANNELS; i++) {
                vf g[3];
                transform_back(u + 6 * i, g, 1);
                SHK_UNROLL
                for (size_t y = 0; y < 3; y++) vf_store(s->columns + ((6 * y + x) * cout + co + (size_t)i) * 16, g[y]);
            }
        }
    }
}

// ---- To the taps

// Adds to what was there, if anything was; a complete sum goes to the total.
SHK_INLINE void add_tap(vf g, float *dweight, float *total, const bool fresh) {
    if (!fresh) g = vf_add(vf_load(dweight), g);
    if (total)
        vf_store(total, vf_add(vf_load(total), g));
    else
        vf_store(dweight, g);
}

static void add_taps(const struct wgrad *s, size_t ci, bool fresh, bool last) {
    const struct shk_winograd *c = s->c;
    for (size_t co = 0; co < c->cout; co++) {
        const size_t at = co * 9 * c->cin + ci;
        float *total = last && c->total ? c->total + at : NULL;
        SHK_UNROLL
        for (size_t y = 0; y < 3; y++) {
            vf u[6], g[3];
            SHK_UNROLL
            for (size_t x = 0; x < 6; x++) u[x] = vf_load(s->columns + ((6 * y + x) * c->cout + co) * 16);
            transform_back(u, g, 1);
            SHK_UNROLL
            for (size_t x = 0; x < 3; x++) {
                const size_t tap = (3 * y + x) * c->cin;
                add_tap(g[x], c->dweight + at + tap, total ? total + tap : NULL, fresh);
            }
        }
    }
}

static struct wgrad begin(const struct shk_winograd *c) {
    struct wgrad s = {.c = c, .v_step = 16 * c->run + 16, .n_step = c->cout * c->run + 16};
    s.in = (struct map_tiles){c->in, NULL, c->h, c->w, c->cin, c->in_sample};
    s.dout = (struct map_tiles){c->dout, NULL, c->h, c->w, c->dout_ld, c->out_sample};
    float *scratch = c->scratch;
    s.in.zeros = clear_row(scratch, c->cin);
    s.columns = scratch + 6 * c->cin;
    s.v = s.columns + 18 * c->cout * 16;
    s.gradient = s.v + POINTS * s.v_step;
    return s;
}

void SHK_KERNEL(winograd_wgrad)(const struct shk_winograd *c) {
    struct wgrad s = begin(c);
    const size_t tiles = shk_winograd_count(c->h) * shk_winograd_count(c->w), all = tiles * c->samples;
    for (size_t done = 0; done < all; done += s.n) {
        const size_t left = c->joined ? all - done : tiles - done % tiles;
        s.n = left < c->run ? left : c->run;
        transform_run_gradients(&s);
        for (size_t ci = 0; ci < c->cin; ci += 16) {
            transform_run_pixels(&s, ci);
            multiply_run(&s);
            add_taps(&s, ci, c->fresh && done == 0, done + s.n == all);
        }
        for (size_t i = 0; i < s.n; i++) next_tile(&s.in, &s.first);
    }
}
