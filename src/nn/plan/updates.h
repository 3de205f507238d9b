// SPDX-License-Identifier: MIT
// Updates are the tasks that apply the gradients.
#ifndef SHK_NN_PLAN_UPDATES_H
#define SHK_NN_PLAN_UPDATES_H

#include "nn/plan/op.h"

// Of a plan that is laid out. False: out of memory.
bool shk_plan_updates(struct shk_plan *, struct shk_error *);

// A source for each op's gradients, from shapes alone: the largest ops that can leave the shards do, until a shard's buffer
// fits.
void shk_plan_bound_shards(struct shk_plan *);

#endif
