// SPDX-License-Identifier: MIT
// Rank statistics of small samples, exact, for comparisons of measurements.
#ifndef SHK_REPORT_STATISTICS_H
#define SHK_REPORT_STATISTICS_H

#include <stdbool.h>
#include <stddef.h>

enum { STATISTICS_MOST = 200 }; // values of a sample

// Of a sample: where its middle is, and how likely it is that it lies there by chance.
struct shift {
    double estimate;  // Hodges and Lehmann's: the median of all means of two values (1963)
    double low, high; // between these it lies with at least the confidence that was asked for; infinite: too few values
    double above,
        below; // how likely ranks this extreme are, were the middle 0: one-sided, towards greater and lower values
};
// Wilcoxon's signed-rank test (1945) of n differences of pairs, 1 <= n <= STATISTICS_MOST, with its exact distribution; differences
// of 0 say nothing and equal ones share their ranks. confidence: 0 < c < 1. False: out of memory.
bool statistics_of_pairs(const double *differences, size_t n, double confidence, struct shift *out);
// Mann and Whitney's test (1947) of two independent samples, likewise; the shift is that of b against a.
bool statistics_of_samples(const double *a, size_t na, const double *b, size_t nb, double confidence,
                           struct shift *out);

// Holm's correction (1979) of n probabilities, in place: what of them stays below a level is wrong nowhere with that probability.
void statistics_holm(double *probabilities, size_t n);

double statistics_median(double *values, size_t n); // n > 0; sorts them

#endif
