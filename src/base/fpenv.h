// SPDX-License-Identifier: MIT
// Arithmetic in which results are defined: round to nearest, denormals kept. A worker (or a call that computes) sets it
// and restores the caller's.
#ifndef SHK_BASE_FPENV_H
#define SHK_BASE_FPENV_H

#include <fenv.h>
#include <strict_math.h>

static inline fenv_t shk_fpenv_enter(void) {
    fenv_t saved;
    fegetenv(&saved);
    fesetenv(FE_DFL_ENV); // also clears flush-to-zero and denormals-are-zero
    return saved;
}

static inline void shk_fpenv_leave(const fenv_t *saved) { fesetenv(saved); }

#endif
