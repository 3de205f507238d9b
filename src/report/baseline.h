// SPDX-License-Identifier: MIT
// Finds stored runs that a fresh one can be compared with, and says of each benchmark whether it has become slower.
#ifndef SHK_REPORT_BASELINE_H
#define SHK_REPORT_BASELINE_H

#include "base/names.h"
#include "report/comparison.h"
#include "report/store.h"

enum { BASELINE_RUNS = 3 }; // so many stored runs at least tell what the weather does from one to the next

struct baseline {
    const struct store_run *run;
    const struct measured_benchmark *base;
    size_t index; // of the fresh benchmark
    size_t runs;  // stored ones that measured the same; filled by baselines_judge
};

// Which run is asked for: "last", "best" (of each benchmark the fastest), or a name, of which the last one counts. Those of other machines
// count for a name alone, or where `anyway` is set and this one has none.
struct baseline_request {
    const char *which, *folder; // the folder is for sentences
    bool anyway;                // what is different is a sentence in `notes`, not an error
};
// out: [fresh->count]. *count: how many benchmarks there are to compare; each that has none is a sentence in `notes`.
bool baselines_choose(const struct store *, const struct measured *fresh, const struct baseline_request *,
                      struct baseline *out, size_t *count, struct shk_names *notes, struct shk_error *);
// `fresh` has the benchmarks of the choice, in the same order. out: [count]; their noise is three times the median change from one stored
// run that measured the same to the next, where there are BASELINE_RUNS of them. threshold: as a part. False: out of memory.
bool baselines_judge(const struct store *, const struct measured *fresh, double threshold, struct baseline *,
                     size_t count, struct comparison *out);

#endif
