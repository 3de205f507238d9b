// SPDX-License-Identifier: MIT
// What an evaluation makes of the losses and predictions of a batch.
#ifndef SHK_TRAIN_EVALUATE_H
#define SHK_TRAIN_EVALUATE_H

#include "train/engine.h"

enum { SHK_EVALUATION_BATCH = 64 };

// Sums in the order of samples, in double: the same on every machine. One NaN is like another.
double shk_mean_loss(const float *loss, size_t n);
struct shk_metrics shk_metrics_of(const struct shk_batch *);
// Losses and predictions for b->n samples.
bool shk_results_alloc(struct shk_batch *, struct shk_error *);
void shk_results_free(struct shk_batch *);

#endif
