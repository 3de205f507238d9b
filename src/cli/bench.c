// SPDX-License-Identifier: MIT
// shikaku bench: measures samples per second of training and evaluation, and kernels, and prints or serves them.
#include "base/json.h"
#include "cli/benching.h"
#include "cli/json.h"
#include "cli/lists.h"
#include "cli/run.h"
#include "cli/stored.h"
#include "report/context.h"

#include <errno.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bench_settings {
    struct benching_settings what;
    struct stored_settings stored;
    const char *json; // NULL: none
    bool quick, serve;
};

enum {
    KEY_MODELS = 512,
    KEY_BATCH,
    KEY_THREADS,
    KEY_ISA,
    KEY_WHAT,
    KEY_KERNELS,
    KEY_REPEATS,
    KEY_SECONDS,
    KEY_QUICK,
    KEY_PERF,
    KEY_JSON,
    KEY_SERVE
};

static const struct argp_option options[] = {
    {"models", KEY_MODELS, "LIST", 0, "Presets or descriptions (tinycnn,tinyvit,tinyvit-pre)", 0},
    {"batch", KEY_BATCH, "LIST", 0, "Samples per step (64)", 0},
    {"threads", KEY_THREADS, "LIST", 0, "Threads (1, and as many as a training would have)", 0},
    {"isa", KEY_ISA, "LIST", 0, "Instruction sets, as c,avx2, or all (the best)", 0},
    {"what", KEY_WHAT, "WHAT", 0, "train, eval, or all, the default", 0},
    {"kernels", KEY_KERNELS, "FILTER", 0,
     "Calls of kernels with a match of this extended regular expression in their names; no models but those of "
     "--models",
     0},
    {"repeats", KEY_REPEATS, "N", 0, "Repetitions of each, in turns (5; with --quick alone 3)", 0},
    {"seconds", KEY_SECONDS, "X", 0, "Seconds of steps in a repetition (0.5, of a kernel 0.05; with --quick a fifth)",
     0},
    {"quick", KEY_QUICK, 0, 0, "Fewer and shorter repetitions", 0},
    {"perf", KEY_PERF, 0, 0, "Cycles, instructions and cache misses in user space, by the CPU's counters (Linux)", 0},
    {"json", KEY_JSON, "FILE", 0, "Write the results in Google Benchmark's format; -: print them instead of a table",
     0},
    {"serve", KEY_SERVE, 0, OPTION_HIDDEN, "", 0}, // for bench-compare
    CLI_HELP_OPTION,
    {0},
};

static char *list_of(const char *text) {
    char *copy = strdup(text);
    if (!copy) cli_die(CLI_FAILED, "out of memory");
    return copy;
}

static const char *what_of(const char *word) {
    if (strcmp(word, "train") != 0 && strcmp(word, "eval") != 0 && strcmp(word, "all") != 0)
        cli_die(CLI_USAGE, "--what must be train, eval or all, not '%s'", word);
    return word;
}

// JSON in place of all else.
static bool has_stdout(const struct bench_settings *s) { return s->json && strcmp(s->json, "-") == 0; }

// What is measured; ARGP_ERR_UNKNOWN: the option is another one.
static error_t parse_what(int key, const char *arg, struct benching_settings *s) {
    switch (key) {
    case KEY_MODELS:
        free(s->models);
        s->models = list_of(arg);
        return 0;
    case KEY_ISA:
        free(s->isas);
        s->isas = list_of(arg);
        cli_forgive(s->isas);
        return 0;
    case KEY_BATCH:
        s->batch_count = list_wholes("batch", arg, 1, SHK_MAX_BATCH, s->batches, BENCHING_NUMBERS);
        return 0;
    case KEY_THREADS:
        s->thread_count = list_wholes("threads", arg, 1, SHK_MAX_THREADS, s->threads, BENCHING_NUMBERS);
        return 0;
    case KEY_WHAT:
        s->what = what_of(arg);
        return 0;
    case KEY_KERNELS:
        if (!*arg) cli_die(CLI_USAGE, "--kernels must be an extended regular expression; . stands for all kernels");
        s->kernels = arg;
        return 0;
    case KEY_REPEATS:
        s->repeats = cli_whole("repeats", arg, 1, BENCHING_REPEATS);
        return 0;
    case KEY_SECONDS:
        s->seconds = s->kernel_seconds = cli_real("seconds", arg, 0, false, 3600);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct bench_settings *s = state->input;
    if (parse_what(key, arg, &s->what) == 0) return 0;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->stored;
        state->child_inputs[1] = &s->what.run;
        return 0;
    case ARGP_KEY_ARG:
        return stored_takes(&s->stored, arg, state) ? 0 : cli_parse_common(key, arg, state);
    case KEY_QUICK:
        s->quick = true;
        return 0;
    case KEY_PERF:
        s->what.perf = true;
        return 0;
    case KEY_JSON:
        s->json = arg;
        return 0;
    case KEY_SERVE:
        s->serve = true;
        return 0;
    default:
        return cli_parse_common(key, arg, state);
    }
}

// ---- Measurement ----

// In turns, so that all see the same weather.
static void measure(struct benching *b) {
    const struct benching_settings *s = b->settings;
    const struct shk_bench_limits of_model = {3, BENCHING_STEPS, s->seconds},
                                  of_kernel = {3, BENCHING_STEPS, s->kernel_seconds};
    struct progress progress = {.title = "bench",
                                .part = "repetition",
                                .unit = "benchmark",
                                .parts = s->repeats,
                                .units = b->count,
                                .loss = (double)NAN};
    progress_begin(&progress, &s->run.values);
    for (size_t k = 0; k < s->repeats; k++) {
        for (size_t i = 0; i < b->count; i++, progress.done++) {
            struct result *r = &b->result[i];
            benching_run(b, i, r->is_kernel ? &of_kernel : &of_model, &r->repetition[r->count++]);
        }
    }
    progress_end();
}

// What was going on meanwhile.
struct weather {
    struct shk_conditions before, after;
    struct shk_load load;
    bool measured; // the peaks
    struct shk_peaks peaks;
};

// ---- What is printed ----

static void print_model(const struct result *r, int width) {
    const struct figure rate = result_figure(r, repetition_rate), peak = result_figure(r, repetition_peak);
    cli_print("%-*s  %10.0f  %5.1f%%  %9.2f  %10.3f  %8.1f\n", width, r->name, rate.median, 100 * rate.spread,
              1e6 / rate.median, r->flops_done * rate.median / (peak.median * r->threads), 1e-9 * peak.median);
}

static void print_kernel(const struct result *r, int width) {
    const struct figure rate = result_figure(r, repetition_rate), peak = result_figure(r, repetition_peak);
    char flops[32] = "-", of_peak[32] = "-", bytes[32] = "-";
    if (r->flops > 0) {
        snprintf(flops, sizeof flops, "%.1f", 1e-9 * r->flops * rate.median);
        snprintf(of_peak, sizeof of_peak, "%.3f", r->flops * rate.median / peak.median);
    }
    if (r->bytes > 0) snprintf(bytes, sizeof bytes, "%.1f", 1e-9 * r->bytes * rate.median);
    cli_print("%-*s  %9.3f  %5.1f%%  %8s  %8s  %8s\n", width, r->name, 1e6 / rate.median, 100 * rate.spread, flops,
              of_peak, bytes);
}

// The results of models, or of kernels, below `head`; false: there are none.
static bool print_results(const struct benching *b, bool kernels, const char *head,
                          void (*print)(const struct result *, int width)) {
    const char *title = kernels ? "kernel" : "benchmark";
    size_t width = strlen(title), count = 0;
    for (size_t i = 0; i < b->count; i++) {
        if (b->result[i].is_kernel != kernels) continue;
        count++;
        if (strlen(b->result[i].name) > width) width = strlen(b->result[i].name);
    }
    if (count) cli_print("%-*s  %s\n", (int)width, title, head);
    for (size_t i = 0; i < b->count; i++)
        if (b->result[i].is_kernel == kernels) print(&b->result[i], (int)width);
    return count;
}

// What the CPU's counters said, where they did.
static void print_counts(const struct benching *b) {
    int width = 0;
    bool first = true;
    for (size_t i = 0; i < b->count; i++)
        if ((int)strlen(b->result[i].name) > width) width = (int)strlen(b->result[i].name);
    for (size_t i = 0; i < b->count; i++) {
        const struct result *r = &b->result[i];
        if (!r->count || !(r->repetition->counts.share > 0)) continue;
        const double cycles = result_figure(r, repetition_cycles).median,
                     instructions = result_figure(r, repetition_instructions).median;
        if (first)
            cli_print("%-*s  %13s  %13s  %12s  %13s\n", width, "in user space", "cycles/sample", "instr./sample",
                      "instr./cycle", "misses/sample");
        cli_print("%-*s  %13.0f  %13.0f  %12.2f  %13.1f\n", width, r->name, cycles, instructions,
                  cycles > 0 ? instructions / cycles : 0, result_figure(r, repetition_cache_misses).median);
        first = false;
    }
}

static void print_tables(const struct benching *b) {
    const bool models = print_results(b, false, " samples/s  spread  us/sample   done/peak   GFLOP/s", print_model);
    const bool kernels = print_results(b, true, "  us/call  spread   GFLOP/s   of peak      GB/s", print_kernel);
    cli_print("spread: half of the repetitions lie that close together, of the median.%s%s\n",
              models ? " done/peak: FLOPs that are really done, of what FMAs on registers (GFLOP/s, one thread) could "
                       "do meanwhile."
                     : "",
              kernels ? " of peak: FLOPs of what FMAs on registers could do meanwhile, a convolution's counted as if "
                        "it were dense."
                      : "");
    print_counts(b);
}

// Kernels are many, and have one line.
static void warn_of_spread(const struct benching *b) {
    static const double most = 0.05;
    size_t kernels = 0;
    for (size_t i = 0; i < b->count; i++) {
        const struct figure rate = result_figure(&b->result[i], repetition_rate);
        if (rate.spread <= most) continue;
        if (b->result[i].is_kernel)
            kernels++;
        else
            cli_warn("%s: the repetitions lie %.0f %% apart: use more of them, or a quieter machine", b->result[i].name,
                     100 * rate.spread);
    }
    if (kernels)
        cli_warn("the repetitions of %zu kernel%s lie more than %.0f %% apart: use more of them, or a quieter machine",
                 kernels, kernels == 1 ? "" : "s", 100 * most);
}

// What may have made these figures others than they would be on a quiet machine.
static void warn(const struct benching *b, const struct weather *w) {
    if (*w->load.sentence) cli_warn("%s", w->load.sentence);
    if (*w->after.governor && strcmp(w->after.governor, "performance") != 0)
        cli_warn("the CPUs' governor is %s: clocks change with the load; 'cpupower frequency-set -g performance' keeps "
                 "them up",
                 w->after.governor);
    if (w->after.throttled > w->before.throttled)
        cli_warn("the cgroup's quota held this process back for %.2g s: use fewer threads, or raise it",
                 w->after.throttled - w->before.throttled);
    warn_of_spread(b);
    for (size_t i = 0; i < b->count; i++) {
        const double share = result_figure(&b->result[i], repetition_counted_share).median;
        if (share > 0 && share < 0.99)
            cli_warn(
                "%s: other programs had the CPU's counters for %.0f %% of the time, so that the counts are estimates",
                b->result[i].name, 100 * (1 - share));
    }
}

static json_t *to_json(const struct benching *b, const struct weather *w) {
    const struct context c = {.machine = b->machine,
                              .conditions = &w->after,
                              .load = &w->load,
                              .peaks = w->measured ? &w->peaks : NULL,
                              .data = b->data ? shk_data_source(b->data) : ""};
    json_t *file = results_to_json(context_to_json(&c), b->result, b->count);
    if (!file) cli_die(CLI_FAILED, "out of memory");
    return file;
}

static void write_json(const char *path, const json_t *file) {
    struct shk_error error = {0};
    char *text = shk_json_text(file, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    if (!text) cli_die(CLI_FAILED, "out of memory");
    if (!shk_write_file(path, text, strlen(text), &error)) cli_die_error(&error);
    free(text);
}

// Before anything is measured.
static void check_json(const char *path) {
    char *copy = strdup(path), *folder = copy ? dirname(copy) : NULL;
    if (!copy) cli_die(CLI_FAILED, "out of memory");
    if (access(folder, W_OK) != 0) cli_die(CLI_USAGE, "%s cannot be written: %s: %s", path, folder, strerror(errno));
    free(copy);
}

// A file of results of a few steps, to be released: what is there, and what it computes.
static json_t *facts_of(struct benching *b) {
    struct weather w = {.measured = false}; // which takes longer than all else
    const struct shk_bench_limits few = {3, 3, 0};
    shk_machine_conditions(b->machine, &w.after);
    for (size_t i = 0; i < b->count; i++) benching_run(b, i, &few, &b->result[i].repetition[b->result[i].count++]);
    json_t *file = to_json(b, &w);
    for (size_t i = 0; i < b->count; i++) b->result[i].count = 0;
    return file;
}

// ---- To bench-compare ----

// First a line of JSON with what is there; then, for each line "INDEX STEPS" from standard input, one with the seconds of the median
// step, on the clock and of the first thread's CPU time. Of a kernel the steps are calls.
static void serve(struct benching *b) {
    char line[64];
    json_t *file = facts_of(b);
    char *text = shk_json_text(file, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(file);
    if (!text) cli_die(CLI_FAILED, "out of memory");
    printf("%s\n", text);
    free(text);
    while (fflush(stdout) == 0 && fgets(line, sizeof line, stdin)) {
        struct repetition r;
        size_t index, steps;
        if (sscanf(line, "%zu %zu", &index, &steps) != 2 || index >= b->count || steps < 1 || steps > BENCHING_STEPS)
            cli_die(CLI_USAGE, "'%.20s' asks for no benchmark", line);
        steps = benching_steps(b, index, steps);
        benching_run(b, index, &(struct shk_bench_limits){steps, steps, 0}, &r);
        const double samples = result_samples(&b->result[index], &r);
        printf("%.9g %.9g\n", samples / r.rate, samples / r.cpu_rate);
    }
}

// ---- All of it ----

static void print_data(const struct benching *b) {
    const struct shk_dataset *d = shk_data_part(b->data, SHK_PART_TRAIN);
    const struct shk_shape shape = shk_dataset_shape(d);
    cli_print("data: %s, %zu images of %zux%zu pixels, %zu channel%s, %zu classes\n",
              cli_shown(shk_data_source(b->data)).text, shk_dataset_size(d), shape.height, shape.width, shape.channels,
              shape.channels == 1 ? "" : "s", shape.classes);
}

// In all the ways that were asked for.
static void show(const struct bench_settings *s, const struct benching *b, json_t *file) {
    const bool prints = has_stdout(s);
    if (!prints) print_tables(b);
    if (prints) cli_print_json(json_incref(file));
    if (s->json && !prints) write_json(s->json, file);
}

static int run(const struct bench_settings *s, struct benching *b) {
    struct weather w;
    json_t *facts = stored_is_used(&s->stored) ? facts_of(b) : NULL;
    struct stored *stored = facts ? stored_open(&s->stored, facts) : NULL;
    json_decref(facts);
    if (b->data && !has_stdout(s) && !s->what.run.values.quiet) print_data(b);
    shk_machine_conditions(b->machine, &w.before);
    shk_machine_load(b->machine);
    measure(b);
    w.peaks = benching_peaks(b);
    w.measured = true;
    w.load = shk_machine_load(b->machine);
    shk_machine_conditions(b->machine, &w.after);
    json_t *file = to_json(b, &w);
    show(s, b, file);
    warn(b, &w);
    const int code = stored ? stored_finish(stored, file) : CLI_DONE;
    json_decref(file);
    return code;
}

static bool takes(const struct shk_setting *s) {
    return s->section == SHK_SECTION_DATA || s->section == SHK_SECTION_OUTPUT || s == shk_setting_named("seed") ||
           s == shk_setting_named("pin");
}

// What a kernel does not know, where nothing else is measured.
static void check_kernels_alone(const struct benching_settings *s) {
    const char *useless = s->batch_count    ? "batch"
                          : s->thread_count ? "threads"
                          : s->what         ? "what"
                          : s->perf         ? "perf"
                                            : NULL;
    char option[SHK_SETTING_NAME];
    for (size_t i = 0; i < shk_setting_count && !useless; i++) {
        const struct shk_setting *each = &shk_settings[i];
        if (!(s->run.given >> i & 1) || each->section == SHK_SECTION_OUTPUT || each == shk_setting_named("pin"))
            continue;
        shk_setting_option(each, option);
        useless = option;
    }
    if (useless) cli_die(CLI_USAGE, "--%s has no effect on kernels: give --models as well", useless);
}

static void check_results(const struct bench_settings *s) {
    if (s->json && !has_stdout(s)) check_json(s->json);
    if (has_stdout(s) && s->stored.against)
        cli_die(CLI_USAGE, "--against prints a table, and so does not go with --json -: name a file");
    if (s->serve && stored_is_used(&s->stored))
        cli_die(CLI_USAGE, "programs that are compared do not save or compare anything themselves");
}

// Standard output, where it belongs to results. A program that is compared starts often, and says nothing of its data.
static void keep_apart(struct bench_settings *s) {
    struct run_settings *run = &s->what.run;
    if (!s->serve && !has_stdout(s)) return;
    if (strcmp(run->values.progress, "bar") == 0 || strcmp(run->values.progress, "line") == 0)
        cli_die(CLI_USAGE, "--progress %s cannot be given together with --json -: standard output is for the results",
                run->values.progress);
    snprintf(run->values.progress, sizeof run->values.progress, "none");
    run->apart = true;
    s->what.silent = s->serve;
}

// What was left out has its default, and what cannot be together is refused.
static void complete(struct bench_settings *s) {
    struct benching_settings *what = &s->what;
    keep_apart(s);
    if (what->kernels && !what->models) check_kernels_alone(what);
    if (!what->models && !what->kernels) what->models = list_of("tinycnn,tinyvit,tinyvit-pre");
    if (!what->what) what->what = "all";
    stored_complete(&s->stored);
    const bool quick = s->quick && !stored_is_used(&s->stored); // 3 repetitions are too few for ranks
    if (!what->batch_count) what->batches[what->batch_count++] = what->run.values.train.batch;
    if (!what->repeats) what->repeats = quick ? 3 : 5;
    if (what->seconds <= 0) {
        what->seconds = s->quick ? 0.1 : 0.5;
        what->kernel_seconds = 0.1 * what->seconds;
    }
    check_results(s);
}

static int bench(int argc, char **argv) {
    const struct argp_child children[] = {{&stored_argp, 0, NULL, 1}, {run_argp(takes), 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Measures samples per second of training steps and of evaluation, and calls of kernels, repetition by "
               "repetition in turns.\vA training begins anew after 5 epochs, since its work changes as a model learns. "
               "Kernels have one thread, and the shapes that tinycnn and tinyvit give them.\n\nWith --against, exit "
               "code 0: not slower, 3: slower, 4: too noisy to tell. bench history prints the course of what was "
               "saved.\n\nExamples:\n  shikaku bench --quick\n  shikaku bench --models vit:dim=128,depth=4 --batch "
               "64,256 --json results.json\n  shikaku bench --save before; shikaku bench --against before\n  shikaku "
               "bench --kernels '^(gemm|conv3x3)' --isa all",
        .children = children,
    };
    struct bench_settings s = {.what.run = run_defaults()};
    struct benching_settings *what = &s.what;
    int code = CLI_DONE;
    cli_parse(&argp, "shikaku bench", argc, argv, &s);
    run_check_output(&what->run);
    complete(&s);
    struct benching b = benching_open(what);
    if (s.serve)
        serve(&b);
    else
        code = run(&s, &b);
    benching_close(&b);
    free(what->models);
    free(what->isas);
    const int written = cli_finish_output();
    return written == CLI_DONE ? code : written;
}

int cli_bench(int argc, char **argv) {
    const bool history = argc > 1 && strcmp(argv[1], "history") == 0;
    benching_pin();
    return history ? cli_bench_history(argc - 1, argv + 1) : bench(argc, argv);
}
