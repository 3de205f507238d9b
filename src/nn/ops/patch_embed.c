// SPDX-License-Identifier: MIT
// The patch_embed op cuts an image into patches and embeds them, Conv2d(c, dim, patch, stride patch), with a CLS token in
// row 0 and positions, where the model has them. Patches of a map are the conv op's.
#include "nn/ops/embedding.h"
#include "nn/ops/ops.h"

#include <string.h>

struct patch_embed {
    struct shk_op op;
    size_t patch, patches; // patch size in pixels, patches a sample
    int patch_rows;        // buffer [patches][round16(c * patch * patch)]
    struct shk_embedding embedding;
};

// A patch of one channel, four pixels at a time.
static inline void cut_grey_patch(size_t patch, const float *corner, size_t row, float *out) {
    for (size_t y = 0; y < patch; y++, out += patch)
        for (size_t x = 0; x < patch; x += 4) memcpy(out + x, corner + y * row + x, 4 * sizeof(float));
}

static void cut_patch(size_t patch, size_t channels, const float *corner, size_t row, float *out) {
    for (size_t c = 0; c < channels; c++)
        for (size_t y = 0; y < patch; y++)
            for (size_t x = 0; x < patch; x++) *out++ = corner[y * row + x * channels + c];
}

// Rows (c, y, x) of each patch, as PyTorch's weight has them; the pads behind stay zero.
static void cut_patches(const struct patch_embed *e, const struct shk_slice *s, const float *image, float *rows) {
    const struct shk_shape *shape = &s->plan->model->shape;
    const size_t patch = e->patch, across = shape->width / patch, down = e->patches / across;
    const size_t channels = shape->channels, row = shape->width * channels;
    for (size_t i = 0; i < down; i++, image += patch * row) {
        const float *corner = image;
        for (size_t j = 0; j < across; j++, corner += patch * channels, rows += e->op.weight->ld) {
            if (channels == 1 && patch == 4)
                cut_grey_patch(4, corner, row, rows); // without loops
            else if (channels == 1 && patch % 4 == 0)
                cut_grey_patch(patch, corner, row, rows);
            else
                cut_patch(patch, channels, corner, row, rows);
        }
    }
}

static float *patch_rows_of(const struct patch_embed *e, const struct shk_slice *s, size_t sample) {
    return shk_buffer_at(s, e->patch_rows) + sample * s->plan->buffers[e->patch_rows].per_sample;
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct patch_embed *e = (const struct patch_embed *)op;
    const struct shk_param *w = op->weight;
    const size_t ld = op->out.ld, first = op->out.rows - e->patches;
    for (size_t i = 0; i < s->samples; i++) {
        float *rows = patch_rows_of(e, s, i), *out = shk_rows_at(s, &op->out) + i * shk_sample_stride(s, &op->out);
        cut_patches(e, s, s->images[i], rows);
        shk_embedding_begin(&e->embedding, s, out);
        struct shk_gemm gemm = {.m = e->patches,
                                .n = ld,
                                .k = w->ld,
                                .a = rows,
                                .a_row = (ptrdiff_t)w->ld,
                                .a_col = 1,
                                .b = s->weights + w->offset,
                                .b_row = 16,
                                .b_panel = (ptrdiff_t)w->ld * 16,
                                .c = out + first * ld,
                                .c_row = (ptrdiff_t)ld,
                                .c_panel = 16,
                                .bias = s->weights + op->bias->offset,
                                .addend = shk_embedding_positions(&e->embedding, s, first),
                                .addend_row = (ptrdiff_t)ld,
                                .addend_panel = 16};
        s->k->gemm(&gemm);
    }
}

// Of the patches of one sample.
static void add_patches(const struct patch_embed *e, const struct shk_slice *s, const struct shk_segment *g, size_t i) {
    const struct shk_op *op = &e->op;
    const size_t ld = op->out.ld, row = op->weight->ld;
    const float *dy =
        shk_rows_at(s, &op->out_grad) + i * shk_sample_stride(s, &op->out_grad) + (op->out.rows - e->patches) * ld;
    float *const db = g->own + op->bias_grad;
    const bool few = e->patches <= SHK_TOKENS_OF_A_CHAIN;
    struct shk_gemm gemm = {.m = row,
                            .n = ld,
                            .k = e->patches,
                            .a = patch_rows_of(e, s, i),
                            .a_row = 1,
                            .a_col = (ptrdiff_t)row,
                            .b = dy,
                            .b_row = (ptrdiff_t)ld,
                            .b_panel = 16,
                            .c = g->own + op->weight_grad,
                            .c_row = 16,
                            .c_panel = (ptrdiff_t)row * 16,
                            .accumulate = !(g->first && i == g->start),
                            .sums = few ? db : NULL};
    s->k->gemm(&gemm);
    if (!few) shk_add_bias_gradient(s->k, dy, (ptrdiff_t)ld, e->patches, ld, db);
}

static void weight_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct patch_embed *e = (const struct patch_embed *)op;
    SHK_EACH_SEGMENT(s, g) {
        shk_embedding_gradient(&e->embedding, op, s, g);
        if (g->first) memset(g->own + op->bias_grad, 0, op->bias->length * sizeof(float));
        for (size_t i = g->start; i < g->start + g->samples; i++) add_patches(e, s, g, i);
        shk_segment_add(s, g, op->weight_grad, op->weight->length);
        shk_segment_add(s, g, op->bias_grad, op->bias->length);
    }
}

// ---- In the plan

static void place(struct shk_lowering *f, const struct shk_layer *l, struct patch_embed *e) {
    const size_t dim = l->patch_embed.dim, in = f->plan->model->shape.channels * e->patch * e->patch;
    const struct shk_param_form p = {.layout = SHK_PANELS,
                                     .outer = shk_axis1(dim),
                                     .inner = shk_axis1(in),
                                     .ld = shk_round16(in),
                                     .outputs = shk_round16(dim)};
    e->op.weight = shk_lay_out(f, l->params[0], &p);
    e->op.bias = shk_lay_out_vector(f, l->params[1], p.outer, p.outputs);
}

static bool match(struct shk_lowering *f) {
    const int embed = shk_layer_is(f, f->at, SHK_INPUT) ? shk_follower(f, f->at, SHK_PATCH_EMBED) : -1;
    if (embed < 0) return false;
    const struct shk_layer *l = shk_layer_at(f, embed);
    struct patch_embed *e = shk_op_new(f, &shk_op_patch_embed, l->name, NULL);
    if (!e) return false;
    const int cls = shk_follower(f, embed, SHK_CLS_TOKEN);
    const int positions = shk_embedding_behind(f, cls < 0 ? embed : cls);
    const size_t dim = l->patch_embed.dim, rows = l->out.h + (cls >= 0);
    e->patch = l->patch_embed.patch;
    e->patches = l->out.h;
    place(f, l, e);
    e->embedding = shk_embedding_take(f, cls, positions);
    e->patch_rows = shk_buffer_new(f->plan, e->patches * e->op.weight->ld);
    f->plan->buffers[e->patch_rows].kept = true; // its pad columns stay zero
    e->op.out = shk_view_new(f->plan, rows, shk_round16(dim));
    e->op.out_grad = shk_grad_new(f->plan, rows, shk_round16(dim));
    shk_takes(f, f->at);
    shk_takes(f, embed);
    shk_gives(f, positions >= 0 ? positions : cls >= 0 ? cls : embed, &e->op, shk_axis1(dim));
    return true;
}

static void declare(struct shk_op *op) {
    shk_op_uses_views(op, 0, 0);
    shk_op_uses(op, ((struct patch_embed *)op)->patch_rows, SHK_WRITES_FORWARD | SHK_READS_BACKWARD);
}

static size_t shard_floats(const struct shk_op *op) {
    const struct patch_embed *e = (const struct patch_embed *)op;
    return op->weight->length + op->bias->length + shk_embedding_floats(&e->embedding);
}

static void updates(struct shk_op *op, struct shk_update_list *list) {
    struct patch_embed *e = (struct patch_embed *)op;
    op->weight_grad = shk_updates_from_shards(list, op, op->weight, op->weight->length);
    op->bias_grad = shk_updates_from_shards(list, op, op->bias, op->bias->length);
    shk_embedding_updates(&e->embedding, op, list);
}

static double flops(const struct shk_op *op, enum shk_phase phase) {
    const struct patch_embed *e = (const struct patch_embed *)op;
    return phase == SHK_INPUT_GRADIENT ? 0 : 2.0 * (double)(e->patches * op->out.cols) * (double)op->weight->ld;
}

const struct shk_op_type shk_op_patch_embed = {.name = "patch_embed",
                                               .size = sizeof(struct patch_embed),
                                               .match = match,
                                               .declare = declare,
                                               .run = {forward, NULL, weight_gradient},
                                               .flops = flops,
                                               .updates = updates,
                                               .shard_floats = shard_floats};
