// SPDX-License-Identifier: MIT
// Two programs run their benchmarks in turns, round by round, until it is clear of each which one is slower.
#ifndef SHK_CLI_CONTEST_H
#define SHK_CLI_CONTEST_H

#include "cli/contender.h"
#include "cli/progress.h"
#include "report/comparison.h"
#include <stdint.h>

struct contest_options {
    struct contestant base, new;
    double threshold;                     // a part
    double seconds;                       // of all rounds, but COMPARISON_ROUNDS at least
    bool anyway;                          // what cannot be compared is, with a warning
    const struct shk_run_settings *shown; // how far it is
};
struct contest {
    const struct contest_options *options;
    struct contender **contender;  // while they run
    json_t *facts;                 // of the base program's first start
    struct subject *subject;       // [count]
    const char **name;             // [count]
    struct comparison *comparison; // [count]
    size_t count, rounds;
    uint64_t random;
    double begun; // on the clock
    struct progress *progress;
};
// Ends the program in one sentence where the two cannot be compared. The options must outlive it.
struct contest contest_hold(const struct contest_options *);
void contest_free(struct contest *);

// The end where two measurements differ in `what`; with `anyway`, a warning.
void contest_must_agree(bool differ, const char *what, bool anyway);

#endif
