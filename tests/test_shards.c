// SPDX-License-Identifier: MIT
// Tests how a batch is cut and scheduled. With arguments it prints what workers take instead, of 1 to 96 of
// them:
//   test_shards SLICE BATCH...
// By columns: rounds, blocks of a round, the gradient buffers that these fill, the samples of the first
// slice, those that the busiest worker takes in all rounds, and what it would take if all took the same, over
// that.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/shards.h"
#include <stdio.h>
#include <stdlib.h>

enum { MOST_SAMPLES = 65536, TABLE_WORKERS = 96 };

// Calls `check` for many batches: all small ones, and some around what is a limit somewhere.
static void each_cut(void (*check)(const struct shk_cut *)) {
    static const size_t shards[] = {1, 7, 9, 24, 63, 64, 128, 129, 256};
    for (size_t n = 1; n <= MOST_SAMPLES; n += n < 70 ? 1 : n < 530 ? 7 : n < 2200 ? 97 : n / 2) {
        for (size_t i = 0; i < sizeof shards / sizeof *shards; i++) {
            struct shk_cut c = shk_cut_of(n, shards[i]);
            check(&c);
        }
    }
    static const size_t limits[] = {511, 512, 513, 1023, 1024, 1025, 4096, 65535, MOST_SAMPLES};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct shk_cut c = shk_cut_of(limits[i], SHK_DEFAULT_SHARDS);
        check(&c);
    }
}

static void check_cut(const struct shk_cut *c) {
    const size_t shards = c->blocks * c->shards, groups = c->blocks * c->groups;
    assert_int_equal(c->blocks & (c->blocks - 1), 0);
    assert_true(c->groups <= SHK_MAX_GROUPS && c->shards >= 1);
    for (size_t b = 0; b < c->blocks; b++) {
        const size_t first = shk_block_first(c, b), samples = shk_block_first(c, b + 1) - first;
        assert_int_equal(first, shk_shard_first(c, b * c->shards));
        assert_true(samples <= SHK_BLOCK_SAMPLES && samples >= c->shards);
        assert_true(c->blocks == 1 || samples >= SHK_BLOCK_SAMPLES / 2);
    }
    size_t sample = 0, shard = 0;
    for (size_t s = 0; s < shards; s++) {
        const size_t end = shk_shard_first(c, s + 1);
        assert_true(sample == shk_shard_first(c, s) && end > sample);
        for (; sample < end; sample++) assert_int_equal(shk_shard_of(c, sample), s);
    }
    assert_int_equal(sample, c->n);
    for (size_t g = 0; g < groups; g++) {
        const size_t end = shk_group_first(c, g + 1);
        assert_true(shard == shk_group_first(c, g) && end > shard && end - shard <= c->group_shards);
        assert_int_equal(shard / c->shards, (end - 1) / c->shards);
        for (; shard < end; shard++) assert_int_equal(shk_group_of(c, shard), g);
    }
    assert_int_equal(shard, shards);
}

static void test_cut(void **state) {
    (void)state;
    each_cut(check_cut);
    struct shk_cut c = shk_cut_of(64, SHK_DEFAULT_SHARDS);
    assert_memory_equal(&c, (&(struct shk_cut){64, 1, 64, 8, 8}), sizeof c);
    c = shk_cut_of(100, 24);
    assert_memory_equal(&c, (&(struct shk_cut){100, 1, 24, 8, 3}), sizeof c);
    c = shk_cut_of(257, SHK_DEFAULT_SHARDS);
    assert_memory_equal(&c, (&(struct shk_cut){257, 2, 64, 8, 8}), sizeof c);
    c = shk_cut_of(257, 256);
    assert_memory_equal(&c, (&(struct shk_cut){257, 2, 128, 8, 16}), sizeof c);
    c = shk_cut_of(5, SHK_DEFAULT_SHARDS);
    assert_memory_equal(&c, (&(struct shk_cut){5, 1, 5, 5, 1}), sizeof c);
}

// The sums of 2^k blocks, written as a tree: each is of two of the same height, and the last is of all.
static void test_merges(void **state) {
    (void)state;
    for (size_t blocks = 1; blocks <= 256; blocks *= 2) {
        struct {
            size_t first, end;
        } level[16], sum = {0};
        for (size_t b = 0; b < blocks; b++) {
            sum.first = b;
            sum.end = b + 1;
            unsigned l = 0;
            for (; l < shk_block_merges(b); l++) {
                assert_true(level[l].end == sum.first && level[l].end - level[l].first == sum.end - sum.first);
                sum.first = level[l].first;
            }
            level[l] = sum;
        }
        assert_true(sum.first == 0 && sum.end == blocks);
    }
}

static const unsigned some_workers[] = {1, 2, 3, 4, 5, 7, 8, 12, 16, 24, 32, 48, 64, 96, 127, 1024};
static const size_t some_slices[] = {1, 3, 8, 16, 32};
enum {
    SOME_WORKERS = sizeof some_workers / sizeof *some_workers,
    SOME_SLICES = sizeof some_slices / sizeof *some_slices
};

// The slices of a task are not empty, none is too large, and where it is grouped none cuts a shard.
static void check_slices(const struct shk_cut *c, bool grouped, size_t slice, size_t start, size_t end) {
    for (size_t next; start < end; start = next) {
        next = shk_slice_end(c, grouped, slice, start, end);
        assert_true(next > start && next - start <= slice && next <= end);
        if (grouped) assert_int_equal(shk_shard_first(c, shk_shard_of(c, start)), start);
    }
}

// Every shard is in one task, in order; none is of two blocks.
static void check_tasks(const struct shk_cut *c, const struct shk_schedule *s, size_t slice) {
    size_t shard = 0;
    for (size_t round = 0; round < c->blocks / s->open; round++) {
        for (size_t t = 0; t < s->tasks; t++) {
            const size_t end = shk_task_first(c, s, round, t + 1);
            assert_true(shard == shk_task_first(c, s, round, t) && end > shard);
            assert_int_equal(shard / c->shards, (end - 1) / c->shards);
            if (s->grouped) assert_int_equal(shk_group_first(c, shk_group_of(c, shard)), shard);
            check_slices(c, s->grouped, slice, shk_shard_first(c, shard), shk_shard_first(c, end));
            shard = end;
        }
    }
    assert_int_equal(shard, c->blocks * c->shards);
}

static void check_schedule(const struct shk_cut *c) {
    for (int i = 0; i < SOME_WORKERS * SOME_SLICES; i++) {
        const unsigned workers = some_workers[i / SOME_SLICES];
        const size_t slice = some_slices[i % SOME_SLICES];
        struct shk_schedule s = shk_schedule_of(c, slice, workers, false, SIZE_MAX);
        assert_true((s.open & (s.open - 1)) == 0 && c->blocks % s.open == 0);
        assert_true(s.open == 1 || s.open / 2 * c->shards < 8 * workers);
        check_tasks(c, &s, slice);
    }
}

static void test_schedule(void **state) {
    (void)state;
    each_cut(check_schedule);
}

// With the buffers for the largest batch all smaller ones can be scheduled, on fewer workers too; their own are those of the
// largest, or of as many blocks by groups.
static void check_buffers(size_t n, size_t shards, size_t slice, unsigned workers, bool whole) {
    const size_t buffers = shk_most_buffers(n, shards, slice, workers, whole);
    for (size_t less = 1; less <= n; less += less < 70 || n - less < 5 ? 1 : n / 23) {
        for (unsigned w = workers; w; w /= 3) {
            const struct shk_cut c = shk_cut_of(less, shards);
            const struct shk_schedule s = shk_schedule_of(&c, slice, w, whole, buffers);
            assert_true(shk_schedule_buffers(&c, &s) <= buffers);
            check_tasks(&c, &s, slice);
        }
    }
}

static void test_buffers(void **state) {
    (void)state;
    static const size_t batches[] = {1, 9, 64, 100, 256, 257, 300, 512, 1025, 4096}, shards[] = {1, 9, 64, 129, 256};
    static const unsigned workers[] = {1, 2, 5, 8, 12, 64};
    for (size_t i = 0; i < 10 * 5 * 6 * SOME_SLICES; i++)
        check_buffers(batches[i % 10], shards[i / 10 % 5], some_slices[i / 300], workers[i / 50 % 6], i % 7 == 0);
    assert_int_equal(shk_most_buffers(64, 64, 32, 2, false), 8);
    assert_int_equal(shk_most_buffers(64, 64, 32, 12, false), 64); // eight groups are too few for twelve
    assert_int_equal(shk_most_buffers(1024, 64, 32, 2, true), 4 * 8);
}

// What is held hangs on the workers, not on the batch: one block on up to 8, and at most as many as give each
// 8 shards.
static void test_open(void **state) {
    (void)state;
    for (unsigned workers = 1; workers <= 1024; workers++) {
        struct shk_cut c = shk_cut_of(MOST_SAMPLES, SHK_DEFAULT_SHARDS);
        struct shk_schedule s = shk_schedule_of(&c, 16, workers, false, SIZE_MAX);
        assert_true(workers > 8 || s.open == 1);
        assert_true(s.open * 64 < 16 * workers || s.open == 1);
    }
}

static size_t most_of(size_t n, size_t slice, unsigned workers) {
    struct shk_cut c = shk_cut_of(n, SHK_DEFAULT_SHARDS);
    struct shk_schedule s = shk_schedule_of(&c, slice, workers, false, SIZE_MAX);
    return shk_most_samples(&c, &s, workers);
}

static double efficiency(size_t n, size_t slice, unsigned workers) {
    return (double)n / workers / (double)most_of(n, slice, workers);
}

// Workers find work.
static void test_work(void **state) {
    (void)state;
    static const unsigned common[] = {8, 12, 16, 24, 32, 64};
    for (size_t i = 0; i < SOME_SLICES; i++) {
        const size_t slice = some_slices[i];
        for (size_t w = 0; w < sizeof common / sizeof *common; w++) {
            assert_true(efficiency(64, slice, common[w]) >= 0.88);
            assert_true(efficiency(256, slice, common[w]) >= 0.88);
            assert_true(efficiency(1024, slice, common[w]) >= 0.969); // at 12 and 24: 32/33
        }
        assert_true(efficiency(1024, slice, 48) >= 0.88 && efficiency(1024, slice, 96) >= 0.88);
        for (unsigned workers = 1; workers <= TABLE_WORKERS; workers++)
            assert_true(efficiency(1024, slice, workers) >= 0.75);
    }
}

static void print_row(size_t n, size_t slice, unsigned workers) {
    struct shk_cut c = shk_cut_of(n, SHK_DEFAULT_SHARDS);
    struct shk_schedule s = shk_schedule_of(&c, slice, workers, false, SIZE_MAX);
    const size_t end = shk_shard_first(&c, shk_task_first(&c, &s, 0, 1));
    printf("| %zu | %u | %zu | %zu | %zu | %zu | %zu | %.3f |\n", n, workers, c.blocks / s.open, s.open,
           shk_schedule_buffers(&c, &s), shk_slice_end(&c, s.grouped, slice, 0, end), shk_most_samples(&c, &s, workers),
           efficiency(n, slice, workers));
}

static int print_table(size_t slice, int batches, char **batch) {
    printf("| batch | workers | rounds | blocks | gradient buffers | slice | most samples | ideal over most |\n");
    printf("|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < batches; i++) {
        const size_t n = strtoul(batch[i], NULL, 10);
        if (n < 1 || n > MOST_SAMPLES || slice < 1) return 2;
        for (unsigned workers = 1; workers <= TABLE_WORKERS; workers++) print_row(n, slice, workers);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 2) return print_table(strtoul(argv[1], NULL, 10), argc - 2, argv + 2);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cut),      cmocka_unit_test(test_merges),
                                       cmocka_unit_test(test_schedule), cmocka_unit_test(test_buffers),
                                       cmocka_unit_test(test_open),     cmocka_unit_test(test_work)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
