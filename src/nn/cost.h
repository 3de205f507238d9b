// SPDX-License-Identifier: MIT
// What a plan costs: operations and bytes, of the work that is really done (a pruned or sparse part is not counted).
#ifndef SHK_NN_COST_H
#define SHK_NN_COST_H

#include "nn/plan.h"

// Multiplications and additions of one sample, element-wise work left out. A convolution's gradients are counted as if every window had a winner.
double shk_op_flops(const struct shk_plan *, const struct shk_op *, enum shk_phase);
// Bytes of activations and weights that an op reads or writes for one sample, each once.
double shk_op_bytes(const struct shk_plan *, const struct shk_op *, enum shk_phase);
// The update tasks of one step, without the batch layer's, which are part of its weight gradient.
double shk_update_flops(const struct shk_plan *, size_t samples);
double shk_update_bytes(const struct shk_plan *);

#endif
