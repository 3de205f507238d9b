// SPDX-License-Identifier: MIT
// These parts are what Winograd's F(4x4, 3x3) (Lavin and Gray 2016) takes wherever it is used: its transforms, and a step
// of the products at its positions.
#ifndef SHK_SIMD_WINOGRAD_PARTS_H
#define SHK_SIMD_WINOGRAD_PARTS_H

#include "conv3x3_parts.h"

enum { POINTS = SHK_WINOGRAD_POINTS };
#define WIDTH (16 / PV_LANES) // pv of 16 channels

// ---- Transforms

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

// G of nine taps: columns (ky), then rows; point p of 16 lanes at u + p * step.
SHK_INLINE void transform_nine(const vf *g, float *u, size_t step) {
    vf h[18], r[6];
    SHK_UNROLL
    for (int x = 0; x < 3; x++) transform_taps(g + x, 3, h + x, 3);
    SHK_UNROLL
    for (int y = 0; y < 6; y++) {
        transform_taps(h + 3 * y, 1, r, 1);
        SHK_UNROLL
        for (int x = 0; x < 6; x++) vf_store(u + (6 * y + x) * step, r[x]);
    }
}

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

// B^T of the rows of t [column][6], of PV_LANES channels.
SHK_INLINE void transform_rows(const pv *t, float *v, size_t v_step) {
    SHK_UNROLL
    for (int y = 0; y < 6; y++) {
        pv d[6], r[6];
        SHK_UNROLL
        for (int x = 0; x < 6; x++) d[x] = t[6 * x + y];
        transform_six(d, r);
        SHK_UNROLL
        for (int x = 0; x < 6; x++) pv_store(v + (6 * y + x) * v_step, r[x]);
    }
}

// A^T of six values.
SHK_INLINE void transform_output_six(const vf *m, vf *z, const int z_step) {
    const vf a = vf_add(m[1], m[2]), b = vf_sub(m[1], m[2]), c = vf_add(m[3], m[4]), d = vf_sub(m[3], m[4]);
    z[0] = vf_add(vf_add(m[0], a), c);
    z[z_step] = vf_fma(vf_set1(2), d, b);
    z[2 * z_step] = vf_fma(vf_set1(4), c, a);
    z[3 * z_step] = vf_add(vf_fma(vf_set1(8), d, b), m[5]);
}

// ---- Products

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

// acc[tile][y] += v[y][tile * step + ci] * u[y].
SHK_INLINE void product_step(const int tiles, const int step, const struct column *v, const struct column *u,
                             const int ci, vf *acc) {
    vf k[6];
    SHK_UNROLL
    for (int y = 0; y < 6; y++) k[y] = vf_held(vf_load(u->half[y / 3] + u->at[y % 3] + 16 * ci));
    SHK_UNROLL
    for (int i = 0; i < tiles * 6; i++) {
        const int y = i % 6;
        acc[i] = vf_fma(vf_set1(v->half[y / 3][v->at[y % 3] + i / 6 * step + ci]), k[y], acc[i]);
    }
}

#else

// acc[tile] += v[tile * step] * u.
SHK_INLINE void product_step(const int tiles, const int step, const float *v, const float *u, pv *acc) {
    pv k[WIDTH];
    SHK_UNROLL
    for (int p = 0; p < WIDTH; p++) k[p] = pv_load(u + p * PV_LANES);
    SHK_UNROLL
    for (int w = 0; w < tiles; w++) {
        const pv x = pv_set1(v[step * w]);
        SHK_UNROLL
        for (int p = 0; p < WIDTH; p++) acc[w * WIDTH + p] = pv_fma(x, k[p], acc[w * WIDTH + p]);
    }
}

#endif

#endif
