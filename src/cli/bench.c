// SPDX-License-Identifier: MIT
// shikaku bench: measures samples per second of training and evaluation, over models, batches, threads and instruction sets.
#include "base/json.h"
#include "cli/data.h"
#include "cli/json.h"
#include "cli/lists.h"
#include "cli/run.h"
#include "report/context.h"
#include "report/results.h"

#include <errno.h>
#include <libgen.h>
#include <math.h>
#include <shikaku/bench.h>
#include <shikaku/machine.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_MODELS = 16, MOST_NUMBERS = 16, MOST_ISAS = 8, MOST_STEPS = 1 << 16, HASHED_STEPS = 5, MOST_REPEATS = 99 };

struct bench_settings {
    struct run_settings run; // data, and how it is shown
    char *models, *isas;
    uint64_t batches[MOST_NUMBERS], threads[MOST_NUMBERS];
    size_t batch_count, thread_count;
    const char *what, *json;
    size_t repeats;
    double seconds;
    bool quick;
};

enum { KEY_MODELS = 512, KEY_BATCH, KEY_THREADS, KEY_ISA, KEY_WHAT, KEY_REPEATS, KEY_SECONDS, KEY_QUICK, KEY_JSON };

static const struct argp_option options[] = {
    {"models", KEY_MODELS, "LIST", 0, "Presets or descriptions (tinycnn,tinyvit,tinyvit-pre)", 0},
    {"batch", KEY_BATCH, "LIST", 0, "Samples per step (64)", 0},
    {"threads", KEY_THREADS, "LIST", 0, "Threads (1, and as many as a training would have)", 0},
    {"isa", KEY_ISA, "LIST", 0, "Instruction sets, as c,avx2, or all (the best)", 0},
    {"what", KEY_WHAT, "WHAT", 0, "train, eval, or all, the default", 0},
    {"repeats", KEY_REPEATS, "N", 0, "Repetitions of each, in turns (5; with --quick 3)", 0},
    {"seconds", KEY_SECONDS, "X", 0, "Seconds of steps in a repetition (0.5; with --quick 0.1)", 0},
    {"quick", KEY_QUICK, 0, 0, "Fewer and shorter repetitions", 0},
    {"json", KEY_JSON, "FILE", 0, "Write the results in Google Benchmark's format; -: print them instead of a table",
     0},
    CLI_HELP_OPTION,
    {0},
};

static char *list_of(const char *text) {
    char *copy = strdup(text);
    if (!copy) cli_die(CLI_FAILED, "out of memory");
    cli_forgive(copy);
    return copy;
}

static const char *what_of(const char *word) {
    if (strcmp(word, "train") != 0 && strcmp(word, "eval") != 0 && strcmp(word, "all") != 0)
        cli_die(CLI_USAGE, "--what must be train, eval or all, not '%s'", word);
    return word;
}

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct bench_settings *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->run;
        return 0;
    case KEY_MODELS:
        free(s->models);
        s->models = list_of(arg);
        return 0;
    case KEY_ISA:
        free(s->isas);
        s->isas = list_of(arg);
        return 0;
    case KEY_BATCH:
        s->batch_count = list_wholes("batch", arg, 1, SHK_MAX_BATCH, s->batches, MOST_NUMBERS);
        return 0;
    case KEY_THREADS:
        s->thread_count = list_wholes("threads", arg, 1, SHK_MAX_THREADS, s->threads, MOST_NUMBERS);
        return 0;
    case KEY_WHAT:
        s->what = what_of(arg);
        return 0;
    case KEY_REPEATS:
        s->repeats = cli_whole("repeats", arg, 1, MOST_REPEATS);
        return 0;
    case KEY_SECONDS:
        s->seconds = cli_real("seconds", arg, 0, false, 3600);
        return 0;
    case KEY_QUICK:
        s->quick = true;
        return 0;
    case KEY_JSON:
        s->json = arg;
        return 0;
    default:
        return cli_parse_common(key, arg, state);
    }
}

// ---- Benchmarks ----

// Threads of an instruction set.
struct place {
    const char *isa;
    unsigned threads;
    struct shk_runtime *runtime;
};

struct benching {
    const struct bench_settings *settings;
    struct shk_machine *machine;
    struct place *place; // [places]
    size_t places;
    struct shk_data *data;
    size_t count;
    struct shk_bench **bench; // [count]
    struct result *result;    // [count]
    struct shk_bench_step *steps;
    struct shk_load load; // meanwhile
    struct shk_peaks peaks;
};

static void *room(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (!p) cli_die(CLI_FAILED, "out of memory");
    return p;
}

static size_t list_isas(const struct bench_settings *s, const char *isas[MOST_ISAS]) {
    size_t here = 0, count = 0;
    while (shk_isa_at(here)) here++;
    if (!s->isas) {
        isas[0] = s->run.isa;
        return 1;
    }
    if (strcmp(s->isas, "all") == 0) {
        for (size_t i = 0; i < here && i < MOST_ISAS; i++) isas[count++] = shk_isa_at(i);
        return count;
    }
    for (char *rest = s->isas, *piece; (piece = strsep(&rest, ","));) {
        if (count == MOST_ISAS) cli_die(CLI_USAGE, "--isa takes at most %d names", MOST_ISAS);
        isas[count++] = piece;
    }
    return count;
}

// 1, and what a training would have, where nothing else is said.
static size_t list_threads(const struct benching *b, uint64_t threads[MOST_NUMBERS]) {
    const struct bench_settings *s = b->settings;
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
    const char *isas[MOST_ISAS];
    uint64_t threads[MOST_NUMBERS];
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
    const struct bench_settings *s = b->settings;
    char *models[MOST_MODELS];
    const size_t model_count = list_models(s->models, models, MOST_MODELS);
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

// ---- Measurement ----

// The first steps also warm up: their hash says what was computed.
static void hash_all(struct benching *b) {
    struct shk_error error = {0};
    const struct shk_bench_limits limits = {HASHED_STEPS, HASHED_STEPS, 0};
    for (size_t i = 0; i < b->count; i++) {
        if (!shk_bench_run(b->bench[i], &limits, b->steps, &error)) cli_die_error(&error);
        b->result[i].hash = shk_bench_hash(b->bench[i]);
        b->result[i].hashed = HASHED_STEPS;
    }
}

static void measure(struct benching *b, size_t i) {
    struct shk_error error = {0};
    struct result *r = &b->result[i];
    const struct shk_bench_limits limits = {3, MOST_STEPS, b->settings->seconds};
    const size_t taken = shk_bench_run(b->bench[i], &limits, b->steps, &error);
    if (!taken) cli_die_error(&error);
    if (!repetition_of(b->steps, taken, &r->repetition[r->count++])) cli_die(CLI_FAILED, "out of memory");
}

// In turns, so that all see the same weather.
static void measure_all(struct benching *b) {
    const struct bench_settings *s = b->settings;
    struct progress progress = {.title = "bench",
                                .part = "repetition",
                                .unit = "benchmark",
                                .parts = s->repeats,
                                .units = b->count,
                                .loss = (double)NAN};
    progress_begin(&progress, &s->run.values);
    hash_all(b);
    for (size_t k = 0; k < s->repeats; k++)
        for (size_t i = 0; i < b->count; i++, progress.done++) measure(b, i);
    progress_end();
}

static void measure_peaks(struct benching *b) {
    struct shk_error error = {0};
    const struct place *most = b->place;
    for (size_t i = 1; i < b->places; i++)
        if (b->place[i].threads > most->threads) most = &b->place[i];
    if (!shk_peaks_measure(most->runtime, &b->peaks, &error)) cli_die_error(&error);
}

// ---- What is printed ----

static void print_result(const struct result *r, int width) {
    const struct figure rate = result_figure(r, repetition_rate), peak = result_figure(r, repetition_peak);
    cli_print("%-*s  %10.0f  %5.1f%%  %9.2f  %10.3f  %8.1f\n", width, r->name, rate.median, 100 * rate.spread,
              1e6 / rate.median, r->flops_done * rate.median / (peak.median * r->threads), 1e-9 * peak.median);
}

static void print_table(const struct benching *b) {
    int width = (int)strlen("benchmark");
    for (size_t i = 0; i < b->count; i++)
        if ((int)strlen(b->result[i].name) > width) width = (int)strlen(b->result[i].name);
    cli_print("%-*s  %10s  %6s  %9s  %10s  %8s\n", width, "benchmark", "samples/s", "spread", "us/sample", "done/peak",
              "GFLOP/s");
    for (size_t i = 0; i < b->count; i++) print_result(&b->result[i], width);
    cli_print(
        "spread: half of the repetitions lie that close together, of the median. done/peak: FLOPs that are really "
        "done, of what FMAs on registers (GFLOP/s, one thread) could do meanwhile.\n");
}

// What may have made these figures others than they would be on a quiet machine.
static void warn(const struct benching *b, const struct shk_conditions *before, const struct shk_conditions *after) {
    if (*b->load.sentence) cli_warn("%s", b->load.sentence);
    if (*after->governor && strcmp(after->governor, "performance") != 0)
        cli_warn("the CPUs' governor is %s: clocks change with the load; 'cpupower frequency-set -g performance' keeps "
                 "them up",
                 after->governor);
    if (after->throttled > before->throttled)
        cli_warn("the cgroup's quota held this process back for %.2g s: use fewer threads, or raise it",
                 after->throttled - before->throttled);
    for (size_t i = 0; i < b->count; i++) {
        const struct figure rate = result_figure(&b->result[i], repetition_rate);
        if (rate.spread > 0.05)
            cli_warn("%s: the repetitions lie %.0f %% apart: use more of them, or a quieter machine", b->result[i].name,
                     100 * rate.spread);
    }
}

static void write_json(const struct benching *b, const struct shk_conditions *conditions) {
    const struct context c = {.machine = b->machine,
                              .conditions = conditions,
                              .load = &b->load,
                              .peaks = &b->peaks,
                              .data = shk_data_source(b->data)};
    json_t *file = results_to_json(context_to_json(&c), b->result, b->count);
    if (!file) cli_die(CLI_FAILED, "out of memory");
    if (strcmp(b->settings->json, "-") == 0) {
        cli_print_json(file);
        return;
    }
    struct shk_error error = {0};
    char *text = shk_json_text(file, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(file);
    if (!text) cli_die(CLI_FAILED, "out of memory");
    if (!shk_write_file(b->settings->json, text, strlen(text), &error)) cli_die_error(&error);
    free(text);
}

// ---- All of it ----

static void close_all(struct benching *b) {
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

// Before anything is measured.
static void check_json(const char *path) {
    char *copy = strdup(path), *folder = copy ? dirname(copy) : NULL;
    if (!copy) cli_die(CLI_FAILED, "out of memory");
    if (access(folder, W_OK) != 0) cli_die(CLI_USAGE, "%s cannot be written: %s: %s", path, folder, strerror(errno));
    free(copy);
}

static void run(const struct bench_settings *s) {
    struct shk_error error = {0};
    struct shk_conditions before, after;
    struct benching b = {.settings = s, .machine = shk_machine_create(NULL, &error)};
    if (!b.machine) cli_die_error(&error);
    make_places(&b);
    b.data = data_open(&s->run, b.place->runtime);
    b.steps = room(MOST_STEPS, sizeof *b.steps);
    open_all(&b);
    shk_machine_conditions(b.machine, &before);
    shk_machine_load(b.machine);
    measure_all(&b);
    measure_peaks(&b);
    b.load = shk_machine_load(b.machine);
    shk_machine_conditions(b.machine, &after);
    if (!s->json || strcmp(s->json, "-") != 0) print_table(&b);
    if (s->json) write_json(&b, &after);
    warn(&b, &before, &after);
    close_all(&b);
}

static bool takes(const struct shk_setting *s) {
    return s->section == SHK_SECTION_DATA || s->section == SHK_SECTION_OUTPUT || s == shk_setting_named("seed") ||
           s == shk_setting_named("pin");
}

int cli_bench(int argc, char **argv) {
    const struct argp_child children[] = {{run_argp(takes), 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Measures samples per second of training steps and of evaluation, repetition by repetition in turns.\vA "
               "training begins anew after 5 epochs, since its work changes as a model learns.\n\nExamples:\n  shikaku "
               "bench --quick\n  shikaku bench --models vit:dim=128,depth=4 --batch 64,256 --json results.json",
        .children = children,
    };
    struct bench_settings s = {.run = run_defaults(), .models = list_of("tinycnn,tinyvit,tinyvit-pre"), .what = "all"};
    cli_parse(&argp, "shikaku bench", argc, argv, &s);
    run_check_output(&s.run);
    if (!s.batch_count) s.batches[s.batch_count++] = s.run.values.train.batch;
    if (!s.repeats) s.repeats = s.quick ? 3 : 5;
    if (s.seconds <= 0) s.seconds = s.quick ? 0.1 : 0.5;
    if (s.json && strcmp(s.json, "-") != 0) check_json(s.json);
    run(&s);
    free(s.models);
    free(s.isas);
    return cli_finish_output();
}
