// SPDX-License-Identifier: MIT
// What libFuzzer calls, and tests/fuzz/replay.c in its place.
#ifndef SHK_FUZZ_H
#define SHK_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most); // libFuzzer's own

static inline void must(int holds) {
    if (!holds) abort();
}

#endif
