// SPDX-License-Identifier: MIT
// The conv_pool op computes a 3x3 convolution, ReLU and 2x2 max-pool as one: its backward pass visits only the one position
// in four that won.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

struct conv_pool {
    struct shk_op op;
    size_t h, w, cin, in_ld, cout; // of the convolution; cout padded
    int winners;                   // bytes [windows][cout], or -1
    ptrdiff_t out_row, out_px;     // strides of the pooled map
};

static bool of_image(const struct shk_op *op) { return op->weight->layout == SHK_PANELS; }

// `samples` samples from `first` on. The gradients of in and out have their geometry.
static struct shk_conv3x3 conv_of(const struct shk_op *op, const struct shk_slice *s, size_t first, size_t samples) {
    const struct conv_pool *conv = (const struct conv_pool *)op;
    const struct shk_param *w = op->weight;
    struct shk_conv3x3 c = {.h = conv->h,
                            .w = conv->w,
                            .cin = conv->cin,
                            .in_ld = conv->in_ld,
                            .cout = conv->cout,
                            .panels = of_image(op) ? s->weights + w->offset : NULL,
                            .taps = of_image(op) ? NULL : s->weights + w->offset,
                            .winograd = of_image(op) ? NULL : s->derived + w->derived_offset,
                            .bias = s->weights + op->bias->offset,
                            .out_row = conv->out_row,
                            .out_px = conv->out_px,
                            .samples = samples,
                            .in_sample = shk_sample_stride(s, &op->in),
                            .out_sample = shk_sample_stride(s, &op->out),
                            .winners_sample = conv->h / 2 * (conv->w / 2) * conv->cout,
                            .scratch = s->scratch};
    c.in = shk_buffer_at(s, op->in.buffer) + first * c.in_sample;
    c.out = shk_rows_at(s, &op->out) + first * c.out_sample;
    if (conv->winners >= 0) c.winners = (uint8_t *)shk_buffer_at(s, conv->winners) + first * c.winners_sample;
    if (op->out_grad.buffer >= 0) c.dout = shk_rows_at(s, &op->out_grad) + first * c.out_sample;
    return c;
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    struct shk_conv3x3 c = conv_of(op, s, 0, s->samples);
    s->k->conv3x3_forward(&c);
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    if (op->in_grad.buffer < 0) return; // an image
    struct shk_conv3x3 c = conv_of(op, s, 0, s->samples);
    c.din = shk_buffer_at(s, op->in_grad.buffer);
    s->k->conv3x3_dgrad(&c);
}

static void weight_gradient(const struct shk_op *op, const struct shk_slice *s) {
    SHK_EACH_SEGMENT(s, g) {
        struct shk_conv3x3 c = conv_of(op, s, g->start, g->samples);
        c.dweight = g->own + op->weight_grad;
        c.dbias = g->own + op->bias_grad;
        c.fresh = g->first;
        c.dweight_total = g->append ? g->sums + op->weight_grad : NULL;
        c.dbias_total = g->append ? g->sums + op->bias_grad : NULL;
        s->k->conv3x3_wgrad(&c);
    }
}

// ---- In the plan

static void derive_winograd(const struct shk_param *p, const float *w, float *derived, size_t panel, size_t row,
                            size_t rows, const struct shk_kernels *k) {
    (void)row;
    (void)rows; // all of them
    const size_t cin = p->dims[1];
    k->conv3x3_weights(&(struct shk_conv3x3_weights){.cin = cin,
                                                     .in_ld = p->ld / 9,
                                                     .taps = w + panel * 16 * p->ld,
                                                     .winograd = derived + panel * SHK_WINOGRAD_POINTS * cin * 16});
}

// Of taps [cout][9][cin_pad]: transformed [cout / 16][36][cin][16], for the forward pass.
static const struct shk_packing winograd = {derive_winograd};

static void place(struct shk_lowering *f, const struct shk_layer *conv, struct conv_pool *c) {
    const size_t ld = shk_round16(c->cin);
    struct shk_param_form p = {.layout = SHK_ROWS, .outer = shk_axis1(conv->conv.out), .outputs = c->cout};
    p.inner = (struct shk_axis){2, {{c->cin, 1}, {9, ld}}};
    p.ld = 9 * ld;
    p.packing = &winograd;
    p.packed = c->cout * SHK_WINOGRAD_POINTS * c->cin;
    if (shk_layer_is(f, conv->in[0], SHK_INPUT)) { // no input gradient
        p.layout = SHK_PANELS;
        p.inner = (struct shk_axis){2, {{c->cin, 1}, {9, c->cin}}};
        p.ld = 9 * c->cin;
        p.packing = NULL;
    }
    c->op.weight = shk_lay_out(f, conv->params[0], &p);
    c->op.bias = shk_lay_out_vector(f, conv->params[1], p.outer, c->cout);
}

// The layer that ends what the op takes from a convolution on, which is its pool; -1: it is not ours.
static int pool_of(const struct shk_lowering *f, int layer) {
    if (!shk_layer_is(f, layer, SHK_CONV)) return -1;
    const struct shk_layer *conv = shk_layer_at(f, layer);
    const int relu = shk_follower(f, layer, SHK_RELU), pool = relu < 0 ? -1 : shk_follower(f, relu, SHK_MAX_POOL);
    if (pool < 0 || conv->params[1] < 0 || shk_graph_consumer(f->graph, conv->in[0]) != layer) return -1;
    const bool fits = conv->conv.kernel == 3 && conv->conv.stride == 1 && conv->conv.pad == 1 &&
                      shk_layer_at(f, pool)->pool.window == 2 && shk_layer_at(f, pool)->pool.stride == 2 &&
                      shk_layer_at(f, pool)->pool.pad == 0;
    return fits ? pool : -1;
}

bool shk_wants_border(const struct shk_lowering *f, int layer) {
    return pool_of(f, shk_graph_consumer(f->graph, layer)) >= 0;
}

// The pooled map: with a border where the op behind is of this kind, too; or as one row; or with a row for each pixel.
static void make_output(struct shk_lowering *f, struct conv_pool *c, bool bordered, bool flat) {
    struct shk_plan *p = f->plan;
    const size_t h = c->h / 2, w = c->w / 2;
    struct shk_view (*const make)(struct shk_plan *, size_t, size_t, size_t) = flat ? shk_flat_map_new : shk_map_new;
    c->winners = p->training ? shk_buffer_new(p, h * w * c->cout / sizeof(float)) : -1;
    c->op.out = bordered || flat ? make(p, h, w, c->cout) : shk_view_new(p, h * w, c->cout);
    p->buffers[c->op.out.buffer].kept = bordered;
    if (p->training) c->op.out_grad = bordered || flat ? make(p, h, w, c->cout) : shk_view_new(p, h * w, c->cout);
    c->out_px = (ptrdiff_t)c->cout;
    c->out_row = (ptrdiff_t)(bordered ? c->op.out.ld : w * c->cout);
}

static bool match(struct shk_lowering *f) {
    const int pool = pool_of(f, f->at);
    if (pool < 0 || !shk_input_of(f)->bordered) return false;
    const struct shk_layer *conv = shk_layer_at(f, f->at);
    const int flat = shk_follower(f, pool, SHK_FLATTEN), last = flat >= 0 ? flat : pool;
    const bool bordered = shk_wants_border(f, pool);
    const struct shk_extent in = shk_layer_at(f, conv->in[0])->out;
    struct conv_pool *c = shk_op_new(f, &shk_op_conv_pool, conv->name, shk_input_of(f));
    if (!c) return false;
    c->h = in.h;
    c->w = in.w;
    c->cin = in.c;
    c->in_ld = shk_layer_is(f, conv->in[0], SHK_INPUT) ? in.c : shk_round16(in.c); // an image's pixels are not padded
    c->cout = shk_round16(conv->conv.out);
    place(f, conv, c);
    make_output(f, c, bordered, flat >= 0);
    shk_takes(f, f->at);
    shk_takes(f, shk_layer_at(f, pool)->in[0]);
    shk_takes(f, pool);
    shk_gives(f, last, &c->op,
              flat >= 0 ? shk_flat_axis(shk_layer_at(f, pool)->out, c->cout) : shk_axis1(conv->conv.out));
    f->values[last].bordered = bordered;
    return true;
}

static void declare(struct shk_op *op) {
    shk_op_uses_views(op, SHK_READS_BACKWARD, 0);
    shk_op_uses(op, ((struct conv_pool *)op)->winners, SHK_WRITES_FORWARD | SHK_READS_BACKWARD);
}

static size_t scratch(const struct shk_op *op) {
    const struct conv_pool *c = (const struct conv_pool *)op;
    return shk_conv3x3_scratch(c->h, c->w, c->in_ld);
}

static size_t shard_floats(const struct shk_op *op) { return op->weight->length + op->bias->length; }

static void updates(struct shk_op *op, struct shk_update_list *list) {
    op->weight_grad = shk_updates_from_shards(list, op, op->weight, op->weight->length);
    op->bias_grad = shk_updates_from_shards(list, op, op->bias, op->bias->length);
}

// An image is convolved directly, in 36 products a window, but one of one channel by Winograd's F(2x2,3x3), in 16; a map
// by F(4x4,3x3), in 36 a tile of 2x2 windows. Backward, one position in four of a window takes part: gradients are counted
// as if every window had a winner.
static double flops(const struct shk_op *op, enum shk_phase phase) {
    const struct conv_pool *c = (const struct conv_pool *)op;
    const size_t wh = c->h / 2, ww = c->w / 2;
    const double windows = (double)(wh * ww), tiles = (double)((wh + 1) / 2 * ((ww + 1) / 2));
    const double channels = (double)(c->cin * c->cout);
    if (phase == SHK_FORWARD)
        return 2 * channels * (!of_image(op) ? 36 * tiles : c->cin == 1 ? 16 * windows : 36 * windows);
    if (phase == SHK_INPUT_GRADIENT && of_image(op)) return 0;
    return 2 * windows * channels * 9;
}

const struct shk_op_type shk_op_conv_pool = {.name = "conv_pool",
                                             .size = sizeof(struct conv_pool),
                                             .match = match,
                                             .declare = declare,
                                             .reads_borders = true,
                                             .run = {forward, input_gradient, weight_gradient},
                                             .scratch = scratch,
                                             .flops = flops,
                                             .updates = updates,
                                             .shard_floats = shard_floats};
