// SPDX-License-Identifier: MIT
// Arithmetic and memory at their best: all workers at once, the best of some tries.
#include "train/peaks.h"

#include "base/clock.h"
#include "base/memory.h"

// The stream is as long as there is memory for, so that it fits few caches.
enum { TRIES = 20, STREAM_TRIES = 5, LONGEST_STREAM = 64 << 20, SHORTEST_STREAM = 8 << 20 };

struct measuring {
    const struct shk_kernels *k;
    struct shk_barrier barrier;
    float *stream; // [stream_floats], shared out
    size_t stream_floats;
    double flops, seconds, bandwidth; // a round of one worker; bytes per second of all
};

static double best_of(struct measuring *p, int tries, unsigned worker, unsigned workers,
                      void (*work)(struct measuring *, unsigned, unsigned)) {
    double best = 1e30;
    for (int i = 0; i < tries; i++) {
        shk_barrier_wait(&p->barrier, workers, 0);
        double start = shk_seconds();
        work(p, worker, workers);
        shk_barrier_wait(&p->barrier, workers, 0);
        double t = shk_seconds() - start;
        if (t < best) best = t;
    }
    return best;
}

static void multiply_and_add(struct measuring *p, unsigned worker, unsigned workers) {
    (void)workers;
    _Alignas(64) float vector[16] = {0.5f};
    double flops;
    p->k->fma_peak(&(struct shk_fma_peak){100000, vector, &flops});
    if (worker == 0) p->flops = flops;
}

// Reads and writes its part of the stream.
static void stream(struct measuring *p, unsigned worker, unsigned workers) {
    size_t part = p->stream_floats / workers & ~(size_t)15;
    float *x = p->stream + worker * part;
    p->k->add(&(struct shk_add){1, part, x, 0, x, 0});
}

static void measure(void *arg, unsigned worker, unsigned workers) {
    struct measuring *p = arg;
    double seconds = best_of(p, TRIES, worker, workers, multiply_and_add);
    double stream_seconds = best_of(p, STREAM_TRIES, worker, workers, stream);
    if (worker != 0) return;
    p->seconds = seconds;
    p->bandwidth = 2.0 * (double)(p->stream_floats * sizeof(float)) / stream_seconds;
}

bool shk_peaks_of_team(const struct shk_kernels *k, const struct shk_team *team, struct shk_peaks *out,
                       struct shk_error *err) {
    struct measuring p = {.k = k, .stream_floats = LONGEST_STREAM};
    while (!(p.stream = shk_alloc(p.stream_floats, sizeof(float), "the memory test", err))) {
        if (p.stream_floats == SHORTEST_STREAM) return false;
        p.stream_floats /= 2;
    }
    team->run(team, measure, &p);
    *out = (struct shk_peaks){p.flops / p.seconds, p.bandwidth, (double)(p.stream_floats * sizeof(float))};
    shk_free(p.stream);
    return true;
}

bool shk_peaks_measure(const struct shk_runtime *runtime, struct shk_peaks *out, struct shk_error *err) {
    return shk_peaks_of_team(runtime->kernels, &runtime->team, out, err);
}

double shk_peak_burst(const struct shk_kernels *k) {
    enum { ROUNDS = 8192 };
    double seconds = 0, flops = 0;
    // The first one: into the caches, and the core up to the clock that these instructions run at.
    for (int i = 0; i < 2; i++) {
        _Alignas(64) float vector[16] = {0.5f};
        struct shk_fma_peak burst = {ROUNDS, vector, &flops};
        double start = shk_seconds();
        k->fma_peak(&burst);
        seconds = shk_seconds() - start;
    }
    return flops / seconds;
}
