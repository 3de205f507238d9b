// SPDX-License-Identifier: MIT
// A map of pixels is laid out here, for the ops that write and read maps. Most maps are matrices with a row of channels for each
// pixel, and what goes row by row or element by element takes them as it takes tokens; what conv_pool reads has a border.
#ifndef SHK_NN_OPS_MAP_H
#define SHK_NN_OPS_MAP_H

#include "nn/plan/lower.h"

// h x w pixels of ld floats, in rows with a border of one pixel around them, which nobody writes; value or gradient.
// `offset` of the view is the first inner pixel, `ld` a row.
static inline struct shk_view shk_map_new(struct shk_plan *p, size_t h, size_t w, size_t ld) {
    const size_t row = (w + 2) * ld;
    return (struct shk_view){shk_buffer_new(p, (h + 2) * row), row + ld, h, w * ld, row};
}

// Whether the only reader of a layer wants its map with a border.
bool shk_wants_border(const struct shk_lowering *, int layer);
// Whether not only convolutions read the image: then it is a map or rows as others are, with channels in whole vectors and a place
// for its gradient.
bool shk_image_is_map(const struct shk_lowering *);

// The same pixels without a border, as one row for a linear layer.
static inline struct shk_view shk_flat_map_new(struct shk_plan *p, size_t h, size_t w, size_t ld) {
    const struct shk_view flat = shk_view_new(p, 1, h * w * ld);
    size_t *stride = &p->buffers[flat.buffer].per_sample;
    if (*stride % 1024 == 0) *stride += 16; // samples 4 KB apart would share cache sets
    return flat;
}

// PyTorch's features of a flattened map are (channel, y, x); ours are (y, x, channel), with pixels of ld floats.
static inline struct shk_axis shk_flat_axis(struct shk_extent map, size_t ld) {
    return (struct shk_axis){3, {{map.c, 1}, {map.h, map.w * ld}, {map.w, ld}}};
}

// Whether the rows of a sample lie without gaps, and in whole vectors.
static inline bool shk_is_dense(const struct shk_view *v) {
    return v->offset == 0 && v->ld == v->cols && v->cols % 16 == 0;
}

static inline float *shk_sample_at(const struct shk_slice *s, const struct shk_view *v, size_t sample) {
    return shk_rows_at(s, v) + sample * shk_sample_stride(s, v);
}

// Of an op that works element by element: where others have left gradients of its input, its own, which it has made in the place
// of its output's, are added.
static inline void shk_add_gradient(const struct shk_op *op, const struct shk_slice *s, size_t sample) {
    if (!op->accumulate) return;
    s->k->add(&(struct shk_add){.rows = 1,
                                .cols = op->out.rows * op->out.cols,
                                .x = shk_sample_at(s, &op->out_grad, sample),
                                .y = shk_sample_at(s, &op->in_grad, sample)});
}

#endif
