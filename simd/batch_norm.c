// SPDX-License-Identifier: MIT
// batch_norm goes down the rows of sixteen channels at a time, in four chains. What is behind the normalisation is a constant of
// each loop, so that none branches on it.
#include "kernel.h"
#include "vec16_activations.h"

// What the gradient passes beside activations: the ReLU behind a sum, which looks at the sum.
enum { BEHIND_SUM = SHK_NORM_SILU + 1 };

enum { AHEAD = 16 }; // rows from the one at hand to that which is fetched

// Behind the map's end, which no pointer may leave, nothing comes of it.
SHK_INLINE void fetch_ahead(const struct shk_batch_norm *a, size_t at) {
    __builtin_prefetch((const void *)((uintptr_t)(a->x + at) + AHEAD * a->cols * sizeof *a->x));
}

static vf fold(const vf s[4]) { return vf_add(vf_add(s[0], s[1]), vf_add(s[2], s[3])); }

// ---- Statistics

// Of the rows from x on: as many as `rows`, and at most four.
SHK_INLINE void sum_four(const struct shk_batch_norm *a, const float *x, size_t rows, vf s[4]) {
    SHK_UNROLL
    for (size_t k = 0; k < 4; k++)
        if (k < rows) s[k] = vf_add(s[k], vf_load(x + k * a->cols));
}

SHK_INLINE void square_four(const struct shk_batch_norm *a, const float *x, size_t rows, vf mean, vf s[4]) {
    SHK_UNROLL
    for (size_t k = 0; k < 4; k++) {
        if (k >= rows) break;
        const vf d = vf_sub(vf_load(x + k * a->cols), mean);
        s[k] = vf_fma(d, d, s[k]);
    }
}

void SHK_KERNEL(batch_norm_statistics)(const struct shk_batch_norm *a) {
    const vf rows = vf_set1((float)a->rows);
    const size_t whole = a->rows & ~(size_t)3;
    for (size_t c = 0; c < a->cols; c += 16) {
        const float *x = a->x + c;
        vf s[4] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()}, m2[4] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()};
        for (size_t r = 0; r < whole; r += 4) sum_four(a, x + r * a->cols, 4, s);
        sum_four(a, x + whole * a->cols, a->rows - whole, s);
        const vf mean = vf_div(fold(s), rows);
        for (size_t r = 0; r < whole; r += 4) square_four(a, x + r * a->cols, 4, mean, m2);
        square_four(a, x + whole * a->cols, a->rows - whole, mean, m2);
        vf_store(a->own_mean + c, mean);
        vf_store(a->own_m2 + c, fold(m2));
    }
}

// ---- Forward

SHK_INLINE vf activated(const int behind, vf z) {
    if (behind == SHK_NORM_RELU) return vf_max(vf_zero(), z);
    if (behind == SHK_NORM_HARDSWISH) return shk_hardswish16(z).y;
    return behind == SHK_NORM_SILU ? shk_silu16(z).y : z;
}

SHK_INLINE void forward(const int behind, const bool adds, const struct shk_batch_norm *a) {
    for (size_t c = 0; c < a->cols; c += 16) {
        const vf mean = vf_load(a->mean + c), scale = vf_load(a->scale + c), shift = vf_load(a->shift + c);
        for (size_t r = 0, at = c; r < a->rows; r++, at += a->cols) {
            fetch_ahead(a, at);
            vf z = vf_fma(vf_sub(vf_load(a->x + at), mean), scale, shift);
            if (adds) z = vf_add(z, vf_load(a->residual + at));
            vf_store(a->y + at, activated(behind, z));
        }
    }
}

void SHK_KERNEL(batch_norm_forward)(const struct shk_batch_norm *a) {
    const bool adds = a->residual;
    switch (a->activation) {
    case SHK_NORM_ALONE:
        adds ? forward(SHK_NORM_ALONE, true, a) : forward(SHK_NORM_ALONE, false, a);
        break;
    case SHK_NORM_RELU:
        adds ? forward(SHK_NORM_RELU, true, a) : forward(SHK_NORM_RELU, false, a);
        break;
    case SHK_NORM_HARDSWISH:
        adds ? forward(SHK_NORM_HARDSWISH, true, a) : forward(SHK_NORM_HARDSWISH, false, a);
        break;
    case SHK_NORM_SILU:
        adds ? forward(SHK_NORM_SILU, true, a) : forward(SHK_NORM_SILU, false, a);
        break;
    }
}

// ---- Backward

// Of sixteen channels. Without an activation nothing is read of shift, nor by sums of scale.
struct channels {
    vf mean, scale, shift;
};

SHK_INLINE struct channels channels_of(const int behind, const struct shk_batch_norm *a, size_t c) {
    const bool looks = behind != SHK_NORM_ALONE && behind != BEHIND_SUM;
    return (struct channels){vf_load(a->mean + c), looks ? vf_load(a->scale + c) : vf_zero(),
                             looks ? vf_load(a->shift + c) : vf_zero()};
}

// What of the gradient is left in front of what is behind; d: x - mean.
SHK_INLINE vf passed(const int behind, const struct shk_batch_norm *a, size_t at, vf d, const struct channels *of) {
    const vf dy = vf_load(a->dy + at), z = vf_fma(d, of->scale, of->shift);
    if (behind == BEHIND_SUM) return vf_keep(vf_gt(vf_load(a->out + at), vf_zero()), dy);
    if (behind == SHK_NORM_RELU) return vf_keep(vf_gt(z, vf_zero()), dy);
    if (behind == SHK_NORM_HARDSWISH) return vf_mul(dy, shk_hardswish16(z).derivative);
    return behind == SHK_NORM_SILU ? vf_mul(dy, shk_silu16(z).derivative) : dy;
}

// Into a chain of each sum.
SHK_INLINE void sum_row(const int behind, const bool shares, const struct shk_batch_norm *a, size_t at,
                        const struct channels *of, vf *shift, vf *scale) {
    const vf d = vf_sub(vf_load(a->x + at), of->mean), g = passed(behind, a, at, d, of);
    if (behind == BEHIND_SUM) vf_store(a->masked + at, g);
    if (shares) vf_store(a->other + at, a->accumulate ? vf_add(vf_load(a->other + at), g) : g);
    *shift = vf_add(*shift, g);
    *scale = vf_fma(g, d, *scale);
}

SHK_INLINE void sums(const int behind, const bool shares, const struct shk_batch_norm *a) {
    const size_t whole = a->rows & ~(size_t)3;
    for (size_t c = 0; c < a->cols; c += 16) {
        const struct channels of = channels_of(behind, a, c);
        vf shift[4] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()}, scale[4] = {shift[0], shift[0], shift[0], shift[0]};
        size_t at = c;
        for (size_t r = 0; r < whole; r += 4) {
            SHK_UNROLL
            for (size_t k = 0; k < 4; k++, at += a->cols) {
                fetch_ahead(a, at);
                sum_row(behind, shares, a, at, &of, &shift[k], &scale[k]);
            }
        }
        SHK_UNROLL
        for (size_t k = 0; k < 3; k++, at += a->cols)
            if (whole + k < a->rows) sum_row(behind, shares, a, at, &of, &shift[k], &scale[k]);
        vf_store(a->dshift + c, fold(shift));
        vf_store(a->dscale + c, fold(scale));
    }
}

void SHK_KERNEL(batch_norm_sums)(const struct shk_batch_norm *a) {
    const bool shares = a->other;
    if (a->out) {
        shares ? sums(BEHIND_SUM, true, a) : sums(BEHIND_SUM, false, a);
        return;
    }
    switch (a->activation) {
    case SHK_NORM_ALONE:
        shares ? sums(SHK_NORM_ALONE, true, a) : sums(SHK_NORM_ALONE, false, a);
        break;
    case SHK_NORM_RELU:
        sums(SHK_NORM_RELU, false, a);
        break;
    case SHK_NORM_HARDSWISH:
        sums(SHK_NORM_HARDSWISH, false, a);
        break;
    case SHK_NORM_SILU:
        sums(SHK_NORM_SILU, false, a);
        break;
    }
}

SHK_INLINE void backward(const int behind, const struct shk_batch_norm *a) {
    for (size_t c = 0; c < a->cols; c += 16) {
        const struct channels of = channels_of(behind, a, c);
        const vf scale = vf_load(a->scale + c), level = vf_load(a->level + c), slope = vf_load(a->slope + c);
        for (size_t r = 0, at = c; r < a->rows; r++, at += a->cols) {
            fetch_ahead(a, at);
            const vf d = vf_sub(vf_load(a->x + at), of.mean);
            vf dx = vf_mul(scale, vf_fnma(d, slope, vf_sub(passed(behind, a, at, d, &of), level)));
            if (a->accumulate) dx = vf_add(dx, vf_load(a->dx + at));
            vf_store(a->dx + at, dx);
        }
    }
}

void SHK_KERNEL(batch_norm_backward)(const struct shk_batch_norm *a) {
    switch (a->activation) {
    case SHK_NORM_ALONE:
        backward(SHK_NORM_ALONE, a);
        break;
    case SHK_NORM_RELU:
        backward(SHK_NORM_RELU, a);
        break;
    case SHK_NORM_HARDSWISH:
        backward(SHK_NORM_HARDSWISH, a);
        break;
    case SHK_NORM_SILU:
        backward(SHK_NORM_SILU, a);
        break;
    }
}
