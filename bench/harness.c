// SPDX-License-Identifier: MIT
#include "harness.h"

#include "base/fpenv.h"
#include "base/memory.h"
#include "measure.h"
#include "nn/plan/op.h"
#include "settings/settings.h"
#include "train/step.h"
#include <string.h>
#include <time.h>

struct harness {
    struct harness_options o;
    struct shk_runtime *runtime;
    struct shk_model *model;
    struct shk_dataset *data;
    struct shk_engine engine;
    uint32_t *order, *predicted; // [samples]
    float *loss;                 // [samples]
    uint32_t epochs;             // done
};

// ---- Data ----

static uint32_t next_random(uint64_t *state) { // linear congruential, Knuth's MMIX
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

static struct shk_dataset *random_images(size_t n, const struct shk_shape *shape, struct shk_error *err) {
    struct shk_dataset *d = shk_dataset_new(n, shape, err);
    if (!d) return NULL;
    uint64_t state = 1;
    size_t pixels = n * shape->height * shape->width * shape->channels;
    for (size_t i = 0; i < pixels; i++) d->images[i] = (float)next_random(&state) * 0x1p-32f;
    for (size_t i = 0; i < n; i++) d->labels[i] = next_random(&state) % (uint32_t)shape->classes;
    return d;
}

static struct shk_dataset *open_data(const struct harness_options *o, struct shk_error *err) {
    const struct shk_shape *s = &o->shape;
    if (s->height == s->width && s->height >= 18 && s->channels == 1 && s->classes == 9) // a square has 6 pixels
        return shk_dataset_squares(
            &(struct shk_squares_options){.n = o->samples, .size = s->height, .invert = -1, .seed = 1}, err);
    return random_images(o->samples, s, err);
}

// ---- Open and close ----

static bool open_all(struct harness *h, struct shk_error *err) {
    const struct harness_options *o = &h->o;
    h->runtime = shk_runtime_create(&(struct shk_runtime_options){.isa = o->isa, .threads = o->threads}, err);
    h->model = shk_model_create(o->model, &o->shape, 1, err);
    h->data = open_data(o, err);
    h->order = shk_alloc(o->samples, sizeof *h->order, "the order of samples", err);
    h->predicted = shk_alloc(o->samples, sizeof *h->predicted, "predictions", err);
    h->loss = shk_alloc(o->samples, sizeof *h->loss, "losses", err);
    if (!h->runtime || !h->model || !h->data || !h->order || !h->predicted || !h->loss) return false;
    if (!shk_engine_init(&h->engine, h->model, h->runtime, o->batch, SHK_DEFAULT_SHARDS, o->training, err))
        return false;
    h->engine.seed = 1;
    return shk_train_options_complete(&h->engine.options, err);
}

struct harness *harness_open(const struct harness_options *o, struct shk_error *err) {
    struct harness *h = shk_alloc(1, sizeof *h, "a benchmark", err);
    if (!h) return NULL;
    h->o = *o;
    if (open_all(h, err)) return h;
    harness_close(h);
    return NULL;
}

void harness_close(struct harness *h) {
    if (!h) return;
    if (h->engine.plan) shk_engine_free(&h->engine);
    shk_free(h->order);
    shk_free(h->predicted);
    shk_free(h->loss);
    shk_dataset_free(h->data);
    shk_model_free(h->model);
    shk_runtime_free(h->runtime);
    shk_free(h);
}

double harness_flops(const struct harness *h) {
    return h->o.training ? h->model->training_flops : h->model->forward_flops;
}

double harness_flops_done(const struct harness *h) {
    const struct shk_plan *plan = h->engine.plan;
    double flops = 0;
    for (unsigned i = 0; i < plan->op_count; i++)
        for (int phase = 0; phase < (h->o.training ? SHK_PHASES : 1); phase++)
            flops += shk_op_flops(plan->ops[i], (enum shk_phase)phase);
    if (h->o.training) flops += shk_update_flops(plan, h->o.batch) / (double)h->o.batch;
    return flops;
}

// ---- Run ----

enum { LEAST_STEPS = 5 };

struct run {
    struct harness *h;
    size_t epochs;
    double limit;  // seconds in the steps
    unsigned spin; // between the steps: long enough that nobody sleeps while the first worker measures the peak
    bool stop, failed;
    struct harness_result out;
    double *rates, *cpu_rates, *peaks; // [steps]
};

static double thread_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// By the first worker, after each step; the others wait.
static void record(struct run *r, size_t samples, double seconds, double cpu_seconds) {
    struct harness_result *out = &r->out;
    r->rates[out->steps] = (double)samples / seconds;
    r->cpu_rates[out->steps] = (double)samples / cpu_seconds;
    r->peaks[out->steps] = fma_peak(r->h->engine.k);
    out->steps++;
    out->samples += samples;
    out->seconds += seconds;
    if (out->steps >= LEAST_STEPS && out->seconds > r->limit) r->stop = true;
}

static bool run_step(struct run *r, size_t at, unsigned worker, unsigned workers) {
    struct harness *h = r->h;
    size_t n = h->o.training ? h->o.batch : h->o.samples;
    struct shk_batch b = {.data = h->data, .ids = h->order + at, .epoch = h->epochs};
    b.n = h->o.samples - at < n ? h->o.samples - at : n;
    b.loss = h->loss + at;
    b.predicted = h->predicted + at;
    // The clock starts before the first worker lets the others go, or they might be through before it looks.
    double start = now_seconds(), cpu_start = thread_seconds();
    shk_barrier_wait(&h->engine.barrier, workers, r->spin);
    bool ok = true;
    if (h->o.training)
        ok = shk_train_step(&h->engine, &b, worker, workers) == SHK_STEP_DONE;
    else
        shk_forward(&h->engine, &b, worker, workers);
    double cpu_end = thread_seconds(), end = now_seconds();
    if (worker == 0) {
        record(r, b.n, end - start, cpu_end - cpu_start);
        r->failed = !ok;
        r->out.loss = 0;
        for (size_t i = 0; i < b.n; i++) r->out.loss += (double)b.loss[i] / (double)b.n;
    }
    shk_barrier_wait(&h->engine.barrier, workers, r->spin);
    return ok && !r->stop;
}

static void run_worker(void *arg, unsigned worker, unsigned workers) {
    struct run *r = arg;
    struct harness *h = r->h;
    fenv_t saved = shk_fpenv_enter();
    bool go_on = true;
    for (size_t i = 0; i < r->epochs && go_on; i++) {
        if (worker == 0) shk_shuffle(h->order, h->o.samples, 1, h->epochs);
        size_t step = h->o.training ? h->o.batch : h->o.samples;
        for (size_t at = 0; at < h->o.samples && go_on; at += step) go_on = run_step(r, at, worker, workers);
        if (worker == 0) h->epochs++;
        shk_barrier_wait(&h->engine.barrier, workers, r->spin);
    }
    shk_fpenv_leave(&saved);
}

bool harness_run(struct harness *h, unsigned epochs, double max_seconds, struct harness_result *out) {
    struct run r = {.h = h, .epochs = epochs, .limit = max_seconds, .spin = h->engine.spin * 4};
    size_t most = epochs * (h->o.training ? (h->o.samples + h->o.batch - 1) / h->o.batch : 1);
    r.rates = shk_alloc(most, sizeof(double), "times", NULL);
    r.cpu_rates = shk_alloc(most, sizeof(double), "times", NULL);
    r.peaks = shk_alloc(most, sizeof(double), "times", NULL);
    bool ok = r.rates && r.cpu_rates && r.peaks;
    if (ok) {
        h->runtime->team.run(&h->runtime->team, run_worker, &r);
        *out = r.out;
        out->median_rate = median(r.rates, r.out.steps);
        out->median_cpu_rate = median(r.cpu_rates, r.out.steps);
        out->peak = median(r.peaks, r.out.steps);
    }
    shk_free(r.rates);
    shk_free(r.cpu_rates);
    shk_free(r.peaks);
    return ok && !r.failed;
}
