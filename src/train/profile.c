// SPDX-License-Identifier: MIT
// Where a step's time goes: what the workers' clocks recorded, beside the arithmetic and memory peaks measured on the spot.
#include "nn/plan/op.h"
#include "train/settings.h"
#include "train/slices.h"
#include "train/step.h"

#include "base/clock.h"
#include "base/fpenv.h"
#include "base/memory.h"
#include <stdlib.h>

// The stream is as long as there is memory for, so that it fits few caches.
enum { WARM_UP = 10, TRIES = 20, STREAM_TRIES = 5, LONGEST_STREAM = 64 << 20, SHORTEST_STREAM = 8 << 20 };

// ---- Peaks: all workers at once, the best of some tries ----

struct peaks {
    const struct shk_kernels *k;
    struct shk_barrier barrier;
    float *stream; // [stream_floats], shared out
    size_t stream_floats;
    double flops, seconds, bandwidth; // a round of one worker; bytes per second of all
};

static double best_of(struct peaks *p, int tries, unsigned worker, unsigned workers,
                      void (*work)(struct peaks *, unsigned, unsigned)) {
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

static void multiply_and_add(struct peaks *p, unsigned worker, unsigned workers) {
    (void)workers;
    _Alignas(64) float vector[16] = {0.5f};
    double flops;
    p->k->fma_peak(&(struct shk_fma_peak){100000, vector, &flops});
    if (worker == 0) p->flops = flops;
}

// Reads and writes its part of the stream.
static void stream(struct peaks *p, unsigned worker, unsigned workers) {
    size_t part = p->stream_floats / workers & ~(size_t)15;
    float *x = p->stream + worker * part;
    p->k->add(&(struct shk_add){1, part, x, 0, x, 0});
}

static void peaks_worker(void *arg, unsigned worker, unsigned workers) {
    struct peaks *p = arg;
    double seconds = best_of(p, TRIES, worker, workers, multiply_and_add);
    double stream_seconds = best_of(p, STREAM_TRIES, worker, workers, stream);
    if (worker != 0) return;
    p->seconds = seconds;
    p->bandwidth = 2.0 * (double)(p->stream_floats * sizeof(float)) / stream_seconds;
}

// ---- The steps ----

struct recording {
    struct shk_engine engine;
    struct shk_batch batch;
    uint32_t *order;
    size_t samples, batch_size, steps, taken;
    bool failed;
    double step_seconds;
};

static void record_worker(void *arg, unsigned worker, unsigned workers) {
    struct recording *r = arg;
    fenv_t saved = shk_fpenv_enter();
    double start = 0;
    for (size_t i = 0; i < WARM_UP + r->steps; i++) {
        struct shk_batch b = r->batch;
        b.ids = r->order + i * r->batch_size % (r->samples - r->batch_size + 1);
        if (worker == 0 && i == WARM_UP) start = shk_seconds();
        if (i == WARM_UP) r->engine.times[worker] = (struct shk_times){0};
        bool done = shk_train_step(&r->engine, &b, worker, workers) == SHK_STEP_DONE;
        if (worker == 0 && done) r->taken++;
        if (worker == 0 && !done) r->failed = true;
        if (!done) break;
    }
    if (worker == 0) r->step_seconds = (shk_seconds() - start) / (double)r->steps;
    shk_fpenv_leave(&saved);
}

static void add_row(struct shk_profile *p, const char *layer, const char *phase, double seconds, double flops,
                    double bytes) {
    struct shk_profile_row *row = &p->row[p->rows++];
    *row = (struct shk_profile_row){.phase = phase, .seconds = seconds, .flops = flops, .bytes = bytes};
    for (size_t i = 0; i + 1 < sizeof row->layer && layer[i]; i++) row->layer[i] = layer[i];
}

// Sums over workers, divided by steps.
static void fill_rows(struct shk_profile *p, const struct recording *r, unsigned workers) {
    const struct shk_plan *plan = r->engine.plan;
    double per = 1.0 / (double)r->steps, n = (double)r->batch_size;
    for (unsigned i = 0; i < plan->op_count; i++) {
        for (int phase = 0; phase < SHK_PHASES; phase++) {
            static const char *const names[] = {"forward", "input gradient", "weight gradient"};
            double seconds = 0;
            for (unsigned w = 0; w < workers; w++) seconds += r->engine.times[w].op[i][phase];
            add_row(p, plan->ops[i]->name, names[phase], seconds * per, n * shk_op_flops(plan->ops[i], phase),
                    n * shk_op_bytes(plan, plan->ops[i], phase));
        }
    }
    const struct shk_round round = shk_round_first(&r->engine, &r->batch, workers);
    double update = 0, wait = 0;
    for (unsigned w = 0; w < workers; w++) {
        update += r->engine.times[w].update;
        wait += r->engine.times[w].wait;
    }
    add_row(p, "all", "reduce, optimizer", update * per, shk_update_flops(plan, r->batch_size),
            shk_update_bytes(plan, round.schedule.grouped ? round.cut.groups : round.cut.shards));
    add_row(p, "all", "waiting", wait * per, 0, 0);
}

static bool record(struct recording *r, const struct shk_team *team, struct shk_profile *p, struct shk_error *err) {
    r->batch.loss = shk_alloc(r->batch_size, sizeof(float), "losses", err);
    r->batch.predicted = shk_alloc(r->batch_size, sizeof(uint32_t), "predictions", err);
    r->order = shk_alloc(r->samples, sizeof *r->order, "the order of samples", err);
    r->engine.times = shk_alloc(team->workers, sizeof *r->engine.times, "clocks", err);
    p->row = calloc(SHK_PHASES * r->engine.plan->op_count + 2, sizeof *p->row);
    if (!p->row) shk_fail(err, SHK_FAILED, "out of memory for the profile");
    if (!r->batch.loss || !r->batch.predicted || !r->order || !r->engine.times || !p->row) return false;
    shk_shuffle(r->order, r->samples, r->engine.seed, 0);
    team->run(team, record_worker, r);
    if (r->failed) {
        shk_model_damage(r->engine.model, 1, r->taken + 1);
        return shk_fail(err, SHK_FAILED,
                        "the loss or a gradient is not finite in step %zu: lower the learning rate, or check the data",
                        r->taken + 1);
    }
    fill_rows(p, r, team->workers);
    return true;
}

static bool measure_peaks(struct peaks *p, const struct shk_team *team, struct shk_profile *out,
                          struct shk_error *err) {
    p->stream_floats = LONGEST_STREAM;
    while (!(p->stream = shk_alloc(p->stream_floats, sizeof(float), "the memory test", err))) {
        if (p->stream_floats == SHORTEST_STREAM) return false;
        p->stream_floats /= 2;
    }
    team->run(team, peaks_worker, p);
    out->peak_flops = p->flops / p->seconds;
    out->bandwidth = p->bandwidth;
    out->stream_bytes = (double)(p->stream_floats * sizeof(float));
    shk_free(p->stream);
    return true;
}

static bool check_profile(const struct shk_model *model, const struct shk_dataset *data,
                          const struct shk_train_options *options, size_t steps, struct shk_error *err) {
    if (!shk_shapes_agree(model, data, err) || !shk_model_trainable(model, err)) return false;
    if (steps < 1) return shk_fail(err, SHK_BAD_INPUT, "a profile of 0 steps is asked for, but it takes at least 1");
    if (*options->freeze)
        return shk_fail(err, SHK_BAD_INPUT, "a profile is one of a whole step: leave freeze empty, not '%.100s'",
                        options->freeze);
    if (data->n < options->batch)
        return shk_fail(err, SHK_BAD_INPUT, "%zu samples do not fill a batch of %zu", data->n, options->batch);
    return true;
}

bool shk_profile_train(struct shk_model *model, const struct shk_runtime *runtime, const struct shk_dataset *data,
                       const struct shk_train_options *options, size_t steps, struct shk_profile *out,
                       struct shk_error *err) {
    *out = (struct shk_profile){0};
    struct shk_train_options o;
    if (!shk_settings_check(options, &o, err) || !check_profile(model, data, &o, steps, err)) return false;
    const struct shk_team team = shk_team_for(&runtime->team, shk_train_shards(&o));
    out->threads = team.workers;
    struct recording r = {.samples = data->n, .steps = steps, .batch_size = o.batch};
    struct peaks peaks = {.k = runtime->kernels};
    r.batch = (struct shk_batch){.data = data, .n = o.batch};
    bool ok = shk_engine_init(&r.engine, model, runtime, o.batch, o.shards, true, err);
    r.engine.options = o;
    r.engine.seed = o.seed;
    ok = ok && measure_peaks(&peaks, &team, out, err) && record(&r, &team, out, err);
    out->step_seconds = r.step_seconds;
    shk_free(r.batch.loss);
    shk_free(r.batch.predicted);
    shk_free(r.order);
    shk_engine_free(&r.engine);
    if (!ok) shk_profile_free(out);
    return ok;
}

void shk_profile_free(struct shk_profile *p) {
    free(p->row);
    p->row = NULL;
    p->rows = 0;
}
