// SPDX-License-Identifier: MIT
// metrics.jsonl: a line of JSON for every n-th step, {"epoch", "step", "loss"}, and one for every epoch, {"epoch", "train_loss",
// "test_loss", "test_accuracy", "best", "seconds", "samples_per_second"}.
#ifndef SHK_REPORT_METRICS_H
#define SHK_REPORT_METRICS_H

#include <shikaku/shikaku.h>

struct metrics;
// Opens the file to go on from a position: lines of later steps and epochs are dropped, and what is no whole line after
// them. A file that is not there is made.
struct metrics *metrics_open(const char *path, struct shk_position at, struct shk_error *);
void metrics_close(struct metrics *);
// A line that cannot be written whole is taken back.
bool metrics_step(struct metrics *, const struct shk_step *, struct shk_error *);
bool metrics_epoch(struct metrics *, const struct shk_epoch *, struct shk_error *);
bool metrics_sync(struct metrics *, struct shk_error *); // to the disk

// How many bytes of the lines stay at that position. False where a line that would stay comes after one that is none.
bool metrics_keep(const char *text, size_t size, struct shk_position at, const char *path, size_t *keep,
                  struct shk_error *);

#endif
