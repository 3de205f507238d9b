// SPDX-License-Identifier: MIT
// Stages cut a step where all workers must meet.
#ifndef SHK_NN_PLAN_STAGES_H
#define SHK_NN_PLAN_STAGES_H

#include "nn/plan/op.h"

// Of a plan that is laid out and whose updates are listed. False: out of memory.
bool shk_plan_stages(struct shk_plan *, struct shk_error *);

#endif
