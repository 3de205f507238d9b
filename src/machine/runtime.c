// SPDX-License-Identifier: MIT
// Which kernels, and which threads.
#include "base/runtime.h"

#include "base/memory.h"
#include "machine/quota.h"
#include "machine/settings.h"
#include "machine/team.h"
#include "machine/variables.h"
#include <shikaku/shikaku.h>
#include <stdlib.h>

struct machine_runtime {
    struct shk_runtime base; // first: what the rest of the library sees
    struct shk_machine *machine;
    struct shk_choice choice;
    struct shk_team_place place;
    struct shk_quota quota; // when it was last read
};

static struct machine_runtime *whole(struct shk_runtime *r) { return (struct machine_runtime *)(void *)r; }
static const struct machine_runtime *whole_const(const struct shk_runtime *r) { return (const void *)r; }

static const struct shk_kernels *choose_kernels(const char *option, struct shk_error *err) {
    const char *isa = option, *source = "the ISA option";
    if (!isa) {
        isa = getenv("SHIKAKU_ISA");
        source = "SHIKAKU_ISA";
    }
    bool exists = false;
    const struct shk_kernels *kernels = shk_kernels_find(isa, &exists);
    if (!kernels && exists)
        shk_fail(err, SHK_BAD_INPUT, "%s is '%s', which this CPU or this build does not have: use auto or %s", source,
                 isa, shk_kernels_find(NULL, &exists)->isa);
    else if (!kernels)
        shk_fail(err, SHK_BAD_INPUT, "%s is '%s', which is no instruction set: use auto, c, avx2, avx512 or neon",
                 source, isa);
    return kernels;
}

const char *shk_isa_at(size_t index) {
    const struct shk_kernels *kernels = shk_kernels_at(index);
    return kernels ? kernels->isa : NULL;
}

const char *shk_isa_choose(const char *option, struct shk_error *err) {
    const struct shk_kernels *kernels = choose_kernels(option, err);
    return kernels ? kernels->isa : NULL;
}

// Fewer threads where the system does not give as many.
static bool fit_to_system(struct machine_runtime *r, struct shk_policy_settings *s, struct shk_error *err) {
    struct shk_choice *c = &r->choice;
    const unsigned wanted = c->threads;
    bool pinned = true;
    const unsigned possible = wanted > 1 || c->pinned ? shk_team_probe(r->machine, c, &pinned) : wanted;
    const bool refused = c->pinned && !pinned;
    if (possible < wanted) s->startable = possible;
    if (refused) s->pin = SHK_PIN_NONE;
    if ((possible < wanted || refused) && !shk_policy_choose(r->machine, s, c, err)) return false;
    if (possible < wanted)
        shk_warn(c,
                 "%u of %u threads can be created: use %u, or raise the limit (ulimit -u, the cgroup's pids.max, "
                 "memory%s)",
                 possible, wanted, possible, shk_variables_stack() ? ", of which OMP_STACKSIZE asks for much" : "");
    if (refused)
        shk_warn(c, "the system refuses to pin threads, so they are not: use SHIKAKU_PIN=none, or look at the cpuset "
                    "and the container's rights");
    return true;
}

static bool choose_threads(const struct shk_runtime_options *o, struct machine_runtime *r, struct shk_error *err) {
    const struct shk_choice_options wanted = {.threads = o->threads, .pin = o->pin, .tasks = o->tasks};
    struct shk_policy_settings settings;
    r->machine = shk_machine_create(NULL, err);
    if (!r->machine || !shk_settings_read(r->machine, &wanted, &settings, err) ||
        !shk_policy_choose(r->machine, &settings, &r->choice, err) || !fit_to_system(r, &settings, err))
        return false;
    r->base.team = shk_team_create(r->machine, &r->choice, &r->place);
    shk_quota_read("", &r->quota);
    return true;
}

struct shk_runtime *shk_runtime_create(const struct shk_runtime_options *options, struct shk_error *err) {
    static const struct shk_runtime_options defaults;
    if (!options) options = &defaults;
    struct machine_runtime *r = shk_alloc(1, sizeof *r, "a runtime", err);
    if (!r) return NULL;
    r->base.kernels = choose_kernels(options->isa, err);
    if (r->base.kernels && choose_threads(options, r, err)) return &r->base;
    shk_runtime_free(&r->base);
    return NULL;
}

void shk_runtime_free(struct shk_runtime *r) {
    if (!r) return;
    shk_machine_free(whole(r)->machine);
    shk_free(whole(r));
}

void shk_runtime_check(struct shk_runtime *r) {
    struct machine_runtime *w = whole(r);
    const struct shk_load load = shk_machine_load(w->machine);
    if (*load.sentence) shk_warn(&w->choice, "%s", load.sentence);
    struct shk_quota now;
    shk_quota_read("", &now);
    if (now.events > w->quota.events)
        shk_warn(&w->choice,
                 "the kernel held this cgroup's threads back (%llu x), for %.2g thread-seconds in all, as its quota "
                 "of %.4g CPUs was used up (%.150s): use "
                 "fewer threads, or raise the quota",
                 now.events - w->quota.events, now.throttled - w->quota.throttled, now.cpus, now.file);
    w->quota = now;
}

const char *shk_runtime_isa(const struct shk_runtime *r) { return r->kernels->isa; }
unsigned shk_runtime_threads(const struct shk_runtime *r) { return r->team.workers; }
const char *shk_runtime_describe(const struct shk_runtime *r) { return whole_const(r)->choice.line; }
unsigned shk_runtime_warnings(const struct shk_runtime *r) { return whole_const(r)->choice.warnings; }
const char *shk_runtime_warning(const struct shk_runtime *r, unsigned i) { return whole_const(r)->choice.warning[i]; }
const char *shk_version(void) { return SHK_VERSION; }
