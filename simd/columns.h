// SPDX-License-Identifier: MIT
// This says how the kernels that reduce rows of any length go through them.
#ifndef SHK_SIMD_COLUMNS_H
#define SHK_SIMD_COLUMNS_H

#include "kernel.h"

// Rows go in groups of 16: what is one number a row is computed for the whole group at once, one row a lane, and the
// rows' folds overlap.
enum { GROUP = 16 };

// Vectors of a row, the last of which may be partial.
struct columns {
    size_t full; // in floats, multiple of 16
    vm tail;     // lanes of the last, partial vector
    bool partial;
};

static inline struct columns columns_of(size_t cols) {
    const size_t full = cols & ~(size_t)15;
    return (struct columns){full, vm_first(cols - full), full < cols};
}

#endif
