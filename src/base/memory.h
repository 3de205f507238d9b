// SPDX-License-Identifier: MIT
// Memory is taken zeroed, aligned to 64 bytes, and refused in a sentence where it is short.
#ifndef SHK_BASE_MEMORY_H
#define SHK_BASE_MEMORY_H

#include "base/error.h"
#include <stddef.h>

// `count` objects of `size` bytes, zeroed, aligned to 64 bytes; what they are for goes into the error. Large blocks are
// mapped on huge pages where the kernel offers them and are not touched here, so that the thread that writes them first
// places them. Blocks of 64 MiB and more are refused where that much memory is not available (base/available.h).
void *shk_alloc(size_t count, size_t size, const char *what, struct shk_error *err);
// The same, never touched: for memory of which `parts` threads on several NUMA nodes have an equal part each. On huge pages
// only where a part holds several.
void *shk_alloc_untouched(size_t count, size_t size, size_t parts, const char *what, struct shk_error *err);
// Of a block that is about to be written as a whole: gets its pages at once, in about half the time.
void shk_populate(void *block, size_t bytes);
void shk_free(void *); // NULL is allowed

#endif
