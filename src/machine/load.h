// SPDX-License-Identifier: MIT
// CPU time that others took of this process: what the kernel counted until now.
#ifndef SHK_MACHINE_LOAD_H
#define SHK_MACHINE_LOAD_H

#include "machine/topology.h"

// root: what stands before /proc, "" for this system's own. What the kernel does not say is 0.
void shk_load_mark(const char *root, const struct shk_machine *, struct shk_load_mark *out);
struct shk_load shk_load_between(const struct shk_load_mark *before, const struct shk_load_mark *now, unsigned cpus);

#endif
