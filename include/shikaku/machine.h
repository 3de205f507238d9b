// SPDX-License-Identifier: MIT
// What a machine offers and which threads a training would get on it, without training: for this machine, or for
// another one that hwloc describes. shk_runtime_create (shikaku/shikaku.h) decides by the same rules.
#ifndef SHIKAKU_MACHINE_H
#define SHIKAKU_MACHINE_H

#include <shikaku/error.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SHK_MAX_THREADS = 1024, SHK_MAX_KINDS = 16, SHK_MAX_WARNINGS = 12, SHK_LINE = 400 };

struct shk_machine_options {
    const char *synthetic; // hwloc's description of another machine, such as "package:2 core:8 pu:2"; or NULL
    const char *xml;       // a file with another machine, as lstopo and hwloc write it; or NULL
    const char *allow;     // fewer CPUs, such as "0-3,8"; NULL: all that are allowed
    double quota;          // in CPUs; 0: the cgroup's, on another machine none
};

// One CPU as the system counts them: a hardware thread.
struct shk_cpu {
    unsigned number;            // the system's, as taskset takes it
    unsigned core, l3, package; // counted from 0 over the machine
    unsigned node;              // NUMA node, the system's number
    unsigned kind;              // of its core; higher is faster
    bool allowed;               // by affinity mask and cpuset
};

// A kind of cores.
struct shk_core_kind {
    unsigned cpus, cores, allowed_cores;
    unsigned capacity;  // the kernel's figure for its speed; 0: unknown
    unsigned frequency; // the highest, in MHz; 0: unknown
    char type[32];      // as the CPU's maker calls it, such as IntelAtom; may be empty
};

struct shk_machine_info {
    bool here;          // this machine, not a described one
    char cpu_model[64]; // may be empty
    unsigned packages, nodes, l3_groups, cores, cpus;
    unsigned allowed_cores, allowed_cpus;
    unsigned kinds; // at least 1
    struct shk_core_kind kind[SHK_MAX_KINDS];
    size_t l1d, l2, l3;             // bytes of the first CPU's caches; 0: none known
    double quota;                   // of the cgroup, in CPUs; 0: none
    char quota_file[SHK_LINE];      // where it was read, or empty
    char quota_malformed[SHK_LINE]; // a file that holds no quota as the kernel writes it, or empty
};

struct shk_machine;
// options may be NULL: this machine.
struct shk_machine *shk_machine_create(const struct shk_machine_options *options, struct shk_error *error);
void shk_machine_free(struct shk_machine *);
const struct shk_machine_info *shk_machine_info(const struct shk_machine *);
const struct shk_cpu *shk_machine_cpus(const struct shk_machine *); // [cpus], neighbours side by side

struct shk_choice_options {
    unsigned threads; // 0: on this machine SHIKAKU_THREADS, else OMP_NUM_THREADS; else automatic
    const char *
        pin; // auto, cores, compact, scatter, none, or CPUs such as "0-3,8"; NULL: on this machine SHIKAKU_PIN; else auto
    size_t tasks; // most tasks that a step has (shk_train_shards); 0: unknown
};

// How many threads, where, and why.
struct shk_choice {
    unsigned threads;
    bool automatic;                // the number is not the user's
    bool pinned;                   // by us
    unsigned at_once;              // how many of them can run at the same time: these take the steps
    bool polls;                    // threads that wait in a step poll briefly before they sleep
    bool many_nodes;               // they may run on several NUMA nodes
    unsigned cpu[SHK_MAX_THREADS]; // [threads], where pinned: the CPU of each
    char line[SHK_LINE];           // one line: how many, which, why
    unsigned warnings;
    char warning[SHK_MAX_WARNINGS][SHK_LINE]; // each a sentence without a full stop, with the remedy
};
bool shk_machine_choose(const struct shk_machine *, const struct shk_choice_options *options, struct shk_choice *out,
                        struct shk_error *error);

// Who had the CPUs that this process may use, since the machine was created or this was last asked, in seconds.
struct shk_load {
    double seconds;     // on the clock
    double own, others; // CPU time of this process and of others
    double stolen;      // CPU time that a virtual machine's host did not give (steal)
    double waited;      // in which this process's threads stood in a run queue, together
    double share;       // 0 .. 1: of these CPUs' time, what others and the host took
    double held_up;     // 0 .. 1: of the time for which this process's threads wanted a CPU, what they had none for
    char sentence[SHK_LINE]; // a warning with its remedy where that matters; else empty
};
struct shk_load shk_machine_load(struct shk_machine *); // of this machine

// What else a measurement on this machine depends on. Empty, or 0: the kernel does not say.
enum { SHK_CONDITION = 32 };
struct shk_conditions {
    char microcode[SHK_CONDITION];
    char governor[SHK_CONDITION]; // of the CPUs that this process may use; "mixed": they have several
    char boost[SHK_CONDITION];    // whether clocks may rise above their base: on, off
    double throttled;             // seconds in which the cgroup's quota held its threads back so far
    double load[3];               // tasks that ran or could run, over 1, 5 and 15 minutes
};
void shk_machine_conditions(const struct shk_machine *, struct shk_conditions *out);

#ifdef __cplusplus
}
#endif

#endif
