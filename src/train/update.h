// SPDX-License-Identifier: MIT
// The update tasks: a gradient summed up, Adam, and the packings that follow from the weights, while all is in cache.
#ifndef SHK_TRAIN_UPDATE_H
#define SHK_TRAIN_UPDATE_H

#include "train/step.h"

// What a worker needs for the updates of one step.
struct shk_updater {
    const struct shk_engine *engine;
    struct shk_adam adam; // the step's constants
    float *scratch;       // [SHK_GRADIENT_SCRATCH]
};

// `finite` is set to false where a gradient is not.
struct shk_updater shk_updater_of(const struct shk_engine *, float *scratch, bool *finite);
void shk_update_run(const struct shk_updater *, const struct shk_whole_batch *, const struct shk_update *);

#endif
