// SPDX-License-Identifier: MIT
// A team is made of OpenMP threads, each of which binds itself to its CPU.
#ifndef SHK_MACHINE_TEAM_H
#define SHK_MACHINE_TEAM_H

#include "base/team.h"
#include "machine/topology.h"

// Where a team's workers run. Stays where it is for as long as the team.
struct shk_team_place {
    const struct shk_machine *machine;
    unsigned threads;
    const unsigned *cpu; // [threads]; NULL: not pinned
};

// A team of OpenMP threads as `choice` says; place->cpu points into it.
struct shk_team shk_team_create(const struct shk_machine *, const struct shk_choice *choice,
                                struct shk_team_place *place);

// How many threads can exist at once, up to `threads`, the calling one included: plain threads are created and joined, as an
// OpenMP runtime ends the process where it cannot have as many as it wants. *pinned: whether each could be bound to its CPU.
unsigned shk_team_probe(const struct shk_machine *, const struct shk_choice *choice, bool *pinned);

#endif
