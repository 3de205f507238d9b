// SPDX-License-Identifier: MIT
// Declares how the operands of a kernel are made, which of them it writes, and how these are hashed.
#ifndef SHK_BENCH_OPERANDS_H
#define SHK_BENCH_OPERANDS_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

enum { SHK_OPERANDS = 24, SHK_OUTPUTS = 24 };

// Zero but for `err`; released by shk_operands_free.
struct shk_operands {
    struct shk_error *err;
    bool failed; // memory was short: what is asked for from then on is NULL
    void *block[SHK_OPERANDS];
    size_t blocks;
    struct shk_output {
        const void *first;
        size_t bytes;
    } output[SHK_OUTPUTS];
    size_t outputs;
    uint64_t random;
};

// Memory aligned to 64 bytes: zeros; floats from -1 to 1, the same each time; a copy.
void *shk_operands_zeros(struct shk_operands *, size_t n, size_t size);
float *shk_operands_floats(struct shk_operands *, size_t n);
const void *shk_operands_keep(struct shk_operands *, const void *what, size_t bytes);
// The kernel writes these bytes, and their values are specified. Returns `first`.
void *shk_operands_output(struct shk_operands *, void *first, size_t bytes);
// Zeros that the kernel writes.
float *shk_operands_result(struct shk_operands *, size_t n);
uint64_t shk_operands_hash(const struct shk_operands *); // of all outputs
void shk_operands_free(struct shk_operands *);

#endif
