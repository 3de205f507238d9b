// SPDX-License-Identifier: MIT
// This is the schedule: who computes which part of a batch's cut (nn/plan/cut.h) when. It follows from the workers, and no bit
// hangs on it.
#ifndef SHK_TRAIN_SHARDS_H
#define SHK_TRAIN_SHARDS_H

#include "nn/plan/cut.h"
#include <stdbool.h>

// The blocks are taken in rounds of `open`, block by block into tasks of consecutive shards; a round's tasks
// are dealt out in equal shares, as shk_take does it.
struct shk_schedule {
    size_t open;        // blocks of a round: a power of two, which divides theirs
    size_t tasks;       // of a round, equally many of each block
    size_t task_shards; // of a task; of a block's last one what is left
    bool grouped;       // tasks are of whole groups, and slices of whole shards: a group has one buffer
};

// For workers who take at most `slice` samples through the ops at once. A round has as few blocks as keep the
// workers busy to within 3 %, or as keep them busiest, and not more than give each worker 8 shards: what is
// held does not grow with the batch. Tasks are as large as fit a slice while no worker has more to do for it;
// of whole groups, where that costs less than what it saves, or there are fewer `buffers` for gradients than shards. whole: all
// blocks are open, in one round.
struct shk_schedule shk_schedule_of(const struct shk_cut *, size_t slice, unsigned workers, bool whole, size_t buffers);
// How many buffers for gradients a round fills: of shards, or groups.
size_t shk_schedule_buffers(const struct shk_cut *, const struct shk_schedule *);

// The most samples of a round, for any batch of at most n samples: what there must be place for.
size_t shk_most_round(size_t n, size_t shards, unsigned workers, bool whole);
// Buffers for gradients with which every batch of at most n samples can be scheduled: as many as one of n takes. The last batch of
// an epoch is shorter, and may want one for each shard where the others have one for each group; so much is not held for it.
size_t shk_most_buffers(size_t n, size_t shards, size_t slice, unsigned workers, bool whole);

// The first shard of a round's task; of one past the last, the end of the round.
size_t shk_task_first(const struct shk_cut *, const struct shk_schedule *, size_t round, size_t task);
// Where the slice ends that begins at sample `start` of a task that ends before sample `end`. Slices are as
// equal as they can be; of whole shards where the task is grouped.
size_t shk_slice_end(const struct shk_cut *, bool grouped, size_t slice, size_t start, size_t end);

// The most samples that a worker takes in each round, added up over the rounds: what the batch takes, in
// samples, if nobody takes what is another's.
size_t shk_most_samples(const struct shk_cut *, const struct shk_schedule *, unsigned workers);

#endif
