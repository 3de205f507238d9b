// SPDX-License-Identifier: MIT
// Compares a fresh run with stored ones by ranks of their repetitions, and by how far stored runs lie apart.
#include "report/baseline.h"

#include "base/error.h"
#include "report/agreement.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double weather_factor = 3; // normal noise goes that far from one run to the next in 1 of 20

// ---- The choice ----

static bool differ(const struct store_run *r, const struct measured_benchmark *base, const struct measured *fresh,
                   const struct measured_benchmark *b, char out[AGREEMENT]) {
    return contexts_differ(r->results.context, fresh->context, out) || benchmarks_differ(base, b, out);
}

struct choosing {
    const struct store *store;
    const struct measured *fresh;
    const struct baseline_request *request;
    char machine[STORE_MACHINE];
    bool any_machine;
    struct shk_names *notes;
    struct shk_error *err;
};

static bool is_here(const struct choosing *c, const struct store_run *r) { return strcmp(r->machine, c->machine) == 0; }

static bool is_asked_for(const struct choosing *c, const struct store_run *r) {
    const char *which = c->request->which;
    const bool any = strcmp(which, "last") == 0 || strcmp(which, "best") == 0;
    return (any || strcmp(r->name, which) == 0) && (c->any_machine || is_here(c, r));
}

static bool shares(const struct store_run *r, const struct measured *fresh) {
    for (size_t i = 0; i < fresh->count; i++)
        if (measured_find(&r->results, fresh->benchmark[i].name)) return true;
    return false;
}

// The last run that is asked for and has a benchmark in common; NULL: there is none.
static const struct store_run *find_last(const struct choosing *c) {
    for (size_t i = c->store->count; i-- > 0;)
        if (is_asked_for(c, &c->store->run[i]) && shares(&c->store->run[i], c->fresh)) return &c->store->run[i];
    return NULL;
}

static double middle(const struct measured_benchmark *b, bool by_cpu) {
    double copy[STATISTICS_MOST];
    memcpy(copy, measured_times(b, by_cpu), b->count * sizeof *copy);
    return statistics_median(copy, b->count);
}

// The run in which the benchmark was fastest, of those that can be compared; `last`, where there is none.
static const struct store_run *find_best(const struct choosing *c, const struct measured_benchmark *b,
                                         const struct store_run *last) {
    char what[AGREEMENT];
    double least = INFINITY;
    for (size_t i = 0; i < c->store->count; i++) {
        const struct store_run *r = &c->store->run[i];
        const struct measured_benchmark *base = measured_find(&r->results, b->name);
        if (!base || !is_asked_for(c, r) || differ(r, base, c->fresh, b, what)) continue;
        const double time = middle(base, b->by_cpu && base->by_cpu);
        if (time >= least) continue;
        least = time;
        last = r;
    }
    return last;
}

static bool note(const struct choosing *c, const char *text) { return shk_names_add(c->notes, text, c->err); }

// A difference is said once, though each benchmark may have it.
static bool note_once(const struct choosing *c, const char *text) {
    return shk_names_find(c->notes, text) < c->notes->count || note(c, text);
}

static bool check(const struct choosing *c, const struct baseline *b) {
    char what[AGREEMENT], text[AGREEMENT + 300];
    if (!differ(b->run, b->base, c->fresh, &c->fresh->benchmark[b->index], what)) return true;
    if (!c->request->anyway)
        return shk_fail(c->err, SHK_BAD_INPUT, "%.170s, and this run cannot be compared, but with --anyway: %.500s",
                        b->run->place, what);
    snprintf(text, sizeof text, "%s, and this run: %s", b->run->place, what);
    return note_once(c, text);
}

static bool choose_one(const struct choosing *c, size_t index, const struct store_run *run, struct baseline *out,
                       size_t *count) {
    const struct measured_benchmark *b = &c->fresh->benchmark[index];
    if (strcmp(c->request->which, "best") == 0) run = find_best(c, b, run);
    const struct measured_benchmark *base = measured_find(&run->results, b->name);
    if (!base) {
        char text[MEASURED_NAME + 300];
        snprintf(text, sizeof text, "%s has no benchmark %s, which is left out", run->place, b->name);
        return note(c, text);
    }
    out[*count] = (struct baseline){.run = run, .base = base, .index = index};
    return check(c, &out[(*count)++]);
}

static bool nothing(const struct choosing *c) {
    const char *which = c->request->which;
    if (!c->any_machine && c->store->count)
        return shk_fail(c->err, SHK_BAD_INPUT,
                        "%.200s holds no run of this machine (%s) with one of these benchmarks, but %zu others: "
                        "--anyway takes one of another machine",
                        c->request->folder, c->machine, c->store->count);
    return shk_fail(c->err, SHK_BAD_INPUT,
                    "%.200s holds no run%s%s%s with one of these benchmarks: 'shikaku bench --save' makes one",
                    c->request->folder, c->store->count ? " called '" : "", c->store->count ? which : "",
                    c->store->count ? "'" : "");
}

bool baselines_choose(const struct store *store, const struct measured *fresh, const struct baseline_request *request,
                      struct baseline *out, size_t *count, struct shk_names *notes, struct shk_error *err) {
    struct choosing c = {.store = store, .fresh = fresh, .request = request, .notes = notes, .err = err};
    const bool named = strcmp(request->which, "last") != 0 && strcmp(request->which, "best") != 0;
    store_machine(fresh->context, c.machine);
    *count = 0;
    const struct store_run *run = find_last(&c);
    if (!run && (named || request->anyway)) {
        c.any_machine = true;
        run = find_last(&c);
    }
    if (!run) return nothing(&c);
    for (size_t i = 0; i < fresh->count; i++)
        if (!choose_one(&c, i, run, out, count)) return false;
    return true;
}

// ---- The judgement ----

// How far the stored runs that measured the same lie apart, one after the other.
static bool measure_weather(const struct store *store, const struct measured *fresh, struct baseline *b,
                            double *noise) {
    const struct measured_benchmark *now = &fresh->benchmark[b->index];
    double *change = calloc(store->count, sizeof *change), before = 0;
    char what[AGREEMENT];
    if (!change) return false;
    for (size_t i = 0; i < store->count; i++) {
        const struct measured_benchmark *then = measured_find(&store->run[i].results, now->name);
        if (!then || then->by_cpu != now->by_cpu || differ(&store->run[i], then, fresh, now, what)) continue;
        const double time = log(middle(then, now->by_cpu));
        if (b->runs++) change[b->runs - 2] = fabs(time - before);
        before = time;
    }
    if (b->runs >= BASELINE_RUNS) *noise = weather_factor * statistics_median(change, b->runs - 1);
    free(change);
    return true;
}

bool baselines_judge(const struct store *store, const struct measured *fresh, double threshold, struct baseline *b,
                     size_t count, struct comparison *out) {
    for (size_t i = 0; i < count; i++) {
        const struct measured_benchmark *now = &fresh->benchmark[b[i].index], *then = b[i].base;
        const bool by_cpu = now->by_cpu && then->by_cpu;
        if (!comparison_of_samples(measured_times(then, by_cpu), then->count, measured_times(now, by_cpu), now->count,
                                   &out[i]) ||
            !measure_weather(store, fresh, &b[i], &out[i].noise))
            return false;
    }
    return comparisons_judge(out, count, threshold);
}
