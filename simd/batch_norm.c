// SPDX-License-Identifier: MIT
// batch_norm goes down the rows of sixteen channels at a time, in four chains.
#include "kernel.h"

static vf fold(const vf s[4]) { return vf_add(vf_add(s[0], s[1]), vf_add(s[2], s[3])); }

static void sum_rows(const struct shk_batch_norm *a, size_t c, vf s[4]) {
    for (size_t k = 0; k < 4; k++) s[k] = vf_zero();
    for (size_t r = 0; r < a->rows; r++) s[r % 4] = vf_add(s[r % 4], vf_load(a->x + r * a->cols + c));
}

static void sum_squares(const struct shk_batch_norm *a, size_t c, vf mean, vf s[4]) {
    for (size_t k = 0; k < 4; k++) s[k] = vf_zero();
    for (size_t r = 0; r < a->rows; r++) {
        const vf d = vf_sub(vf_load(a->x + r * a->cols + c), mean);
        s[r % 4] = vf_fma(d, d, s[r % 4]);
    }
}

void SHK_KERNEL(batch_norm_statistics)(const struct shk_batch_norm *a) {
    const vf rows = vf_set1((float)a->rows);
    for (size_t c = 0; c < a->cols; c += 16) {
        vf s[4];
        sum_rows(a, c, s);
        const vf mean = vf_div(fold(s), rows);
        sum_squares(a, c, mean, s);
        vf_store(a->own_mean + c, mean);
        vf_store(a->own_m2 + c, fold(s));
    }
}

void SHK_KERNEL(batch_norm_forward)(const struct shk_batch_norm *a) {
    for (size_t c = 0; c < a->cols; c += 16) {
        const vf mean = vf_load(a->mean + c), scale = vf_load(a->scale + c), shift = vf_load(a->shift + c);
        for (size_t r = 0; r < a->rows; r++) {
            vf y = vf_fma(vf_sub(vf_load(a->x + r * a->cols + c), mean), scale, shift);
            if (a->residual) y = vf_add(y, vf_load(a->residual + r * a->cols + c));
            vf_store(a->y + r * a->cols + c, a->relu ? vf_max(vf_zero(), y) : y);
        }
    }
}

// What of the gradient has passed the ReLU; d: x - mean.
static vf passed(const struct shk_batch_norm *a, size_t at, vf d, vf scale, vf shift) {
    const vf dy = vf_load(a->dy + at);
    return a->relu ? vf_keep(vf_gt(vf_fma(d, scale, shift), vf_zero()), dy) : dy;
}

// Without a ReLU nothing is read of scale and shift.
static vf shift_of(const struct shk_batch_norm *a, size_t c) { return a->relu ? vf_load(a->shift + c) : vf_zero(); }

void SHK_KERNEL(batch_norm_sums)(const struct shk_batch_norm *a) {
    for (size_t c = 0; c < a->cols; c += 16) {
        const vf mean = vf_load(a->mean + c), by = a->relu ? vf_load(a->scale + c) : vf_zero(), level = shift_of(a, c);
        vf shift[4], scale[4];
        for (size_t k = 0; k < 4; k++) shift[k] = scale[k] = vf_zero();
        for (size_t r = 0; r < a->rows; r++) {
            const size_t at = r * a->cols + c;
            const vf d = vf_sub(vf_load(a->x + at), mean), g = passed(a, at, d, by, level);
            shift[r % 4] = vf_add(shift[r % 4], g);
            scale[r % 4] = vf_fma(g, d, scale[r % 4]);
        }
        vf_store(a->dshift + c, fold(shift));
        vf_store(a->dscale + c, fold(scale));
    }
}

void SHK_KERNEL(batch_norm_backward)(const struct shk_batch_norm *a) {
    for (size_t c = 0; c < a->cols; c += 16) {
        const vf mean = vf_load(a->mean + c), scale = vf_load(a->scale + c);
        const vf level = vf_load(a->level + c), slope = vf_load(a->slope + c), shift = shift_of(a, c);
        for (size_t r = 0; r < a->rows; r++) {
            const size_t at = r * a->cols + c;
            const vf d = vf_sub(vf_load(a->x + at), mean);
            vf dx = vf_mul(scale, vf_fnma(d, slope, vf_sub(passed(a, at, d, scale, shift), level)));
            if (a->accumulate) dx = vf_add(dx, vf_load(a->dx + at));
            vf_store(a->dx + at, dx);
        }
    }
}
