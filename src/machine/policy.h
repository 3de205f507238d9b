// SPDX-License-Identifier: MIT
// How many threads, and where: a function of the machine (with its allowed CPUs and quota) and of the settings below, and of
// nothing else.
#ifndef SHK_MACHINE_POLICY_H
#define SHK_MACHINE_POLICY_H

#include "machine/openmp.h"
#include "machine/topology.h"

enum shk_pin { SHK_PIN_AUTO, SHK_PIN_CORES, SHK_PIN_COMPACT, SHK_PIN_SCATTER, SHK_PIN_NONE, SHK_PIN_LIST };

struct shk_policy_settings {
    unsigned threads;           // 0: automatic
    const char *threads_source; // "SHIKAKU_THREADS", or NULL: an option
    enum shk_pin pin;
    const char *pin_source; // "SHIKAKU_PIN", or "the pin option"
    unsigned list[SHK_MAX_THREADS], list_count;
    size_t tasks;       // most tasks of a step; 0: unknown
    unsigned startable; // most threads that can be started; 0: unknown
    struct shk_openmp openmp;
};

// An allowed CPU with its place: the n-th allowed thread of its core, the n-th core of its L3, and so on outwards.
struct shk_lay_out {
    unsigned number, node;
    unsigned smt, core, l3, node_rank, package;
    bool fast; // of the fastest kind of cores that is allowed
    unsigned at;
};
// [info.allowed_cpus], to be freed with shk_free; ordered as the pinning wants threads.
struct shk_lay_out *shk_places(const struct shk_machine *, enum shk_pin, struct shk_error *);
// Whether the cores of a kind count as fast where `best` is the fastest that is allowed.
bool shk_kind_is_fast(const struct shk_machine *, unsigned kind, unsigned best);
unsigned shk_best_allowed_kind(const struct shk_machine *);

// The public API has the same without the settings' sources.
bool shk_policy_choose(const struct shk_machine *, const struct shk_policy_settings *, struct shk_choice *,
                       struct shk_error *);

// Fills choice->line, and adds a warning (dropped where there are too many). `wanted`: the threads before OpenMP's limit and
// what can be started.
void shk_describe(const struct shk_machine *, const struct shk_policy_settings *, unsigned wanted, struct shk_choice *);
void shk_warn(struct shk_choice *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void shk_policy_warnings(const struct shk_machine *, const struct shk_policy_settings *, unsigned wanted,
                         struct shk_choice *);

#endif
