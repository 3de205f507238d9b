// SPDX-License-Identifier: MIT
// Decides, from measurements in pairs, whether one program is slower than another.
#ifndef SHK_REPORT_COMPARISON_H
#define SHK_REPORT_COMPARISON_H

#include "report/statistics.h"

enum { COMPARISON_ROUNDS = 6 }; // at least: fewer have no interval of 0.95

enum verdict { VERDICT_NOT_SLOWER, VERDICT_SLOWER, VERDICT_TOO_NOISY, VERDICTS };

// One benchmark. Each round gives two logarithms of ratios of times: of the new program and the base one (above 0: the new one is
// slower), and of the base one and itself (A/A), which shows what the machine alone does to such a ratio.
struct comparison {
    size_t rounds;
    double change[STATISTICS_MOST], same[STATISTICS_MOST];
    struct shift shift, of_same; // of `change` and of `same`, at a confidence of 0.95
    double noise;                // what the machine alone may do: A/A lies so far from 0; 0: not known
    // Filled by comparisons_judge.
    double probability; // that ranks say this though the new one is not slower; corrected for all benchmarks
    enum verdict verdict;
    bool clear; // more rounds would hardly change it
};

// Fills in the shifts and the noise by signed ranks of the rounds. False: out of memory.
bool comparison_of_pairs(struct comparison *);
// Of times that were not measured in turns, by ranks of both; the noise is not known. At most STATISTICS_MOST of each.
bool comparison_of_samples(const double *base, size_t base_count, const double *new, size_t new_count,
                           struct comparison *out);
// threshold: as a part, 0.05 is 5 %. Slower is what takes longer by more than the threshold and the noise, where chance would say so of
// one benchmark of all with a probability of less than 0.05. Not slower is what takes longer by less than the threshold with a
// confidence of 0.975. False: out of memory.
bool comparisons_judge(struct comparison *, size_t count, double threshold);
const char *verdict_name(enum verdict);

#endif
