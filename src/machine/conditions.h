// SPDX-License-Identifier: MIT
// What else a measurement depends on: microcode, governor, boost, throttling, load.
#ifndef SHK_MACHINE_CONDITIONS_H
#define SHK_MACHINE_CONDITIONS_H

#include <shikaku/machine.h>

// root: what stands before /proc and /sys, "" for this system's own.
void shk_conditions_read(const char *root, const struct shk_machine *, struct shk_conditions *out);

#endif
