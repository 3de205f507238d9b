// SPDX-License-Identifier: MIT
// This is what every kernel's source starts from: vec16, the contracts, and the prototypes of this ISA's kernels.
#ifndef SHK_SIMD_KERNEL_H
#define SHK_SIMD_KERNEL_H

#include "vec16.h"

#include "kernels.h"

#define KERNEL(name, type) void SHK_KERNEL(name)(const type *);
#include "kernels.def"
#undef KERNEL

#endif
