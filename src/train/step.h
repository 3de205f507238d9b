// SPDX-License-Identifier: MIT
// One training step: the workers take the plan's stages one after the other and meet after each. And evaluation, which is
// the samples' forward pass alone. The functions here are called by every worker of a team at once.
#ifndef SHK_TRAIN_STEP_H
#define SHK_TRAIN_STEP_H

#include "base/runtime.h"
#include "data/dataset.h"
#include "nn/plan.h"

struct shk_adam_options {
    double lr, beta1, beta2, eps;
};

static inline struct shk_adam_options shk_adam_defaults(double lr) {
    return (struct shk_adam_options){lr, 0.9, 0.999, 1e-8};
}

// A plan with all the memory that executing it takes.
struct shk_engine {
    const struct shk_kernels *k;
    struct shk_model *model;
    struct shk_plan *plan;
    unsigned workers, spin; // of the team
    uint64_t seed;
    struct shk_adam_options adam;
    size_t steps;      // taken so far
    float *workspaces; // [workers][workspace_stride]
    size_t workspace_stride;
    float *batch_space, *shard_grads, *m, *v;
    bool *finite;             // [workers][64]: all gradients were
    struct shk_share *shares; // [SHK_MAX_STAGES][workers]
    struct shk_barrier barrier;
    struct shk_times *times; // [workers], or NULL: where the time goes is not recorded
};

// Samples of a data set, in this order.
struct shk_batch {
    const struct shk_dataset *data;
    const uint32_t *ids; // [n]; NULL: 0, 1, ...
    size_t n;
    uint32_t epoch;
    float *loss;         // [n]
    uint32_t *predicted; // [n]
};

bool shk_engine_init(struct shk_engine *, struct shk_model *, const struct shk_runtime *, size_t batch, size_t shards,
                     bool training, struct shk_error *);
void shk_engine_free(struct shk_engine *);
// For a team on several NUMA nodes: lets each worker touch first what it will mostly use, and moves the model's weights
// likewise. False, and nothing has changed, where memory is short.
bool shk_engine_place(struct shk_engine *, const struct shk_team *, struct shk_error *);
// Before a run, and not by a worker: forgets how the last one ended, and refreshes all packings of the weights (a step
// leaves out what its plan does not read).
void shk_engine_start(struct shk_engine *);

// Forward, backward, update. False, for every worker alike, if a loss is not finite (then no weight was changed) or a
// gradient is not.
bool shk_step(struct shk_engine *, const struct shk_batch *, unsigned worker, unsigned workers);
// Fills loss and predicted; n may exceed the plan's batch.
void shk_forward(struct shk_engine *, const struct shk_batch *, unsigned worker, unsigned workers);

#endif
