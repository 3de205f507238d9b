// SPDX-License-Identifier: MIT
// Opens benchmarks of all that is asked for, and runs them.
#include "cli/benching.h"

#include "cli/data.h"
#include "cli/lists.h"
#include "cli/run.h"
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HASHED_STEPS = 5 };

// Threads of an instruction set.
struct place {
    const char *isa;
    unsigned threads;
    struct shk_runtime *runtime;
};

static size_t list_isas(const struct benching_settings *s, const char *isas[BENCHING_ISAS]) {
    size_t here = 0, count = 0;
    while (shk_isa_at(here)) here++;
    if (!s->isas) {
        isas[0] = s->run.isa;
        return 1;
    }
    if (strcmp(s->isas, "all") == 0) {
        for (size_t i = 0; i < here && i < BENCHING_ISAS; i++) isas[count++] = shk_isa_at(i);
        return count;
    }
    for (char *rest = s->isas, *piece; (piece = strsep(&rest, ","));) {
        if (count == BENCHING_ISAS) cli_die(CLI_USAGE, "--isa takes at most %d names", BENCHING_ISAS);
        isas[count++] = piece;
    }
    return count;
}

// 1, and what a training would have, where nothing else is said.
static size_t list_threads(const struct benching *b, uint64_t threads[BENCHING_NUMBERS]) {
    const struct benching_settings *s = b->settings;
    struct shk_choice choice;
    struct shk_error error = {0};
    if (s->thread_count) {
        memcpy(threads, s->threads, sizeof s->threads);
        return s->thread_count;
    }
    if (!shk_machine_choose(b->machine, &(struct shk_choice_options){0}, &choice, &error)) cli_die_error(&error);
    threads[0] = 1;
    threads[1] = choice.threads;
    return choice.threads > 1 ? 2 : 1;
}

static void add_place(struct benching *b, const char *isa, unsigned threads) {
    struct place *p = &b->place[b->places++];
    struct run_settings s = b->settings->run;
    s.isa = isa;
    s.values.threads = threads;
    p->runtime = run_make_runtime(&s, 0);
    p->isa = shk_runtime_isa(p->runtime);
    p->threads = shk_runtime_threads(p->runtime);
}

static void make_places(struct benching *b) {
    const char *isas[BENCHING_ISAS];
    uint64_t threads[BENCHING_NUMBERS];
    const size_t isa_count = list_isas(b->settings, isas);
    const size_t thread_count = b->settings->models ? list_threads(b, threads) : 0;
    b->kernel_places = b->settings->kernels ? isa_count : 0;
    b->place = cli_room(isa_count * thread_count + b->kernel_places, sizeof *b->place);
    for (size_t i = 0; i < isa_count; i++)
        for (size_t t = 0; t < thread_count; t++) add_place(b, isas[i], (unsigned)threads[t]);
    for (size_t i = 0; i < b->kernel_places; i++) add_place(b, isas[i], 1);
}

// ---- Models ----

// The next result, of what is measured there.
static struct result *add_result(struct benching *b, const struct place *p) {
    struct result *r = &b->result[b->count++];
    snprintf(r->isa, sizeof r->isa, "%s", p->isa);
    snprintf(r->placement, sizeof r->placement, "%s", shk_runtime_describe(p->runtime));
    r->threads = p->threads;
    r->repetition = cli_room(b->settings->repeats, sizeof *r->repetition);
    return r;
}

static void open_bench(struct benching *b, const char *model, size_t batch, bool evaluation, const struct place *p) {
    struct shk_error error = {0};
    const struct shk_bench_options o = {.model = model, .batch = batch, .evaluation = evaluation};
    struct shk_bench *bench = shk_bench_create(&o, shk_data_part(b->data, SHK_PART_TRAIN), p->runtime, &error);
    if (!bench) cli_die_error(&error);
    b->bench[b->count] = bench;
    struct result *r = add_result(b, p);
    snprintf(r->name, sizeof r->name, "%s/%s/batch:%zu/threads:%u/%s", evaluation ? "eval" : "train", model, batch,
             p->threads, p->isa);
    r->flops = shk_bench_flops(bench);
    r->flops_done = shk_bench_flops_done(bench);
}

static void open_models(struct benching *b, const char *const *models, size_t model_count) {
    const struct benching_settings *s = b->settings;
    const bool train = strcmp(s->what, "eval") != 0, eval = strcmp(s->what, "train") != 0;
    const size_t places = b->places - b->kernel_places;
    for (int evaluation = !train; evaluation <= (int)eval; evaluation++)
        for (size_t m = 0; m < model_count; m++)
            for (size_t i = 0; i < s->batch_count; i++)
                for (size_t p = 0; p < places; p++) open_bench(b, models[m], s->batches[i], evaluation, &b->place[p]);
}

// ---- Kernels ----

static void compile(const char *filter, regex_t *out) {
    char why[200];
    const int status = regcomp(out, filter, REG_EXTENDED | REG_NOSUB);
    if (status == 0) return;
    regerror(status, out, why, sizeof why);
    cli_die(CLI_USAGE, "--kernels must be an extended regular expression, not '%s': %s", filter, why);
}

static void open_kernel(struct benching *b, size_t index, const char *name, const struct place *p) {
    struct shk_error error = {0};
    struct shk_kernel_facts facts;
    struct shk_kernel_bench *kernel = shk_kernel_bench_create(index, p->runtime, &error);
    if (!kernel || !shk_kernel_bench_facts(index, &facts)) cli_die_error(&error);
    b->kernel[b->count] = kernel;
    struct result *r = add_result(b, p);
    snprintf(r->name, sizeof r->name, "%s", name);
    r->is_kernel = true;
    r->flops = r->flops_done = facts.flops;
    r->bytes = facts.bytes;
    r->hash = shk_kernel_bench_hash(kernel);
    r->hashed = SHK_KERNEL_BENCH_HASHED;
}

// Those in whose names the filter is found.
static void open_kernels(struct benching *b) {
    const char *filter = b->settings->kernels;
    const size_t before = b->count, first = b->places - b->kernel_places;
    struct shk_kernel_facts facts;
    char name[sizeof b->result->name] = "";
    regex_t wanted;
    compile(filter, &wanted);
    for (size_t i = 0; shk_kernel_bench_facts(i, &facts); i++) {
        for (size_t p = first; p < b->places; p++) {
            snprintf(name, sizeof name, "%s/%s/%s", facts.kernel, facts.shape, b->place[p].isa);
            if (regexec(&wanted, name, 0, NULL, 0) == 0) open_kernel(b, i, name, &b->place[p]);
        }
    }
    regfree(&wanted);
    if (b->count == before)
        cli_die(CLI_USAGE,
                "--kernels '%s' is found in the name of no kernel, such as %s; 'shikaku bench --quick --kernels .' "
                "lists them all",
                filter, name);
}

static void open_all(struct benching *b) {
    const struct benching_settings *s = b->settings;
    const char *models[BENCHING_MODELS];
    const size_t model_count = s->models ? list_models(s->models, models, BENCHING_MODELS) : 0;
    const size_t most = model_count * s->batch_count * b->places * 2 + shk_kernel_bench_count() * b->kernel_places;
    b->bench = cli_room(most, sizeof *b->bench);
    b->kernel = cli_room(most, sizeof *b->kernel);
    b->result = cli_room(most, sizeof *b->result);
    if (s->models) open_models(b, models, model_count);
    if (s->kernels) open_kernels(b);
}

// Without counters it goes on.
static void open_counters(struct benching *b) {
    struct shk_error error = {0};
    for (size_t i = 0; i < b->count; i++) {
        if (!b->bench[i] || shk_bench_count(b->bench[i], &error)) continue; // a kernel has none
        cli_warn("--perf has no effect: %s", error.text);
        return;
    }
}

// ---- Steps ----

static void hash_models(struct benching *b) {
    struct shk_error error = {0};
    const struct shk_bench_limits limits = {HASHED_STEPS, HASHED_STEPS, 0};
    for (size_t i = 0; i < b->count; i++) {
        if (!b->bench[i]) continue;
        if (!shk_bench_run(b->bench[i], &limits, b->steps, &error)) cli_die_error(&error);
        b->result[i].hash = shk_bench_hash(b->bench[i]);
        b->result[i].hashed = HASHED_STEPS;
    }
}

void benching_run(struct benching *b, size_t i, const struct shk_bench_limits *limits, struct repetition *out) {
    struct shk_error error = {0};
    const size_t taken = b->kernel[i] ? shk_kernel_bench_run(b->kernel[i], limits, b->steps)
                                      : shk_bench_run(b->bench[i], limits, b->steps, &error);
    if (!taken) cli_die_error(&error);
    if (!repetition_of(b->steps, taken, out)) cli_die(CLI_FAILED, "out of memory");
    if (b->bench[i]) out->counts = shk_bench_counts(b->bench[i]);
}

size_t benching_steps(const struct benching *b, size_t i, size_t steps) {
    const size_t calls = b->kernel[i] ? shk_kernel_bench_calls(b->kernel[i]) : 1;
    return (steps + calls - 1) / calls;
}

struct shk_peaks benching_peaks(const struct benching *b) {
    struct shk_error error = {0};
    struct shk_peaks peaks;
    const struct place *most = b->place;
    for (size_t i = 1; i < b->places; i++)
        if (b->place[i].threads > most->threads) most = &b->place[i];
    if (!shk_peaks_measure(most->runtime, &peaks, &error)) cli_die_error(&error);
    return peaks;
}

// ---- All of it ----

static void open_data(struct benching *b) {
    const struct benching_settings *s = b->settings;
    struct data_said said;
    if (!s->models) return;
    if (!s->silent) {
        b->data = data_open(&s->run, b->place->runtime, NULL);
        return;
    }
    b->data = data_look(&s->run, b->place->runtime, &said);
    data_said_free(&said);
}

void benching_pin(void) {
    const char *asked = getenv("SHIKAKU_PIN");
    if (!asked || !*asked) setenv("SHIKAKU_PIN", "cores", true);
}

struct benching benching_open(const struct benching_settings *s) {
    struct shk_error error = {0};
    struct benching b = {.settings = s, .machine = shk_machine_create(NULL, &error)};
    if (!b.machine) cli_die_error(&error);
    make_places(&b);
    open_data(&b);
    b.steps = cli_room(BENCHING_STEPS, sizeof *b.steps);
    open_all(&b);
    if (s->perf) open_counters(&b);
    hash_models(&b);
    return b;
}

void benching_close(struct benching *b) {
    for (size_t i = 0; i < b->count; i++) {
        shk_bench_free(b->bench[i]);
        shk_kernel_bench_free(b->kernel[i]);
        free(b->result[i].repetition);
    }
    for (size_t i = 0; i < b->places; i++) shk_runtime_free(b->place[i].runtime);
    shk_data_free(b->data);
    shk_machine_free(b->machine);
    free(b->bench);
    free(b->kernel);
    free(b->result);
    free(b->place);
    free(b->steps);
}
