// SPDX-License-Identifier: MIT
// depthwise takes sixteen channels of some pixels of a row at a time, and each pixel of the map once for all outputs that it goes
// into; outputs at the sides, whose windows are cut off, come one by one.
#include "kernel.h"
#include "window.h"

#if defined(SHK_ISA_AVX512)
enum { PIXELS = 8 };
#else
enum { PIXELS = 4 };
#endif
enum { LARGEST = 7 }; // side of a filter whose sums stay in registers

// A convolution of a map by filters that lie in panels: forward, or backward with the filters turned by 180 degrees.
struct walk {
    size_t h, w, c, kernel, stride, pad, out_h, out_w;
    const float *in, *weights, *bias;
    bool relu, accumulate, turned;
    float *out;
};

static inline const float *tap_at(const struct walk *a, const float *panel, size_t ky, size_t kx) {
    const size_t t = ky * a->kernel + kx, last = a->kernel * a->kernel - 1;
    return panel + (a->turned ? last - t : t) * 16;
}

static inline vf start_of(const struct walk *a, const float *out, size_t c) {
    return a->accumulate ? vf_load(out) : a->bias ? vf_load(a->bias + c) : vf_zero();
}

static void one_pixel(const struct walk *a, size_t i, size_t j, size_t c) {
    const struct shk_window y = shk_window_at(i, a->h, a->kernel, a->stride, a->pad);
    const struct shk_window x = shk_window_at(j, a->w, a->kernel, a->stride, a->pad);
    const float *at = a->in + (y.pixel * a->w + x.pixel) * a->c + c, *panel = a->weights + c * a->kernel * a->kernel;
    float *out = a->out + (i * a->out_w + j) * a->c + c;
    vf s = start_of(a, out, c);
    for (size_t ky = y.from; ky < y.to; ky++, at += a->w * a->c)
        for (size_t kx = x.from; kx < x.to; kx++)
            s = vf_fma(vf_load(at + (kx - x.from) * a->c), vf_load(tap_at(a, panel, ky, kx)), s);
    vf_store(out, a->relu ? vf_max(vf_zero(), s) : s);
}

// Outputs j .. j + PIXELS - 1 of row i, whose windows lie in the map from side to side.
SHK_INLINE void some_pixels(const struct walk *a, size_t i, size_t j, size_t c, const size_t kernel,
                            const size_t stride) {
    const struct shk_window y = shk_window_at(i, a->h, kernel, stride, a->pad);
    const float *at = a->in + (y.pixel * a->w + j * stride - a->pad) * a->c + c;
    const float *panel = a->weights + c * kernel * kernel;
    float *out = a->out + (i * a->out_w + j) * a->c + c;
    vf s[PIXELS];
    SHK_UNROLL for (size_t p = 0; p < PIXELS; p++) s[p] = start_of(a, out + p * a->c, c);
    for (size_t ky = y.from; ky < y.to; ky++, at += a->w * a->c) {
        vf taps[LARGEST];
        SHK_UNROLL for (size_t kx = 0; kx < kernel; kx++) taps[kx] = vf_load(tap_at(a, panel, ky, kx));
        SHK_UNROLL for (size_t x = 0; x < (PIXELS - 1) * stride + kernel; x++) {
            const vf v = vf_load(at + x * a->c);
            SHK_UNROLL for (size_t p = 0; p < PIXELS; p++) {
                const size_t kx = x - p * stride; // huge where x is before the window
                if (kx < kernel) s[p] = vf_fma(v, taps[kx], s[p]);
            }
        }
    }
    SHK_UNROLL for (size_t p = 0; p < PIXELS; p++) vf_store(out + p * a->c, a->relu ? vf_max(vf_zero(), s[p]) : s[p]);
}

// Outputs from .. to - 1 of a side have windows that lie in the map.
static void inner_outputs(const struct walk *a, size_t *from, size_t *to) {
    *from = (a->pad + a->stride - 1) / a->stride;
    *to = a->w + a->pad < a->kernel ? 0 : (a->w + a->pad - a->kernel) / a->stride + 1;
    if (*to > a->out_w) *to = a->out_w;
    if (*from > *to) *from = *to;
}

SHK_INLINE void walk_map(const struct walk *a, const size_t kernel, const size_t stride) {
    size_t from, to;
    inner_outputs(a, &from, &to);
    for (size_t i = 0; i < a->out_h; i++) {
        for (size_t c = 0; c < a->c; c += 16) {
            size_t j = 0;
            for (; j < from; j++) one_pixel(a, i, j, c);
            for (; kernel && j + PIXELS <= to; j += PIXELS) some_pixels(a, i, j, c, kernel, stride);
            for (; j < a->out_w; j++) one_pixel(a, i, j, c);
        }
    }
}

static void walk_3_1(const struct walk *a) { walk_map(a, 3, 1); }
static void walk_3_2(const struct walk *a) { walk_map(a, 3, 2); }
static void walk_5_1(const struct walk *a) { walk_map(a, 5, 1); }
static void walk_5_2(const struct walk *a) { walk_map(a, 5, 2); }
static void walk_7_1(const struct walk *a) { walk_map(a, 7, 1); }
static void walk_7_2(const struct walk *a) { walk_map(a, 7, 2); }
static void walk_any(const struct walk *a) { walk_map(a, 0, 0); }

static void walk(const struct walk *a) {
    static void (*const ways[LARGEST + 1][3])(const struct walk *) = {
        [3] = {NULL, walk_3_1, walk_3_2}, [5] = {NULL, walk_5_1, walk_5_2}, [7] = {NULL, walk_7_1, walk_7_2}};
    const bool known = a->kernel <= LARGEST && a->stride <= 2 && ways[a->kernel][a->stride];
    (known ? ways[a->kernel][a->stride] : walk_any)(a);
}

void SHK_KERNEL(depthwise_forward)(const struct shk_depthwise *a) {
    walk(&(struct walk){.h = a->h,
                        .w = a->w,
                        .c = a->c,
                        .kernel = a->kernel,
                        .stride = a->stride,
                        .pad = a->pad,
                        .out_h = a->out_h,
                        .out_w = a->out_w,
                        .in = a->in,
                        .weights = a->weights,
                        .bias = a->bias,
                        .relu = a->relu,
                        .out = a->out});
}

// ---- The input gradient

// Outputs first .. last see a pixel at `at`, the first through tap `tap`, each further one through one that is `stride` less.
struct seen {
    size_t first, last, tap;
};

static struct seen seen_by(size_t at, size_t outputs, size_t kernel, size_t stride, size_t pad) {
    const size_t place = at + pad, first = place < kernel ? 0 : (place - kernel) / stride + 1;
    const size_t last = place / stride < outputs ? place / stride : outputs - 1;
    return (struct seen){first, last, place - first * stride};
}

static void gather(const struct shk_depthwise *a, struct seen y, struct seen x, float *din, size_t c) {
    const float *panel = a->weights + c * a->kernel * a->kernel;
    vf s = a->accumulate ? vf_load(din) : vf_zero();
    for (size_t i = y.first; i <= y.last; i++) {
        const float *row = panel + (y.tap - (i - y.first) * a->stride) * a->kernel * 16;
        for (size_t j = x.first; j <= x.last; j++)
            s = vf_fma(vf_load(a->dout + (i * a->out_w + j) * a->c + c),
                       vf_load(row + (x.tap - (j - x.first) * a->stride) * 16), s);
    }
    vf_store(din, s);
}

// With stride 1 it is a convolution of the outputs' gradients by the turned filters.
void SHK_KERNEL(depthwise_dgrad)(const struct shk_depthwise *a) {
    if (a->stride == 1) {
        walk(&(struct walk){.h = a->out_h,
                            .w = a->out_w,
                            .c = a->c,
                            .kernel = a->kernel,
                            .stride = 1,
                            .pad = a->kernel - 1 - a->pad,
                            .out_h = a->h,
                            .out_w = a->w,
                            .in = a->dout,
                            .weights = a->weights,
                            .accumulate = a->accumulate,
                            .turned = true,
                            .out = a->din});
        return;
    }
    for (size_t i = 0; i < a->h; i++) {
        const struct seen y = seen_by(i, a->out_h, a->kernel, a->stride, a->pad);
        for (size_t j = 0; j < a->w; j++) {
            const struct seen x = seen_by(j, a->out_w, a->kernel, a->stride, a->pad);
            float *din = a->din + (i * a->w + j) * a->c;
            for (size_t c = 0; c < a->c; c += 16) gather(a, y, x, din + c, c);
        }
    }
}

// ---- The weight gradient: a row of taps stays in registers while the outputs pass by

// Outputs j .. end - 1 of a row, whose windows are cut off at a side.
SHK_INLINE void add_sides(const struct shk_depthwise *a, const float *in, const float *dout, size_t j, size_t end,
                          vf *s, const size_t kernel, const size_t stride) {
    for (; j < end; j++) {
        const struct shk_window x = shk_window_at(j, a->w, kernel, stride, a->pad);
        const vf d = vf_load(dout + j * a->c);
        SHK_UNROLL for (size_t kx = 0; kx < kernel; kx++) if (kx >= x.from && kx < x.to) s[kx] =
            vf_fma(vf_load(in + (x.pixel + kx - x.from) * a->c), d, s[kx]);
    }
}

SHK_INLINE void add_inner(const struct shk_depthwise *a, const float *in, const float *dout, size_t j, size_t end,
                          vf *s, const size_t kernel, const size_t stride) {
    for (; j < end; j++) {
        const float *at = in + (j * stride - a->pad) * a->c;
        const vf d = vf_load(dout + j * a->c);
        SHK_UNROLL for (size_t kx = 0; kx < kernel; kx++) s[kx] = vf_fma(vf_load(at + kx * a->c), d, s[kx]);
    }
}

SHK_INLINE void row_of_taps(const struct shk_depthwise *a, size_t ky, size_t c, size_t from, size_t to,
                            const size_t kernel, const size_t stride) {
    float *dw = a->dweights + c * kernel * kernel + ky * kernel * 16;
    vf s[LARGEST];
    SHK_UNROLL for (size_t kx = 0; kx < kernel; kx++) s[kx] = vf_load(dw + kx * 16);
    for (size_t i = 0; i < a->out_h; i++) {
        const size_t y = i * stride + ky - a->pad; // huge where it is above the map
        if (y >= a->h) continue;
        const float *in = a->in + y * a->w * a->c + c, *dout = a->dout + i * a->out_w * a->c + c;
        add_sides(a, in, dout, 0, from, s, kernel, stride);
        add_inner(a, in, dout, from, to, s, kernel, stride);
        add_sides(a, in, dout, to, a->out_w, s, kernel, stride);
    }
    SHK_UNROLL for (size_t kx = 0; kx < kernel; kx++) vf_store(dw + kx * 16, s[kx]);
}

SHK_INLINE void all_taps(const struct shk_depthwise *a, const size_t kernel, const size_t stride) {
    size_t from, to;
    inner_outputs(&(struct walk){.w = a->w, .kernel = kernel, .stride = stride, .pad = a->pad, .out_w = a->out_w},
                  &from, &to);
    for (size_t c = 0; c < a->c; c += 16)
        for (size_t ky = 0; ky < kernel; ky++) row_of_taps(a, ky, c, from, to, kernel, stride);
}

static void one_tap(const struct shk_depthwise *a, size_t t, size_t c) {
    float *dw = a->dweights + (c * a->kernel * a->kernel) + t * 16;
    vf s = vf_load(dw);
    for (size_t i = 0; i < a->out_h * a->out_w; i++) {
        const size_t y = i / a->out_w * a->stride + t / a->kernel - a->pad;
        const size_t x = i % a->out_w * a->stride + t % a->kernel - a->pad;
        if (y < a->h && x < a->w) // and neither is before the map, where it would be huge
            s = vf_fma(vf_load(a->in + (y * a->w + x) * a->c + c), vf_load(a->dout + i * a->c + c), s);
    }
    vf_store(dw, s);
}

static void taps_3_1(const struct shk_depthwise *a) { all_taps(a, 3, 1); }
static void taps_3_2(const struct shk_depthwise *a) { all_taps(a, 3, 2); }
static void taps_5_1(const struct shk_depthwise *a) { all_taps(a, 5, 1); }
static void taps_5_2(const struct shk_depthwise *a) { all_taps(a, 5, 2); }
static void taps_7_1(const struct shk_depthwise *a) { all_taps(a, 7, 1); }
static void taps_7_2(const struct shk_depthwise *a) { all_taps(a, 7, 2); }
static void taps_any(const struct shk_depthwise *a) {
    for (size_t c = 0; c < a->c; c += 16)
        for (size_t t = 0; t < a->kernel * a->kernel; t++) one_tap(a, t, c);
}

void SHK_KERNEL(depthwise_wgrad)(const struct shk_depthwise *a) {
    static void (*const ways[LARGEST + 1][3])(const struct shk_depthwise *) = {
        [3] = {NULL, taps_3_1, taps_3_2}, [5] = {NULL, taps_5_1, taps_5_2}, [7] = {NULL, taps_7_1, taps_7_2}};
    const bool known = a->kernel <= LARGEST && a->stride <= 2 && ways[a->kernel][a->stride];
    (known ? ways[a->kernel][a->stride] : taps_any)(a);
}
