// SPDX-License-Identifier: MIT
// The input op copies an image to where the first layer reads it: into a map with a border, a map without, or one row.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

#include <string.h>

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct shk_shape *shape = &s->plan->model->shape;
    const bool bordered = op->out.rows == shape->height && op->out.offset > 0;
    const size_t rows = bordered ? shape->height : 1, row = shape->height / rows * shape->width * shape->channels;
    for (size_t i = 0; i < s->samples; i++) {
        float *map = shk_sample_at(s, &op->out, i);
        for (size_t y = 0; y < rows; y++) memcpy(map + y * op->out.ld, s->images[i] + y * row, row * sizeof(float));
    }
}

static bool match(struct shk_lowering *f) {
    if (!shk_layer_is(f, f->at, SHK_INPUT)) return false;
    const struct shk_extent image = shk_layer_at(f, f->at)->out;
    const int flat = shk_follower(f, f->at, SHK_FLATTEN);
    struct shk_op *op = shk_op_new(f, &shk_op_input, "input", NULL);
    if (!op) return false;
    const bool bordered = shk_wants_border(f, f->at);
    const size_t pixels = image.h * image.w;
    op->out = bordered    ? shk_map_new(f->plan, image.h, image.w, image.c)
              : flat >= 0 ? shk_view_new(f->plan, 1, shk_round16(pixels * image.c))
                          : shk_view_new(f->plan, pixels, image.c);
    if (flat >= 0) op->out_grad = shk_grad_new(f->plan, 1, op->out.cols); // for what reads it as it reads any row
    f->plan->buffers[op->out.buffer].kept = bordered || flat >= 0;        // what is beside the pixels stays zero
    shk_takes(f, f->at);
    shk_gives(f, flat >= 0 ? flat : f->at, op, flat >= 0 ? shk_flat_axis(image, image.c) : shk_axis1(image.c));
    f->values[f->at].bordered = bordered;
    return true;
}

static void declare(struct shk_op *op) { shk_op_uses(op, op->out.buffer, SHK_WRITES_FORWARD); }

const struct shk_op_type shk_op_input = {
    .name = "input", .size = sizeof(struct shk_op), .match = match, .declare = declare, .run = {forward}};
