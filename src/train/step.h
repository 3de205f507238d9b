// SPDX-License-Identifier: MIT
// One training step: the workers take the plan's stages one after the other and meet after each. And evaluation, which is
// the samples' forward pass alone. The functions here are called by every worker of a team at once.
#ifndef SHK_TRAIN_STEP_H
#define SHK_TRAIN_STEP_H

#include "train/engine.h"

// How a step ended; the same for every worker.
enum shk_outcome {
    SHK_STEP_DONE,
    SHK_STEP_CANCELLED, // nothing has changed
    SHK_STEP_BAD_LOSS,  // a loss is not finite; nothing has changed
    // A gradient or its square is not finite; weights and the optimizer's state are of no use. Where the step clips, bad
    // gradients and a bad norm are found before anything has changed, and only bad squares are not.
    SHK_STEP_BAD_GRADIENT,
};
// Forward, backward, update.
enum shk_outcome shk_train_step(struct shk_engine *, const struct shk_batch *, unsigned worker, unsigned workers);
// Fills loss and predicted; n may exceed the plan's batch.
void shk_forward(struct shk_engine *, const struct shk_batch *, unsigned worker, unsigned workers);

#endif
