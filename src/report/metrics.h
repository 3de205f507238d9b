// SPDX-License-Identifier: MIT
// metrics.jsonl: a line of JSON for every n-th step, {"epoch", "step", "loss"}, and one for every epoch, {"epoch", "train_loss",
// "val_loss", "val_accuracy", "best", "seconds", "samples_per_second"}, or "test_loss" and "test_accuracy" where there is no val.
#ifndef SHK_REPORT_METRICS_H
#define SHK_REPORT_METRICS_H

#include "report/folder.h"

struct metrics;
// Where a run is, and which lines it has up to there.
struct metrics_place {
    struct shk_position at;
    size_t steps, every; // of an epoch; from one line to the next
};
// Opens the file to go on from a position: lines of later steps and epochs are dropped, and a last one that is not whole; the file is
// written anew then. One that is not there is made.
struct metrics *metrics_open(const struct folder *, const struct metrics_place *, struct shk_error *);
const char *
metrics_warning(const struct metrics *); // a sentence about lines that are missing or out of order; NULL: none are
void metrics_close(struct metrics *);
// A line that cannot be written whole is taken back.
bool metrics_step(struct metrics *, const struct shk_step *, struct shk_error *);
// choice: "val" or "test", what the epoch's test was on.
bool metrics_epoch(struct metrics *, const struct shk_epoch *, const char *choice, struct shk_error *);
bool metrics_sync(struct metrics *, struct shk_error *); // to the disk

// Whether the file is still the one of that name in the folder.
bool metrics_stand(const struct metrics *);

// Those lines that stay at a place.
struct metrics_found {
    size_t keep;           // bytes
    size_t lines, lacking; // how many there must be, how many of them are not
    size_t epoch, step;    // the first one that is not; step 0: the epoch's own
    size_t odd; // the number of the first line that comes twice or out of order, or that no run writes; 0: none
};
// False where there is something that is no line of metrics, or lies before the place, but after lines that do not.
bool metrics_keep(const char *text, size_t size, const struct metrics_place *, const char *path, struct metrics_found *,
                  struct shk_error *);

#endif
