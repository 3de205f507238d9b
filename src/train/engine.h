// SPDX-License-Identifier: MIT
// An engine is a plan with all the memory that executing it takes.
#ifndef SHK_TRAIN_ENGINE_H
#define SHK_TRAIN_ENGINE_H

#include "base/runtime.h"
#include "data/dataset.h"
#include "nn/plan/plan.h"
#include "train/shards.h"

enum { SHK_FLAG_STRIDE = 16 };  // a cache line: of flags of 4 bytes, and of floats
enum { SHK_NORM_BLOCK = 4096 }; // floats whose squares are added up together

// What its memory takes, in bytes.
struct shk_engine_bytes {
    size_t plan, workspaces, batch_space, grads, levels, moments;
};

struct shk_engine {
    const struct shk_kernels *k;
    struct shk_model *model;
    struct shk_plan *plan;
    size_t shards;          // of a block, as they are set
    unsigned workers, spin; // of the team
    uint64_t seed;
    struct shk_train_options options; // complete; the update rule reads its own
    bool frozen[SHK_MAX_PARAMS];      // parameters of the model that get no updates
    size_t steps;                     // taken so far
    struct shk_engine_bytes bytes;
    float *workspaces; // [workers][workspace_stride]
    size_t workspace_stride;
    bool borrows; // these are another engine's
    float *batch_space;
    // [grad_buffers + workers][plan->shard_floats]: gradients of shards or groups of a round; and one for each worker
    float *grads;
    size_t grad_buffers;
    // Where a batch may have several blocks: sums of them, by level of their tree, where the weights of each are.
    float *levels; // [level_count][weight_floats]
    unsigned level_count;
    float *moments, *m, *v; // the optimizer's state, and where in it each moment lies as the weights do
    // Where the step clips: the largest norm; all gradients, where the weights of each are; and the sums of squares of their
    // blocks, [blocks][16], of which the first is used. Else NULL.
    double clip_norm;
    float *gradients, *square_sums;
    // [workers][16], of which two are used: the highest rank of a gradient that was not finite; 0: all were. The second is for
    // what the optimizer finds where the step clips.
    uint32_t *bad;
    bool cancelled; // by the first worker, between two steps: the next one ends before it has changed anything
    struct shk_share *shares; // [shk_engine_stages()][workers]
    struct shk_barrier barrier;
    struct shk_times *times; // [workers], or NULL: where the time goes is not recorded
};

// For batches of at most `batch` samples, blocks of which are cut into `shards` shards: the plan, and how much memory it takes.
bool shk_engine_plan(struct shk_engine *, struct shk_model *, const struct shk_runtime *, size_t batch, size_t shards,
                     bool training, struct shk_error *);
// The same, and takes the memory.
bool shk_engine_init(struct shk_engine *, struct shk_model *, const struct shk_runtime *, size_t batch, size_t shards,
                     bool training, struct shk_error *);
// One for evaluation that works in the workspaces of one for training, where they are large enough: never at the same time. Who
// turns from one to the other calls shk_engine_enter before, as each worker.
void shk_engine_borrow(struct shk_engine *, const struct shk_engine *from); // of one that is planned
bool shk_engine_init_beside(struct shk_engine *, struct shk_engine *training, const struct shk_runtime *, size_t batch,
                            struct shk_error *);
void shk_engine_enter(const struct shk_engine *, unsigned worker);
// Of a new engine for training: its steps clip all gradients together to a norm of at most clip_norm, as PyTorch's
// clip_grad_norm_ does: by min(1, clip_norm / (norm + 1e-6)). They may be INFINITY, and are then what they were.
bool shk_engine_clip(struct shk_engine *, const struct shk_team *, double clip_norm, struct shk_error *);
void shk_engine_free(struct shk_engine *);
// For a team on several NUMA nodes: lets each worker touch first what it will mostly use, and moves the model's weights
// likewise. False, and nothing has changed, where memory is short.
bool shk_engine_first_touch(struct shk_engine *, const struct shk_team *, struct shk_error *);
// Before a run, and not by a worker: forgets how the last one ended, and refreshes all packings of the weights (a step
// leaves out what its plan does not read).
void shk_engine_start(struct shk_engine *);

// Forgets the moments, and how many steps were taken.
void shk_engine_forget(struct shk_engine *);

static inline float *shk_engine_workspace(const struct shk_engine *e, unsigned worker) {
    return e->workspaces + worker * e->workspace_stride;
}
// [SHK_TASK_SCRATCH] of a worker, in training.
static inline float *shk_engine_scratch(const struct shk_engine *e, unsigned worker) {
    return shk_engine_workspace(e, worker) + e->plan->workspace_floats + e->plan->scratch_bytes / sizeof(float);
}
// Where a worker's images are made that are not held as they are: [plan->slice][height][width][channels].
static inline float *shk_engine_room(const struct shk_engine *e, unsigned worker) {
    return shk_engine_scratch(e, worker) + (e->plan->training ? SHK_TASK_SCRATCH : 0);
}
// Those of a step that clips.
static inline size_t shk_engine_stages(const struct shk_engine *e) { return e->plan->stage_count + SHK_CLIP_STAGES; }
static inline bool shk_is_frozen(const struct shk_engine *e, const struct shk_param *p) {
    return e->frozen[p - e->model->params];
}
static inline size_t shk_engine_norm_blocks(const struct shk_engine *e) {
    return (e->model->weight_floats + SHK_NORM_BLOCK - 1) / SHK_NORM_BLOCK;
}

// Samples of a data set, in this order.
struct shk_batch {
    const struct shk_dataset *data;
    const uint32_t *ids; // [n]; NULL: 0, 1, ...
    size_t n;
    uint32_t epoch;
    float *loss;         // [n]
    uint32_t *predicted; // [n]
    float *logits;       // [n][classes]; NULL: they are not wanted
};

#endif
