// SPDX-License-Identifier: MIT
// The plan: what is computed for one model, one largest batch, one number of shards, in training or evaluation. Fusing
// and pruning live here and nowhere else; the step executes the plan and knows nothing more.
//
// A batch is cut into shards, which fix the order of sums: each shard has its own gradient buffer, and they are added
// in shard order within groups of SHK_SHARD_GROUP, then the groups in order. A worker that takes whole groups, each shard
// in one slice, adds the gradients of linear layers and convolutions to the buffer of the group's first shard. A worker
// takes a *slice* (some samples, of one shard or of several consecutive ones) through the ops forward and then backward,
// in its own workspace. What needs the whole batch (the gradients of linear layers that see one row a sample) is left to
// the update tasks.
//
// A CNN's large linear layer may become the *batch layer*, which deals out weights to the workers instead of samples
// (Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014): activations travel between the
// workers, and each weight stays with one of them. A step then has more stages, at whose ends the workers meet.
#ifndef SHK_NN_PLAN_H
#define SHK_NN_PLAN_H

#include "nn/model.h"

enum shk_space {
    SHK_WORKSPACE, // of the worker, holds a slice
    SHK_BATCH,     // shared, holds the whole batch, through all stages of a step
};

struct shk_buffer {
    size_t per_sample; // floats, multiple of 16
    enum shk_space space;
    bool kept;       // never shared with another buffer: its borders stay zero
    int first, last; // times at which it is alive; forward op i runs at time i, its backward at 2 * ops - 1 - i
    size_t offset;   // floats, for a whole slice or batch
};

// Rows of a buffer: row r of sample s at s * per_sample + offset + r * ld. Over a slice the rows are equally spaced:
// either rows == 1 or rows * ld == per_sample.
struct shk_view {
    int buffer; // -1: none
    size_t offset;
    size_t rows, cols; // a sample; cols padded
    size_t ld;
};

struct shk_op;
struct shk_slice;
enum shk_phase { SHK_FORWARD, SHK_INPUT_GRADIENT, SHK_WEIGHT_GRADIENT, SHK_OP_PHASES };
// What an op does in each phase; NULL: nothing. The input gradient is made first; some ops make both gradients in it.
struct shk_op_kind {
    void (*run[SHK_OP_PHASES])(const struct shk_op *, const struct shk_slice *);
};

// Gradient offsets are in a shard's gradient buffer. `in_grad` and `out_grad` are gradients with the geometry of `in`
// and `out`.
struct shk_op {
    const struct shk_op_kind *kind;
    char name[64]; // of the first layer in it
    const struct shk_param *weight, *bias;
    struct shk_view in, out, in_grad, out_grad;
    bool accumulate; // the input gradient is added to what is there
    size_t weight_grad, bias_grad;
    union {
        struct {
            size_t h, w, cin, in_ld, cout; // cout padded
            int arg;
            ptrdiff_t out_row, out_px; // strides of the pooled map
        } conv;
        struct {
            size_t columns; // outputs computed: the first ones of the weight
            struct shk_view residual;
            size_t blocks; // of SHK_BLOCK inputs each, whose sums are added in order; 1: one chain from the bias
            int partials;  // [blocks][columns], or -1
            bool relu, gelu, batch_gradient; // batch_gradient: dW = X^T dY over the whole batch, by the update tasks
            int derivative;                  // GELU's, in training, or -1
            // The layer that made the input, where this op takes its input gradient through that one's dropout and
            // activation as well (then that one's out_grad is the gradient of its product); or NULL.
            const struct shk_op *before;
            bool differentiated; // the op behind does so with this one
            // Bits of the outputs that are not 0 by dropout or, where the op behind takes gradients through it, by the
            // ReLU; or -1.
            int mask;
            struct shk_view dz; // gradient of the linear output where that is not out_grad itself
        } linear;
        struct {
            size_t patch, patches;                   // patch size in pixels, patches a sample
            int patch_rows;                          // buffer [patches][round16(c * patch * patch)]
            const struct shk_param *cls, *positions; // or NULL
            size_t cls_grad, positions_grad;
        } embed;
        struct {
            size_t cols;
            int stats;
        } norm;
        struct {
            size_t heads, d, tokens; // d padded
            float scale;
            struct shk_view q, k, v, q_grad, k_grad, v_grad;
            int p;
        } attention;
        struct {
            size_t heads, d; // d padded
            float scale;
            struct shk_view q, q_grad;
            int u;       // [2*heads][cols]: Wk q of each head, and in training behind them the gradients of z
            int p, z, r; // [heads][round16(tokens)], [heads][cols], [heads]
            int du, dr;  // gradients of u and r
        } cls_attention;
    } u;
    uint32_t site; // dropout's place in the model
    uint32_t threshold;
};

// A unit of work after all gradients are there: sum them up, apply the optimizer, refresh the packing.
struct shk_update {
    const struct shk_param *param;
    unsigned op;          // whose weight it is
    size_t start, length; // floats of the parameter; of each panel where there are two
    size_t panel, panels; // the panels (or one tile) that they belong to, to be derived afterwards; panels == 0: none
    size_t row;           // first row in the panel or tile
    bool bias;            // the bias of its outputs as well
    const struct shk_op
        *batch_op; // gradient over the whole batch of this op; NULL: it is in the shards' buffers, from shard_grad on
    size_t shard_grad;
    bool groupable; // the buffers of a group may be added up already
};

enum { SHK_MAX_SLICE = 32 };  // samples
enum { SHK_SHARD_GROUP = 4 }; // shards whose gradients are added up before those of others
enum { SHK_BLOCK = 256 };     // inputs of a linear layer of one row a sample that are summed in one chain
// Rows (inputs) and columns of the largest tile of the batch layer's weight gradient; a task of its backward pass has as
// many rows.
enum { SHK_TILE_ROWS = SHK_INPUT_TILE, SHK_TILE_COLUMNS = 64 };
enum { SHK_TILE_FLOATS = SHK_TILE_ROWS * SHK_TILE_COLUMNS };
// The same for all other weight gradients over the whole batch, which stay in L2 while SHK_GRADIENT_DEPTH rows of X and
// dY at a time are multiplied.
enum { SHK_GRADIENT_FLOATS = 80 * 1024, SHK_GRADIENT_SIDE = 512, SHK_GRADIENT_DEPTH = 128 };
enum { SHK_TILE_OUTPUTS = SHK_GRADIENT_FLOATS / SHK_INPUT_TILE }; // rows of an SHK_INPUT_TILE that are updated together
enum { SHK_MAX_OPS = 8 * SHK_MAX_DEPTH + 32, SHK_MAX_BUFFERS = 6 * SHK_MAX_OPS };

// A part of a step: every worker takes tasks, then all meet.
enum shk_stage_kind {
    SHK_SAMPLES,        // ops forward .. forward_end - 1, then ops backward_end - 1 .. backward, by slices
    SHK_LAYER_FORWARD,  // the batch layer's partial sums
    SHK_LAYER_BACKWARD, // its input gradient, its weights' gradient and their update
    SHK_UPDATES,        // all other updates
    SHK_GRADIENT_NORM,  // the sums of squares of all gradients
    SHK_OPTIMIZER,      // of all updates, what follows from their gradients
};
struct shk_stage {
    enum shk_stage_kind kind;
    unsigned forward, forward_end, backward, backward_end;
};
enum { SHK_MAX_STAGES = 8, SHK_CLIP_STAGES = 2 };

struct shk_plan {
    const struct shk_model *model;
    bool training;
    size_t batch, shards;
    unsigned workers; // sizes tasks, and nothing else
    unsigned op_count, buffer_count, update_count, stage_count;
    // Of a training step. Behind them: SHK_CLIP_STAGES more of one that clips gradients, whose updates before are the
    // gradients alone.
    struct shk_stage stages[SHK_MAX_STAGES];
    int batch_layer;        // an op, or -1
    unsigned layer_updates; // the first updates are the batch layer's, in order of rows
    struct shk_op ops[SHK_MAX_OPS];
    struct shk_buffer buffers[SHK_MAX_BUFFERS];
    struct shk_update *updates;
    size_t slice;            // most samples in a slice
    size_t workspace_floats; // a worker
    size_t scratch_bytes;    // a worker, for kernels
    size_t batch_floats;     // shared
    size_t shard_floats;     // a shard's gradient buffer
    size_t grouped_floats;   // of these, what may be added up in groups
    struct shk_view logits;
};

struct shk_plan *shk_plan_create(const struct shk_model *, size_t batch, size_t shards, unsigned workers, bool training,
                                 struct shk_error *);
void shk_plan_free(struct shk_plan *);

// The parts of an update that are consecutive in the weights: where the first `length` floats are, and so on.
static inline size_t shk_update_pieces(const struct shk_update *u) { return u->batch_op && u->panels ? u->panels : 1; }
static inline size_t shk_update_at(const struct shk_update *u, size_t piece) {
    return u->param->offset + u->start + piece * u->param->row * 16;
}
// The part of the bias that an update takes in: of the outputs that it is about.
static inline size_t shk_update_bias(const struct shk_update *u, size_t *count) {
    bool tile = u->param->layout == SHK_INPUT_TILES;
    *count = tile ? u->length / shk_tile_width(u->param, u->panel) : u->panels * 16;
    return tile ? u->row : u->panel * 16;
}
// Ranks a gradient of parameter `p` that an update computes: the earlier in the backward pass, the higher. 1 or more.
static inline uint32_t shk_update_rank(const struct shk_plan *plan, const struct shk_update *u,
                                       const struct shk_param *p) {
    return u->op * SHK_MAX_PARAMS + (uint32_t)(p - plan->model->params) + 1;
}
// The parameter of a rank.
static inline const struct shk_param *shk_ranked_param(const struct shk_plan *plan, uint32_t rank) {
    return &plan->model->params[(rank - 1) % SHK_MAX_PARAMS];
}

// The default number of shards for a batch.
size_t shk_default_shards(size_t batch);
// First sample of shard s; shard s has shk_shard_start(s + 1) - shk_shard_start(s) samples, which may be none in a
// short batch.
static inline size_t shk_shard_start(size_t batch, size_t shards, size_t s) { return s * batch / shards; }

static inline bool shk_is_batch_layer(const struct shk_plan *p, const struct shk_op *op) {
    return op - p->ops == p->batch_layer;
}

// How many shards a batch of `samples` has.
static inline size_t shk_shards_of(const struct shk_plan *p, size_t samples) {
    return p->shards < samples ? p->shards : samples;
}

// Seconds that a worker spent; of the ops in each phase, in the update tasks, and at the barriers.
struct shk_times {
    double op[SHK_MAX_OPS][SHK_OP_PHASES];
    double update, wait;
};

// What a worker runs at a time: `samples` samples, consecutive in the batch from `first` on.
struct shk_slice {
    const struct shk_plan *plan;
    const struct shk_kernels *k;
    const float *weights, *derived;
    float *workspace, *batch_space;
    void *scratch;
    size_t first, samples;
    size_t batch_samples;         // in the whole batch
    const float *const *images;   // [samples]
    const uint32_t *labels, *ids; // [samples]; ids: places in the data set, which key dropout
    size_t shard;                 // of the first sample
    size_t shards;                // of this batch
    float *shard_grads;           // [shards][shard_floats]
    bool grouped;                 // whole shards of groups that are this worker's
    float *loss;                  // [samples]
    uint32_t *predicted;          // [samples]
    uint64_t seed;
    uint32_t epoch;
    struct shk_times *times; // or NULL
};

// Ops first .. end - 1 of a slice; backward after forward and in descending order, of a training plan.
void shk_plan_forward(const struct shk_plan *, const struct shk_slice *, unsigned first, unsigned end);
void shk_plan_backward(const struct shk_plan *, const struct shk_slice *, unsigned first, unsigned end);

// ---- What is computed over the whole batch

struct shk_whole_batch {
    const struct shk_plan *plan;
    const struct shk_kernels *k;
    const float *weights, *derived;
    float *batch_space;
    size_t samples;
};

// The batch layer: tasks of its forward and backward pass. Backward task t is about rows SHK_TILE_ROWS * t on of the
// weights: their input gradients, and updates t * shk_layer_tiles .. of the plan.
size_t shk_layer_forward_tasks(const struct shk_plan *);
size_t shk_layer_backward_tasks(const struct shk_plan *);
size_t shk_layer_tiles(const struct shk_plan *);
void shk_layer_forward(const struct shk_whole_batch *, size_t task);
enum { SHK_LAYER_SCRATCH = 2 * SHK_TILE_FLOATS };
void shk_layer_input_gradient(const struct shk_whole_batch *, size_t task, float *scratch); // [SHK_LAYER_SCRATCH]
// Before a worker's first backward task: what all of them read goes behind the part of scratch that shk_batch_gradient and
// shk_layer_input_gradient use.
void shk_layer_transpose_gradient(const struct shk_whole_batch *, float *scratch); // [SHK_GRADIENT_SCRATCH]

// A part of X^T dY into scratch: [panels][length], or of a tile [length]; and, where the bias is taken in, the
// column sums of dY at scratch + SHK_GRADIENT_FLOATS.
enum { SHK_GRADIENT_SCRATCH = SHK_GRADIENT_FLOATS + SHK_GRADIENT_SIDE * (1 + 2 * SHK_GRADIENT_DEPTH) };
void shk_batch_gradient(const struct shk_whole_batch *, const struct shk_update *, float *scratch);
// The same of a tile; unless NULL, Adam takes it at once: w, m and v point at the update's first weight.
void shk_batch_update(const struct shk_whole_batch *, const struct shk_update *, const struct shk_adam *,
                      float *scratch);

#endif
