// SPDX-License-Identifier: MIT
// The rounds are those of a training step whose stages are empty, taken by the team that would take it.
#include "meet.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/runtime.h"
#include "measure.h"
#include <shikaku/shikaku.h>
#include <stdio.h>

enum { PIECE = 100 }; // rounds: short beside a time slice, so that most pieces are not interrupted

struct meetings {
    size_t tasks, pieces;
    unsigned spin;
    struct shk_barrier barrier;
    struct shk_share *shares[2]; // [workers]; of a round and of the next one
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

double meet_seconds(unsigned workers, size_t tasks, size_t pieces) {
    struct shk_error err = {0};
    struct shk_runtime *runtime = shk_runtime_create(&(struct shk_runtime_options){.threads = workers}, &err);
    struct meetings m = {.tasks = tasks, .pieces = pieces};
    for (int i = 0; i < 2; i++) m.shares[i] = shk_alloc(workers, sizeof **m.shares, "task shares", &err);
    m.seconds = shk_alloc(pieces, sizeof *m.seconds, "times", &err);
    double seconds = -1;
    if (runtime && m.shares[0] && m.shares[1] && m.seconds) {
        m.spin = shk_team_spin(&runtime->team);
        runtime->team.run(&runtime->team, worker_meets, &m);
        seconds = median(m.seconds, pieces);
    } else
        fprintf(stderr, "bench: %s\n", err.text);
    for (int i = 0; i < 2; i++) shk_free(m.shares[i]);
    shk_free(m.seconds);
    shk_runtime_free(runtime);
    return seconds;
}
