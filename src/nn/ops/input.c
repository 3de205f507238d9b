// SPDX-License-Identifier: MIT
// The input op copies an image into a map with a border, for a convolution.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

#include <string.h>

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct shk_shape *shape = &s->plan->model->shape;
    const size_t row = shape->width * shape->channels;
    for (size_t i = 0; i < s->samples; i++) {
        float *map = shk_rows_at(s, &op->out) + i * shk_sample_stride(s, &op->out);
        for (size_t y = 0; y < shape->height; y++)
            memcpy(map + y * op->out.ld, s->images[i] + y * row, row * sizeof(float));
    }
}

static bool match(struct shk_lowering *f) {
    if (!shk_layer_is(f, f->at, SHK_INPUT) || shk_follower(f, f->at, SHK_CONV) < 0) return false;
    const struct shk_extent image = shk_layer_at(f, f->at)->out;
    struct shk_op *op = shk_op_new(f, &shk_op_input, "input", NULL);
    if (!op) return false;
    op->out = shk_map_new(f->plan, image.h, image.w, image.c);
    f->plan->buffers[op->out.buffer].kept = true;
    shk_gives(f, f->at, op, shk_axis1(image.c));
    return true;
}

static void declare(struct shk_op *op) { shk_op_uses(op, op->out.buffer, SHK_WRITES_FORWARD); }

const struct shk_op_type shk_op_input = {
    .name = "input", .size = sizeof(struct shk_op), .match = match, .declare = declare, .run = {forward}};
