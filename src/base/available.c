// SPDX-License-Identifier: MIT
// The memory that is there is read from the system and from the control group, whichever is less.
#include "base/available.h"

#include "base/cgroup.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Untouched memory counts in mappings of at least this size, in kB: of stacks and heaps little is ever touched.
enum { LARGE_MAPPING = 64 << 10 };

static uint64_t less(uint64_t from, uint64_t what) { return from > what ? from - what : 0; }
static uint64_t sum(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }
static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

// A file that holds one number of bytes; false where there is none, and for "max".
static bool read_bytes(const char *dir, const char *name, uint64_t *bytes) {
    char text[SHK_SMALL_FILE];
    const char *at = text;
    return shk_read_small(dir, name, text) && shk_read_number(&at, "\n", bytes) && !*at;
}

struct limits {
    uint64_t swap, left; // bytes: the system's free swap; what all limits leave, UINT64_MAX: no limit
};

static uint64_t cache_of(const char *dir, bool v2) {
    char text[SHK_SMALL_FILE];
    if (!shk_read_small(dir, "/memory.stat", text)) return 0;
    if (!v2) return sum(shk_stat_value(text, "total_active_file"), shk_stat_value(text, "total_inactive_file"));
    return sum(sum(shk_stat_value(text, "active_file"), shk_stat_value(text, "inactive_file")),
               shk_stat_value(text, "slab_reclaimable"));
}

// Memory has a limit, and swap another one: in version 2 of its own, in version 1 for both together.
static void read_group(const char *dir, bool v2, void *user) {
    struct limits *l = user;
    uint64_t limit, used, swap = l->swap, cache = cache_of(dir, v2);
    if (v2 && read_bytes(dir, "/memory.swap.max", &limit) && read_bytes(dir, "/memory.swap.current", &used))
        swap = least(swap, less(limit, used));
    if (read_bytes(dir, v2 ? "/memory.max" : "/memory.limit_in_bytes", &limit) &&
        read_bytes(dir, v2 ? "/memory.current" : "/memory.usage_in_bytes", &used))
        l->left = least(l->left, sum(less(limit, less(used, cache)), swap));
    if (!v2 && read_bytes(dir, "/memory.memsw.limit_in_bytes", &limit) &&
        read_bytes(dir, "/memory.memsw.usage_in_bytes", &used))
        l->left = least(l->left, less(limit, less(used, cache)));
}

// Bytes of this process's large writable mappings that are not touched yet. Those that the kernel does not answer for ("nr",
// as sanitizers map them) are left out.
static uint64_t untouched(const char *root) {
    char path[PATH_MAX], access[8], *line = NULL;
    size_t size = 0;
    uint64_t total = 0, mapped = 0, touched = 0, first, end, inode, kb;
    int length = snprintf(path, sizeof path, "%s/proc/self/smaps", root);
    FILE *file = length < PATH_MAX ? fopen(path, "re") : NULL;
    while (file && getline(&line, &size, file) > 0) {
        if (sscanf(line, "%lx-%lx %7s %*s %*s %lu", &first, &end, access, &inode) == 4) {
            mapped = strcmp(access, "rw-p") == 0 && inode == 0 && end > first ? (end - first) >> 10 : 0;
            touched = 0;
        } else if (sscanf(line, "Rss: %lu kB", &kb) == 1 || sscanf(line, "Swap: %lu kB", &kb) == 1) {
            touched += kb;
        } else if (strncmp(line, "VmFlags:", 8) == 0 && mapped >= LARGE_MAPPING && !strstr(line, " nr")) {
            total += less(mapped, touched) << 10;
        }
    }
    free(line);
    if (file) fclose(file);
    return total;
}

bool shk_memory_available(const char *root, uint64_t *bytes) {
    struct limits l = {.left = UINT64_MAX};
    char text[SHK_SMALL_FILE];
    uint64_t free_memory = UINT64_MAX;
    if (shk_read_small(root, "/proc/meminfo", text) && strstr(text, "\nMemAvailable:")) {
        l.swap = shk_stat_value(text, "SwapFree:") << 10;
        free_memory = sum(shk_stat_value(text, "MemAvailable:") << 10, l.swap);
    }
    shk_cgroup_walk(root, "memory", read_group, &l);
    *bytes = least(l.left, free_memory);
    if (*bytes == UINT64_MAX) return false;
    *bytes = less(*bytes, untouched(root));
    return true;
}

struct shk_amount shk_amount_of(uint64_t bytes) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    struct shk_amount a;
    double value = (double)bytes / 1024;
    unsigned unit = 0;
    if (bytes < 1024)
        snprintf(a.text, sizeof a.text, "%u bytes", (unsigned)bytes);
    else {
        for (; value >= 1023.95; unit++) value /= 1024; // 1023.95 would be written as 1024.0
        snprintf(a.text, sizeof a.text, "%.1f %s", value, units[unit]);
    }
    return a;
}
