// SPDX-License-Identifier: MIT
// The number of threads follows here from CPUs, quota, tasks and settings.
#include "machine/policy.h"

#include "base/error.h"
#include "base/memory.h"
#include "machine/cpulist.h"
#include <math.h>

static unsigned fast_cores(const struct shk_machine *m) {
    unsigned cores = 0, best = shk_best_allowed_kind(m);
    for (unsigned k = 0; k < m->info.kinds; k++)
        if (shk_kind_is_fast(m, k, best)) cores += m->info.kind[k].allowed_cores;
    return cores;
}

// Whole CPUs of the quota, at least one; all that fits a count where there is none.
static unsigned whole_quota(const struct shk_machine *m) {
    if (m->info.quota <= 0 || m->info.quota >= SHK_MAX_THREADS) return SHK_MAX_THREADS;
    return m->info.quota < 1 ? 1 : (unsigned)floor(m->info.quota);
}

static unsigned at_most(unsigned value, size_t bound) { return bound && bound < value ? (unsigned)bound : value; }

static unsigned wanted_threads(const struct shk_machine *m, const struct shk_policy_settings *s) {
    unsigned threads = s->threads;
    if (!threads) {
        threads = s->pin == SHK_PIN_LIST ? s->list_count : fast_cores(m);
        threads = at_most(at_most(threads, whole_quota(m)), s->tasks);
    }
    return at_most(threads, SHK_MAX_THREADS);
}

static const struct shk_cpu *find_allowed(const struct shk_machine *m, unsigned number) {
    for (unsigned i = 0; i < m->info.cpus; i++)
        if (m->cpus[i].allowed && m->cpus[i].number == number) return &m->cpus[i];
    return NULL;
}

static bool check_list(const struct shk_machine *m, const struct shk_policy_settings *s, struct shk_error *err) {
    for (unsigned i = 0; i < s->list_count; i++) {
        if (find_allowed(m, s->list[i])) continue;
        unsigned *allowed = shk_alloc(m->info.allowed_cpus, sizeof *allowed, "a list of CPUs", err), n = 0;
        if (!allowed) return false;
        for (unsigned c = 0; c < m->info.cpus; c++)
            if (m->cpus[c].allowed) allowed[n++] = m->cpus[c].number;
        char text[128];
        shk_cpulist_format(allowed, n, text, sizeof text);
        shk_free(allowed);
        return shk_fail(err, SHK_BAD_INPUT, "%s names CPU %u, which this process may not use: it may use %s",
                        s->pin_source, s->list[i], text);
    }
    return true;
}

// Whether the threads get a CPU each. By default only where they use every fast core: otherwise a second training on the
// same machine would choose the same ones.
static bool choose_pinned(const struct shk_machine *m, const struct shk_policy_settings *s, unsigned threads) {
    if (s->openmp.binding[0] || s->pin == SHK_PIN_NONE) return false;
    return s->pin != SHK_PIN_AUTO || (threads >= fast_cores(m) && threads <= m->info.allowed_cpus);
}

// The CPUs of the threads, in order; more threads than CPUs start over.
static bool place_threads(const struct shk_machine *m, const struct shk_policy_settings *s, struct shk_choice *c,
                          struct shk_error *err) {
    struct shk_lay_out *places = shk_places(m, s->pin, err);
    if (!places) return false;
    for (unsigned i = 0; i < c->threads; i++) {
        bool listed = s->pin == SHK_PIN_LIST;
        c->cpu[i] = listed ? s->list[i % s->list_count] : places[i % m->info.allowed_cpus].number;
        unsigned node = find_allowed(m, c->cpu[i])->node;
        c->many_nodes = c->many_nodes || node != find_allowed(m, c->cpu[0])->node;
    }
    shk_free(places);
    return true;
}

static bool allowed_on_many_nodes(const struct shk_machine *m) {
    const struct shk_cpu *first = NULL;
    for (unsigned i = 0; i < m->info.cpus; i++) {
        if (!m->cpus[i].allowed) continue;
        if (first && m->cpus[i].node != first->node) return true;
        first = &m->cpus[i];
    }
    return false;
}

bool shk_policy_choose(const struct shk_machine *m, const struct shk_policy_settings *s, struct shk_choice *c,
                       struct shk_error *err) {
    const unsigned wanted = wanted_threads(m, s);
    *c = (struct shk_choice){.threads = at_most(at_most(wanted, s->startable), s->openmp.limit),
                             .automatic = s->threads == 0};
    if (s->pin == SHK_PIN_LIST && !check_list(m, s, err)) return false;
    c->pinned = choose_pinned(m, s, c->threads);
    if (c->pinned && !place_threads(m, s, c, err)) return false;
    if (!c->pinned) c->many_nodes = allowed_on_many_nodes(m);
    unsigned cpus = c->pinned && s->pin == SHK_PIN_LIST ? s->list_count : m->info.allowed_cpus;
    // Who polls takes time from the one that it waits for, if they share a quota (or a CPU: then only one takes the step).
    c->at_once = c->threads < cpus ? c->threads : cpus;
    c->polls = c->at_once > 1 && (m->info.quota <= 0 || m->info.quota >= m->info.allowed_cpus);
    shk_describe(m, s, wanted, c);
    shk_policy_warnings(m, s, wanted, c);
    return true;
}
