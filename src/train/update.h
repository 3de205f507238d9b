// SPDX-License-Identifier: MIT
// The update tasks: a gradient summed up, Adam, and the packings that follow from the weights, while all is in cache. Where
// the step clips, gradients are collected first and applied later.
#ifndef SHK_TRAIN_UPDATE_H
#define SHK_TRAIN_UPDATE_H

#include "train/step.h"

// What a worker needs for the updates of one step.
struct shk_updater {
    const struct shk_engine *engine;
    struct shk_adam adam; // the step's constants
    float *scratch;       // [SHK_TASK_SCRATCH]
    bool grouped;         // the step's slices were
    uint32_t *bad;        // the engine's, of this worker
};

// grouped: whether the step's slices were.
struct shk_updater shk_updater_of(const struct shk_engine *, bool grouped, float *scratch, uint32_t *bad);

enum shk_update_part {
    SHK_WHOLE_UPDATE,
    SHK_GRADIENT_PART,  // the gradient, into the engine's
    SHK_RULE_PART,     // the rest, from there
};
void shk_update_run(const struct shk_updater *, const struct shk_whole_batch *, const struct shk_update *,
                    enum shk_update_part);

#endif
