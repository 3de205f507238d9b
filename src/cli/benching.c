// SPDX-License-Identifier: MIT
// Opens benchmarks of all that is asked for, and runs them.
#include "cli/benching.h"

#include "cli/data.h"
#include "cli/lists.h"
#include "cli/run.h"
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

static void *room(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (!p) cli_die(CLI_FAILED, "out of memory");
    return p;
}

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

static void make_places(struct benching *b) {
    const char *isas[BENCHING_ISAS];
    uint64_t threads[BENCHING_NUMBERS];
    const size_t isa_count = list_isas(b->settings, isas), thread_count = list_threads(b, threads);
    b->place = room(isa_count * thread_count, sizeof *b->place);
    for (size_t i = 0; i < isa_count; i++) {
        for (size_t t = 0; t < thread_count; t++) {
            struct place *p = &b->place[b->places++];
            struct run_settings s = b->settings->run;
            s.isa = isas[i];
            s.values.threads = (unsigned)threads[t];
            p->runtime = run_make_runtime(&s, 0);
            p->isa = shk_runtime_isa(p->runtime);
            p->threads = shk_runtime_threads(p->runtime);
        }
    }
}

static void open_bench(struct benching *b, const char *model, size_t batch, bool evaluation, const struct place *p) {
    struct shk_error error = {0};
    const struct shk_bench_options o = {.model = model, .batch = batch, .evaluation = evaluation};
    struct result *r = &b->result[b->count];
    b->bench[b->count] = shk_bench_create(&o, shk_data_part(b->data, SHK_PART_TRAIN), p->runtime, &error);
    if (!b->bench[b->count]) cli_die_error(&error);
    snprintf(r->name, sizeof r->name, "%s/%s/batch:%zu/threads:%u/%s", evaluation ? "eval" : "train", model, batch,
             p->threads, p->isa);
    snprintf(r->isa, sizeof r->isa, "%s", p->isa);
    snprintf(r->placement, sizeof r->placement, "%s", shk_runtime_describe(p->runtime));
    r->threads = p->threads;
    r->flops = shk_bench_flops(b->bench[b->count]);
    r->flops_done = shk_bench_flops_done(b->bench[b->count]);
    r->repetition = room(b->settings->repeats, sizeof *r->repetition);
    b->count++;
}

static void open_all(struct benching *b) {
    const struct benching_settings *s = b->settings;
    char *models[BENCHING_MODELS];
    const size_t model_count = list_models(s->models, models, BENCHING_MODELS);
    const bool train = strcmp(s->what, "eval") != 0, eval = strcmp(s->what, "train") != 0;
    const size_t most = model_count * s->batch_count * b->places * 2;
    b->bench = room(most, sizeof *b->bench);
    b->result = room(most, sizeof *b->result);
    for (int evaluation = !train; evaluation <= (int)eval; evaluation++)
        for (size_t m = 0; m < model_count; m++)
            for (size_t i = 0; i < s->batch_count; i++)
                for (size_t p = 0; p < b->places; p++)
                    open_bench(b, models[m], s->batches[i], evaluation, &b->place[p]);
}

// ---- Steps ----

static void hash_all(struct benching *b) {
    struct shk_error error = {0};
    const struct shk_bench_limits limits = {HASHED_STEPS, HASHED_STEPS, 0};
    for (size_t i = 0; i < b->count; i++) {
        if (!shk_bench_run(b->bench[i], &limits, b->steps, &error)) cli_die_error(&error);
        b->result[i].hash = shk_bench_hash(b->bench[i]);
        b->result[i].hashed = HASHED_STEPS;
    }
}

void benching_run(struct benching *b, size_t i, const struct shk_bench_limits *limits, struct repetition *out) {
    struct shk_error error = {0};
    const size_t taken = shk_bench_run(b->bench[i], limits, b->steps, &error);
    if (!taken) cli_die_error(&error);
    if (!repetition_of(b->steps, taken, out)) cli_die(CLI_FAILED, "out of memory");
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

struct benching benching_open(const struct benching_settings *s) {
    struct shk_error error = {0};
    struct benching b = {.settings = s, .machine = shk_machine_create(NULL, &error)};
    if (!b.machine) cli_die_error(&error);
    make_places(&b);
    b.data = data_open(&s->run, b.place->runtime, NULL);
    b.steps = room(BENCHING_STEPS, sizeof *b.steps);
    open_all(&b);
    hash_all(&b);
    return b;
}

void benching_close(struct benching *b) {
    for (size_t i = 0; i < b->count; i++) {
        shk_bench_free(b->bench[i]);
        free(b->result[i].repetition);
    }
    for (size_t i = 0; i < b->places; i++) shk_runtime_free(b->place[i].runtime);
    shk_data_free(b->data);
    shk_machine_free(b->machine);
    free(b->bench);
    free(b->result);
    free(b->place);
    free(b->steps);
}
