// SPDX-License-Identifier: MIT
// Machines that are described, in hwloc's words or in a file of its, come from anywhere: hwloc believes them, and may crash.
#ifndef SHK_MACHINE_DESCRIBED_H
#define SHK_MACHINE_DESCRIBED_H

#include "base/error.h"
#include <stddef.h>

enum { SHK_MAX_DESCRIBED_CPUS = 4096 };

// Whether hwloc's description has no more objects than that on any level. Whether it makes sense is hwloc's to say.
bool shk_described_size(const char *synthetic, struct shk_error *err);

// A file's text with its end (a zero byte), to be freed with shk_free; *size counts the zero. NULL: error.
char *shk_described_read(const char *path, size_t *size, struct shk_error *err);

// Whether work(arg, err) is done, in a copy of this process that ends with it and has no more than some seconds of a CPU. What
// went wrong there is said here; `source`: the file that is to blame where the copy does not come back.
bool shk_described_try(const char *source, bool (*work)(void *, struct shk_error *), void *arg, struct shk_error *err);

#endif
