// SPDX-License-Identifier: MIT
// Runs the benchmarks of two programs in turns: blocks too short for the weather to change between them.
#include "cli/contest.h"

#include "base/clock.h"
#include "cli/common.h"
#include "report/agreement.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BASE, NEW, AGAIN, CONTENDERS };

struct subject {
    size_t index[CONTENDERS], steps; // of a block
    double *block[CONTENDERS];       // [blocks]: seconds a step
};

enum { BLOCKS = 12, MOST_ROUNDS = 60 }; // of a benchmark in a round; rounds at most
static const double block_seconds = 0.02;

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

// The programs begin beside each other; each round has new ones, since where a program's memory lies changes its speed.
static void start_all(struct contest *c) {
    const struct contest_options *o = c->options;
    for (int i = 0; i < CONTENDERS; i++) c->contender[i] = contender_start(i == NEW ? &o->new : &o->base);
    for (int i = 0; i < CONTENDERS; i++) contender_facts(c->contender[i]);
}

static void stop_all(struct contest *c) {
    for (int i = 0; i < CONTENDERS; i++) contender_stop(c->contender[i]);
}

// ---- What may be compared ----

static bool find(const json_t *facts, const char *name, size_t *index) {
    const json_t *each;
    size_t i;
    json_array_foreach(json_object_get(facts, "benchmarks"), i, each) {
        if (strcmp(text_of(each, "name"), name) != 0) continue;
        *index = i;
        return true;
    }
    return false;
}

void contest_must_agree(bool differ, const char *what, bool anyway) {
    if (!differ) return;
    if (!anyway) cli_die(CLI_USAGE, "%s (--anyway compares them all the same)", what);
    cli_warn("%s", what);
}

// Programs of Google Benchmark do not say what they computed.
static void check_facts(const struct contest *c, const json_t *base, const json_t *new) {
    struct measured facts[2];
    struct shk_error error = {0};
    char what[AGREEMENT];
    if (c->options->base.google) return;
    if (!measured_from_json(base, c->options->base.program, &facts[0], &error) ||
        !measured_from_json(new, c->options->new.program, &facts[1], &error))
        cli_die_error(&error);
    contest_must_agree(contexts_differ(facts[0].context, facts[1].context, what), what, c->options->anyway);
    for (size_t i = 0; i < facts[0].count; i++) {
        const struct measured_benchmark *b = &facts[0].benchmark[i], *other = measured_find(&facts[1], b->name);
        if (other) contest_must_agree(benchmarks_differ(b, other, what), what, c->options->anyway);
    }
    for (int i = 0; i < 2; i++) measured_free(&facts[i]);
}

static size_t steps_of(const json_t *benchmark) {
    const double unit = strcmp(text_of(benchmark, "time_unit"), "us") == 0 ? 1e-6 : 1e-3;
    const double steps = ceil(block_seconds / (unit * json_number_value(json_object_get(benchmark, "real_time"))));
    return steps >= 1 ? (size_t)fmin(steps, 10000) : 1;
}

// All benchmarks that both have.
static void find_subjects(struct contest *c) {
    const json_t *base = contender_facts(c->contender[BASE]), *new = contender_facts(c->contender[NEW]), *each;
    size_t index;
    c->facts = json_deep_copy(base);
    if (!c->facts) cli_die(CLI_FAILED, "out of memory");
    check_facts(c, base, new);
    const json_t *benchmarks = json_object_get(c->facts, "benchmarks");
    c->subject = cli_room(json_array_size(benchmarks), sizeof *c->subject);
    c->name = cli_room(json_array_size(benchmarks), sizeof *c->name);
    c->comparison = cli_room(json_array_size(benchmarks), sizeof *c->comparison);
    json_array_foreach(benchmarks, index, each) {
        struct subject *s = &c->subject[c->count];
        const char *name = c->name[c->count] = text_of(each, "name");
        if (!find(new, name, &s->index[NEW])) {
            cli_warn("%s has no benchmark %s, which is left out", c->options->new.program, name);
            continue;
        }
        s->index[BASE] = s->index[AGAIN] = index;
        for (int i = 0; i < CONTENDERS; i++) s->block[i] = cli_room(BLOCKS, sizeof(double));
        s->steps = steps_of(each);
        c->count++;
    }
    if (!c->count) cli_die(CLI_USAGE, "the programs have no benchmark in common");
}

// ---- Rounds ----

static unsigned draw(struct contest *c, unsigned below) { // linear congruential, Knuth's MMIX
    c->random = c->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((c->random >> 33) % below);
}

// The three of them in random order, close together.
static void run_block(struct contest *c, struct subject *s, size_t block) {
    int order[CONTENDERS] = {BASE, NEW, AGAIN};
    for (unsigned i = CONTENDERS; i-- > 1;) {
        const unsigned k = draw(c, i + 1);
        const int swap = order[i];
        order[i] = order[k];
        order[k] = swap;
    }
    for (int i = 0; i < CONTENDERS; i++) {
        s->block[order[i]][block] = contender_run(c->contender[order[i]], s->index[order[i]], s->steps);
    }
}

static double middle_ratio(const double *above, const double *below, size_t blocks) {
    double logs[BLOCKS];
    for (size_t i = 0; i < blocks; i++) logs[i] = log(above[i] / below[i]);
    return statistics_median(logs, blocks);
}

// It ends before its time where all is clear, and behind it where that is too short.
static void show_time(struct contest *c) {
    const size_t passed = (size_t)(shk_seconds() - c->begun), last = c->progress->units - 1;
    c->progress->done = passed < last ? passed : last;
}

// The clear ones take part no longer.
static void run_round(struct contest *c) {
    // A program of Google Benchmark runs as long as it likes, and starts anew for each block.
    const size_t blocks = c->options->base.google ? 1 : BLOCKS;
    for (size_t block = 0; block < blocks; block++) {
        for (size_t i = 0; i < c->count; i++)
            if (!c->comparison[i].clear) run_block(c, &c->subject[i], block);
        show_time(c);
    }
    for (size_t i = 0; i < c->count; i++) {
        struct comparison *r = &c->comparison[i];
        const struct subject *s = &c->subject[i];
        if (r->clear) continue;
        r->change[r->rounds] = middle_ratio(s->block[NEW], s->block[BASE], blocks);
        r->same[r->rounds++] = middle_ratio(s->block[AGAIN], s->block[BASE], blocks);
        if (!comparison_of_pairs(r)) cli_die(CLI_FAILED, "out of memory");
    }
}

static bool is_over(const struct contest *c, double begun, double longest) {
    bool all_clear = true;
    for (size_t i = 0; i < c->count; i++) all_clear = all_clear && c->comparison[i].clear;
    const bool enough = c->rounds >= COMPARISON_ROUNDS && shk_seconds() - begun + longest > c->options->seconds;
    return all_clear || enough || c->rounds == MOST_ROUNDS;
}

static void run_all(struct contest *c) {
    const double begun = shk_seconds();
    double longest = 0;
    struct progress progress = {.title = "bench-compare",
                                .unit = "second",
                                .parts = 1,
                                .units = (size_t)ceil(c->options->seconds),
                                .loss = (double)NAN};
    c->progress = &progress;
    c->begun = begun;
    progress_begin(&progress, c->options->shown);
    do {
        const double start = shk_seconds();
        start_all(c);
        if (c->rounds == 0) find_subjects(c);
        run_round(c);
        stop_all(c);
        c->rounds++;
        if (!comparisons_judge(c->comparison, c->count, c->options->threshold)) cli_die(CLI_FAILED, "out of memory");
        longest = fmax(longest, shk_seconds() - start);
    } while (!is_over(c, begun, longest));
    progress_end();
}

// ---- All of it ----

struct contest contest_hold(const struct contest_options *o) {
    struct contender *contenders[CONTENDERS];
    struct contest c = {.options = o, .contender = contenders, .random = (uint64_t)(1e6 * shk_seconds())};
    if (o->base.google != o->new.google)
        cli_die(CLI_USAGE, "%s is made with Google Benchmark, and %s is not: two of a kind can be compared",
                (o->base.google ? &o->base : &o->new)->program, (o->base.google ? &o->new : &o->base)->program);
    run_all(&c);
    c.contender = NULL;
    return c;
}

void contest_free(struct contest *c) {
    for (size_t i = 0; i < c->count; i++)
        for (int k = 0; k < CONTENDERS; k++) free(c->subject[i].block[k]);
    free(c->subject);
    free(c->comparison);
    free(c->name);
    json_decref(c->facts);
}
