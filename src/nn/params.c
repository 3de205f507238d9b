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

// Blocks of 16 input channels a tap; a last block with fewer channels goes through a tile, as its spare rows are the
// next tap's.
static void derive_conv_panels(const struct shk_param *p, size_t panel, const float *w, float *derived,
                               const struct shk_kernels *k) {
    size_t cin = p->cin, cin_pad = p->row / 9;
    _Alignas(64) float tile[256];
    for (size_t tap = 0; tap < 9; tap++) {
        const float *src = w + panel * 16 * p->row + tap * cin_pad;
        float *dst = derived + (panel * 9 + tap) * cin * 16;
        struct shk_transpose t = {.blocks = cin / 16,
                                  .src = src,
                                  .src_row = (ptrdiff_t)p->row,
                                  .src_block = 16,
                                  .dst = dst,
                                  .dst_row = 16,
                                  .dst_block = 256};
        if (t.blocks) k->transpose_panel(&t);
        if (cin % 16 == 0) continue;
        t.src += t.blocks * 16;
        t.dst = tile;
        float *rest = dst + t.blocks * 256;
        t.blocks = 1;
        k->transpose_panel(&t);
        for (size_t i = 0; i < cin % 16 * 16; i++) rest[i] = tile[i];
    }
}

void shk_param_derive(const struct shk_model *m, const struct shk_param *p, size_t panel, size_t row, size_t rows,
                      const struct shk_kernels *k) {
    const float *w = m->weights + p->offset;
    float *derived = m->derived + p->derived_offset;
    if (p->derived == SHK_TRANSPOSED) derive_transposed(p, panel, row, rows, w, derived, k);
    if (p->derived == SHK_CONV_PANELS) derive_conv_panels(p, panel, w, derived, k);
}
