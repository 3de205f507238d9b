// SPDX-License-Identifier: MIT
// The max_pool op takes the largest of each window of a map.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

#include <string.h>

struct max_pool {
    struct shk_op op;
    size_t h, w, out_h, out_w, window, stride, pad;
    int winners; // bytes, as many as outputs; or -1
};

static struct shk_max_pool pool_of(const struct shk_op *op, const struct shk_slice *s, size_t sample) {
    const struct max_pool *p = (const struct max_pool *)op;
    struct shk_max_pool pool = {.h = p->h,
                                .w = p->w,
                                .c = op->in.ld,
                                .out_h = p->out_h,
                                .out_w = p->out_w,
                                .window = p->window,
                                .stride = p->stride,
                                .pad = p->pad};
    if (p->winners < 0) return pool;
    const size_t stride = s->plan->buffers[p->winners].per_sample;
    pool.winners = (uint8_t *)(shk_buffer_at(s, p->winners) + sample * stride);
    return pool;
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_max_pool pool = pool_of(op, s, i);
        pool.in = shk_sample_at(s, &op->in, i);
        pool.out = shk_sample_at(s, &op->out, i);
        s->k->max_pool_forward(&pool);
    }
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_max_pool pool = pool_of(op, s, i);
        pool.in = shk_sample_at(s, &op->in_grad, i);
        pool.out = shk_sample_at(s, &op->out_grad, i);
        if (!op->accumulate) memset(pool.in, 0, op->in_grad.rows * op->in_grad.ld * sizeof *pool.in);
        s->k->max_pool_backward(&pool);
    }
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (l->kind != SHK_MAX_POOL || l->pool.window > SHK_MAX_WINDOW) return false;
    const struct shk_value in = *shk_input_of(f);
    if (!shk_is_dense(&in.value)) return false;
    struct max_pool *p = shk_op_new(f, &shk_op_max_pool, l->name, &in);
    if (!p) return false;
    p->h = shk_layer_at(f, l->in[0])->out.h;
    p->w = shk_layer_at(f, l->in[0])->out.w;
    p->out_h = l->out.h;
    p->out_w = l->out.w;
    p->window = l->pool.window;
    p->stride = l->pool.stride;
    p->pad = l->pool.pad;
    const size_t rows = l->out.h * l->out.w, cols = in.value.cols;
    p->winners = f->plan->training ? shk_buffer_new(f->plan, rows * cols / sizeof(float)) : -1;
    p->op.out = shk_view_new(f->plan, rows, cols);
    p->op.out_grad = shk_grad_new(f->plan, rows, cols);
    shk_gives(f, f->at, &p->op, in.axis);
    return true;
}

static void declare(struct shk_op *op) {
    shk_op_uses(op, op->in.buffer, SHK_READS_FORWARD);
    shk_op_uses(op, op->out.buffer, SHK_WRITES_FORWARD);
    shk_op_uses(op, op->in_grad.buffer, SHK_READS_BACKWARD | SHK_WRITES_BACKWARD);
    shk_op_uses(op, op->out_grad.buffer, SHK_READS_BACKWARD);
    shk_op_uses(op, ((struct max_pool *)op)->winners, SHK_WRITES_FORWARD | SHK_READS_BACKWARD);
}

const struct shk_op_type shk_op_max_pool = {.name = "max_pool",
                                            .size = sizeof(struct max_pool),
                                            .match = match,
                                            .declare = declare,
                                            .run = {forward, input_gradient}};
