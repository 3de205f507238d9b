// SPDX-License-Identifier: MIT
// Selecting CLS, for the op that needs a copy of it.
#ifndef SHK_NN_OPS_SELECT_CLS_H
#define SHK_NN_OPS_SELECT_CLS_H

#include "nn/plan/lower.h"

// A new op that gives row 0 of the next layer's input: a copy, or in place. Its gradient is added to row 0 of the input's,
// which somebody must have written before. NULL: out of memory.
struct shk_op *shk_select_cls_new(struct shk_lowering *, bool copy);

#endif
