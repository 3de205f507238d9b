// SPDX-License-Identifier: MIT
// In evaluation a convolution ends in the batch normalisation behind it, whose statistics are those that are running.
#ifndef SHK_NN_OPS_NORM_END_H
#define SHK_NN_OPS_NORM_END_H

#include "nn/plan/lower.h"

struct shk_norm_end {
    const struct shk_param *scale, *shift, *running[2]; // scale NULL: there is none
    double eps;
};

// Takes the normalisation that alone reads `layer`, whose outputs have this axis and so many floats; returns the last layer
// that is taken then, which is `layer` where there is none, or in training.
int shk_take_norm(struct shk_lowering *, int layer, struct shk_axis, size_t cols, struct shk_norm_end *);
// What differences from the running mean are multiplied by: [cols].
void shk_running_scale(const struct shk_norm_end *, const struct shk_slice *, size_t cols, float *scale);
// Puts this end into a kernel's arguments.
void shk_norm_end_of(const struct shk_norm_end *, const struct shk_slice *, size_t cols, float *scale,
                     struct shk_batch_norm *);

#endif
