// SPDX-License-Identifier: MIT
// A machine's CPUs become a plain list: core, cache, node, package, kind.
#ifndef SHK_MACHINE_TOPOLOGY_H
#define SHK_MACHINE_TOPOLOGY_H

#include <shikaku/machine.h>

struct hwloc_topology;

struct shk_machine {
    struct hwloc_topology *topology;
    struct shk_machine_info info;
    struct shk_cpu *cpus; // [info.cpus], in hwloc's order: CPUs of a core, an L3, a node, a package side by side
};

#endif
