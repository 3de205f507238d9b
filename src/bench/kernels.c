// SPDX-License-Identifier: MIT
// Calls a kernel on the shape of a case, batch by batch, and times each.
#include "base/clock.h"
#include "base/fpenv.h"
#include "base/memory.h"
#include "bench/cases.h"
#include "train/peaks.h"

// ---- Cases ----

static const struct kernel_cases *const families[] = {
    &shk_cases_of_products, &shk_cases_of_convolutions, &shk_cases_of_attention,
    &shk_cases_of_rows,     &shk_cases_of_weights,      &shk_cases_of_maps,
};
enum { FAMILIES = sizeof families / sizeof *families };

size_t shk_kernel_bench_count(void) {
    size_t count = 0;
    for (int i = 0; i < FAMILIES; i++) count += families[i]->count;
    return count;
}

static const struct kernel_case *case_at(size_t index) {
    for (int i = 0; i < FAMILIES; i++) {
        if (index < families[i]->count) return &families[i]->all[index];
        index -= families[i]->count;
    }
    return NULL;
}

#define KERNEL(name, type) [KERNEL_##name] = #name,
static const char *const names[KERNELS] = {
#include <kernels.def>
};
#undef KERNEL

bool shk_kernel_bench_facts(size_t index, struct shk_kernel_facts *out) {
    const struct kernel_case *c = case_at(index);
    if (c) *out = (struct shk_kernel_facts){names[c->kernel], c->shape, c->flops, c->bytes};
    return c;
}

// ---- Calls ----

typedef void (*caller)(const struct shk_kernels *, const void *arguments, size_t calls);
#define KERNEL(name, type)                                                                                             \
    static void call_##name(const struct shk_kernels *k, const void *arguments, size_t calls) {                        \
        for (size_t i = 0; i < calls; i++) k->name(arguments);                                                         \
    }
#include <kernels.def>
#undef KERNEL
#define KERNEL(name, type) [KERNEL_##name] = call_##name,
static const caller callers[KERNELS] = {
#include <kernels.def>
};
#undef KERNEL

struct shk_kernel_bench {
    const struct kernel_case *what;
    const struct shk_runtime *runtime;
    struct shk_operands operands;
    const void *arguments;
    size_t calls, steps; // of a step; taken
    double peak;         // of the last burst
    uint64_t hash;
};

struct run {
    struct shk_kernel_bench *bench;
    struct shk_bench_limits limits;
    struct shk_bench_step *out;
    size_t taken;
};

static void call(const struct shk_kernel_bench *b, size_t calls) {
    callers[b->what->kernel](b->runtime->kernels, b->arguments, calls);
}

// The first calls: what they wrote says what is computed, and how long they take, how many make a step.
static void begin(void *arg, unsigned worker, unsigned workers) {
    (void)worker, (void)workers;
    static const double step_seconds = 50e-6; // long beside the clocks, short beside a time slice
    struct shk_kernel_bench *b = arg;
    const fenv_t saved = shk_fpenv_enter();
    double fastest = step_seconds;
    if (b->what->before) callers[b->what->before](b->runtime->kernels, b->arguments, 1);
    for (int i = 0; i < SHK_KERNEL_BENCH_HASHED; i++) {
        const double start = shk_seconds();
        call(b, 1);
        const double seconds = shk_seconds() - start;
        if (seconds < fastest) fastest = seconds;
    }
    b->hash = shk_operands_hash(&b->operands);
    b->calls = 1 + (size_t)(step_seconds / (fastest + 1e-9));
    shk_fpenv_leave(&saved);
}

// CPU time is asked for outside: that takes longer than the clock.
static void take_step(struct run *r) {
    enum { STEPS_OF_A_BURST = 16 };
    struct shk_kernel_bench *b = r->bench;
    const double cpu_start = shk_thread_seconds(), start = shk_seconds();
    call(b, b->calls);
    const double seconds = shk_seconds() - start, cpu_seconds = shk_thread_seconds() - cpu_start;
    if (b->steps++ % STEPS_OF_A_BURST == 0) b->peak = shk_peak_burst(b->runtime->kernels);
    r->out[r->taken++] = (struct shk_bench_step){b->calls, seconds, cpu_seconds, b->peak};
}

static void work(void *arg, unsigned worker, unsigned workers) {
    (void)worker, (void)workers;
    struct run *r = arg;
    const struct shk_bench_limits *most = &r->limits;
    const fenv_t saved = shk_fpenv_enter();
    double spent = 0;
    do {
        take_step(r);
        spent += r->out[r->taken - 1].seconds;
    } while (r->taken < most->most && (r->taken < most->least || spent < most->seconds));
    shk_fpenv_leave(&saved);
}

static void run_alone(const struct shk_kernel_bench *b, shk_worker f, void *arg) {
    struct shk_team first = b->runtime->team;
    first.workers = 1;
    first.run(&first, f, arg);
}

size_t shk_kernel_bench_run(struct shk_kernel_bench *b, const struct shk_bench_limits *limits,
                            struct shk_bench_step *out) {
    struct run r = {.bench = b, .limits = *limits, .out = out};
    run_alone(b, work, &r);
    return r.taken;
}

size_t shk_kernel_bench_calls(const struct shk_kernel_bench *b) { return b->calls; }
uint64_t shk_kernel_bench_hash(const struct shk_kernel_bench *b) { return b->hash; }

// ---- Open and close ----

struct shk_kernel_bench *shk_kernel_bench_create(size_t index, const struct shk_runtime *runtime,
                                                 struct shk_error *err) {
    const struct kernel_case *c = case_at(index);
    if (!c) {
        shk_fail(err, SHK_BAD_INPUT, "there are %zu benchmarks of kernels, from 0 on, and no number %zu",
                 shk_kernel_bench_count(), index);
        return NULL;
    }
    struct shk_kernel_bench *b = shk_alloc(1, sizeof *b, "a benchmark", err);
    if (!b) return NULL;
    b->what = c;
    b->runtime = runtime;
    b->operands.err = err;
    b->operands.random = 1;
    b->arguments = c->prepare(&b->operands, c->detail);
    if (b->operands.failed) {
        shk_kernel_bench_free(b);
        return NULL;
    }
    run_alone(b, begin, b);
    return b;
}

void shk_kernel_bench_free(struct shk_kernel_bench *b) {
    if (!b) return;
    shk_operands_free(&b->operands);
    shk_free(b);
}
