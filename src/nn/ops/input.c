// SPDX-License-Identifier: MIT
// The input op copies an image to where the first layer reads it: into a map with a border, a map without, one row, or a row for
// each pixel.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

#include <string.h>

// Row by row of the image, or pixel by pixel, into the rows of the view; or all at once into one that has no gaps.
static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct shk_shape *shape = &s->plan->model->shape;
    const size_t all = shape->height * shape->width * shape->channels;
    const size_t rows = op->out.rows > 1 && op->out.ld * op->out.rows != all ? op->out.rows : 1, row = all / rows;
    for (size_t i = 0; i < s->samples; i++) {
        float *map = shk_sample_at(s, &op->out, i);
        for (size_t y = 0; y < rows; y++) memcpy(map + y * op->out.ld, s->images[i] + y * row, row * sizeof(float));
    }
}

// What the op makes: a map with a border; or a layer behind that alone reads the image as one row or as rows; or a map.
struct form {
    bool bordered, map;
    int flat, tokens; // or -1
};

bool shk_image_is_map(const struct shk_lowering *f) {
    for (int i = 1; i < (int)f->graph->count; i++) {
        const struct shk_layer *l = shk_layer_at(f, i);
        if (l->kind == SHK_CONV || l->kind == SHK_GROUPED_CONV || l->kind == SHK_PATCH_EMBED) continue;
        if (shk_layer_is(f, l->in[0], SHK_INPUT) || shk_layer_is(f, l->in[1], SHK_INPUT)) return true;
    }
    return false;
}

static struct shk_view view_of(struct shk_plan *p, const struct form *form, struct shk_extent image) {
    const size_t pixels = image.h * image.w;
    if (form->bordered) return shk_map_new(p, image.h, image.w, image.c);
    if (form->flat >= 0) return shk_view_new(p, 1, shk_round16(pixels * image.c));
    return shk_view_new(p, pixels, form->map ? shk_round16(image.c) : image.c);
}

static bool match(struct shk_lowering *f) {
    if (!shk_layer_is(f, f->at, SHK_INPUT)) return false;
    const struct shk_extent image = shk_layer_at(f, f->at)->out;
    const struct form form = {shk_wants_border(f, f->at), shk_image_is_map(f), shk_follower(f, f->at, SHK_FLATTEN),
                              shk_follower(f, f->at, SHK_TOKENS)};
    const int behind = form.flat >= 0 ? form.flat : form.tokens;
    struct shk_op *op = shk_op_new(f, &shk_op_input, "input", NULL);
    if (!op) return false;
    op->out = view_of(f->plan, &form, image);
    if (form.map) op->out_grad = shk_grad_new(f->plan, op->out.rows, op->out.cols); // for what reads it as any rows
    f->plan->buffers[op->out.buffer].kept = form.bordered || form.map; // what is beside the pixels stays zero
    shk_takes(f, f->at);
    shk_gives(f, behind >= 0 ? behind : f->at, op, form.flat >= 0 ? shk_flat_axis(image, image.c) : shk_axis1(image.c));
    f->values[f->at].bordered = form.bordered;
    return true;
}

static void declare(struct shk_op *op) { shk_op_uses(op, op->out.buffer, SHK_WRITES_FORWARD); }

const struct shk_op_type shk_op_input = {
    .name = "input", .size = sizeof(struct shk_op), .match = match, .declare = declare, .run = {forward}};
