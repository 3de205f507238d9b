// SPDX-License-Identifier: MIT
// A plan says how one model is computed for one largest batch and one number of shards, in training or evaluation: a list of
// ops (op.h), the buffers between them, and the stages of a step. It names no op; the step executes it and knows nothing more.
//
// A batch is cut into shards, which fix the order of sums (cut.h). A worker takes a *slice* (some samples, of one
// shard or of several consecutive ones) through the ops forward and then backward, in its own workspace, and leaves each
// shard's gradients in a buffer. What needs the whole batch is left to tasks: of update, or of an op that deals out its work.
#ifndef SHK_NN_PLAN_PLAN_H
#define SHK_NN_PLAN_PLAN_H

#include "nn/model.h"
#include "nn/plan/cut.h"

enum shk_space {
    SHK_WORKSPACE, // of the worker, holds a slice
    SHK_BATCH,     // shared, holds all samples of a round
};

struct shk_buffer {
    size_t per_sample; // floats, multiple of 16
    enum shk_space space;
    bool kept;       // never shared with another buffer: its borders stay zero
    int first, last; // times at which it is alive; forward op i runs at time i, its backward at 2 * ops - 1 - i
    size_t offset;   // floats, for a whole slice or round
};

// Rows of a buffer: row r of sample s at s * per_sample + offset + r * ld. Over a slice the rows are equally spaced:
// either rows == 1 or rows * ld == per_sample.
struct shk_view {
    int buffer; // -1: none
    size_t offset;
    size_t rows, cols; // a sample; cols padded
    size_t ld;
};
static const struct shk_view shk_no_view = {.buffer = -1};

enum shk_phase { SHK_FORWARD, SHK_INPUT_GRADIENT, SHK_WEIGHT_GRADIENT, SHK_PHASES };

struct shk_op;
enum { SHK_MAX_OPS = 8 * SHK_MAX_DEPTH + 32, SHK_MAX_BUFFERS = 6 * SHK_MAX_OPS };

// A unit of work after all gradients are there: sum them up, apply the update rule, refresh the packing.
struct shk_update {
    const struct shk_param *param;
    const struct shk_op *op; // whose parameter it is
    size_t start, length;    // floats of the parameter; of each panel where there are two
    size_t panel, panels;    // the panels (or one tile) that they belong to; panels == 0: none
    size_t row;              // first row in the panel or tile
    bool derives;            // their packing follows
    bool bias;               // the bias of its outputs as well
    bool of_batch;           // the op makes its gradient from the whole batch; else it is in the shards' buffers,
    size_t shard_grad;       // from here on
};

// Floats of a parameter that have no gradient, since no loss depends on them.
struct shk_no_gradient {
    const struct shk_param *param;
    size_t start, length;
};

enum { SHK_MAX_SLICE = 32 }; // samples
// Floats of the largest tile of a weight gradient that stays in L1, and in L2; the longest side of the latter; and rows of
// X and dY that are multiplied at a time then.
enum { SHK_TILE_FLOATS = 64 * 64 };
enum { SHK_GRADIENT_FLOATS = 80 * 1024, SHK_GRADIENT_SIDE = 512, SHK_GRADIENT_DEPTH = 128 };
// Floats that a worker has beside for tasks: a tile, the gradient of a bias, packed blocks of X and dY; and two pieces of a
// sum.
enum { SHK_GRADIENT_BIAS = SHK_GRADIENT_FLOATS / SHK_INPUT_TILE }; // floats of the bias: of panels, or of tiles
enum { SHK_OP_SCRATCH = SHK_GRADIENT_FLOATS + SHK_GRADIENT_BIAS + 2 * SHK_GRADIENT_SIDE * SHK_GRADIENT_DEPTH };
enum { SHK_TASK_SCRATCH = SHK_OP_SCRATCH + 2 * SHK_TILE_FLOATS };

// A part of a step: every worker takes tasks, then all meet.
enum shk_stage_kind {
    SHK_SLICES,  // ops forward .. forward_end - 1, then ops backward_end - 1 .. backward, by slices
    SHK_TASKS,   // tasks of one op in one phase, over the whole batch; behind each of them updates, if there are any
    SHK_UPDATES, // updates
    SHK_GRADIENT_NORM, // the sums of squares of all gradients
    SHK_RULE,          // of all updates, what follows from their gradients
};
// What others may read when all have met behind a stage.
enum shk_publishes {
    SHK_PUBLISHES_BATCH = 1,   // buffers of the batch's space
    SHK_PUBLISHES_LOSSES = 2,  // and predictions
    SHK_PUBLISHES_SHARDS = 4,  // the shards' gradients
    SHK_PUBLISHES_WEIGHTS = 8, // and packings; where the step clips, gradients
    SHK_PUBLISHES_SQUARES = 16,
};
struct shk_stage {
    enum shk_stage_kind kind;
    unsigned publishes;
    unsigned forward, forward_end, backward, backward_end; // SHK_SLICES
    size_t slice; // SHK_SLICES: most samples in a slice, of those that the plan has room for
    unsigned op;  // SHK_TASKS
    enum shk_phase phase;
    bool of_batch; // each task takes all samples of the round at once; else those of its blocks one after the other
    unsigned first_update, updates; // SHK_TASKS: `updates` behind each task, task after task; SHK_UPDATES: in all
};
enum { SHK_CLIP_STAGES = 2 };

// What ops know before any step (lower.h), block by block.
struct shk_constants {
    struct shk_constants *before; // or NULL
    _Alignas(64) float numbers[];
};

struct shk_plan {
    const struct shk_model *model;
    bool training;
    size_t batch;     // most samples that are computed as one batch
    unsigned workers; // sizes tasks, and nothing else
    unsigned op_count, buffer_count, update_count, stage_count, no_gradient_count;
    // Of a training step. Behind them: SHK_CLIP_STAGES more of one that clips gradients, whose updates before are the
    // gradients alone.
    struct shk_stage *stages;
    bool whole;                      // an op's tasks want all samples of the batch at once
    int dealt;                       // the op that deals out its work, or -1
    unsigned dealt_updates;          // the first updates are that op's, in order of its tasks
    struct shk_constants *constants; // the last block
    char *op_memory;
    size_t op_bytes;                 // of that
    struct shk_op *ops[SHK_MAX_OPS]; // in op_memory
    struct shk_buffer buffers[SHK_MAX_BUFFERS];
    struct shk_update *updates;
    struct shk_no_gradient no_gradients[SHK_MAX_OPS];
    size_t slice;            // most samples in a slice; a stage may have less
    size_t workspace_floats; // a worker
    size_t scratch_bytes;    // a worker, for kernels
    size_t batch_floats;     // shared; set by shk_plan_hold
    size_t shard_floats;     // of all gradients that a shard leaves
    struct shk_view logits;
};

struct shk_op_type;
// `types` is the list of ops whose matchers are tried, with NULL at its end.
// Lets them choose the layouts of the parameters of a model whose graph is pruned. False, in one sentence that names the
// layer, where it cannot be computed.
bool shk_plan_lay_out(struct shk_model *, const struct shk_op_type *const *types, struct shk_error *);
struct shk_plan *shk_plan_create(const struct shk_model *, const struct shk_op_type *const *types, size_t batch,
                                 unsigned workers, bool training, struct shk_error *);
void shk_plan_free(struct shk_plan *);
size_t shk_plan_bytes(const struct shk_plan *); // of the plan itself
// Finds place for the buffers that hold all samples of a round, of at most so many; once.
void shk_plan_hold(struct shk_plan *, size_t samples);
// Floats a sample that the forward pass leaves for the backward one: of buffers that are written in it and read after it.
size_t shk_plan_saved(const struct shk_plan *);
// Of a training step: no op before `first` is run backward, since none of their parameters is updated.
void shk_plan_end_at(struct shk_plan *, unsigned first);

// The parts of an update that are consecutive in the weights: where the first `length` floats are, and so on.
static inline size_t shk_update_pieces(const struct shk_update *u) { return u->of_batch && u->panels ? u->panels : 1; }
static inline size_t shk_update_at(const struct shk_update *u, size_t piece) {
    return u->param->offset + u->start + piece * u->param->ld * 16;
}
// The part of the bias that an update takes in: of the outputs that it is about.
static inline size_t shk_update_bias(const struct shk_update *u, size_t *count) {
    bool tile = u->param->layout == SHK_INPUT_TILES;
    *count = tile ? u->length / shk_tile_width(u->param, u->panel) : u->panels * 16;
    return tile ? u->row : u->panel * 16;
}
// Ranks a gradient of parameter `p` that an update computes: the earlier in the backward pass, the higher. 1 or more.
uint32_t shk_update_rank(const struct shk_plan *, const struct shk_update *, const struct shk_param *p);
// The parameter of a rank.
static inline const struct shk_param *shk_ranked_param(const struct shk_plan *plan, uint32_t rank) {
    return &plan->model->params[(rank - 1) % SHK_MAX_PARAMS];
}

// Seconds that a worker spent; of the ops in each phase, in the update tasks, and at the barriers.
struct shk_times {
    double op[SHK_MAX_OPS][SHK_PHASES];
    double update, wait;
};

// The samples of a slice that belong to one shard, and where its gradients go.
struct shk_segment {
    size_t start, samples; // in the slice
    bool first;            // the shard's first samples: its gradients are written, not added to
    bool append;           // to sums, since they hold the shards before of a group; then the shard is whole
    float *sums;           // [shard_floats] of the shard, or of its group
    float *own; // [shard_floats] for what can't be added to where it is made; where nothing is appended: sums
};

// What a worker runs at a time: `samples` samples, consecutive in the batch.
struct shk_slice {
    const struct shk_plan *plan;
    const struct shk_kernels *k;
    const float *weights, *derived;
    float *workspace, *batch_space;
    void *scratch;
    size_t first, samples; // first: in the round, whose samples are in the batch's space
    size_t origin, block;  // in the round: the first sample of the batch, where an op takes all of it; of the block
    size_t batch_samples;  // in the whole batch, of whose losses the gradient is that of the mean
    const float *const *images;   // [samples]
    const uint32_t *labels, *ids; // [samples]; ids: places in the data set, which key dropout
    unsigned segment_count;
    const struct shk_segment *segments; // of a slice that goes backward
    float *loss;                        // [samples]
    uint32_t *predicted;                // [samples]
    float *logits;                      // [samples][classes]; NULL: they are not wanted
    uint64_t seed;
    uint32_t epoch;
    struct shk_times *times; // or NULL
};

// Ops first .. end - 1 of a slice; backward after forward and in descending order, of a training plan.
void shk_plan_forward(const struct shk_plan *, const struct shk_slice *, unsigned first, unsigned end);
void shk_plan_backward(const struct shk_plan *, const struct shk_slice *, unsigned first, unsigned end);

// What is computed over a whole batch, by tasks; of a large batch over each of its blocks.
struct shk_whole_batch {
    const struct shk_plan *plan;
    const struct shk_kernels *k;
    const float *weights, *derived;
    float *batch_space;
    size_t first, samples;     // in the round
    const struct shk_cut *cut; // of the batch
    size_t round;              // the round's first sample in it
    float *state;              // the weights again, of which tasks write running statistics
};

// Tasks of a stage of SHK_TASKS. Before its first one a worker calls shk_plan_begin_tasks, whose results the tasks find in
// scratch [SHK_TASK_SCRATCH].
size_t shk_plan_tasks(const struct shk_plan *, const struct shk_stage *);
void shk_plan_begin_tasks(const struct shk_whole_batch *, const struct shk_stage *, float *scratch);
void shk_plan_task(const struct shk_whole_batch *, const struct shk_stage *, size_t task, float *scratch);
// The gradient of an update of the whole batch, into scratch [SHK_TASK_SCRATCH]: [panels][length], or of a tile [length];
// and, where the bias is taken in, its gradient at scratch + SHK_GRADIENT_FLOATS.
void shk_plan_gradient(const struct shk_whole_batch *, const struct shk_update *, float *scratch);
// The same; unless this is false, the rule is applied at once: w and moments point at the update's first weight.
bool shk_plan_applies_at_once(const struct shk_update *);
void shk_plan_gradient_and_rule(const struct shk_whole_batch *, const struct shk_update *, const struct shk_rule *,
                                float *scratch);

// ---- What a plan costs: of the work that is really done (a pruned or sparse part is not counted)

// Multiplications and additions of one sample, element-wise work left out.
double shk_op_flops(const struct shk_op *, enum shk_phase);
// Bytes of activations and weights that an op reads or writes for one sample, each once.
double shk_op_bytes(const struct shk_plan *, const struct shk_op *, enum shk_phase);
// The update tasks of one step, without those of an op that deals out its work, which are part of its weight gradient.
double shk_update_flops(const struct shk_plan *, size_t samples);
// `buffers` of shards or groups are read.
double shk_update_bytes(const struct shk_plan *, size_t buffers);

#endif
