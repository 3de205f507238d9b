// SPDX-License-Identifier: MIT
// A comparison of two programs as a text: for people, for a comment on a change (Markdown), for a build server (JUnit).
#ifndef SHK_REPORT_VERDICTS_H
#define SHK_REPORT_VERDICTS_H

#include "report/comparison.h"

struct verdicts {
    const char *base, *new; // programs or files
    double threshold;       // a part
    size_t count;
    const char *const *name; // [count]
    const struct comparison *comparison;
};
struct verdict_counts {
    size_t of[VERDICTS];
};
struct verdict_counts verdicts_count(const struct verdicts *);

// Texts to be freed, lines ended; NULL: out of memory. table: the last line says what the verdict is.
char *verdicts_table(const struct verdicts *);
char *verdicts_markdown(const struct verdicts *);
// A test case for each benchmark: what is slower has failed, what is too noisy to tell is skipped.
char *verdicts_junit(const struct verdicts *);

#endif
