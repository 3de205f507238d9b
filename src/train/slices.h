// SPDX-License-Identifier: MIT
// Slices are what a worker takes through the ops: some consecutive samples of a batch, at most plan->slice.
#ifndef SHK_TRAIN_SLICES_H
#define SHK_TRAIN_SLICES_H

#include "train/engine.h"

// How a batch is cut, and which of its blocks are in work: the same for every worker.
struct shk_round {
    const struct shk_batch *batch;
    struct shk_cut cut;
    struct shk_schedule schedule;
    size_t index;       // of rounds
    size_t first, end;  // samples
    size_t first_block; // of schedule.open
};
struct shk_round shk_round_first(const struct shk_engine *, const struct shk_batch *, unsigned workers);
// The next round; false: there is none.
bool shk_round_next(struct shk_round *);
// Where a shard of the round leaves its gradients, or its group where these are added up.
float *shk_round_grads(const struct shk_engine *, const struct shk_round *, size_t shard);

// By one worker: takes its share of the round's samples through the ops of a stage.
void shk_round_run(const struct shk_engine *, const struct shk_round *, const struct shk_stage *, struct shk_share *,
                   unsigned worker, unsigned workers);

// Samples start .. start + n - 1 of a batch through ops first .. end - 1, forward alone.
void shk_slice_forward(const struct shk_engine *, const struct shk_batch *, unsigned first, unsigned end,
                       unsigned worker, size_t start, size_t n);

#endif
