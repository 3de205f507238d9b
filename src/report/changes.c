// SPDX-License-Identifier: MIT
// Cuts a series at its changes, by ranks and random orders.
#include "report/changes.h"

#include "report/statistics.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST = 5 }; // values: all orders of fewer are not many enough for any usual level

struct value {
    double value;
    size_t place;
};

static int ascending(const void *a, const void *b) {
    const double x = ((const struct value *)a)->value, y = ((const struct value *)b)->value;
    return (x > y) - (x < y);
}

// Twice the ranks of n values, of which equal ones share theirs, less their mean: so the sum is 0. False: out of memory.
static bool centre_ranks(const double *values, size_t n, int64_t *ranks) {
    struct value *sorted = calloc(n, sizeof *sorted);
    if (!sorted) return false;
    for (size_t i = 0; i < n; i++) sorted[i] = (struct value){values[i], i};
    qsort(sorted, n, sizeof *sorted, ascending);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && sorted[end].value <= sorted[i].value;) end++;
        for (size_t k = i; k < end; k++) ranks[sorted[k].place] = (int64_t)(i + 1 + end) - (int64_t)(n + 1);
    }
    free(sorted);
    return true;
}

// The greatest sum of the first ranks, up or down; *at: how many they are.
static int64_t greatest(const int64_t *ranks, size_t n, size_t *at) {
    int64_t sum = 0, most = -1;
    for (size_t i = 0; i + 1 < n; i++) {
        sum += ranks[i];
        const int64_t size = sum < 0 ? -sum : sum;
        if (size <= most) continue;
        most = size;
        *at = i + 1;
    }
    return most;
}

static void shuffle(int64_t *ranks, size_t n, uint64_t *random) {
    for (size_t i = n; i-- > 1;) {
        *random = *random * 6364136223846793005u + 1442695040888963407u; // linear congruential, Knuth's MMIX
        const size_t k = (size_t)((*random >> 33) % (i + 1));
        const int64_t swap = ranks[i];
        ranks[i] = ranks[k];
        ranks[k] = swap;
    }
}

// How likely it is that a random order of the ranks has a sum as great; it ends early where that is above the level.
static double chance(int64_t *ranks, size_t n, int64_t most, double level) {
    uint64_t random = n;
    unsigned as_great = 0;
    size_t at;
    for (int i = 0; i < CHANGES_ORDERS && as_great <= level * CHANGES_ORDERS; i++) {
        shuffle(ranks, n, &random);
        as_great += greatest(ranks, n, &at) >= most;
    }
    return (1.0 + as_great) / (1.0 + CHANGES_ORDERS);
}

// A series that is being cut.
struct cutting {
    const double *values;
    double level;
    int64_t *ranks;
    struct change *found;
    size_t count;
    bool failed;
};

static void cut(struct cutting *c, size_t begin, size_t end) {
    const size_t n = end - begin;
    size_t at = 0;
    if (n < LEAST || c->failed) return;
    c->failed = !centre_ranks(c->values + begin, n, c->ranks);
    const int64_t most = c->failed ? 0 : greatest(c->ranks, n, &at);
    const double p = c->failed ? 1 : chance(c->ranks, n, most, c->level);
    if (!(p < c->level)) return;
    cut(c, begin, begin + at);
    c->found[c->count++] = (struct change){.at = begin + at, .probability = p};
    cut(c, begin + at, end);
}

static double level_of(double *copy, const double *values, size_t begin, size_t end) {
    memcpy(copy, values + begin, (end - begin) * sizeof *copy);
    return statistics_median(copy, end - begin);
}

// From the neighbours before and behind.
static void measure(struct cutting *c, size_t n, double *copy) {
    for (size_t i = 0; i < c->count; i++) {
        const size_t begin = i ? c->found[i - 1].at : 0, end = i + 1 < c->count ? c->found[i + 1].at : n;
        c->found[i].before = level_of(copy, c->values, begin, c->found[i].at);
        c->found[i].after = level_of(copy, c->values, c->found[i].at, end);
    }
}

size_t changes_find(const double *values, size_t n, double level, struct change *out) {
    struct cutting c = {.values = values, .level = level, .found = out};
    double *copy = calloc(n + 1, sizeof *copy);
    c.ranks = calloc(n + 1, sizeof *c.ranks);
    c.failed = !copy || !c.ranks;
    cut(&c, 0, n);
    if (!c.failed) measure(&c, n, copy);
    free(copy);
    free(c.ranks);
    return c.failed ? n + 1 : c.count;
}
