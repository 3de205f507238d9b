// SPDX-License-Identifier: MIT
// An op computes one layer or several that belong together. Its file (nn/ops) says all about it: which layers it takes, its
// buffers, what it does in each phase, where its gradients come from, what it costs. This is the interface between them and
// the plan.
#ifndef SHK_NN_PLAN_OP_H
#define SHK_NN_PLAN_OP_H

#include "base/stream.h"
#include "nn/plan/plan.h"

struct shk_lowering;
struct shk_update_list;

struct shk_op_type {
    const char *name;
    size_t size; // of the op's own struct, which begins with a struct shk_op
    // Takes layers of the graph from the lowering's place on, if they are its own, and makes the op (or several). False:
    // they are not, and nothing has changed.
    bool (*match)(struct shk_lowering *);
    bool reads_borders; // it reads maps that have a border (ops/map.h)
    // Declares which buffers the op uses in which phase (shk_op_uses), after all ops are made.
    void (*declare)(struct shk_op *);
    // On a slice; NULL: nothing. The input gradient is made first; some ops make both gradients in it.
    void (*run[SHK_PHASES])(const struct shk_op *, const struct shk_slice *);
    size_t (*scratch)(const struct shk_op *);               // bytes for kernels; NULL: none
    double (*flops)(const struct shk_op *, enum shk_phase); // of one sample; NULL: none worth counting

    // Parameters: lists the updates of all of them, and what has no gradient. NULL: it has none.
    void (*updates)(struct shk_op *, struct shk_update_list *);
    size_t (*shard_floats)(const struct shk_op *); // of its gradients in a shard's buffer; NULL: none
    // Leaves its gradients to the update tasks instead of the shards; NULL or false: it can't.
    bool (*leave_shards)(struct shk_op *, struct shk_plan *);
    // The gradient of an update of the whole batch, and with the rule at once; see plan.h.
    void (*gradient)(const struct shk_whole_batch *, const struct shk_update *, float *scratch);
    bool (*applies_at_once)(const struct shk_update *);
    void (*gradient_and_rule)(const struct shk_whole_batch *, const struct shk_update *, const struct shk_rule *,
                              float *scratch);
    // Of its weights' gradients that come from the whole batch: floats, and what they cost of one sample. NULL: none.
    size_t (*batch_floats)(const struct shk_op *);
    double (*batch_flops)(const struct shk_op *);

    // Dealing out: asked whether it computes the whole batch in tasks, where `kept` floats a sample would have to be kept
    // for it; then its slices do what is left, forward behind the tasks, and backward before them. NULL: never.
    bool (*deal_out)(struct shk_op *, struct shk_plan *, size_t kept);
    size_t (*tasks)(const struct shk_op *, enum shk_phase); // forward, or input gradient
    unsigned (*task_updates)(const struct shk_op *);        // updates behind each task of the input gradient
    void (*begin_tasks)(const struct shk_op *, const struct shk_whole_batch *, float *scratch); // of the input gradient
    void (*task[SHK_PHASES])(const struct shk_op *, const struct shk_whole_batch *, size_t task, float *scratch);
};

// When an op uses a buffer, and how.
enum shk_use_when {
    SHK_READS_FORWARD = 1,
    SHK_WRITES_FORWARD = 2,
    SHK_READS_BACKWARD = 4,
    SHK_WRITES_BACKWARD = 8,
    SHK_READS_TASKS = 16, // by tasks of the whole batch
    SHK_WRITES_TASKS = 32,
    SHK_USES_OF_BATCH =
        64, // what is at the first sample of the batch, or of its block: slices read it, whatever samples they have
};
struct shk_use {
    int buffer;
    unsigned when;
};
enum { SHK_MAX_USES = 16 };

// `in_grad` and `out_grad` are gradients with the geometry of `in` and `out`. Gradient offsets are in a shard's gradient
// buffer.
struct shk_op {
    const struct shk_op_type *type;
    char name[64]; // of the first layer in it
    unsigned index;
    const struct shk_param *weight, *bias; // or NULL
    struct shk_view in, out, in_grad, out_grad;
    bool accumulate; // the input gradient is added to what is there
    bool dealt;      // it deals out its work
    bool meets;      // tasks of its own lie in front of its slices forward, and behind them backward: all meet there
    bool of_batch;   // these take all samples of the batch at once
    size_t weight_grad, bias_grad;
    unsigned use_count;
    struct shk_use uses[SHK_MAX_USES];
};

// Declares a use; of no buffer (-1): nothing.
void shk_op_uses(struct shk_op *, int buffer, unsigned when);
// Of the op's four views: in is read and out written forward, out_grad read and in_grad written backward, and what `beside`
// says of in and out, e.g. SHK_READS_BACKWARD.
void shk_op_uses_views(struct shk_op *, unsigned in_beside, unsigned out_beside);

// ---- Running on a slice

// The buffer's part of this slice: sample s of the slice at + s * per_sample.
static inline float *shk_buffer_at(const struct shk_slice *s, int buffer) {
    const struct shk_buffer *b = &s->plan->buffers[buffer];
    return b->space == SHK_WORKSPACE ? s->workspace + b->offset : s->batch_space + b->offset + s->first * b->per_sample;
}

static inline float *shk_rows_at(const struct shk_slice *s, const struct shk_view *v) {
    return shk_buffer_at(s, v->buffer) + v->offset;
}

static inline size_t shk_sample_stride(const struct shk_slice *s, const struct shk_view *v) {
    return s->plan->buffers[v->buffer].per_sample;
}

// Floats from a row of a view to the next, over all rows of the slice.
static inline ptrdiff_t shk_row_stride(const struct shk_slice *s, const struct shk_view *v) {
    return (ptrdiff_t)(v->rows == 1 ? shk_sample_stride(s, v) : v->ld);
}

static inline size_t shk_row_count(const struct shk_slice *s, const struct shk_view *v) { return s->samples * v->rows; }

// ---- Dropout

// Keyed by the layer's place among the model's layers that draw.
struct shk_drops {
    uint32_t draw;
    uint32_t threshold; // of 65536; 0: keeps all
};
// What kept values are multiplied by; 1 without dropout.
static inline float shk_dropout_scale(uint32_t threshold) { return 65536.0f / (float)(65536 - threshold); }
static inline struct shk_dropout_spec shk_dropout_of(const struct shk_drops *d, const struct shk_slice *s,
                                                     size_t sample) {
    return (struct shk_dropout_spec){
        .threshold = d->threshold,
        .scale = shk_dropout_scale(d->threshold),
        .stream = shk_stream_of(s->seed, SHK_PURPOSE_DROPOUT, d->draw, s->epoch, s->ids[sample]),
    };
}

// ---- The shards of a slice

#define SHK_EACH_SEGMENT(s, g)                                                                                         \
    for (const struct shk_segment *g = (s)->segments; g < (s)->segments + (s)->segment_count; g++)

// Adds a gradient of n floats that was made in g->own to the sums, where it is not made in them.
static inline void shk_segment_add(const struct shk_slice *s, const struct shk_segment *g, size_t offset, size_t n) {
    if (g->append) s->k->add(&(struct shk_add){.rows = 1, .cols = n, .x = g->own + offset, .y = g->sums + offset});
}

// ---- Running over the whole batch

// Rows of a view over the batch: the first row, and floats from one to the next.
static inline float *shk_batch_rows(const struct shk_whole_batch *w, const struct shk_view *v, ptrdiff_t *stride) {
    const struct shk_buffer *b = &w->plan->buffers[v->buffer];
    *stride = (ptrdiff_t)(v->rows == 1 ? b->per_sample : v->ld);
    return w->batch_space + b->offset + w->first * b->per_sample + v->offset;
}

// ---- Updates

void shk_updates_add(struct shk_update_list *, struct shk_update);
// Of the first `length` floats of a parameter, from the shards' buffers. Returns where they begin there.
size_t shk_updates_from_shards(struct shk_update_list *, const struct shk_op *, const struct shk_param *,
                               size_t length);
void shk_updates_none(struct shk_update_list *, const struct shk_param *, size_t start, size_t length);
// Most floats of a tile of the whole batch's gradients: so that there are some for each worker.
size_t shk_updates_tile_floats(const struct shk_update_list *);
struct shk_tile {
    size_t rows, columns;
};
// The longer side of rows x columns is cut until no more than `most` floats are left: the nearer to a square, the less often
// X and dY are read.
struct shk_tile shk_tile_of(size_t rows, size_t columns, size_t most);
// Tiles of a weight in panels, panels `first` .. `end` - 1; those of the first row also take in the bias, if `bias`.
void shk_updates_of_panels(struct shk_update_list *, const struct shk_op *, const struct shk_param *, size_t first,
                           size_t end, bool bias, bool derives, struct shk_tile);

#endif
