// SPDX-License-Identifier: MIT
// Between the plan's makers: fuse.c (layers to ops), layout.c (buffers and offsets), updates.c (gradients to tasks).
#ifndef SHK_NN_PLAN_INTERNAL_H
#define SHK_NN_PLAN_INTERNAL_H

#include "nn/op.h"

void shk_plan_fuse(struct shk_plan *);
void shk_plan_layout(struct shk_plan *);
bool shk_plan_updates(struct shk_plan *, struct shk_error *);

#endif
