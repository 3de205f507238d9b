// SPDX-License-Identifier: MIT
// This says how a batch is cut: which samples' sums are added up with which. It follows from the batch and a setting, and the bits
// hang on it.
#ifndef SHK_NN_PLAN_CUT_H
#define SHK_NN_PLAN_CUT_H

#include <stddef.h>

// A block of 64 samples or more has 64 shards in 8 groups: enough that 64 workers find a sample each, and so
// few groups that workers who take whole ones need 8 buffers for the gradients. Larger batches have more
// blocks.
enum { SHK_BLOCK_SAMPLES = 256, SHK_DEFAULT_SHARDS = 64, SHK_MAX_GROUPS = 8 };

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

#endif
