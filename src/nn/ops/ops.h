// SPDX-License-Identifier: MIT
// The ops that there are, as a plan wants them.
#ifndef SHK_NN_OPS_OPS_H
#define SHK_NN_OPS_OPS_H

#include "nn/plan/op.h"

#define OP(name) extern const struct shk_op_type shk_op_##name;
#include "nn/ops/ops.def"
#undef OP

extern const struct shk_op_type *const shk_ops[]; // NULL at its end

#endif
