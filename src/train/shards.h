// SPDX-License-Identifier: MIT
// This says how a batch is cut. Which samples' gradients are added up with which is the cut: it follows from
// the batch and a setting, and the bits hang on it. Who computes them when is the schedule: it follows from
// the workers, and no bit does.
#ifndef SHK_TRAIN_SHARDS_H
#define SHK_TRAIN_SHARDS_H

#include <stdbool.h>
#include <stddef.h>

// A block of 64 samples or more has 64 shards in 8 groups: enough that 64 workers find a sample each, and so
// few groups that workers who take whole ones need 8 buffers for the gradients. Larger batches have more
// blocks.
enum { SHK_BLOCK_SAMPLES = 256, SHK_DEFAULT_SHARDS = 64, SHK_MAX_GROUPS = 8 };

// ---- The cut ----

// Gradients are added up in the order of samples within a shard, of shards within a group, of groups within a
// block. The blocks' are the leaves of a binary tree: shk_block_merges. Shards and groups are counted over
// the whole batch, block after block.
struct shk_cut {
    size_t n;            // samples
    size_t blocks;       // a power of two, the smallest of which no block has more than SHK_BLOCK_SAMPLES
    size_t shards;       // of each block: as many as are set, or a sample each where the smallest block has fewer
    size_t groups;       // of each block, at most SHK_MAX_GROUPS
    size_t group_shards; // of each group; of a block's last one what is left
};

// How n > 0 samples are cut into shards > 0 shards a block.
struct shk_cut shk_cut_of(size_t n, size_t shards);

// The first sample of a block or of a shard, and the first shard of a group; of one past the last, the end.
size_t shk_block_first(const struct shk_cut *, size_t block);
size_t shk_shard_first(const struct shk_cut *, size_t shard);
size_t shk_group_first(const struct shk_cut *, size_t group);
// The shard of a sample, the group of a shard.
size_t shk_shard_of(const struct shk_cut *, size_t sample);
size_t shk_group_of(const struct shk_cut *, size_t shard);

// How many sums a block completes: with sum = the block's gradients, sum = level[l] + sum for l = 0 ..
// merges-1, and then level[merges] = sum. After the last block this is the batch's sum.
unsigned shk_block_merges(size_t block);

// ---- The schedule ----

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
// of whole groups, where that costs less than what it saves.
struct shk_schedule shk_schedule_of(const struct shk_cut *, size_t slice, unsigned workers);

// The most samples and shards of a round, for any batch of at most n samples: what there must be place for.
size_t shk_most_round(size_t n, size_t shards, unsigned workers);
size_t shk_most_round_shards(size_t n, size_t shards, unsigned workers);

// The first shard of a round's task; of one past the last, the end of the round.
size_t shk_task_first(const struct shk_cut *, const struct shk_schedule *, size_t round, size_t task);
// Where the slice ends that begins at sample `start` of a task that ends before sample `end`. Slices are as
// equal as they can be; of whole shards where the task is grouped.
size_t shk_slice_end(const struct shk_cut *, bool grouped, size_t slice, size_t start, size_t end);

// The most samples that a worker takes in each round, added up over the rounds: what the batch takes, in
// samples, if nobody takes what is another's.
size_t shk_most_samples(const struct shk_cut *, const struct shk_schedule *, unsigned workers);

#endif
