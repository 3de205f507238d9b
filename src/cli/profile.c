// SPDX-License-Identifier: MIT
// shikaku profile: where a training step's time goes, as the median of some repeats.
#include "cli/run.h"

#include "base/json.h"
#include "cli/json.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_REPEATS = 99, MOST_STEPS = 1000000, MOST_DOUBTS = 4, SENTENCE = 200 };

struct profile_settings {
    struct run_settings run;
    size_t steps, repeats;
    bool json;
};

// A figure over the repeats.
struct figure {
    double median, spread; // spread: largest less smallest, as a part of the median
};

struct summary {
    size_t rows;
    const struct shk_profile_row *row; // of the first repeat: names, FLOPs, bytes
    struct figure *seconds;            // [rows]
    struct figure step, peak, bandwidth;
    double best_peak, best_bandwidth; // of one thread, of all
    unsigned threads;
    size_t doubts;
    char doubt[MOST_DOUBTS][SENTENCE];
};

// ---- Repeats ----

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct figure figure_of(double *values, size_t n) {
    qsort(values, n, sizeof *values, ascending);
    const double median = n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
    return (struct figure){median, median > 0 ? (values[n - 1] - values[0]) / median : 0};
}

// Reasons for which the peaks may not be this machine's.
static void find_doubts(struct summary *s) {
    if (s->peak.spread > 0.1)
        snprintf(s->doubt[s->doubts++], SENTENCE,
                 "the FMA peak differed by %.0f %% between repeats: run again on a quiet machine",
                 100 * s->peak.spread);
    if (s->bandwidth.spread > 0.3)
        snprintf(s->doubt[s->doubts++], SENTENCE,
                 "the memory's peak differed by %.0f %% between repeats: run again on a quiet machine",
                 100 * s->bandwidth.spread);
    double most = 0;
    for (size_t i = 0; i < s->rows; i++) {
        const double rate = s->seconds[i].median > 0 ? s->row[i].flops / s->seconds[i].median : 0;
        if (rate > most) most = rate;
    }
    if (most > 1.05 * s->best_peak)
        snprintf(s->doubt[s->doubts++], SENTENCE,
                 "a layer reaches %.0f %% of the FMA peak, which so was measured too low: run again on a quiet machine",
                 100 * most / s->best_peak);
}

// The stream is read from the caches where all of them that the threads use hold it.
static void doubt_stream(struct summary *s, double stream_bytes) {
    struct shk_machine *machine = shk_machine_create(NULL, NULL);
    if (!machine) return;
    const struct shk_machine_info *m = shk_machine_info(machine);
    const double caches = (double)m->l3 * (s->threads < m->l3_groups ? s->threads : m->l3_groups);
    if (caches >= stream_bytes)
        snprintf(s->doubt[s->doubts++], SENTENCE,
                 "the memory's peak may be a cache's, as the stream of %.0f MiB fits L3 caches of %.0f MiB: take the "
                 "shares of it as lower bounds",
                 stream_bytes / (1 << 20), caches / (1 << 20));
    shk_machine_free(machine);
}

static struct summary summarize(const struct shk_profile *p, size_t repeats) {
    struct summary s = {.rows = p->rows, .row = p->row, .threads = p->threads};
    double values[4][MOST_REPEATS];
    s.seconds = calloc(s.rows, sizeof *s.seconds);
    if (!s.seconds) cli_die(CLI_FAILED, "out of memory");
    for (size_t r = 0; r < repeats; r++) {
        values[0][r] = p[r].step_seconds;
        values[1][r] = p[r].peak_flops;
        values[2][r] = p[r].bandwidth;
    }
    s.step = figure_of(values[0], repeats);
    s.peak = figure_of(values[1], repeats);
    s.bandwidth = figure_of(values[2], repeats);
    s.best_peak = values[1][repeats - 1]; // they are in order now
    s.best_bandwidth = values[2][repeats - 1];
    for (size_t i = 0; i < s.rows; i++) {
        for (size_t r = 0; r < repeats; r++) values[3][r] = p[r].row[i].seconds;
        s.seconds[i] = figure_of(values[3], repeats);
    }
    find_doubts(&s);
    doubt_stream(&s, p->stream_bytes);
    return s;
}

// ---- Text ----

// Times per sample and thread; what is computed and moved, against the peaks of the threads together.
static bool print_rows(const struct summary *s, size_t batch) {
    const double peak = s->best_peak * s->threads, total = s->step.median * s->threads;
    bool ok = cli_print("%-34s %-18s %8s %6s %6s %9s %8s %9s\n", "layer", "phase", "us", "spread", "share", "GFLOP/s",
                        "of peak", "of memory");
    for (size_t i = 0; i < s->rows && ok; i++) {
        const struct shk_profile_row *r = &s->row[i];
        const double seconds = s->seconds[i].median, thread_seconds = seconds / s->threads;
        const double rate = r->flops / thread_seconds;
        if (1e6 * seconds / (double)batch < 0.01) continue; // nothing to do in this phase
        ok = cli_print("%-34s %-18s %8.2f %5.0f%% %5.1f%%", r->layer, r->phase, 1e6 * seconds / (double)batch,
                       100 * s->seconds[i].spread, 100 * seconds / total);
        if (r->flops > 0) {
            ok = ok && cli_print(" %9.1f %7.0f%%", 1e-9 * rate, 100 * rate / peak);
        } else {
            ok = ok && cli_print(" %9s %8s", "", "");
        }
        if (r->bytes > 0) ok = ok && cli_print(" %8.0f%%", 100 * r->bytes / thread_seconds / s->best_bandwidth);
        ok = ok && cli_print("\n");
    }
    return ok;
}

static double flops_of(const struct summary *s) {
    double flops = 0;
    for (size_t i = 0; i < s->rows; i++) flops += s->row[i].flops;
    return flops;
}

static bool print_summary(const struct summary *s, const struct shk_model *model, const struct profile_settings *p) {
    const size_t batch = p->run.values.train.batch;
    const double rate = (double)batch / s->step.median, nominal = shk_model_training_flops(model) * rate;
    const double flops = flops_of(s), done = flops / s->step.median, peak = s->best_peak * s->threads;
    return cli_print("peaks: %.1f GFLOP/s a thread (FMA on registers), %.1f GB/s (memory, %u thread%s)\n\n",
                     1e-9 * s->best_peak, 1e-9 * s->best_bandwidth, s->threads, s->threads == 1 ? "" : "s") &&
           print_rows(s, batch) &&
           cli_print(
               "\nus: per sample, all threads' time together, median of %zu repeats of %zu steps; spread: largest "
               "less smallest. of memory: each number counted once, whatever cache it comes from.\n"
               "%.0f samples/s (%.1f us a sample, spread %.0f %%); %.3f MFLOP a sample are computed: %.1f "
               "GFLOP/s, %.2f of the FMA peak\n"
               "nominal %.3f MFLOP a sample (every layer dense, forward and backward): %.1f GFLOP/s, %.2f of the "
               "FMA peak\n",
               p->repeats, p->steps, rate, 1e6 / rate, 100 * s->step.spread, 1e-6 * flops / (double)batch, 1e-9 * done,
               done / peak, 1e-6 * shk_model_training_flops(model), 1e-9 * nominal, nominal / peak);
}

// ---- JSON ----

static json_t *figure_json(const struct figure *f) {
    return json_pack("{s:f, s:f}", "median", f->median, "spread", f->spread);
}

static json_t *rows_json(const struct summary *s) {
    json_t *rows = json_array();
    for (size_t i = 0; i < s->rows; i++) {
        const struct shk_profile_row *r = &s->row[i];
        json_array_append_new(rows,
                              json_pack("{s:s, s:s, s:o, s:f, s:f}", "layer", r->layer, "phase", r->phase, "seconds",
                                        figure_json(&s->seconds[i]), "flops", r->flops, "bytes", r->bytes));
    }
    return rows;
}

static void print_json(const struct summary *s, const struct run *run, const struct shk_model *model,
                       const struct profile_settings *p) {
    json_t *doubts = json_array();
    for (size_t i = 0; i < s->doubts; i++) json_array_append_new(doubts, json_string(s->doubt[i]));
    json_t *all =
        json_pack("{s:s, s:s, s:i, s:s, s:I, s:I, s:I, s:o, s:f, s:f, s:f, s:f, s:o, s:o}", "version", shk_version(),
                  "instruction_set", shk_runtime_isa(run->runtime), "threads", (int)s->threads, "model",
                  shk_model_description(model), "batch", (json_int_t)p->run.values.train.batch, "steps",
                  (json_int_t)p->steps, "repeats", (json_int_t)p->repeats, "step_seconds", figure_json(&s->step),
                  "samples_per_second", (double)p->run.values.train.batch / s->step.median, "peak_flops_per_thread",
                  s->best_peak, "peak_bandwidth", s->best_bandwidth, "nominal_flops_per_sample",
                  shk_model_training_flops(model), "doubts", doubts, "rows", rows_json(s));
    cli_print_json(all);
}

// ---- Command ----

enum { KEY_JSON = 256, KEY_STEPS, KEY_REPEATS };

static const struct argp_option options[] = {
    {"steps", KEY_STEPS, "N", 0, "Training steps of a repeat (100)", 0},
    {"repeats", KEY_REPEATS, "N", 0, "Repeats, of which the median counts (3)", 0},
    {"json", KEY_JSON, 0, 0, "Print JSON", 0},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct profile_settings *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->run;
        return 0;
    case KEY_JSON:
        s->json = true;
        return 0;
    case KEY_STEPS:
        s->steps = cli_whole("steps", arg, 1, MOST_STEPS);
        return 0;
    case KEY_REPEATS:
        s->repeats = cli_whole("repeats", arg, 1, MOST_REPEATS);
        return 0;
    default:
        return cli_parse_common(key, arg, state);
    }
}

static bool takes(const struct shk_setting *s) {
    return s->section != SHK_SECTION_RUN && s->section != SHK_SECTION_OUTPUT && s != shk_setting_named("epochs") &&
           s != shk_setting_named("init") && s != shk_setting_named("freeze");
}

static struct profile_settings parse(int argc, char **argv) {
    const struct argp_child children[] = {{run_argp(takes), 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Trains a model for some steps, some times, and prints where the time goes: per layer and phase, beside "
               "the peaks of this machine.",
        .children = children,
    };
    struct profile_settings settings = {.run = run_defaults(), .steps = 100, .repeats = 3};
    cli_parse(&argp, "shikaku profile", argc, argv, &settings);
    run_need_model("profile", &settings.run);
    return settings;
}

static struct shk_profile *measure(const struct profile_settings *s, const struct run *run, struct shk_model *model) {
    struct shk_profile *profiles = calloc(s->repeats, sizeof *profiles);
    struct shk_error error = {0};
    if (!profiles) cli_die(CLI_FAILED, "out of memory");
    for (size_t r = 0; r < s->repeats; r++)
        if (!shk_profile_train(model, run->runtime, run->train, &s->run.values.train, s->steps, &profiles[r], &error))
            cli_die_error(&error);
    return profiles;
}

int cli_profile(int argc, char **argv) {
    const struct profile_settings settings = parse(argc, argv);
    struct run run = run_create(&settings.run, (struct initial){0});
    const struct shk_shape shape = shk_dataset_shape(run.train);
    struct shk_error error = {0};
    struct shk_model *model =
        shk_model_create(settings.run.values.model, &shape, settings.run.values.train.seed, &error);
    if (!model) cli_die_error(&error);
    struct shk_profile *profiles = measure(&settings, &run, model);
    struct summary summary = summarize(profiles, settings.repeats);
    if (settings.json) {
        print_json(&summary, &run, model, &settings);
    } else if (run_print_device(&run)) {
        print_summary(&summary, model, &settings);
    }
    run_check(&run);
    for (size_t i = 0; i < summary.doubts; i++) cli_warn("%s", summary.doubt[i]);
    free(summary.seconds);
    for (size_t r = 0; r < settings.repeats; r++) shk_profile_free(&profiles[r]);
    free(profiles);
    shk_model_free(model);
    run_free(&run);
    return cli_finish_output();
}
