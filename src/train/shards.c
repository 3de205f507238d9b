// SPDX-License-Identifier: MIT
// These functions cut by whole numbers alone: part i of p of n things begins at thing n * i / p.
#include "train/shards.h"

static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t part_first(size_t n, size_t parts, size_t i) { return n * i / parts; }

// The part that thing `at` is in: the last that begins at or before it.
static size_t part_of(size_t n, size_t parts, size_t at) { return ((at + 1) * parts - 1) / n; }

// ---- The cut ----

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

// ---- The schedule ----

enum { LEAST_SHARDS = 8 };      // of a worker, beyond which no more blocks are opened for it
enum { GROUPED_PERCENT = 113 }; // of the samples of the busiest worker that whole groups may cost

// Shards that the worker with the most tasks takes, where `open` blocks are in tasks of `task_shards`.
static size_t most_shards(const struct shk_cut *c, size_t open, size_t task_shards, unsigned workers) {
    return divide_up(open * divide_up(c->shards, task_shards), workers) * task_shards;
}

// The best multiple of `unit` up to `most`, the largest of equally good ones.
static size_t best_task(const struct shk_cut *c, size_t open, size_t unit, size_t most, unsigned workers) {
    size_t best = unit;
    for (size_t n = 2 * unit; n <= most && n <= c->shards; n += unit)
        if (most_shards(c, open, n, workers) <= most_shards(c, open, best, workers)) best = n;
    return best;
}

static size_t best_open(const struct shk_cut *c, unsigned workers) {
    size_t best = 1, best_most = 0;
    for (size_t open = 1; open <= c->blocks; open *= 2) {
        // Of samples, of a round.
        const size_t most = divide_up(most_shards(c, open, 1, workers) * divide_up(c->n, c->blocks), c->shards);
        if (open == 1 || most * best < best_most * open) {
            best = open;
            best_most = most;
        }
        if (100 * most * workers * c->blocks <= 103 * c->n * open || open * c->shards >= LEAST_SHARDS * (size_t)workers)
            break;
    }
    return best;
}

// No round opens more: a block of several has at least half of SHK_BLOCK_SAMPLES.
static size_t most_open(size_t n, size_t shards, unsigned workers) {
    const size_t blocks = shk_cut_of(n, shards).blocks;
    const size_t least = shards < SHK_BLOCK_SAMPLES / 2 ? shards : SHK_BLOCK_SAMPLES / 2;
    size_t open = 1;
    while (open < blocks && open * least < LEAST_SHARDS * (size_t)workers) open *= 2;
    return open;
}

size_t shk_most_round(size_t n, size_t shards, unsigned workers) {
    const size_t most = most_open(n, shards, workers) * SHK_BLOCK_SAMPLES;
    return n < most ? n : most;
}

size_t shk_most_round_shards(size_t n, size_t shards, unsigned workers) {
    const size_t block = n < SHK_BLOCK_SAMPLES ? n : SHK_BLOCK_SAMPLES;
    return most_open(n, shards, workers) * (shards < block ? shards : block);
}

struct shk_schedule shk_schedule_of(const struct shk_cut *c, size_t slice, unsigned workers) {
    const size_t block = divide_up(c->n, c->blocks), fit = slice * c->shards / block;
    struct shk_schedule s = {.open = best_open(c, workers)};
    s.task_shards = best_task(c, s.open, 1, fit, workers);
    if (fit) {
        const size_t groups = best_task(c, s.open, c->group_shards, fit, workers);
        s.grouped = 100 * most_shards(c, s.open, groups, workers) <=
                    GROUPED_PERCENT * most_shards(c, s.open, s.task_shards, workers);
        if (s.grouped) s.task_shards = groups;
    }
    s.tasks = s.open * divide_up(c->shards, s.task_shards);
    return s;
}

size_t shk_task_first(const struct shk_cut *c, const struct shk_schedule *s, size_t round, size_t task) {
    const size_t tasks = s->tasks / s->open; // of a block
    return (round * s->open + task / tasks) * c->shards + task % tasks * s->task_shards;
}

size_t shk_slice_end(const struct shk_cut *c, bool grouped, size_t slice, size_t start, size_t end) {
    const size_t left = end - start, equal = start + divide_up(left, divide_up(left, slice));
    return grouped && equal < end ? shk_shard_first(c, shk_shard_of(c, equal)) : equal;
}

// The sample with which the share of a worker begins; of one past the last, that at which the round ends.
static size_t share_first(const struct shk_cut *c, const struct shk_schedule *s, size_t round, unsigned workers,
                          unsigned worker) {
    return shk_shard_first(c, shk_task_first(c, s, round, part_first(s->tasks, workers, worker)));
}

size_t shk_most_samples(const struct shk_cut *c, const struct shk_schedule *s, unsigned workers) {
    size_t sum = 0;
    for (size_t round = 0; round < c->blocks / s->open; round++) {
        size_t most = 0;
        for (unsigned w = 0; w < workers; w++) {
            const size_t samples = share_first(c, s, round, workers, w + 1) - share_first(c, s, round, workers, w);
            if (samples > most) most = samples;
        }
        sum += most;
    }
    return sum;
}
