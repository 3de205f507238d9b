// SPDX-License-Identifier: MIT
// Batch normalisation is two ops, between which all workers meet: the first leaves each sample's statistics and takes the gradient
// through them; the second combines those of all samples, as tasks of sixteen channels, and normalises. Evaluation has the
// second alone, with running statistics.
//
// Counts, means and sums of squares are combined by the formula of Chan et al. (1979), in double: samples in order within groups,
// these in order within blocks, and these in order.
#include "nn/ops/map.h"
#include "nn/ops/norm_end.h"
#include "nn/ops/ops.h"

#include <math.h>
#include <string.h>

struct batch_norm {
    struct shk_op op;
    struct shk_view y, dy;              // what the second op makes, and its gradient
    const struct shk_param *running[2]; // mean, variance
    double eps, momentum;
    bool
        ghost; // ghost batch normalisation (Hoffer et al. 2017): all that is said of the batch is so of each of its blocks
    enum shk_norm_activation activation; // behind it
    const struct shk_param *shift;
    // A sum behind it, of its own value and another; and a ReLU behind that. Then there is no activation.
    struct shk_view other, other_grad;
    bool adds, accumulate_other, sum_relu;
    // [2][cols] of each sample: mean and sum of squares; sums of the gradient and of its products. In the place of the batch's
    // first sample: mean, scale and [1][cols] more, 1 / standard deviation; level and slope. In that of each block's first: the gradients of shift and scale.
    int statistics, sums, moments, slopes, totals;
};

static inline const struct batch_norm *norm_of(const struct shk_op *op) { return (const struct batch_norm *)op; }

static size_t cols_of(const struct batch_norm *b) { return b->op.in.cols; }

static float *of_sample(const struct batch_norm *b, const struct shk_slice *s, int buffer, size_t sample, size_t half) {
    return shk_buffer_at(s, buffer) + sample * s->plan->buffers[buffer].per_sample + half * cols_of(b);
}

// In the place of the batch's first sample.
static float *of_batch(const struct batch_norm *b, const struct shk_slice *s, int buffer, size_t half) {
    const struct shk_buffer *buf = &s->plan->buffers[buffer];
    return s->batch_space + buf->offset + (b->ghost ? s->block : s->origin) * buf->per_sample + half * cols_of(b);
}

static struct shk_batch_norm kernel_of(const struct batch_norm *b, const struct shk_slice *s, size_t sample) {
    return (struct shk_batch_norm){.rows = b->op.in.rows,
                                   .cols = cols_of(b),
                                   .x = shk_sample_at(s, &b->op.in, sample),
                                   .activation = b->activation};
}

// ---- Each sample's statistics, and the gradient through them

static void leave_statistics(const struct shk_op *op, const struct shk_slice *s) {
    const struct batch_norm *b = norm_of(op);
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_batch_norm k = kernel_of(b, s, i);
        k.own_mean = of_sample(b, s, b->statistics, i, 0);
        k.own_m2 = of_sample(b, s, b->statistics, i, 1);
        s->k->batch_norm_statistics(&k);
    }
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct batch_norm *b = norm_of(op);
    if (op->in_grad.buffer < 0) return;
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_batch_norm k = kernel_of(b, s, i);
        k.mean = of_batch(b, s, b->moments, 0);
        k.scale = of_batch(b, s, b->moments, 1);
        k.shift = s->weights + b->shift->offset;
        k.level = of_batch(b, s, b->slopes, 0);
        k.slope = of_batch(b, s, b->slopes, 1);
        k.dy = shk_sample_at(s, &b->dy, i);
        k.dx = shk_sample_at(s, &op->in_grad, i);
        k.accumulate = op->accumulate;
        s->k->batch_norm_backward(&k);
    }
}

// ---- Normalising

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct batch_norm *b = norm_of(op);
    const struct shk_norm_end end = {
        .scale = op->weight, .shift = op->bias, .running = {b->running[0], b->running[1]}, .eps = b->eps};
    const bool running = b->moments < 0;
    if (running) shk_running_scale(&end, s, cols_of(b), s->scratch);
    const float *mean = running ? s->weights + b->running[0]->offset : of_batch(b, s, b->moments, 0);
    const float *scale = running ? s->scratch : of_batch(b, s, b->moments, 1);
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_batch_norm k = kernel_of(b, s, i);
        k.mean = mean;
        k.scale = scale;
        k.shift = s->weights + op->bias->offset;
        k.residual = b->adds ? shk_sample_at(s, &b->other, i) : NULL;
        if (b->sum_relu) k.activation = SHK_NORM_RELU;
        k.y = shk_sample_at(s, &b->y, i);
        s->k->batch_norm_forward(&k);
    }
}

// The gradient of the sum is that of both of its values: of the other one, too, unless that is the same place. A ReLU is passed in
// place.
static void through_sum(const struct batch_norm *b, const struct shk_slice *s, size_t sample,
                        struct shk_batch_norm *k) {
    if (b->sum_relu) {
        k->out = shk_sample_at(s, &b->y, sample);
        k->masked = shk_sample_at(s, &b->dy, sample);
    }
    if (b->other_grad.buffer < 0 || b->other_grad.buffer == b->dy.buffer) return;
    k->other = shk_sample_at(s, &b->other_grad, sample);
    k->accumulate = b->accumulate_other;
}

// Each sample's sums.
static void leave_sums(const struct shk_op *op, const struct shk_slice *s) {
    const struct batch_norm *b = norm_of(op);
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_batch_norm k = kernel_of(b, s, i);
        if (b->adds) through_sum(b, s, i, &k);
        k.mean = of_batch(b, s, b->moments, 0);
        k.scale = of_batch(b, s, b->moments, 1);
        k.shift = s->weights + b->shift->offset;
        k.dy = shk_sample_at(s, &b->dy, i);
        k.dshift = of_sample(b, s, b->sums, i, 0);
        k.dscale = of_sample(b, s, b->sums, i, 1);
        s->k->batch_norm_sums(&k);
    }
}

// ---- Over the whole batch: task t is about channels 16 t on

enum { LANES = 16 };

// Of some samples: how many values a channel has, and of each channel two numbers.
struct part {
    double count, a[LANES], b[LANES];
};
typedef void combine(struct part *, const struct part *);

// Means and sums of squares.
static void combine_statistics(struct part *p, const struct part *o) {
    const double count = p->count + o->count;
    if (o->count == 0) return;
    for (size_t i = 0; i < LANES; i++) {
        const double delta = o->a[i] - p->a[i];
        p->a[i] = p->a[i] + delta * (o->count / count);
        p->b[i] = (p->b[i] + o->b[i]) + delta * delta * (p->count * o->count / count);
    }
    p->count = count;
}

static void combine_sums(struct part *p, const struct part *o) {
    for (size_t i = 0; i < LANES; i++) {
        p->a[i] += o->a[i];
        p->b[i] += o->b[i];
    }
    p->count += o->count;
}

static float *channels_at(const struct batch_norm *b, const struct shk_whole_batch *w, int buffer, size_t sample,
                          size_t half, size_t task) {
    const struct shk_buffer *buf = &w->plan->buffers[buffer];
    return w->batch_space + buf->offset + sample * buf->per_sample + half * cols_of(b) + task * LANES;
}

// Of samples first .. end - 1 of the batch.
static struct part part_of_samples(const struct batch_norm *b, const struct shk_whole_batch *w, int buffer, size_t task,
                                   size_t first, size_t end, combine *add) {
    struct part sum = {.count = 0}, one = {.count = (double)b->op.in.rows};
    for (size_t i = first; i < end; i++) {
        const float *x = channels_at(b, w, buffer, i - w->round, 0, task), *y = x + cols_of(b);
        for (size_t k = 0; k < LANES; k++) {
            one.a[k] = (double)x[k];
            one.b[k] = (double)y[k];
        }
        add(&sum, &one);
    }
    return sum;
}

static struct part part_of_block(const struct batch_norm *b, const struct shk_whole_batch *w, int buffer, size_t task,
                                 size_t block, combine *add) {
    const struct shk_cut *c = w->cut;
    struct part sum = {.count = 0};
    for (size_t g = block * c->groups; g < (block + 1) * c->groups; g++) {
        const size_t last = g + 1 == (block + 1) * c->groups ? (block + 1) * c->shards : shk_group_first(c, g + 1);
        const struct part group = part_of_samples(b, w, buffer, task, shk_shard_first(c, shk_group_first(c, g)),
                                                  shk_shard_first(c, last), add);
        add(&sum, &group);
    }
    return sum;
}

// The blocks whose samples a task combines: first .. end - 1.
struct blocks {
    size_t first, end;
};

static struct blocks blocks_of(const struct batch_norm *b, const struct shk_whole_batch *w) {
    const size_t own = shk_shard_of(w->cut, w->round + w->first) / w->cut->shards;
    return b->ghost ? (struct blocks){own, own + 1} : (struct blocks){0, w->cut->blocks};
}

static void keep_running(const struct batch_norm *b, const struct shk_whole_batch *w, size_t task,
                         const struct part *all) {
    float *mean = w->state + b->running[0]->offset + task * LANES,
          *variance = w->state + b->running[1]->offset + task * LANES;
    for (size_t i = 0; i < LANES; i++) {
        mean[i] = (float)((1 - b->momentum) * (double)mean[i] + b->momentum * all->a[i]);
        variance[i] = (float)((1 - b->momentum) * (double)variance[i] + b->momentum * (all->b[i] / (all->count - 1)));
    }
}

static void combine_forward(const struct shk_op *op, const struct shk_whole_batch *w, size_t task, float *scratch) {
    (void)scratch;
    const struct batch_norm *b = norm_of(op);
    const struct blocks blocks = blocks_of(b, w);
    struct part all = {.count = 0};
    for (size_t block = blocks.first; block < blocks.end; block++) {
        const struct part of = part_of_block(b, w, b->statistics, task, block, combine_statistics);
        combine_statistics(&all, &of);
    }
    const float *gamma = w->weights + op->weight->offset + task * LANES;
    float *mean = channels_at(b, w, b->moments, w->first, 0, task),
          *scale = channels_at(b, w, b->moments, w->first, 1, task);
    float *rstd = channels_at(b, w, b->moments, w->first, 2, task);
    for (size_t i = 0; i < LANES; i++) {
        mean[i] = (float)all.a[i];
        rstd[i] = (float)(1 / sqrt(all.b[i] / all.count + b->eps));
        scale[i] = gamma[i] * rstd[i];
    }
    keep_running(b, w, task, &all);
}

static void combine_backward(const struct shk_op *op, const struct shk_whole_batch *w, size_t task, float *scratch) {
    (void)scratch;
    const struct batch_norm *b = norm_of(op);
    const float *rstd = channels_at(b, w, b->moments, w->first, 2, task);
    const struct blocks blocks = blocks_of(b, w);
    struct part all = {.count = 0};
    for (size_t block = blocks.first; block < blocks.end; block++) {
        const struct part of = part_of_block(b, w, b->sums, task, block, combine_sums);
        const size_t place = shk_block_first(w->cut, block) - w->round;
        float *dshift = channels_at(b, w, b->totals, place, 0, task), *dscale = dshift + cols_of(b);
        for (size_t i = 0; i < LANES; i++) {
            dshift[i] = (float)of.a[i];
            dscale[i] = (float)(of.b[i] * (double)rstd[i]);
        }
        combine_sums(&all, &of);
    }
    float *level = channels_at(b, w, b->slopes, w->first, 0, task),
          *slope = channels_at(b, w, b->slopes, w->first, 1, task);
    for (size_t i = 0; i < LANES; i++) {
        level[i] = (float)(all.a[i] / all.count);
        slope[i] = (float)(all.b[i] / all.count * ((double)rstd[i] * (double)rstd[i]));
    }
}

static size_t tasks(const struct shk_op *op, enum shk_phase phase) {
    (void)phase;
    return cols_of(norm_of(op)) / LANES;
}

// ---- In the plan

static struct batch_norm *new_op(struct shk_lowering *f, const struct shk_op_type *type, const struct shk_layer *l,
                                 const struct batch_norm *as) {
    struct batch_norm *b = shk_op_new(f, type, l->name, shk_input_of(f));
    if (!b) return NULL;
    struct batch_norm made = *as;
    made.op = b->op;
    *b = made;
    return b;
}

static void make_buffers(struct shk_plan *p, struct batch_norm *b) {
    const size_t cols = b->y.cols;
    int *const buffers[] = {&b->statistics, &b->sums, &b->moments, &b->slopes, &b->totals};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) {
        *buffers[i] = p->training ? shk_buffer_new(p, (buffers[i] == &b->moments ? 3 : 2) * cols) : -1;
        if (p->training) p->buffers[*buffers[i]].space = SHK_BATCH;
    }
}

static const struct shk_op_type batch_statistics;

// Takes the activation behind a normalisation. Returns the last layer that is taken.
static int take_activation(struct shk_lowering *f, struct batch_norm *as) {
    static const enum shk_layer_kind kinds[] = {
        [SHK_NORM_RELU] = SHK_RELU, [SHK_NORM_HARDSWISH] = SHK_HARDSWISH, [SHK_NORM_SILU] = SHK_SILU};
    for (int i = SHK_NORM_RELU; i <= SHK_NORM_SILU; i++) {
        const int layer = shk_follower(f, f->at, kinds[i]);
        if (layer < 0) continue;
        as->activation = (enum shk_norm_activation)i;
        return layer;
    }
    return f->at;
}

// Takes the sum behind a normalisation, of two values of which the other is there already, and its ReLU. Returns the last layer
// that is taken.
static int take_sum(struct shk_lowering *f, const struct shk_value *in, struct batch_norm *as) {
    const int add = shk_follower(f, f->at, SHK_ADD);
    if (add != f->at + 1) return f->at;
    const int *const from = shk_layer_at(f, add)->in, one = from[0] == f->at ? from[1] : from[0];
    const struct shk_value *other = &f->values[one];
    if (one == f->at || !other->op || other->bordered || !shk_is_dense(&other->value) ||
        !shk_axis_equal(&other->axis, &in->axis) || other->value.rows != in->value.rows ||
        other->value.cols != in->value.cols)
        return f->at;
    as->adds = true;
    as->other = other->value;
    as->other_grad = other->grad;
    as->accumulate_other = shk_graph_last_consumer(f->graph, one) != add;
    const int relu = shk_follower(f, add, SHK_RELU);
    as->sum_relu = relu >= 0;
    shk_takes(f, add);
    return as->sum_relu ? relu : add;
}

// The gradient of the output lies where another one is written behind it, for the first time: the other value's of a sum,
// which is the same, or the input's. Nobody else writes there before: other readers of these values have been lowered, so they
// run backward behind both ops, between which no other op is.
static struct shk_view gradient_place(const struct shk_lowering *f, const struct batch_norm *as,
                                      const struct shk_value *in) {
    const size_t rows = in->value.rows, cols = in->value.cols;
    const bool first[] = {as->adds && !as->accumulate_other, shk_reads_last(f)};
    const struct shk_view *const places[] = {&as->other_grad, &in->grad};
    for (int i = 0; i < 2; i++)
        if (first[i] && places[i]->buffer >= 0 && shk_is_dense(places[i]) && places[i]->rows == rows &&
            places[i]->cols == cols)
            return *places[i];
    return shk_grad_new(f->plan, rows, cols);
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (l->kind != SHK_BATCH_NORM) return false;
    const struct shk_value in = *shk_input_of(f);
    if (!shk_is_dense(&in.value)) return false;
    const size_t rows = in.value.rows, cols = in.value.cols;
    struct batch_norm as = {.eps = l->batch_norm.eps, .momentum = l->batch_norm.momentum, .ghost = l->batch_norm.ghost};
    const int activation = take_activation(f, &as), last = activation > f->at ? activation : take_sum(f, &in, &as);
    as.y = shk_view_new(f->plan, rows, cols);
    as.dy = gradient_place(f, &as, &in);
    make_buffers(f->plan, &as);
    for (int i = 0; i < 2; i++) as.running[i] = shk_lay_out_vector(f, l->running[i], in.axis, cols);
    as.shift = shk_lay_out_vector(f, l->params[1], in.axis, cols);
    if (f->plan->training && !new_op(f, &batch_statistics, l, &as)) return false;
    struct batch_norm *b = new_op(f, &shk_op_batch_norm, l, &as);
    if (!b) return false;
    b->op.meets = f->plan->training;
    b->op.of_batch = f->plan->training && !as.ghost;
    b->op.in_grad = shk_no_view; // the first op's
    b->op.accumulate = false;
    b->op.weight = shk_lay_out_vector(f, l->params[0], in.axis, cols);
    b->op.bias = b->shift;
    b->op.out = b->y;
    b->op.out_grad = b->dy;
    shk_takes(f, f->at);
    shk_gives(f, last, &b->op, in.axis);
    return true;
}

static void declare_statistics(struct shk_op *op) {
    const struct batch_norm *b = norm_of(op);
    shk_op_uses(op, op->in.buffer, SHK_READS_FORWARD | SHK_READS_BACKWARD);
    shk_op_uses(op, b->statistics, SHK_WRITES_FORWARD);
    shk_op_uses(op, b->moments, SHK_READS_BACKWARD | SHK_USES_OF_BATCH);
    shk_op_uses(op, b->slopes, SHK_READS_BACKWARD | SHK_USES_OF_BATCH);
    const bool in_place = op->in_grad.buffer == b->dy.buffer;
    shk_op_uses(op, b->dy.buffer, SHK_READS_BACKWARD | (in_place ? SHK_WRITES_BACKWARD : 0));
    if (!in_place) shk_op_uses(op, op->in_grad.buffer, SHK_WRITES_BACKWARD | (op->accumulate ? SHK_READS_BACKWARD : 0));
}

static void declare(struct shk_op *op) {
    const struct batch_norm *b = norm_of(op);
    shk_op_uses(op, op->in.buffer, SHK_READS_FORWARD | SHK_READS_BACKWARD);
    shk_op_uses(op, op->out.buffer, SHK_WRITES_FORWARD | (b->sum_relu ? SHK_READS_BACKWARD : 0));
    shk_op_uses(op, op->out_grad.buffer, SHK_READS_BACKWARD | (b->sum_relu ? SHK_WRITES_BACKWARD : 0));
    if (b->adds) {
        shk_op_uses(op, b->other.buffer, SHK_READS_FORWARD);
        if (b->other_grad.buffer != b->dy.buffer)
            shk_op_uses(op, b->other_grad.buffer, SHK_WRITES_BACKWARD | (b->accumulate_other ? SHK_READS_BACKWARD : 0));
    }
    shk_op_uses(op, b->statistics, SHK_READS_TASKS);
    shk_op_uses(op, b->moments,
                SHK_WRITES_TASKS | SHK_READS_TASKS | SHK_READS_FORWARD | SHK_READS_BACKWARD | SHK_USES_OF_BATCH);
    shk_op_uses(op, b->sums, SHK_WRITES_BACKWARD | SHK_READS_TASKS);
    shk_op_uses(op, b->slopes, SHK_WRITES_TASKS);
    shk_op_uses(op, b->totals, SHK_WRITES_TASKS | SHK_READS_TASKS);
}

static size_t scratch(const struct shk_op *op) { return cols_of(norm_of(op)) * sizeof(float); }

static void updates(struct shk_op *op, struct shk_update_list *list) {
    const struct batch_norm *b = norm_of(op);
    const struct shk_param *params[] = {op->weight, op->bias};
    for (int i = 0; i < 2; i++)
        shk_updates_add(
            list, (struct shk_update){.param = params[i], .op = op, .length = params[i]->length, .of_batch = true});
    for (int i = 0; i < 2; i++) shk_updates_none(list, b->running[i], 0, b->running[i]->length);
}

static void gradient(const struct shk_whole_batch *w, const struct shk_update *u, float *scratch) {
    const struct batch_norm *b = norm_of(u->op);
    memcpy(scratch, channels_at(b, w, b->totals, w->first, u->param == b->op.weight, 0), u->length * sizeof *scratch);
}

static const struct shk_op_type batch_statistics = {.name = "batch_statistics",
                                                    .size = sizeof(struct batch_norm),
                                                    .declare = declare_statistics,
                                                    .run = {leave_statistics, input_gradient}};

const struct shk_op_type shk_op_batch_norm = {.name = "batch_norm",
                                              .size = sizeof(struct batch_norm),
                                              .match = match,
                                              .declare = declare,
                                              .run = {forward, leave_sums},
                                              .scratch = scratch,
                                              .updates = updates,
                                              .gradient = gradient,
                                              .tasks = tasks,
                                              .task = {combine_forward, combine_backward}};
