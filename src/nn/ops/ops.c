// SPDX-License-Identifier: MIT
// The list of ops becomes a table here.
#include "nn/ops/ops.h"

const struct shk_op_type *const shk_ops[] = {
#define OP(name) &shk_op_##name,
#include "nn/ops/ops.def"
#undef OP
    NULL,
};
