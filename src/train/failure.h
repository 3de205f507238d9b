// SPDX-License-Identifier: MIT
// What to say of a step that went wrong.
#ifndef SHK_TRAIN_FAILURE_H
#define SHK_TRAIN_FAILURE_H

#include "train/trainer.h"

// Of the step behind the trainer's position, which ended so: an error that names epoch, step, and the first layer or
// parameter whose numbers are not finite, the same for any number of workers. False.
bool shk_explain_failure(const struct shk_trainer *, const struct shk_batch *, enum shk_outcome, struct shk_error *);

#endif
