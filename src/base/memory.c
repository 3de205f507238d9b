// SPDX-License-Identifier: MIT
// Blocks of memory are taken from the heap, or where they are large mapped on pages of their own.
#include "base/memory.h"

#include "base/available.h"
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { HEADER = 64, PAGE = 4096, HUGE_PAGE = 2 << 20, LARGE = 64 << 20 };

// Stands in the 64 bytes before a block.
struct header {
    void *start;
    size_t mapped; // bytes; 0: from calloc
};

// Starts on a multiple of `page`, which is at least 4096; its header is just before.
static void *map_block(size_t bytes, size_t page) {
    size_t total = bytes + 2 * page;
    char *start = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return NULL;
    char *block = (char *)(((uintptr_t)start + HEADER + page - 1) & ~(uintptr_t)(page - 1));
    // A wish: its failure changes speed only.
    if (page == HUGE_PAGE) madvise(block, bytes, MADV_HUGEPAGE);
    *(struct header *)(void *)(block - HEADER) = (struct header){start, total};
    return block;
}

static bool product(size_t count, size_t size, size_t *bytes) {
    return !__builtin_mul_overflow(count, size, bytes) && *bytes < SIZE_MAX / 4;
}

// A large block must fit into the memory that there is, or the kernel would end the process when it is touched.
static bool fits(size_t bytes, const char *what, struct shk_error *err) {
    uint64_t available;
    if (bytes < LARGE || !shk_memory_available("", &available) || bytes <= available) return true;
    return shk_fail(err, SHK_FAILED, "out of memory: %s for %s, but %s are available", shk_amount_of(bytes).text, what,
                    shk_amount_of(available).text);
}

static void *no_memory(size_t bytes, const char *what, struct shk_error *err) {
    shk_fail(err, SHK_FAILED, "out of memory: %s for %s", shk_amount_of(bytes).text, what);
    return NULL;
}

static void *too_large(size_t count, size_t size, const char *what, struct shk_error *err) {
    shk_fail(err, SHK_FAILED, "out of memory: %zu x %zu bytes for %s are more than can be addressed", count, size,
             what);
    return NULL;
}

// Below HUGE_PAGE bytes. Of none, there are some all the same, so that the block's address is inside what was allocated. Pages
// that come from the system are zero already, and are not touched here: calloc knows which, aligned_alloc and memset do not.
static void *heap_block(size_t bytes) {
    const size_t rounded = ((bytes ? bytes : 1) + 63) & ~(size_t)63;
    char *start = calloc(1, HEADER + 63 + rounded);
    if (!start) return NULL;
    char *block = (char *)(((uintptr_t)start + HEADER + 63) & ~(uintptr_t)63);
    *(struct header *)(void *)(block - HEADER) = (struct header){start, 0};
    return block;
}

void *shk_alloc(size_t count, size_t size, const char *what, struct shk_error *err) {
    size_t bytes;
    if (!product(count, size, &bytes)) return too_large(count, size, what, err);
    if (!fits(bytes, what, err)) return NULL;
    void *block = bytes >= HUGE_PAGE ? map_block(bytes, HUGE_PAGE) : heap_block(bytes);
    return block ? block : no_memory(bytes, what, err);
}

void *shk_alloc_untouched(size_t count, size_t size, size_t parts, const char *what, struct shk_error *err) {
    size_t bytes;
    if (!product(count, size, &bytes)) return too_large(count, size, what, err);
    if (!fits(bytes, what, err)) return NULL;
    void *block = map_block(bytes, bytes / parts >= 4 * (size_t)HUGE_PAGE ? HUGE_PAGE : PAGE);
    return block ? block : no_memory(bytes, what, err);
}

void shk_populate(void *block, size_t bytes) {
#ifdef MADV_POPULATE_WRITE
    const uintptr_t first = ((uintptr_t)block + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    const uintptr_t end = ((uintptr_t)block + bytes) & ~(uintptr_t)(PAGE - 1);
    if (end > first) madvise((void *)first, end - first, MADV_POPULATE_WRITE); // a wish, too
#else
    (void)block;
    (void)bytes;
#endif
}

void shk_free(void *block) {
    if (!block) return;
    struct header h = *(struct header *)(void *)((char *)block - HEADER);
    if (h.mapped)
        munmap(h.start, h.mapped);
    else
        free(h.start);
}
