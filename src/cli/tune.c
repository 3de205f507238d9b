// SPDX-License-Identifier: MIT
// shikaku tune: measures training steps with many settings, in turns, and keeps the fastest.
#include "cli/lists.h"
#include "cli/run.h"
#include "cli/tuned.h"

#include <math.h>
#include <shikaku/machine.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CANDIDATES = 512, MOST_ROUNDS = 15, MOST_SHARDS = 8, FIRST_ROUNDS = 3 };

struct tune_settings {
    struct run_settings run; // model, batch, size, and how it is shown
    const char *out;
    uint64_t shards[MOST_SHARDS];
    size_t shard_count;
    bool quick;
};

enum { KEY_QUICK = 256, KEY_SHARDS, KEY_OUT };

static const struct argp_option options[] = {
    {"quick", KEY_QUICK, 0, 0, "Fewer and shorter measurements", 0},
    {"shards", KEY_SHARDS, "LIST", 0, "Try these numbers of shards, too, as 16,32,64; they change the bits", 0},
    {"out", KEY_OUT, "FILE", 0, "Where the result goes (shikaku/tuned.json in XDG_CONFIG_HOME or ~/.config)", 0},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct tune_settings *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->run;
        return 0;
    case KEY_QUICK:
        s->quick = true;
        return 0;
    case KEY_SHARDS:
        s->shard_count = list_wholes("shards", arg, 1, SHK_MAX_SHARDS, s->shards, MOST_SHARDS);
        return 0;
    case KEY_OUT:
        s->out = arg;
        return 0;
    default:
        return cli_parse_common(key, arg, state);
    }
}

// ---- Candidates ----

struct candidate {
    const char *isa, *pin;
    unsigned threads;
    size_t shards;
    struct shk_runtime *runtime;
    struct shk_model *model;
    struct shk_trainer *trainer;
    size_t epochs;            // of a measurement
    double rate[MOST_ROUNDS]; // samples/s
    double median;
    bool dropped;
    bool standard; // what a training takes without being told: the one to beat
};

struct tuning {
    const struct tune_settings *settings;
    struct shk_machine *machine;
    struct shk_dataset *data;
    size_t count, rounds, most_rounds;
    double seconds;              // of a measurement
    struct shk_load load;        // meanwhile
    struct candidate *candidate; // [MOST_CANDIDATES]
};

static bool set(const char *name) { return getenv(name) != NULL; }

// Instruction sets that run here, the best first; plain C only where there is no other. What the user set is the only one.
static size_t list_isas(const char *isas[4]) {
    size_t here = 0, n = 0;
    if (set("SHIKAKU_ISA")) {
        isas[0] = NULL;
        return 1;
    }
    while (shk_isa_at(here)) here++;
    while (here-- > (n ? 1 : 0) && n < 4) isas[n++] = shk_isa_at(here);
    return n;
}

// Whether so many would start: OpenMP and the system have limits.
static bool can_start(const struct shk_machine *m, unsigned threads) {
    struct shk_choice c;
    return shk_machine_choose(m, &(struct shk_choice_options){.threads = threads}, &c, NULL) && c.threads == threads;
}

static void add_count(const struct shk_machine *m, unsigned *counts, size_t *n, unsigned threads, size_t tasks) {
    size_t at = 0;
    if (threads < 1 || threads > tasks || threads > SHK_MAX_THREADS || !can_start(m, threads)) return;
    while (at < *n && counts[at] < threads) at++;
    if (at < *n && counts[at] == threads) return;
    memmove(counts + at + 1, counts + at, (*n - at) * sizeof *counts);
    counts[at] = threads;
    ++*n;
}

// Thread counts: powers of two, what would be chosen, all cores, all CPUs, the quota; no more than the tasks of a step.
static size_t list_threads(const struct shk_machine *m, const struct shk_choice *standard, size_t tasks,
                           unsigned counts[32]) {
    const struct shk_machine_info *info = shk_machine_info(m);
    size_t n = 0;
    if (!standard->automatic) {
        counts[0] = standard->threads;
        return 1;
    }
    for (unsigned t = 1; t < info->allowed_cpus; t *= 2) add_count(m, counts, &n, t, tasks);
    add_count(m, counts, &n, standard->threads, tasks);
    add_count(m, counts, &n, info->allowed_cores, tasks);
    add_count(m, counts, &n, info->allowed_cpus, tasks);
    if (tasks <= info->allowed_cpus) add_count(m, counts, &n, (unsigned)tasks, tasks);
    return n;
}

static struct shk_choice automatic(const struct shk_machine *m, size_t tasks) {
    struct shk_choice choice;
    struct shk_error error = {0};
    if (!shk_machine_choose(m, &(struct shk_choice_options){.tasks = tasks}, &choice, &error)) cli_die_error(&error);
    return choice;
}

// Pinnings that put the threads on different CPUs. What the user set, to us or to OpenMP, is the only one.
static size_t list_pins(const struct shk_machine *m, unsigned threads, const char *pins[4]) {
    static const char *const names[] = {"none", "cores", "compact", "scatter"};
    struct shk_choice *choices = calloc(4, sizeof *choices);
    size_t n = 0;
    if (!choices) cli_die(CLI_FAILED, "out of memory");
    pins[0] = NULL;
    for (size_t i = 0; i < 4 && !set("SHIKAKU_PIN"); i++) {
        struct shk_choice *c = &choices[n];
        if (!shk_machine_choose(m, &(struct shk_choice_options){.threads = threads, .pin = names[i]}, c, NULL))
            continue;
        bool same = i > 0 && !c->pinned;
        for (size_t j = 0; j < n; j++)
            same = same ||
                   (choices[j].pinned && c->pinned && memcmp(choices[j].cpu, c->cpu, threads * sizeof *c->cpu) == 0);
        if (!same) pins[n++] = names[i];
    }
    free(choices);
    return n ? n : 1;
}

static struct shk_dataset *make_data(const struct shk_run_settings *v) {
    struct shk_error error = {0};
    const size_t size = tuned_size(v);
    const struct shk_squares_options options = {
        .n = 4 * v->train.batch, .size = size, .square = size < 18 ? size / 3 : 6, .invert = 0.5};
    struct shk_dataset *data = shk_dataset_squares(&options, &error);
    if (!data) cli_die_error(&error);
    return data;
}

static void open_candidate(const struct tuning *t, struct candidate *c) {
    struct shk_error error = {0};
    const struct shk_shape shape = shk_dataset_shape(t->data);
    const struct shk_train_options train = {
        .batch = t->settings->run.values.train.batch, .shards = c->shards, .lr = 1e-5, .seed = 1};
    const struct shk_runtime_options runtime = {
        .isa = c->isa, .threads = c->threads, .pin = c->pin, .tasks = shk_train_shards(&train)};
    c->runtime = shk_runtime_create(&runtime, &error);
    if (!c->runtime) cli_die_error(&error);
    c->model = shk_model_create(t->settings->run.values.model, &shape, 1, &error);
    if (!c->model) cli_die_error(&error);
    c->trainer = shk_trainer_create(c->model, c->runtime, &train, &error);
    if (!c->trainer) cli_die_error(&error);
    c->isa = shk_runtime_isa(c->runtime);
}

static void make_candidates(struct tuning *t) {
    const char *isas[4], *pins[4];
    const struct tune_settings *s = t->settings;
    unsigned threads[32];
    const size_t isa_count = list_isas(isas);
    for (size_t h = 0; h < (s->shard_count ? s->shard_count : 1); h++) {
        const size_t shards = s->shard_count ? s->shards[h] : 0;
        const size_t tasks =
            shk_train_shards(&(struct shk_train_options){.batch = s->run.values.train.batch, .shards = shards});
        const struct shk_choice standard = automatic(t->machine, tasks);
        const char *const pin = standard.pinned ? "cores" : "none";
        const size_t thread_count = list_threads(t->machine, &standard, tasks, threads);
        for (size_t i = 0; i < thread_count; i++) {
            const size_t pin_count = list_pins(t->machine, threads[i], pins);
            for (size_t p = 0; p < pin_count; p++) {
                for (size_t a = 0; a < isa_count && t->count < MOST_CANDIDATES; a++) {
                    struct candidate *c = &t->candidate[t->count++];
                    *c = (struct candidate){.isa = isas[a], .pin = pins[p], .threads = threads[i], .shards = shards};
                    c->standard =
                        h == 0 && a == 0 && threads[i] == standard.threads && (!pins[p] || strcmp(pins[p], pin) == 0);
                    open_candidate(t, c);
                }
            }
        }
    }
}

// ---- Measurement ----

struct measurement {
    double seconds;
    size_t epochs;
};

static bool on_epoch(const struct shk_epoch *epoch, void *user) {
    struct measurement *m = user;
    m->seconds += epoch->train_seconds;
    m->epochs++;
    return true;
}

static double measure(const struct tuning *t, struct candidate *c, size_t epochs) {
    struct measurement m = {0};
    struct shk_error error = {0};
    const struct shk_callbacks callbacks = {.on_epoch = on_epoch, .user = &m};
    const size_t until = shk_trainer_position(c->trainer).epoch + epochs;
    if (!shk_train(c->trainer, t->data, NULL, until, &callbacks, &error)) cli_die_error(&error);
    return (double)(shk_dataset_size(t->data) * m.epochs) / m.seconds;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The value below which `part` of n values lie.
static double quantile(const double *values, size_t n, double part) {
    double sorted[MOST_ROUNDS];
    memcpy(sorted, values, n * sizeof *values);
    qsort(sorted, n, sizeof *sorted, ascending);
    const double at = part * (double)(n - 1);
    const size_t low = (size_t)at, high = low + 1 < n ? low + 1 : low;
    return sorted[low] + (at - (double)low) * (sorted[high] - sorted[low]);
}

static struct candidate *best_of(const struct tuning *t, const struct candidate *except) {
    struct candidate *best = NULL;
    for (size_t i = 0; i < t->count; i++) {
        struct candidate *c = &t->candidate[i];
        if (!c->dropped && c != except && (!best || c->median > best->median)) best = c;
    }
    return best;
}

static const char *pin_name(const struct candidate *c) {
    return c->pin ? c->pin : set("SHIKAKU_PIN") ? getenv("SHIKAKU_PIN") : "auto";
}

// The settings that are left, and so many rounds of them behind.
static void begin_progress(struct progress *p, const struct tuning *t, size_t left) {
    *p = (struct progress){.title = shk_model_title(t->candidate->model),
                           .part = "round",
                           .unit = "setting",
                           .parts = t->most_rounds,
                           .units = left,
                           .done = t->rounds * left,
                           .loss = (double)NAN};
    progress_begin(p, &t->settings->run.values);
}

// Also warms up.
static void find_lengths(struct tuning *t) {
    for (size_t i = 0; i < t->count; i++) {
        struct candidate *c = &t->candidate[i];
        const double rate = measure(t, c, 1), epochs = t->seconds * rate / (double)shk_dataset_size(t->data);
        c->epochs = epochs < 1 ? 1 : (size_t)ceil(epochs);
    }
}

static void run_round(struct tuning *t, struct progress *p) {
    for (size_t i = 0; i < t->count; i++) {
        struct candidate *c = &t->candidate[i];
        if (c->dropped) continue;
        c->rate[t->rounds] = measure(t, c, c->epochs);
        c->median = quantile(c->rate, t->rounds + 1, 0.5);
        p->done++;
    }
    t->rounds++;
}

// Leaves out those that are far behind; returns how many are left.
static size_t drop(struct tuning *t) {
    const double best = best_of(t, NULL)->median;
    size_t left = 0;
    for (size_t i = 0; i < t->count; i++) {
        struct candidate *c = &t->candidate[i];
        c->dropped = !c->standard && quantile(c->rate, t->rounds, 1) < 0.85 * best;
        left += !c->dropped;
    }
    return left;
}

// One measurement of each that is left, in turns.
static void run_rounds(struct tuning *t) {
    struct progress progress;
    begin_progress(&progress, t, t->count);
    find_lengths(t);
    while (t->rounds < FIRST_ROUNDS) run_round(t, &progress);
    progress_end();
    begin_progress(&progress, t, drop(t));
    while (t->rounds < t->most_rounds) run_round(t, &progress);
    progress_end();
}

// ---- Result ----

static int by_median(const void *a, const void *b) {
    const struct candidate *x = *(struct candidate *const *)a, *y = *(struct candidate *const *)b;
    return (x->median < y->median) - (x->median > y->median);
}

static void print_table(const struct tuning *t) {
    struct candidate *order[MOST_CANDIDATES];
    for (size_t i = 0; i < t->count; i++) order[i] = &t->candidate[i];
    qsort(order, t->count, sizeof *order, by_median);
    cli_print("isa     threads  pinning   shards  samples/s   of best  spread  rounds\n");
    for (size_t i = 0; i < t->count; i++) {
        const struct candidate *c = order[i];
        const size_t n = c->dropped ? FIRST_ROUNDS : t->rounds;
        const double spread = quantile(c->rate, n, 0.75) - quantile(c->rate, n, 0.25);
        cli_print("%-6s  %7u  %-8s  %6zu  %9.0f  %8.3f  %5.1f%%  %6zu\n", c->isa, c->threads, pin_name(c),
                  shk_trainer_shards(c->trainer), c->median, c->median / order[0]->median, 100 * spread / c->median, n);
    }
    cli_print("spread: half of the rounds lie that close together, of the median.\n\n");
}

// How likely `wins` or more of n rounds are where both are equally fast.
static double chance(size_t wins, size_t n) {
    double sum = 0, term = pow(0.5, (double)n); // term: n over k, times 2^-n
    for (size_t k = 0; k <= n; k++) {
        if (k >= wins) sum += term;
        term *= (double)(n - k) / (double)(k + 1);
    }
    return sum;
}

// The first against the second, round by round. What does not beat the default beyond noise does not replace it.
struct verdict {
    const struct candidate *winner, *first, *second; // second NULL: there is no other
    size_t wins;
    double gain, probability;
};

static const double SURE = 0.05, LEAST_GAIN = 0.01;

static struct verdict judge(const struct tuning *t) {
    struct verdict v = {.first = best_of(t, NULL), .probability = 0};
    const struct candidate *standard = t->candidate;
    while (!standard->standard) standard++;
    v.winner = v.first;
    v.second = v.first->standard ? best_of(t, v.first) : standard;
    if (!v.second) return v;
    for (size_t i = 0; i < t->rounds; i++) v.wins += v.first->rate[i] > v.second->rate[i];
    v.gain = v.first->median / v.second->median - 1;
    v.probability = chance(v.wins, t->rounds);
    if (v.second->standard && (v.probability >= SURE || v.gain < LEAST_GAIN)) v.winner = v.second;
    return v;
}

static void print_candidate(const char *before, const struct candidate *c, const char *behind) {
    cli_print("%s%s, %u thread%s, pinning %s%s", before, c->isa, c->threads, c->threads == 1 ? "" : "s", pin_name(c),
              behind);
}

static void print_verdict(const struct tuning *t, const struct verdict *v) {
    print_candidate("winner: ", v->winner, v->winner->standard ? ", the default: " : ": ");
    cli_print("%.0f samples/s\n", v->winner->median);
    if (v->second) {
        print_candidate(v->probability < SURE ? "sure: " : "not sure: ", v->first, "");
        print_candidate(v->second->standard ? ", was faster than the default (" : ", was faster than the second (",
                        v->second, ")");
        cli_print(" in %zu of %zu rounds, %.1f %% at the median; equals would do so with probability %.3f%s\n", v->wins,
                  t->rounds, 100 * v->gain, v->probability, v->winner != v->first ? ", so the default stays" : "");
    } else {
        cli_print("sure: the others are more than 15 %% slower\n");
    }
    if (t->load.share >= TUNED_BUSY)
        cli_warn("others took %.0f %% of the CPUs' time meanwhile, so that this may not hold on a quiet machine: tune "
                 "again there",
                 100 * t->load.share);
    const struct candidate *c = v->winner;
    cli_print("\nexport SHIKAKU_ISA=%s\nexport SHIKAKU_THREADS=%u\nexport SHIKAKU_PIN=%s\n", c->isa, c->threads,
              pin_name(c));
}

static void store(const struct tuning *t, const struct verdict *v) {
    const struct candidate *c = v->winner;
    struct tuned_key key;
    struct tuned result = {.threads = c->threads,
                           .shards = c->shards,
                           .samples_per_second = c->median,
                           .probability = v->probability,
                           .load = t->load.share};
    snprintf(result.isa, sizeof result.isa, "%s", c->isa);
    snprintf(result.pin, sizeof result.pin, "%s", pin_name(c));
    tuned_key_fill(&key, t->machine, c->model, t->settings->run.values.train.batch);
    char *name = tuned_store(t->settings->out, &key, &result);
    cli_print("\nwritten to %s; used by 'shikaku train --tuned%s%s'\n", cli_shown(name).text,
              t->settings->out ? "=" : "", t->settings->out ? cli_quoted(t->settings->out).text : "");
    free(name);
}

static void close_tuning(struct tuning *t) {
    for (size_t i = 0; i < t->count; i++) {
        shk_trainer_free(t->candidate[i].trainer);
        shk_model_free(t->candidate[i].model);
        shk_runtime_free(t->candidate[i].runtime);
    }
    free(t->candidate);
    shk_dataset_free(t->data);
    shk_machine_free(t->machine);
}

static bool takes(const struct shk_setting *s) {
    return s == shk_setting_named("model") || s == shk_setting_named("batch") || s == shk_setting_named("size") ||
           s->section == SHK_SECTION_OUTPUT;
}

int cli_tune(int argc, char **argv) {
    const struct argp_child children[] = {{run_argp(takes), 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc =
            "Measures training steps with every sensible number of threads, pinning and instruction set, in turns, and "
            "keeps the fastest for 'shikaku train --tuned'.\vWhat an environment variable sets is not varied. An "
            "interrupted run leaves what was found earlier as it was.",
        .children = children,
    };
    struct tune_settings settings = {.run = run_defaults()};
    cli_parse(&argp, "shikaku tune", argc, argv, &settings);
    run_need_model("tune", &settings.run);
    run_check_output(&settings.run);
    tuned_prepare(settings.out);
    struct shk_error error = {0};
    struct tuning t = {.settings = &settings,
                       .most_rounds = settings.quick ? 5 : MOST_ROUNDS,
                       .seconds = settings.quick ? 0.02 : 0.1,
                       .machine = shk_machine_create(NULL, &error)};
    if (!t.machine) cli_die_error(&error);
    t.data = make_data(&settings.run.values);
    t.candidate = calloc(MOST_CANDIDATES, sizeof *t.candidate);
    if (!t.candidate) cli_die(CLI_FAILED, "out of memory");
    make_candidates(&t);
    shk_machine_load(t.machine);
    run_rounds(&t);
    t.load = shk_machine_load(t.machine);
    if (!settings.run.values.quiet) print_table(&t);
    const struct verdict verdict = judge(&t);
    print_verdict(&t, &verdict);
    store(&t, &verdict);
    close_tuning(&t);
    return cli_finish_output();
}
