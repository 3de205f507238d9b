// SPDX-License-Identifier: MIT
// The avg_pool op takes the mean of each window of a map.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

#include <string.h>

struct avg_pool {
    struct shk_op op;
    size_t h, w, out_h, out_w, window, stride, pad;
};

static struct shk_avg_pool pool_of(const struct shk_op *op) {
    const struct avg_pool *p = (const struct avg_pool *)op;
    return (struct shk_avg_pool){.h = p->h,
                                 .w = p->w,
                                 .c = op->in.ld,
                                 .out_h = p->out_h,
                                 .out_w = p->out_w,
                                 .window = p->window,
                                 .stride = p->stride,
                                 .pad = p->pad};
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    struct shk_avg_pool pool = pool_of(op);
    for (size_t i = 0; i < s->samples; i++) {
        pool.in = shk_sample_at(s, &op->in, i);
        pool.out = shk_sample_at(s, &op->out, i);
        s->k->avg_pool_forward(&pool);
    }
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    struct shk_avg_pool pool = pool_of(op);
    for (size_t i = 0; i < s->samples; i++) {
        pool.in = shk_sample_at(s, &op->in_grad, i);
        pool.out = shk_sample_at(s, &op->out_grad, i);
        if (!op->accumulate) memset(pool.in, 0, op->in_grad.rows * op->in_grad.ld * sizeof *pool.in);
        s->k->avg_pool_backward(&pool);
    }
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (l->kind != SHK_AVG_POOL) return false;
    const struct shk_value in = *shk_input_of(f);
    if (!shk_is_dense(&in.value)) return false;
    struct avg_pool *p = shk_op_new(f, &shk_op_avg_pool, l->name, &in);
    if (!p) return false;
    p->h = shk_layer_at(f, l->in[0])->out.h;
    p->w = shk_layer_at(f, l->in[0])->out.w;
    p->out_h = l->out.h;
    p->out_w = l->out.w;
    p->window = l->pool.window;
    p->stride = l->pool.stride;
    p->pad = l->pool.pad;
    p->op.out = shk_view_new(f->plan, l->out.h * l->out.w, in.value.cols);
    p->op.out_grad = shk_grad_new(f->plan, l->out.h * l->out.w, in.value.cols);
    shk_gives(f, f->at, &p->op, in.axis);
    return true;
}

static void declare(struct shk_op *op) {
    shk_op_uses(op, op->in.buffer, SHK_READS_FORWARD);
    shk_op_uses(op, op->out.buffer, SHK_WRITES_FORWARD);
    shk_op_uses(op, op->in_grad.buffer, SHK_READS_BACKWARD | SHK_WRITES_BACKWARD);
    shk_op_uses(op, op->out_grad.buffer, SHK_READS_BACKWARD);
}

const struct shk_op_type shk_op_avg_pool = {.name = "avg_pool",
                                            .size = sizeof(struct avg_pool),
                                            .match = match,
                                            .declare = declare,
                                            .run = {forward, input_gradient}};
