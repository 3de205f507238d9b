// SPDX-License-Identifier: MIT
// Where a step's time goes: what the workers' clocks recorded, beside the arithmetic and memory peaks measured on the spot.
#include "nn/plan/op.h"
#include "train/peaks.h"
#include "train/settings.h"
#include "train/slices.h"
#include "train/step.h"

#include "base/clock.h"
#include "base/fpenv.h"
#include "base/memory.h"
#include <stdlib.h>

enum { WARM_UP = 10 };

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
            shk_update_bytes(plan, shk_schedule_buffers(&round.cut, &round.schedule) / round.schedule.open));
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

static bool measure_peaks(const struct shk_kernels *k, const struct shk_team *team, struct shk_profile *out,
                          struct shk_error *err) {
    struct shk_peaks peaks;
    if (!shk_peaks_of_team(k, team, &peaks, err)) return false;
    out->peak_flops = peaks.flops;
    out->bandwidth = peaks.bandwidth;
    out->stream_bytes = peaks.stream_bytes;
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
    r.batch = (struct shk_batch){.data = data, .n = o.batch};
    bool ok = shk_engine_init(&r.engine, model, runtime, o.batch, o.shards, true, err);
    r.engine.options = o;
    r.engine.seed = o.seed;
    ok = ok && measure_peaks(runtime->kernels, &team, out, err) && record(&r, &team, out, err);
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
