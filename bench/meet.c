// SPDX-License-Identifier: MIT
// The rounds are those of a training step that computes nothing, taken by the team that would take it.
#include "meet.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/runtime.h"
#include "report/statistics.h"
#include <shikaku/shikaku.h>
#include <stdio.h>

enum { PIECE = 100 }; // rounds: short beside a time slice, so that most pieces are not interrupted
enum { LANES = 16 };  // words, read without waiting for each other

struct meetings {
    size_t tasks, words, pieces;
    unsigned spin;
    struct shk_barrier barrier;
    struct shk_share *shares[2]; // [workers]; of a round and of the next one
    uint64_t *memory;            // [words]
    double *seconds;             // [pieces]
};

static void run_round(struct meetings *m, size_t i, unsigned worker, unsigned workers) {
    for (size_t task; m->tasks && shk_take(m->shares[i % 2], m->tasks, worker, workers, &task);) continue;
    shk_share_reset(&m->shares[(i + 1) % 2][worker]);
    shk_barrier_wait(&m->barrier, workers, m->spin);
}

static void worker_meets(void *arg, unsigned worker, unsigned workers) {
    struct meetings *m = arg;
    shk_barrier_wait(&m->barrier, workers, m->spin);
    for (size_t piece = 0; piece < m->pieces; piece++) {
        double start = shk_seconds();
        for (size_t i = 0; i < PIECE; i++) run_round(m, i, worker, workers);
        if (worker == 0) m->seconds[piece] = (shk_seconds() - start) / PIECE;
    }
}

static void worker_reads(void *arg, unsigned worker, unsigned workers) {
    struct meetings *m = arg;
    for (size_t piece = 0; piece < m->pieces; piece++) {
        for (size_t i = m->words * worker / workers; i < m->words * (worker + 1) / workers; i++)
            m->memory[i] = piece + i;
        shk_barrier_wait(&m->barrier, workers, m->spin);
        double start = shk_seconds();
        uint64_t any[LANES] = {0};
        for (size_t i = 0; i + LANES <= m->words; i += LANES)
            for (size_t lane = 0; lane < LANES; lane++) any[lane] |= m->memory[i + lane];
        if (worker == 0) m->seconds[piece] = any[0] ? shk_seconds() - start : 0;
        shk_barrier_wait(&m->barrier, workers, m->spin);
    }
}

// The median piece of what a team does.
static double median_of(struct meetings *m, unsigned workers, shk_worker work) {
    struct shk_error err = {0};
    struct shk_runtime *runtime = shk_runtime_create(&(struct shk_runtime_options){.threads = workers}, &err);
    for (int i = 0; i < 2; i++) m->shares[i] = shk_alloc(workers, sizeof **m->shares, "task shares", &err);
    m->memory = shk_alloc(m->words + 1, sizeof *m->memory, "what is read", &err);
    m->seconds = shk_alloc(m->pieces, sizeof *m->seconds, "times", &err);
    double seconds = -1;
    if (runtime && m->shares[0] && m->shares[1] && m->memory && m->seconds) {
        m->spin = shk_team_spin(&runtime->team);
        runtime->team.run(&runtime->team, work, m);
        seconds = statistics_median(m->seconds, m->pieces);
    } else
        fprintf(stderr, "bench: %s\n", err.text);
    for (int i = 0; i < 2; i++) shk_free(m->shares[i]);
    shk_free(m->memory);
    shk_free(m->seconds);
    shk_runtime_free(runtime);
    return seconds;
}

double meet_seconds(unsigned workers, size_t tasks, size_t pieces) {
    return median_of(&(struct meetings){.tasks = tasks, .pieces = pieces}, workers, worker_meets);
}

double read_seconds(unsigned workers, size_t bytes, size_t pieces) {
    return median_of(&(struct meetings){.words = bytes / sizeof(uint64_t), .pieces = pieces}, workers, worker_reads);
}
