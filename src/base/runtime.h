// SPDX-License-Identifier: MIT
// A runtime is the kernels of an instruction set and the team of threads that runs them.
#ifndef SHK_BASE_RUNTIME_H
#define SHK_BASE_RUNTIME_H

#include "base/team.h"
#include <kernels.h>

// What src/machine found and chose: the handle behind shk_runtime of the public API.
struct shk_runtime {
    const struct shk_kernels *kernels;
    struct shk_team team;
};

#endif
