// SPDX-License-Identifier: MIT
// The winograd op computes a 3x3 convolution of a map (stride 1, pad 1) and both of its gradients by Winograd's F(4x4, 3x3), in a
// quarter of the products. It takes in a ReLU behind it.
#include "nn/ops/map.h"
#include "nn/ops/norm_end.h"
#include "nn/ops/ops.h"

#include <string.h>

struct winograd {
    struct shk_op op;
    size_t h, w, cin, cout; // channels padded
    bool relu;
    struct shk_norm_end norm; // before the ReLU, in evaluation
    bool batch_gradient;      // the weights' gradient comes from the whole batch
};

static inline const struct winograd *winograd_of(const struct shk_op *op) { return (const struct winograd *)op; }

// Transformed weights: for the forward pass, and behind them for the input gradient.
static size_t packed_of(const struct winograd *v) { return SHK_WINOGRAD_POINTS * v->cin * v->cout; }

static struct shk_winograd kernel_of(const struct shk_op *op, const struct shk_slice *s, size_t first, size_t samples) {
    const struct winograd *v = winograd_of(op);
    return (struct shk_winograd){.h = v->h,
                                 .w = v->w,
                                 .cin = v->cin,
                                 .cout = v->cout,
                                 .in = shk_sample_at(s, &op->in, first),
                                 .out = shk_sample_at(s, &op->out, first),
                                 .samples = samples,
                                 .in_sample = shk_sample_stride(s, &op->in),
                                 .out_sample = shk_sample_stride(s, &op->out),
                                 .scratch = s->scratch};
}

static size_t run_of(const struct winograd *v) { return shk_winograd_run(v->cin, v->cout); }

static size_t kernel_scratch(const struct winograd *v) {
    const size_t map = shk_winograd_scratch(v->cin > v->cout ? v->cin : v->cout);
    const size_t taps = v->batch_gradient ? 0 : shk_winograd_wgrad_scratch(v->cin, v->cout, run_of(v));
    return ((map > taps ? map : taps) + 63) & ~(size_t)63;
}

// [cout], behind the kernel's.
static float *norm_scratch(const struct winograd *v, const struct shk_slice *s) {
    return (float *)s->scratch + kernel_scratch(v) / sizeof(float);
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct winograd *v = winograd_of(op);
    struct shk_winograd k = kernel_of(op, s, 0, s->samples);
    k.weights = s->derived + op->weight->derived_offset;
    k.bias = op->bias ? s->weights + op->bias->offset : NULL;
    k.relu = v->relu;
    if (v->norm.scale) {
        struct shk_batch_norm end;
        shk_norm_end_of(&v->norm, s, v->cout, norm_scratch(v, s), &end);
        k.mean = end.mean;
        k.scale = end.scale;
        k.shift = end.shift;
    }
    s->k->winograd(&k);
}

// The gradient of the convolution itself, in place.
static void through_relu(const struct shk_op *op, const struct shk_slice *s) {
    for (size_t i = 0; i < s->samples; i++) {
        float *dy = shk_sample_at(s, &op->out_grad, i);
        const struct shk_relu_backward relu = {op->out.rows * op->out.cols, shk_sample_at(s, &op->out, i), dy, dy, 1};
        s->k->relu_backward(&relu);
    }
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct winograd *v = winograd_of(op);
    if (v->relu) through_relu(op, s);
    if (op->in_grad.buffer < 0) return; // frozen before
    struct shk_winograd k = kernel_of(op, s, 0, s->samples);
    k.cin = v->cout;
    k.cout = v->cin;
    k.in = shk_sample_at(s, &op->out_grad, 0);
    k.out = shk_sample_at(s, &op->in_grad, 0);
    k.in_sample = shk_sample_stride(s, &op->out_grad);
    k.out_sample = shk_sample_stride(s, &op->in_grad);
    k.weights = s->derived + op->weight->derived_offset + packed_of(v);
    k.accumulate = op->accumulate;
    s->k->winograd(&k);
}

static void bias_gradient(const struct shk_op *op, const struct shk_slice *s, const struct shk_segment *g) {
    float *db = g->own + op->bias_grad;
    if (g->first) memset(db, 0, op->bias->length * sizeof *db);
    for (size_t i = g->start; i < g->start + g->samples; i++)
        shk_add_bias_gradient(s->k, shk_sample_at(s, &op->out_grad, i), (ptrdiff_t)op->out.ld, op->out.rows,
                              op->out.cols, db);
    shk_segment_add(s, g, op->bias_grad, op->bias->length);
}

static void weight_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct winograd *v = winograd_of(op);
    if (v->batch_gradient) return; // an update task
    SHK_EACH_SEGMENT(s, g) {
        struct shk_winograd k = kernel_of(op, s, g->start, g->samples);
        k.run = run_of(v);
        k.dout = shk_sample_at(s, &op->out_grad, g->start);
        k.dout_ld = v->cout;
        k.dweight = g->own + op->weight_grad;
        k.fresh = g->first;
        k.total = g->append ? g->sums + op->weight_grad : NULL;
        s->k->winograd_wgrad(&k);
        if (op->bias) bias_gradient(op, s, g);
    }
}

// ---- Over the whole batch: an update takes whole panels of sixteen output channels

// Tiles of a run, and the most channels of an update.
enum { BATCH_RUN = 32, BATCH_CHANNELS = 64 };

static void batch_bias_gradient(const struct shk_whole_batch *w, const struct shk_update *u, float *db) {
    const struct shk_op *op = u->op;
    const size_t n = u->panels * 16;
    ptrdiff_t ld;
    const float *dy = shk_batch_rows(w, &op->out_grad, &ld) + u->panel * 16;
    memset(db, 0, n * sizeof *db);
    for (size_t i = 0; i < w->samples; i++, dy += w->plan->buffers[op->out_grad.buffer].per_sample)
        shk_add_bias_gradient(w->k, dy, ld, op->out_grad.rows, n, db);
}

static void gradient(const struct shk_whole_batch *w, const struct shk_update *u, float *scratch) {
    const struct shk_op *op = u->op;
    const struct winograd *v = winograd_of(op);
    ptrdiff_t in_ld, out_ld;
    struct shk_winograd k = {.h = v->h, .w = v->w, .cin = v->cin, .cout = u->panels * 16, .samples = w->samples};
    k.in = shk_batch_rows(w, &op->in, &in_ld);
    k.in_sample = w->plan->buffers[op->in.buffer].per_sample;
    k.dout = shk_batch_rows(w, &op->out_grad, &out_ld) + u->panel * 16;
    k.dout_ld = v->cout;
    k.out_sample = w->plan->buffers[op->out_grad.buffer].per_sample;
    k.run = BATCH_RUN;
    k.joined = k.fresh = true;
    k.dweight = scratch;
    k.scratch = scratch + SHK_GRADIENT_FLOATS + SHK_GRADIENT_BIAS;
    w->k->winograd_wgrad(&k);
    if (u->bias) batch_bias_gradient(w, u, scratch + SHK_GRADIENT_FLOATS);
}

static size_t batch_floats(const struct shk_op *op) { return winograd_of(op)->batch_gradient ? op->weight->length : 0; }

// Panels whose gradient, and what it is made from, have a place.
static size_t most_panels(size_t cin, size_t floats) {
    const size_t panel = 16 * 9 * cin, panels = (floats < SHK_GRADIENT_FLOATS ? floats : SHK_GRADIENT_FLOATS) / panel;
    return panels < BATCH_CHANNELS / 16 ? panels : BATCH_CHANNELS / 16;
}

static void batch_updates(const struct shk_op *op, struct shk_update_list *list) {
    const struct winograd *v = winograd_of(op);
    const size_t panels = most_panels(v->cin, shk_updates_tile_floats(list));
    const struct shk_tile tile = {op->weight->ld, 16 * (panels ? panels : 1)};
    shk_updates_of_panels(list, op, op->weight, 0, v->cout / 16, op->bias, true, tile);
}

// ---- In the plan

static void derive(const struct shk_param *p, const float *w, float *derived, size_t panel, size_t row, size_t rows,
                   const struct shk_kernels *k) {
    (void)row;
    (void)rows; // all of them
    const size_t cin = p->ld / 9, cout = p->length / p->ld;
    const float *taps = w + panel * 16 * p->ld;
    k->conv3x3_weights(&(struct shk_conv3x3_weights){
        .cin = cin, .in_ld = cin, .taps = taps, .winograd = derived + panel * SHK_WINOGRAD_POINTS * cin * 16});
    k->winograd_flipped(
        &(struct shk_winograd_flipped){cin, cout, panel * 16, taps, derived + SHK_WINOGRAD_POINTS * cin * cout});
}

static const struct shk_packing transformed = {derive};

// Taps [cout][9][cin].
static void place(struct shk_lowering *f, const struct shk_layer *l, struct winograd *v, const struct shk_axis *in) {
    struct shk_param_form p = {.layout = SHK_ROWS, .outer = shk_axis1(l->conv.out), .outputs = v->cout};
    p.inner = (struct shk_axis){2, {{in->digits[0].extent, 1}, {9, v->cin}}};
    p.ld = 9 * v->cin;
    p.packing = &transformed;
    p.packed = 2 * packed_of(v);
    v->op.weight = shk_lay_out(f, l->params[0], &p);
    v->op.bias = l->params[1] < 0 ? NULL : shk_lay_out_vector(f, l->params[1], p.outer, v->cout);
}

static size_t tiles_of(size_t h, size_t w) { return shk_winograd_count(h) * shk_winograd_count(w); }

// Where it saves half of the products at least. On a smaller map, taps that see little but padding have gradients of 0, and would get
// what rounding leaves instead, of which Adam makes whole steps. Sums over fewer channels have so small errors that those of the
// transforms would be more than three times as large.
enum { SMALLEST = 4, FEWEST = 8 };
static bool pays(const struct shk_layer *l, size_t cin) {
    return cin >= FEWEST && l->conv.out >= FEWEST && l->conv.kernel == 3 && l->conv.stride == 1 && l->conv.pad == 1 &&
           l->out.h >= SMALLEST && l->out.w >= SMALLEST &&
           2 * SHK_WINOGRAD_POINTS * tiles_of(l->out.h, l->out.w) <= 9 * l->out.h * l->out.w;
}

static void use_batch(struct winograd *v, struct shk_plan *p) {
    v->batch_gradient = true;
    p->buffers[v->op.in.buffer].space = p->buffers[v->op.out_grad.buffer].space = SHK_BATCH;
}

// Where a sample has so few tiles that transforming the sums of each back would cost more than the products, or as much.
static bool has_few_tiles(const struct winograd *v) {
    enum { FEW_TILES = 16 };
    return tiles_of(v->h, v->w) <= FEW_TILES && most_panels(v->cin, SHK_GRADIENT_FLOATS) > 0;
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (l->kind != SHK_CONV || shk_layer_is(f, l->in[0], SHK_INPUT)) return false;
    const struct shk_value in = *shk_input_of(f);
    if (!shk_is_dense(&in.value) || in.axis.count != 1 || !pays(l, in.axis.digits[0].extent)) return false;
    struct winograd *v = shk_op_new(f, &shk_op_winograd, l->name, &in);
    if (!v) return false;
    v->h = l->out.h;
    v->w = l->out.w;
    v->cin = in.value.cols;
    v->cout = shk_round16(l->conv.out);
    place(f, l, v, &in.axis);
    const int last = shk_take_norm(f, f->at, shk_axis1(l->conv.out), v->cout, &v->norm),
              relu = shk_follower(f, last, SHK_RELU);
    v->relu = relu >= 0;
    v->op.out = shk_view_new(f->plan, v->h * v->w, v->cout);
    v->op.out_grad = shk_grad_new(f->plan, v->h * v->w, v->cout);
    if (f->plan->training && has_few_tiles(v)) use_batch(v, f->plan);
    shk_takes(f, f->at);
    shk_gives(f, v->relu ? relu : last, &v->op, shk_axis1(l->conv.out));
    return true;
}

static void declare(struct shk_op *op) {
    const bool relu = winograd_of(op)->relu;
    const unsigned later = winograd_of(op)->batch_gradient ? SHK_READS_TASKS : 0;
    shk_op_uses(op, op->in.buffer, SHK_READS_FORWARD | (later ? later : SHK_READS_BACKWARD));
    shk_op_uses(op, op->out.buffer, SHK_WRITES_FORWARD | (relu ? SHK_READS_BACKWARD : 0));
    shk_op_uses(op, op->in_grad.buffer, SHK_WRITES_BACKWARD | (op->accumulate ? SHK_READS_BACKWARD : 0));
    shk_op_uses(op, op->out_grad.buffer, SHK_READS_BACKWARD | later | (relu ? SHK_WRITES_BACKWARD : 0));
}

static size_t scratch(const struct shk_op *op) {
    const struct winograd *v = winograd_of(op);
    return kernel_scratch(v) + (v->norm.scale ? v->cout * sizeof(float) : 0);
}

static size_t shard_floats(const struct shk_op *op) {
    return winograd_of(op)->batch_gradient ? 0 : op->weight->length + (op->bias ? op->bias->length : 0);
}

static bool leave_shards(struct shk_op *op, struct shk_plan *p) {
    struct winograd *v = (struct winograd *)op;
    if (v->batch_gradient || most_panels(v->cin, SHK_GRADIENT_FLOATS) == 0) return false;
    use_batch(v, p);
    return true;
}

static void updates(struct shk_op *op, struct shk_update_list *list) {
    if (winograd_of(op)->batch_gradient) {
        batch_updates(op, list);
        return;
    }
    op->weight_grad = shk_updates_from_shards(list, op, op->weight, op->weight->length);
    if (op->bias) op->bias_grad = shk_updates_from_shards(list, op, op->bias, op->bias->length);
}

static double products_of(const struct winograd *v) {
    return 2.0 * SHK_WINOGRAD_POINTS * (double)(tiles_of(v->h, v->w) * v->cin) * (double)v->cout;
}

static double batch_flops(const struct shk_op *op) {
    return winograd_of(op)->batch_gradient ? products_of(winograd_of(op)) : 0;
}

static double flops(const struct shk_op *op, enum shk_phase phase) {
    const struct winograd *v = winograd_of(op);
    if (phase == SHK_INPUT_GRADIENT && op->in_grad.buffer < 0) return 0;
    if (phase == SHK_WEIGHT_GRADIENT && v->batch_gradient) return 0; // an update task
    return products_of(v);
}

const struct shk_op_type shk_op_winograd = {.name = "winograd",
                                            .size = sizeof(struct winograd),
                                            .match = match,
                                            .declare = declare,
                                            .run = {forward, input_gradient, weight_gradient},
                                            .scratch = scratch,
                                            .flops = flops,
                                            .updates = updates,
                                            .shard_floats = shard_floats,
                                            .batch_floats = batch_floats,
                                            .batch_flops = batch_flops,
                                            .leave_shards = leave_shards,
                                            .gradient = gradient};
