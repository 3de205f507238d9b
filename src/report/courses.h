// SPDX-License-Identifier: MIT
// The course of each benchmark through the runs of a store, and where it stepped.
#ifndef SHK_REPORT_COURSES_H
#define SHK_REPORT_COURSES_H

#include "report/changes.h"
#include "report/store.h"

struct course_point {
    const struct store_run *run;
    const struct measured_benchmark *of;
    double rate;      // samples/s, or steps/s where samples are not known: of the median repetition
    double low, high; // a quarter of the repetitions is lower, and a quarter higher
};
// Of one benchmark on one machine, with one source of data.
struct course {
    const char *machine, *name, *data;
    bool by_cpu;  // rates are those of the thread's CPU time: every run has one thread and says it
    bool samples; // rates are samples/s
    size_t count, change_count;
    struct course_point *point;
    struct change *change; // of rates
};
struct courses {
    struct course *course;
    size_t count;
};

bool courses_make(const struct store *, struct courses *out, struct shk_error *);
void courses_free(struct courses *);
// Keeps those for which `keeps` says so, and finds their changes: of all of them together one is there by chance with a probability of at
// most 0.05.
bool courses_find_changes(struct courses *, bool (*keeps)(const struct course *, const void *), const void *,
                          struct shk_error *);
const struct change *course_change_at(const struct course *, size_t point); // NULL: there is none
// What else is new in a run since the one before: "flags, microcode"; "": nothing that is known.
enum { COURSE_NEWS = 200 };
void course_news(const struct course *, size_t point, char out[COURSE_NEWS]);

#endif
