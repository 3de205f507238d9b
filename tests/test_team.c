// SPDX-License-Identifier: MIT
// Tests how workers meet and deal tasks out: with more of them than CPUs, in every way of waiting, and with
// delays.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/team.h"
#include <pthread.h>
#include <time.h>

enum { MOST_WORKERS = 24, MOST_TASKS = 200 };

struct team {
    unsigned workers, spin, rounds;
    bool delays;
    size_t tasks;
    struct shk_barrier barrier;
    struct shk_share shares[2][MOST_WORKERS]; // of a round and of the next one
    unsigned seen[MOST_WORKERS];              // the round that a worker is in, written without any other protection
    unsigned taken[MOST_TASKS];               // likewise: how often a task was
    unsigned wrong[MOST_WORKERS];
};

struct member {
    struct team *team;
    unsigned worker;
    uint64_t random;
};

// Now and then some time passes, from none to longer than anybody polls.
static void delay(struct member *m) {
    m->random = m->random * 6364136223846793005u + 1442695040888963407u; // Knuth's MMIX
    const unsigned dice = (unsigned)(m->random >> 33) % 64;
    if (!m->team->delays || dice > 4) return;
    nanosleep(&(struct timespec){.tv_nsec = (long)dice * 20000}, NULL);
}

static void *meet(void *arg) {
    struct member *m = arg;
    struct team *t = m->team;
    for (unsigned round = 1; round <= t->rounds; round++) {
        delay(m);
        t->seen[m->worker] = round;
        shk_barrier_wait(&t->barrier, t->workers, t->spin);
        for (unsigned i = 0; i < t->workers; i++) t->wrong[m->worker] += t->seen[i] != round;
        delay(m);
        shk_barrier_wait(&t->barrier, t->workers, t->spin);
    }
    return NULL;
}

static void *deal(void *arg) {
    struct member *m = arg;
    struct team *t = m->team;
    for (unsigned round = 0; round < t->rounds; round++) {
        delay(m);
        for (size_t task; shk_take(t->shares[round % 2], t->tasks, m->worker, t->workers, &task);) {
            delay(m);
            t->taken[task]++;
        }
        shk_share_reset(&t->shares[(round + 1) % 2][m->worker]);
        shk_barrier_wait(&t->barrier, t->workers, t->spin);
    }
    return NULL;
}

static void run(struct team *t, void *(*work)(void *)) {
    struct member members[MOST_WORKERS];
    pthread_t threads[MOST_WORKERS];
    for (unsigned i = 0; i < t->workers; i++) {
        members[i] = (struct member){t, i, i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &members[i]), 0);
    }
    for (unsigned i = 0; i < t->workers; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (unsigned i = 0; i < t->workers; i++) assert_int_equal(t->wrong[i], 0);
    for (size_t i = 0; i < t->tasks; i++) assert_int_equal(t->taken[i], t->rounds);
}

static const unsigned workers[] = {1, 2, 3, 5, MOST_WORKERS}, spins[] = {0, 1, 30, 2000};
enum { WORKERS = sizeof workers / sizeof *workers, SPINS = sizeof spins / sizeof *spins };

// Nobody goes on before all have come, and what they wrote before is seen.
static void test_meet(void **state) {
    (void)state;
    for (int i = 0; i < WORKERS * SPINS * 2; i++) {
        struct team t = {.workers = workers[i % WORKERS], .spin = spins[i / 2 / WORKERS], .delays = i / WORKERS % 2};
        t.rounds = t.delays ? 50 : 1000 / t.workers;
        run(&t, meet);
    }
}

// Every task is taken by one worker in each round.
static void test_deal(void **state) {
    (void)state;
    static const size_t tasks[] = {0, 1, 2, 23, 24, 25, MOST_TASKS};
    for (size_t i = 0; i < WORKERS * sizeof tasks / sizeof *tasks; i++) {
        struct team t = {.workers = workers[i % WORKERS], .tasks = tasks[i / WORKERS], .spin = 30, .rounds = 20};
        t.delays = i % 2;
        run(&t, deal);
    }
}

// A worker takes its own tasks first and in order, then those of the workers at a distance of 1, 2 and 4, and
// no others.
static void test_order(void **state) {
    (void)state;
    struct shk_share shares[7] = {0};
    static const size_t expected[] = {11, 12, 13, 14, 15, 16, 18, 19, 2, 3, 4};
    size_t task;
    atomic_store(&shares[6].taken, 1); // of 17, 18, 19
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_true(shk_take(shares, 20, 4, 7, &task));
        assert_int_equal(task, expected[i]);
    }
    assert_false(shk_take(shares, 20, 4, 7, &task));
    assert_true(shk_take(shares, 20, 0, 7, &task));
    assert_int_equal(task, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_meet), cmocka_unit_test(test_deal),
                                       cmocka_unit_test(test_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
