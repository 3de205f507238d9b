// SPDX-License-Identifier: MIT
#ifndef SHK_MACHINE_CPUS_H
#define SHK_MACHINE_CPUS_H

// The CPUs that this process may run on (its affinity mask, which its cpuset bounds), at least 1.
unsigned shk_allowed_cpus(void);

#endif
