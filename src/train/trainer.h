// SPDX-License-Identifier: MIT
// A trainer: what training and evaluation need, and everything that a checkpoint keeps.
#ifndef SHK_TRAIN_TRAINER_H
#define SHK_TRAIN_TRAINER_H

#include "train/step.h"

struct shk_trainer {
    struct shk_model *model;
    const struct shk_runtime *runtime;
    struct shk_train_options options; // with defaults filled in
    struct shk_engine train, test;
    struct shk_position position;
    size_t samples;     // of the training set that was used last; 0: none yet
    uint64_t data_hash; // of that set (shk_dataset_hash), where an epoch was begun with it and not ended; 0: not known
    float *losses;      // [samples]; of the epoch so far, in its order
    double seconds;     // that the epoch's steps have taken so far
    struct shk_best best;
    float *best_weights; // of the best epoch; NULL: of no use, since none was better since the trainer was made
};

// Makes place for the losses of `samples` samples, which are 0 then.
bool shk_trainer_set_samples(struct shk_trainer *, size_t samples, struct shk_error *);

#endif
