// SPDX-License-Identifier: MIT
// This file is the table of one ISA's kernels; it is compiled once per ISA.
#include "kernel.h"

#define SHK_STRING2(x) #x
#define SHK_STRING(x) SHK_STRING2(x)
#define KERNEL(name, type) .name = SHK_KERNEL(name),
extern const struct shk_kernels SHK_KERNEL(kernels);
const struct shk_kernels SHK_KERNEL(kernels) = {
    .isa = SHK_STRING(SHK_ISA_NAME),
#include "kernels.def"
};
