// SPDX-License-Identifier: MIT
// Layout finds a place for each buffer of a plan, and decides which op deals out its work.
#ifndef SHK_NN_PLAN_LAYOUT_H
#define SHK_NN_PLAN_LAYOUT_H

#include "nn/plan/op.h"

// After lowering: of the ops' declarations alone.
void shk_plan_layout(struct shk_plan *);
// Behind it: most samples in a slice of a stage of slices; 1 or more.
size_t shk_plan_slice_of(const struct shk_plan *, const struct shk_stage *);

#endif
