// SPDX-License-Identifier: MIT
// A 3x3 convolution layer with buffers of its own, for its tests.
#ifndef SHK_TESTS_CONV3X3_LAYER_H
#define SHK_TESTS_CONV3X3_LAYER_H

#include "kernel_test.h"

// One layer with its own buffers; `k` is what the kernels get.
struct layer {
    struct shk_conv3x3 k;
    size_t wh, ww, pixels, outputs; // windows down and across; floats of `in` and `out`
    size_t weights;                 // floats of dweight
};

static inline float *image(size_t n, size_t ld) { return ld < 16 ? kt_floats_any(n) : kt_floats(n); }

static inline size_t weight_index(const struct shk_conv3x3 *k, size_t co, size_t t, size_t ci) {
    return k->in_ld >= 16 ? (co * 9 + t) * k->in_ld + ci : co / 16 * 9 * k->cin * 16 + (t * k->cin + ci) * 16 + co % 16;
}

static inline float weight(const struct shk_conv3x3 *k, size_t co, size_t t, size_t ci) {
    return (k->in_ld >= 16 ? k->taps : k->panels)[weight_index(k, co, t, ci)];
}

enum { POINTS = SHK_WINOGRAD_POINTS };

// Three taps to six, as the contract says.
static inline void weights_1d(const float *g, size_t step, float *u, size_t u_step) {
    const float g0 = g[0], g1 = g[step], g2 = g[2 * step], a = g0 + g2, b = fmaf(4, g2, g0);
    u[0] = 0.25f * g0;
    u[u_step] = (-1.0f / 6) * (a + g1);
    u[2 * u_step] = (-1.0f / 6) * (a - g1);
    u[3 * u_step] = (1.0f / 24) * fmaf(2, g1, b);
    u[4 * u_step] = (1.0f / 24) * fmaf(-2, g1, b);
    u[5 * u_step] = g2;
}

static inline void set_winograd(struct shk_conv3x3 *k) {
    for (size_t i = 0; i < k->cout * k->cin; i++) {
        const size_t co = i / k->cin, ci = i % k->cin;
        float g[9], h[18], u[POINTS];
        for (size_t t = 0; t < 9; t++) g[t] = weight(k, co, t, ci);
        for (size_t x = 0; x < 3; x++) weights_1d(g + x, 3, h + x, 3);
        for (size_t y = 0; y < 6; y++) weights_1d(h + 3 * y, 1, u + 6 * y, 1);
        for (size_t at = 0; at < POINTS; at++)
            ((float *)k->winograd)[((co / 16 * POINTS + at) * k->cin + ci) * 16 + co % 16] = u[at];
    }
}

// A multiple of 0.5 up to steps / 2 (so that maxima tie), or continuous for steps = 0.
static inline float value(int steps) {
    return steps ? (float)((int)kt_below(2 * (size_t)steps + 1) - steps) * 0.5f : kt_uniform(-1, 1);
}

static inline struct layer layer_of(size_t h, size_t w, size_t cin, size_t ld, size_t cout,
                                    int steps) { // of one sample
    const size_t gap = 16 * kt_below(2);
    struct layer l = {
        .k = {.h = h, .w = w, .cin = cin, .in_ld = ld, .cout = cout, .samples = 1}, .wh = h / 2, .ww = w / 2};
    l.k.out_px = (ptrdiff_t)(cout + gap);
    l.k.out_row = (ptrdiff_t)(l.ww * (cout + gap) + gap);
    l.pixels = (h + 2) * (w + 2) * ld;
    l.outputs = (l.wh - 1) * (size_t)l.k.out_row + (l.ww - 1) * (size_t)l.k.out_px + cout;
    l.weights = ld >= 16 ? cout * 9 * ld : 9 * cin * cout;
    float *in = image(l.pixels, ld), *weights = kt_floats(l.weights), *bias = kt_floats(cout);
    memset(in, 0, l.pixels * sizeof *in);
    for (size_t y = 1; y <= h; y++)
        for (size_t x = 1; x <= w; x++)
            for (size_t ci = 0; ci < cin; ci++) in[(y * (w + 2) + x) * ld + ci] = value(steps);
    for (size_t i = 0; i < l.weights; i++) weights[i] = ld < 16 || i % ld < cin ? value(steps) : 0;
    for (size_t i = 0; i < cout; i++) bias[i] = value(steps) - (i % 5 == 0 ? (float)cin : 0);
    l.k.in = in;
    l.k.bias = bias;
    if (ld < 16) {
        l.k.panels = weights;
        return l;
    }
    l.k.taps = weights;
    l.k.winograd = kt_floats(POINTS * cin * cout);
    set_winograd(&l.k);
    return l;
}

// Few channels are an image or a map.
static inline struct layer layer_new(size_t h, size_t w, size_t cin, size_t cout, int steps) {
    return layer_of(h, w, cin, cin <= 4 && kt_below(2) ? cin : shk_round16(cin), cout, steps);
}

static inline void layer_free(struct layer *l) {
    kt_free((float *)l->k.in);
    kt_free((float *)l->k.panels);
    kt_free((float *)l->k.taps);
    kt_free((float *)l->k.winograd);
    kt_free((float *)l->k.bias);
}

static inline size_t out_at(const struct layer *l, size_t wy, size_t wx) {
    return wy * (size_t)l->k.out_row + wx * (size_t)l->k.out_px;
}

static inline float pixel(const struct shk_conv3x3 *k, size_t y, size_t x, size_t ci) {
    return k->in[(y * (k->w + 2) + x) * k->in_ld + ci];
}

// Zero beyond the map.
static inline float pixel_or_0(const struct shk_conv3x3 *k, size_t y, size_t x, size_t ci) {
    return y < k->h + 2 && x < k->w + 2 ? pixel(k, y, x, ci) : 0;
}

// Checks a layer of each shape (height, width, input channels, in_ld, output channels).
static inline void each_shape(const size_t shapes[][5], size_t n, void (*check)(struct layer *)) {
    for (size_t i = 0; i < n; i++) {
        const size_t *s = shapes[i];
        struct layer l = layer_of(s[0], s[1], s[2], s[3], s[4], 0);
        check(&l);
        layer_free(&l);
    }
}

#endif
