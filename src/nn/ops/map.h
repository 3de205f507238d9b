// SPDX-License-Identifier: MIT
// A map of pixels is laid out here, for the ops that write and read maps.
#ifndef SHK_NN_OPS_MAP_H
#define SHK_NN_OPS_MAP_H

#include "nn/plan/lower.h"

// h x w pixels of ld floats, in rows with a border of one pixel around them, which nobody writes; value or gradient.
// `offset` of the view is the first inner pixel, `ld` a row.
static inline struct shk_view shk_map_new(struct shk_plan *p, size_t h, size_t w, size_t ld) {
    const size_t row = (w + 2) * ld;
    return (struct shk_view){shk_buffer_new(p, (h + 2) * row), row + ld, h, w * ld, row};
}

// The same pixels without a border, as one row for a linear layer.
static inline struct shk_view shk_flat_map_new(struct shk_plan *p, size_t h, size_t w, size_t ld) {
    const struct shk_view flat = shk_view_new(p, 1, h * w * ld);
    size_t *stride = &p->buffers[flat.buffer].per_sample;
    if (*stride % 1024 == 0) *stride += 16; // samples 4 KB apart would share cache sets
    return flat;
}

#endif
