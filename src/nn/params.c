// SPDX-License-Identifier: MIT
// Where a parameter's numbers lie, and its derived packings.
#include "nn/model.h"

size_t shk_axis_extent(const struct shk_axis *axis) {
    size_t extent = 1;
    for (unsigned i = 0; i < axis->count; i++) extent *= axis->digits[i].extent;
    return extent;
}

size_t shk_axis_map(const struct shk_axis *axis, size_t index) {
    size_t mapped = 0;
    for (unsigned i = axis->count; i-- > 0; index /= axis->digits[i].extent)
        mapped += index % axis->digits[i].extent * axis->digits[i].stride;
    return mapped;
}

size_t shk_param_position(const struct shk_param *p, size_t index) {
    size_t inner = shk_axis_extent(&p->inner);
    size_t o = shk_axis_map(&p->outer, index / inner), i = shk_axis_map(&p->inner, index % inner);
    return p->offset + (p->layout == SHK_ROWS ? o * p->row + i : o / 16 * (p->row * 16) + i * 16 + o % 16);
}

size_t shk_param_panels(const struct shk_param *p) {
    return p->derived == SHK_NOT_DERIVED ? 0 : p->length / p->row / 16;
}

static void derive_transposed(const struct shk_param *p, size_t panel, size_t row, size_t rows, const float *w,
                              float *derived, const struct shk_kernels *k) {
    size_t outputs = p->length / p->row;
    struct shk_transpose t = {.blocks = rows / 16,
                              .src = w + (panel * p->row + row) * 16,
                              .src_row = 16,
                              .src_block = 256,
                              .dst = derived + row * outputs + panel * 256,
                              .dst_row = 16,
                              .dst_block = (ptrdiff_t)outputs * 16};
    k->transpose_panel(&t);
}

static void derive_winograd(const struct shk_param *p, size_t panel, const float *w, float *derived,
                            const struct shk_kernels *k) {
    struct shk_conv_weights a = {.cin = p->cin,
                                 .in_ld = p->row / 9,
                                 .taps = w + panel * 16 * p->row,
                                 .winograd = derived + panel * SHK_WINOGRAD_POINTS * p->cin * 16};
    k->conv_weights(&a);
}

void shk_param_derive(const struct shk_model *m, const struct shk_param *p, size_t panel, size_t row, size_t rows,
                      const struct shk_kernels *k) {
    const float *w = m->weights + p->offset;
    float *derived = m->derived + p->derived_offset;
    if (p->derived == SHK_TRANSPOSED) derive_transposed(p, panel, row, rows, w, derived, k);
    if (p->derived == SHK_WINOGRAD) derive_winograd(p, panel, w, derived, k);
}
