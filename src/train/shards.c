// SPDX-License-Identifier: MIT
// Blocks are opened, and shards dealt out, so that workers idle little.
#include "train/shards.h"

#include <stdint.h>

static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t part_first(size_t n, size_t parts, size_t i) { return n * i / parts; }

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

size_t shk_most_round(size_t n, size_t shards, unsigned workers, bool whole) {
    if (whole) return n;
    const size_t most = most_open(n, shards, workers) * SHK_BLOCK_SAMPLES;
    return n < most ? n : most;
}

struct shk_schedule shk_schedule_of(const struct shk_cut *c, size_t slice, unsigned workers, bool whole,
                                    size_t buffers) {
    const size_t block = divide_up(c->n, c->blocks), fit = slice * c->shards / block;
    struct shk_schedule s = {.open = whole ? c->blocks : best_open(c, workers)};
    s.task_shards = best_task(c, s.open, 1, fit, workers);
    if (fit) {
        const size_t groups = best_task(c, s.open, c->group_shards, fit, workers);
        s.grouped = 100 * most_shards(c, s.open, groups, workers) <=
                        GROUPED_PERCENT * most_shards(c, s.open, s.task_shards, workers) ||
                    s.open * c->shards > buffers;
        if (s.grouped) s.task_shards = groups;
    }
    s.tasks = s.open * divide_up(c->shards, s.task_shards);
    return s;
}

size_t shk_schedule_buffers(const struct shk_cut *c, const struct shk_schedule *s) {
    return s->open * (s->grouped ? c->groups : c->shards);
}

// Whether a slice holds a shard, of any batch of at most n samples.
static bool shards_fit(size_t n, size_t shards, size_t slice) {
    if (n <= SHK_BLOCK_SAMPLES) return slice * shards >= n;
    return slice * (shards < SHK_BLOCK_SAMPLES / 2 ? shards : SHK_BLOCK_SAMPLES / 2) >= SHK_BLOCK_SAMPLES;
}

size_t shk_most_buffers(size_t n, size_t shards, size_t slice, unsigned workers, bool whole) {
    const struct shk_cut cut = shk_cut_of(n, shards);
    const struct shk_schedule s = shk_schedule_of(&cut, slice, workers, whole, SIZE_MAX);
    const size_t open = whole ? cut.blocks : most_open(n, shards, workers), used = shk_schedule_buffers(&cut, &s);
    const size_t block = n < SHK_BLOCK_SAMPLES ? n : SHK_BLOCK_SAMPLES, most = shards < block ? shards : block;
    if (!shards_fit(n, shards, slice)) return open * most;
    const size_t groups = open * (most < SHK_MAX_GROUPS ? most : SHK_MAX_GROUPS);
    return used > groups ? used : groups;
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
