// SPDX-License-Identifier: MIT
// The allowed CPUs in the order in which threads take them.
#include "machine/policy.h"

#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

unsigned shk_best_allowed_kind(const struct shk_machine *m) {
    unsigned best = 0;
    for (unsigned k = 0; k < m->info.kinds; k++)
        if (m->info.kind[k].allowed_cores) best = k;
    return best;
}

// Cores of one design differ in their clocks alone: AMD's dense cores are its others with lower ones. Intel's small cores are of
// another design, which their names say, or else that they have no second hardware thread.
static bool same_design(const struct shk_core_kind *a, const struct shk_core_kind *b) {
    const bool amd = strncmp(a->type, "AMD", 3) == 0 && strncmp(b->type, "AMD", 3) == 0;
    return (amd || strcmp(a->type, b->type) == 0) && a->cpus * b->cores == b->cpus * a->cores;
}

// Some machines have cores that are a bit faster than their fellows (Arm's "prime" core, AMD's and Intel's favoured ones): those
// count as fast with them, from 60 % of their speed on.
bool shk_kind_is_fast(const struct shk_machine *m, unsigned kind, unsigned best) {
    const struct shk_core_kind *a = &m->info.kind[kind], *b = &m->info.kind[best];
    if (kind == best) return true;
    if (!same_design(a, b)) return false;
    if (a->capacity && b->capacity) return a->capacity * 10 >= b->capacity * 6;
    if (a->frequency && b->frequency) return a->frequency * 10 >= b->frequency * 6;
    return a->type[0] != 0;
}

static int compare(unsigned a, unsigned b) { return (a > b) - (a < b); }

static int by_cores(const void *x, const void *y) {
    const struct shk_lay_out *a = x, *b = y;
    int order = compare(a->smt, b->smt);
    if (!order) order = compare(!a->fast, !b->fast);
    return order ? order : compare(a->at, b->at);
}

static int compactly(const void *x, const void *y) {
    const struct shk_lay_out *a = x, *b = y;
    int order = compare(!a->fast, !b->fast);
    return order ? order : compare(a->at, b->at);
}

// Neighbours are as far apart as they can be: in another package, else another node, else another L3.
static int scattered(const void *x, const void *y) {
    const struct shk_lay_out *a = x, *b = y;
    int order = compare(a->smt, b->smt);
    if (!order) order = compare(!a->fast, !b->fast);
    if (!order) order = compare(a->core, b->core);
    if (!order) order = compare(a->l3, b->l3);
    if (!order) order = compare(a->node_rank, b->node_rank);
    return order ? order : compare(a->package, b->package);
}

// The place of CPU `cpu`, given that of the allowed CPU before it.
static struct shk_lay_out place_after(const struct shk_cpu *cpu, const struct shk_cpu *before,
                                      const struct shk_lay_out *p) {
    struct shk_lay_out next = {.number = cpu->number, .node = cpu->node};
    if (!before) return next;
    next.at = p->at + 1;
    next.package = p->package;
    if (cpu->package != before->package) {
        next.package++;
        return next;
    }
    next.node_rank = p->node_rank;
    if (cpu->node != before->node) {
        next.node_rank++;
        return next;
    }
    next.l3 = p->l3;
    if (cpu->l3 != before->l3) {
        next.l3++;
        return next;
    }
    next.core = p->core;
    if (cpu->core != before->core) {
        next.core++;
        return next;
    }
    next.smt = p->smt + 1;
    return next;
}

struct shk_lay_out *shk_places(const struct shk_machine *m, enum shk_pin pin, struct shk_error *err) {
    struct shk_lay_out *places = shk_alloc(m->info.allowed_cpus, sizeof *places, "the places of threads", err);
    if (!places) return NULL;
    const struct shk_cpu *before = NULL;
    unsigned n = 0, best = shk_best_allowed_kind(m);
    for (unsigned i = 0; i < m->info.cpus; i++) {
        const struct shk_cpu *cpu = &m->cpus[i];
        if (!cpu->allowed) continue;
        places[n] = place_after(cpu, before, n ? &places[n - 1] : NULL);
        places[n].fast = shk_kind_is_fast(m, cpu->kind, best);
        before = cpu;
        n++;
    }
    qsort(places, n, sizeof *places,
          pin == SHK_PIN_COMPACT   ? compactly
          : pin == SHK_PIN_SCATTER ? scattered
                                   : by_cores);
    return places;
}
