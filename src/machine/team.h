// SPDX-License-Identifier: MIT
#ifndef SHK_MACHINE_TEAM_H
#define SHK_MACHINE_TEAM_H

#include "base/team.h"

// A team of OpenMP threads for `cpus` CPUs.
void shk_team_init(struct shk_team *, unsigned workers, unsigned cpus);

#endif
