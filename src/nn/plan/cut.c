// SPDX-License-Identifier: MIT
// These functions cut by whole numbers alone: part i of p of n things begins at thing n * i / p.
#include "nn/plan/cut.h"

static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t part_first(size_t n, size_t parts, size_t i) { return n * i / parts; }

// The part that thing `at` is in: the last that begins at or before it.
static size_t part_of(size_t n, size_t parts, size_t at) { return ((at + 1) * parts - 1) / n; }

struct shk_cut shk_cut_of(size_t n, size_t shards) {
    struct shk_cut c = {.n = n, .blocks = 1};
    while (divide_up(n, c.blocks) > SHK_BLOCK_SAMPLES) c.blocks *= 2;
    const size_t smallest = n / c.blocks;
    c.shards = shards < smallest ? shards : smallest;
    c.group_shards = divide_up(c.shards, SHK_MAX_GROUPS);
    c.groups = divide_up(c.shards, c.group_shards);
    return c;
}

size_t shk_block_first(const struct shk_cut *c, size_t block) { return part_first(c->n, c->blocks, block); }

size_t shk_shard_first(const struct shk_cut *c, size_t shard) {
    const size_t block = shard / c->shards, first = shk_block_first(c, block);
    return first + part_first(shk_block_first(c, block + 1) - first, c->shards, shard % c->shards);
}

size_t shk_group_first(const struct shk_cut *c, size_t group) {
    return group / c->groups * c->shards + group % c->groups * c->group_shards;
}

size_t shk_shard_of(const struct shk_cut *c, size_t sample) {
    const size_t block = part_of(c->n, c->blocks, sample), first = shk_block_first(c, block);
    return block * c->shards + part_of(shk_block_first(c, block + 1) - first, c->shards, sample - first);
}

size_t shk_group_of(const struct shk_cut *c, size_t shard) {
    return shard / c->shards * c->groups + shard % c->shards / c->group_shards;
}

unsigned shk_block_merges(size_t block) {
    unsigned merges = 0;
    for (; block % 2; block /= 2) merges++;
    return merges;
}
