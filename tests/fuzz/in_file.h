// SPDX-License-Identifier: MIT
// Gives the bytes of a fuzz input to what reads files, as a file that lies in memory.
#ifndef SHK_FUZZ_IN_FILE_H
#define SHK_FUZZ_IN_FILE_H

#include "fuzz.h"

#include "base/error.h"
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

// The path of the file, which is the same each time.
static inline const char *in_file(const uint8_t *data, size_t size) {
    static int file = -1;
    static char path[40];
    if (file < 0) {
        file = memfd_create("input", 0);
        must(file >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    must(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
    return path;
}

static inline void must_explain(const struct shk_error *err) { must(err->code != SHK_OK && err->text[0]); }

#endif
