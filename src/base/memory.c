// SPDX-License-Identifier: MIT
#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HEADER = 64, HUGE_PAGE = 2 << 20 };

// Stands in the 64 bytes before a block.
struct header {
    void *start;
    size_t mapped; // bytes; 0: from aligned_alloc
};

static void *map_block(size_t bytes) {
    // One huge page more than asked for, so that the block can start on a huge page boundary (its header just before).
    size_t total = bytes + 2 * (size_t)HUGE_PAGE;
    char *start = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return NULL;
    char *block = (char *)(((uintptr_t)start + HEADER + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
    madvise(block, bytes, MADV_HUGEPAGE); // a wish: its failure changes speed only
    *(struct header *)(void *)(block - HEADER) = (struct header){start, total};
    return block;
}

void *shk_alloc(size_t count, size_t size, const char *what, struct shk_error *err) {
    size_t bytes;
    char *block = NULL;
    if (!__builtin_mul_overflow(count, size, &bytes) && bytes < SIZE_MAX / 4) {
        if (bytes >= HUGE_PAGE) {
            block = map_block(bytes);
        } else {
            size_t total = HEADER + ((bytes + 63) & ~(size_t)63);
            char *start = aligned_alloc(64, total);
            if (start) {
                memset(start, 0, total);
                *(struct header *)(void *)start = (struct header){start, 0};
                block = start + HEADER;
            }
        }
    }
    if (!block) shk_fail(err, SHK_FAILED, "out of memory: %zu x %zu bytes for %s", count, size, what);
    return block;
}

void shk_free(void *block) {
    if (!block) return;
    struct header h = *(struct header *)(void *)((char *)block - HEADER);
    if (h.mapped)
        munmap(h.start, h.mapped);
    else
        free(h.start);
}
