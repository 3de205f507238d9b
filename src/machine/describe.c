// SPDX-License-Identifier: MIT
// The choice in words: one line, and warnings with their remedies.
#include "machine/policy.h"

#include "base/memory.h"
#include "machine/cpulist.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *plural(unsigned n) { return n == 1 ? "" : "s"; }

__attribute__((format(printf, 2, 3))) static void add(char line[SHK_LINE], const char *format, ...) {
    size_t used = strlen(line);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, SHK_LINE - used, format, args);
    va_end(args);
}

void shk_warn(struct shk_choice *c, const char *format, ...) {
    if (c->warnings == SHK_MAX_WARNINGS) return;
    va_list args;
    va_start(args, format);
    vsnprintf(c->warning[c->warnings++], SHK_LINE, format, args);
    va_end(args);
}

// "8 P-cores allowed", "8 cores allowed".
static unsigned add_cores(const struct shk_machine *m, char line[SHK_LINE]) {
    const struct shk_machine_info *info = &m->info;
    unsigned cores = 0, best = shk_best_allowed_kind(m);
    bool all_fast = true;
    for (unsigned k = 0; k < info->kinds; k++) {
        if (shk_kind_is_fast(m, k, best)) cores += info->kind[k].allowed_cores;
        all_fast = all_fast && shk_kind_is_fast(m, k, info->kinds - 1);
    }
    const char *kind = all_fast ? "" : shk_kind_is_fast(m, best, info->kinds - 1) ? "P-" : "E-";
    add(line, "%u %score%s allowed", cores, kind, plural(cores));
    return cores;
}

static void add_reasons(const struct shk_machine *m, const struct shk_policy_settings *s, unsigned wanted,
                        struct shk_choice *c) {
    char *line = c->line;
    if (s->threads)
        add(line, "asked for%s%s; ", s->threads_source ? " by " : "", s->threads_source ? s->threads_source : "");
    if (!s->threads && s->pin == SHK_PIN_LIST) add(line, "%u listed; ", s->list_count);
    unsigned cores = add_cores(m, line);
    if (m->info.quota > 0) add(line, ", cgroup quota %.4g", m->info.quota);
    if (!s->threads && s->tasks && s->tasks < cores && c->threads == s->tasks)
        add(line, ", %zu task%s a step", s->tasks, plural((unsigned)s->tasks));
    if (c->threads < wanted) add(line, ", %u can be started", c->threads);
}

static void add_pinning(const struct shk_machine *m, const struct shk_policy_settings *s, struct shk_choice *c) {
    static const char *const names[] = {"", "", ", compact", ", scatter", "", ""};
    char *line = c->line;
    if (c->pinned) {
        char cpus[128];
        shk_cpulist_format(c->cpu, c->threads, cpus, sizeof cpus);
        add(line, "pinned to CPU%s %s%s", plural(c->threads), cpus, names[s->pin]);
    } else if (s->openmp.binding[0]) {
        add(line, "binding is left to OpenMP (%s)%s", s->openmp.binding,
            s->openmp.no_places ? ", which binds nothing" : "");
    } else if (s->pin == SHK_PIN_NONE) {
        add(line, "not pinned, as asked");
    } else if (c->threads > m->info.allowed_cpus) {
        add(line, "not pinned, more threads than CPUs");
    } else {
        add(line, "not pinned, not every core is used");
    }
}

// The NUMA nodes that the threads' memory lies on, each once, in ascending order.
static unsigned nodes_of(const struct shk_machine *m, const struct shk_choice *c, unsigned *nodes, unsigned most) {
    unsigned n = 0;
    for (unsigned i = 0; i < m->info.cpus; i++) {
        bool used = m->cpus[i].allowed && !c->pinned;
        for (unsigned t = 0; c->pinned && t < c->threads; t++) used = used || c->cpu[t] == m->cpus[i].number;
        unsigned at = 0;
        while (at < n && nodes[at] < m->cpus[i].node) at++;
        if (!used || n == most || (at < n && nodes[at] == m->cpus[i].node)) continue;
        memmove(nodes + at + 1, nodes + at, (n - at) * sizeof *nodes);
        nodes[at] = m->cpus[i].node;
        n++;
    }
    return n;
}

static void add_memory(const struct shk_machine *m, struct shk_choice *c) {
    enum { MOST = 256 };
    char *line = c->line, text[96];
    unsigned nodes[MOST] = {0};
    if (m->info.nodes == 1) {
        add(line, "memory local");
        return;
    }
    unsigned n = nodes_of(m, c, nodes, MOST);
    shk_cpulist_format(nodes, n, text, sizeof text);
    const char *how = n == 1 ? "" : c->pinned ? ", each thread's own" : ", where a thread first runs";
    add(line, "memory on NUMA node%s %s%s", plural(n), text, how);
}

void shk_describe(const struct shk_machine *m, const struct shk_policy_settings *s, unsigned wanted,
                  struct shk_choice *c) {
    snprintf(c->line, sizeof c->line, "threads: %u of %u CPU%s (", c->threads, m->info.cpus, plural(m->info.cpus));
    add_reasons(m, s, wanted, c);
    add(c->line, "); ");
    add_pinning(m, s, c);
    add(c->line, "; ");
    add_memory(m, c);
}

static void warn_of_threads(const struct shk_machine *m, const struct shk_policy_settings *s, struct shk_choice *c) {
    const struct shk_machine_info *i = &m->info;
    const unsigned whole = i->quota < 1 ? 1 : (unsigned)i->quota;
    if (i->quota > 0 && i->quota < SHK_MAX_THREADS && c->threads > whole)
        shk_warn(c,
                 "%u threads share a cgroup quota of %.4g CPUs, and the kernel stops them all when it is used up: use "
                 "%u thread%s, or raise the quota "
                 "(docker --cpus, Kubernetes limits.cpu, systemd CPUQuota)",
                 c->threads, i->quota, whole, plural(whole));
    if (c->threads > i->allowed_cpus)
        shk_warn(c,
                 "%u threads share the %u CPU%s that this process may use, so that only %u can work at a time: use %u "
                 "thread%s, or allow more CPUs (taskset, cpuset)",
                 c->threads, i->allowed_cpus, plural(i->allowed_cpus), i->allowed_cpus, i->allowed_cpus,
                 plural(i->allowed_cpus));
    else if (c->pinned && s->pin == SHK_PIN_LIST && c->threads > s->list_count)
        shk_warn(c, "%u threads share the %u CPU%s that %s names: name as many CPUs as threads", c->threads,
                 s->list_count, plural(s->list_count), s->pin_source);
    const bool by_openmp = s->openmp.binding[0] && !s->openmp.off && !s->openmp.no_places;
    if (i->here && i->allowed_cpus == 1 && i->cpus > 1 && s->threads != 1 && !by_openmp)
        shk_warn(c,
                 "this process is bound to a single CPU of %u: if that is not meant, start it without taskset, numactl "
                 "or a batch system's binding, "
                 "or look for a library in this process that pinned the calling thread",
                 i->cpus);
    if (s->threads && s->tasks && s->tasks < c->threads)
        shk_warn(c,
                 "%u threads are asked for, but a step has %zu tasks: use %zu threads, or more shards (which changes "
                 "the bits)",
                 c->threads, s->tasks, s->tasks);
}

void shk_policy_warnings(const struct shk_machine *m, const struct shk_policy_settings *s, unsigned wanted,
                         struct shk_choice *c) {
    warn_of_threads(m, s, c);
    const struct shk_openmp *o = &s->openmp;
    if (c->threads < wanted && c->threads == o->limit)
        shk_warn(c, "%s allows %u of %u threads: raise it, or use %u thread%s", o->limit_source, o->limit, wanted,
                 o->limit, plural(o->limit));
    if (o->binding[0] && s->pin != SHK_PIN_AUTO && !(o->off && s->pin == SHK_PIN_NONE))
        shk_warn(c, "%s has no effect, as OpenMP was told how to bind threads (%s): unset that to let Shikaku pin them",
                 s->pin_source, o->binding);
    if (o->places_alone)
        shk_warn(c, "OMP_PLACES is set without OMP_PROC_BIND, and whether threads are bound then depends on the OpenMP "
                    "runtime: set OMP_PROC_BIND=close or spread, too");
    if (o->no_places)
        shk_warn(c,
                 "OpenMP was told to bind threads (%s), but finds no CPUs to bind them to, and leaves them: name CPUs, "
                 "as in OMP_PLACES={0},{1}, or unset that to let Shikaku pin them",
                 o->binding);
    if (o->dynamic)
        shk_warn(c, "OpenMP may start fewer threads than these (OMP_DYNAMIC) where the machine is busy: unset that for "
                    "a number that stays");
    if (o->not_read)
        shk_warn(c, "KMP_AFFINITY is set, but GCC's OpenMP runtime does not read it: set OMP_PLACES and OMP_PROC_BIND, "
                    "or SHIKAKU_PIN");
    if (m->info.quota_malformed[0])
        shk_warn(c,
                 "%.200s holds no CPU quota as the kernel writes it, and is ignored: set SHIKAKU_THREADS if there is a "
                 "quota",
                 m->info.quota_malformed);
}
