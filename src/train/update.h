// SPDX-License-Identifier: MIT
// The update tasks: a gradient summed up, the update rule, and the packings that follow from the weights, while all is in
// cache. The gradients of a large batch's blocks are added up in a tree before; where the step clips, gradients are
// collected first and applied later.
#ifndef SHK_TRAIN_UPDATE_H
#define SHK_TRAIN_UPDATE_H

#include "train/slices.h"

// What a worker needs for the updates of one step.
struct shk_updater {
    const struct shk_engine *engine;
    struct shk_rule rule; // of the step, without weights
    float *scratch;       // [SHK_TASK_SCRATCH]
    uint32_t *bad;        // the engine's, of this worker
};

struct shk_updater shk_updater_of(const struct shk_engine *, float *scratch, uint32_t *bad);

// One block of a round, as whole-batch tasks see it.
struct shk_whole_batch shk_block_of(const struct shk_engine *, const struct shk_round *, size_t block);
struct shk_whole_batch shk_round_of(const struct shk_engine *, const struct shk_round *); // of all its blocks

// Adds up the gradients of a block, block after block. Of the last one: applies them or, where the step clips, leaves them
// in the engine's.
void shk_update_run(const struct shk_updater *, const struct shk_round *, const struct shk_update *, size_t block);
// Applies the engine's gradients.
void shk_update_apply(const struct shk_updater *, const struct shk_update *);

#endif
