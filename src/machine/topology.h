// SPDX-License-Identifier: MIT
// A machine's CPUs become a plain list: core, cache, node, package, kind.
#ifndef SHK_MACHINE_TOPOLOGY_H
#define SHK_MACHINE_TOPOLOGY_H

#include <shikaku/machine.h>

struct hwloc_topology;

// What the kernel counted until some moment, in seconds since another one.
struct shk_load_mark {
    double clock;
    double own;          // CPU time of this process
    double busy, stolen; // of the allowed CPUs: working for anyone; held back by a hypervisor
    double waited;       // in which this process's threads stood in a run queue, summed over those that live; where the
                         // kernel does not count that, in which some task of the machine stood in one
};

struct shk_machine {
    struct hwloc_topology *topology;
    struct shk_machine_info info;
    struct shk_cpu *cpus;      // [info.cpus], in hwloc's order: CPUs of a core, an L3, a node, a package side by side
    struct shk_load_mark load; // when the load was last asked for
};

#endif
