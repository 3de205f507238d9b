// SPDX-License-Identifier: MIT
// Computes rank tests by counting: of all ways in which ranks could have fallen, how many are as extreme.
#include "report/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double statistics_median(double *values, size_t n) {
    qsort(values, n, sizeof *values, ascending);
    return n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

void statistics_holm(double *p, size_t n) {
    bool *done = calloc(n + 1, sizeof *done);
    double least = 0;
    for (size_t k = 0; done && k < n; k++) {
        size_t at = n;
        for (size_t i = 0; i < n; i++)
            if (!done[i] && (at == n || p[i] < p[at])) at = i;
        done[at] = true;
        least = fmax(least, fmin(1, p[at] * (double)(n - k)));
        p[at] = least;
    }
    for (size_t i = 0; !done && i < n; i++) p[i] = fmin(1, p[i] * (double)n); // Bonferroni's is no smaller
    free(done);
}

// ---- Ranks ----

// Twice the ranks of n sorted values, so that equal ones have whole numbers, too.
static void rank_twice(const double *sorted, size_t n, size_t *twice) {
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && sorted[end] <= sorted[i];) end++;
        for (size_t k = i; k < end; k++) twice[k] = i + 1 + end;
    }
}

// share[s]: of all subsets of `take` of the n numbers (take > n: of any number of them), how many have the sum s, s <= most.
static double *share_of_sums(const size_t *numbers, size_t n, size_t take, size_t most) {
    const bool any = take > n;
    const size_t rows = any ? 1 : take + 1;
    double *ways = calloc(rows * (most + 1), sizeof *ways), total = 0;
    if (!ways) return NULL;
    ways[0] = 1;
    for (size_t i = 0; i < n; i++)
        for (size_t row = any ? 1 : (i + 1 < take ? i + 1 : take); row > 0; row--) {
            double *to = ways + (any ? 0 : row) * (most + 1), *from = any ? to : to - (most + 1);
            for (size_t s = most; s >= numbers[i] && s <= most; s--) to[s] += from[s - numbers[i]];
        }
    memmove(ways, ways + (rows - 1) * (most + 1), (most + 1) * sizeof *ways);
    for (size_t s = 0; s <= most; s++) total += ways[s];
    for (size_t s = 0; s <= most; s++) ways[s] /= total;
    return ways;
}

static double sum_between(const double *share, size_t first, size_t last) {
    double sum = 0;
    for (size_t s = first; s <= last; s++) sum += share[s];
    return sum;
}

// The estimate is the middle of what the sorted differences say; its bounds leave out so many at either end that a sum of ranks (in
// twice ranks, without ties) would be as extreme with less than what is left of the confidence.
static void bound(double *differences, size_t count, const double *share, size_t offset, size_t most, double confidence,
                  struct shift *out) {
    size_t left_out = 0;
    double tail = 0;
    for (size_t s = offset; s <= most; s += 2) {
        tail += share[s] + (s > offset ? share[s - 1] : 0);
        if (tail > (1 - confidence) / 2) break;
        left_out++;
    }
    out->estimate = statistics_median(differences, count);
    const bool enough = left_out > 0 && 2 * left_out <= count;
    out->low = enough ? differences[left_out - 1] : -INFINITY;
    out->high = enough ? differences[count - left_out] : INFINITY;
}

// ---- Pairs ----

static int by_size(const void *a, const void *b) {
    const double x = fabs(*(const double *)a), y = fabs(*(const double *)b);
    return (x > y) - (x < y);
}

static bool test_pairs(double *by, size_t n, struct shift *out) {
    size_t twice[STATISTICS_MOST] = {0}, some = 0, sum = 0, most = 0;
    double sizes[STATISTICS_MOST];
    qsort(by, n, sizeof *by, by_size);
    for (size_t i = 0; i < n; i++)
        if (fabs(by[i]) > 0) by[some++] = by[i];
    for (size_t i = 0; i < some; i++) sizes[i] = fabs(by[i]);
    rank_twice(sizes, some, twice);
    for (size_t i = 0; i < some; i++) {
        most += twice[i];
        if (by[i] > 0) sum += twice[i];
    }
    double *share = share_of_sums(twice, some, some + 1, most);
    if (!share) return false;
    out->above = fmin(1, sum_between(share, sum, most));
    out->below = fmin(1, sum_between(share, 0, sum));
    free(share);
    return true;
}

static bool bound_pairs(const double *d, size_t n, double confidence, struct shift *out) {
    size_t twice[STATISTICS_MOST] = {0};
    for (size_t i = 0; i < n; i++) twice[i] = 2 * (i + 1);
    const size_t count = n * (n + 1) / 2;
    double *means = calloc(count, sizeof *means), *share = share_of_sums(twice, n, n + 1, 2 * count);
    const bool ok = means && share;
    if (ok) {
        size_t at = 0;
        for (size_t i = 0; i < n; i++)
            for (size_t k = i; k < n; k++) means[at++] = 0.5 * (d[i] + d[k]);
        bound(means, count, share, 0, 2 * count, confidence, out);
    }
    free(means);
    free(share);
    return ok;
}

bool statistics_of_pairs(const double *differences, size_t n, double confidence, struct shift *out) {
    double copy[STATISTICS_MOST];
    memcpy(copy, differences, n * sizeof *copy);
    return test_pairs(copy, n, out) && bound_pairs(differences, n, confidence, out);
}

// ---- Samples ----

struct labelled {
    double value;
    bool second;
};

static int by_value(const void *a, const void *b) {
    const struct labelled *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

static bool test_samples(const double *a, size_t na, const double *b, size_t nb, struct shift *out) {
    struct labelled all[2 * STATISTICS_MOST];
    double values[2 * STATISTICS_MOST];
    size_t twice[2 * STATISTICS_MOST] = {0}, sum = 0, most = 0;
    for (size_t i = 0; i < na; i++) all[i] = (struct labelled){a[i], false};
    for (size_t i = 0; i < nb; i++) all[na + i] = (struct labelled){b[i], true};
    qsort(all, na + nb, sizeof *all, by_value);
    for (size_t i = 0; i < na + nb; i++) values[i] = all[i].value;
    rank_twice(values, na + nb, twice);
    for (size_t i = 0; i < na + nb; i++) {
        if (all[i].second) sum += twice[i];
        if (i >= na) most += twice[i];
    }
    double *share = share_of_sums(twice, na + nb, nb, most);
    if (!share) return false;
    out->above = fmin(1, sum_between(share, sum, most));
    out->below = fmin(1, sum_between(share, 0, sum));
    free(share);
    return true;
}

static bool bound_samples(const double *a, size_t na, const double *b, size_t nb, double confidence,
                          struct shift *out) {
    size_t twice[2 * STATISTICS_MOST] = {0}, most = 0, count = na * nb;
    for (size_t i = 0; i < na + nb; i++) {
        twice[i] = 2 * (i + 1);
        if (i >= na) most += twice[i];
    }
    double *differences = calloc(count, sizeof *differences), *share = share_of_sums(twice, na + nb, nb, most);
    const bool ok = differences && share;
    if (ok) {
        for (size_t i = 0; i < na; i++)
            for (size_t k = 0; k < nb; k++) differences[i * nb + k] = b[k] - a[i];
        bound(differences, count, share, nb * (nb + 1), most, confidence, out);
    }
    free(differences);
    free(share);
    return ok;
}

bool statistics_of_samples(const double *a, size_t na, const double *b, size_t nb, double confidence,
                           struct shift *out) {
    return test_samples(a, na, b, nb, out) && bound_samples(a, na, b, nb, confidence, out);
}
