// SPDX-License-Identifier: MIT
// Saves a run of bench, and prints how it compares with a stored one.
#include "cli/stored.h"

#include "report/baseline.h"
#include "report/folder.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stored {
    const struct stored_settings *settings;
    char *folder;
    struct store store;
    struct baseline *baseline;
    struct comparison *comparison; // [count]
    size_t count;
};

// ---- Options ----

enum { KEY_SAVE = 768, KEY_AGAINST, KEY_STORE, KEY_THRESHOLD, KEY_ANYWAY, GROUP = 1 };

static const struct argp_option options[] = {
    {.doc = "The store of results:", .group = GROUP},
    {"save", KEY_SAVE, "NAME", OPTION_ARG_OPTIONAL, "Keep the results in the store, under a name or none", GROUP},
    {"against", KEY_AGAINST, "RUN", 0, "Compare with a stored run: best, last, or its name", GROUP},
    {"threshold", KEY_THRESHOLD, "PERCENT", 0, "Slower is what takes longer by more than that (5)", GROUP},
    {"anyway", KEY_ANYWAY, 0, 0, "Compare with what another machine, other flags or other weights gave", GROUP},
    {"store", KEY_STORE, "DIR", 0, "Where the store is (shikaku/bench in XDG_DATA_HOME or ~/.local/share)", GROUP},
    {0},
};

static const char *name_of(const char *name) {
    if (!store_is_name(name))
        cli_die(CLI_USAGE,
                "'%s' is no name to save under: take 1 to 64 letters, digits and . _ - + /, and neither best nor last",
                name);
    return name;
}

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct stored_settings *s = state->input;
    switch (key) {
    case KEY_SAVE:
        s->save = arg ? name_of(arg) : "";
        s->name_at = arg ? 0 : state->next;
        return 0;
    case KEY_AGAINST:
        if (strcmp(arg, "best") != 0 && strcmp(arg, "last") != 0 && !store_is_name(arg))
            cli_die(CLI_USAGE, "--against must be best, last, or the name of a stored run, not '%s'", arg);
        s->against = arg;
        return 0;
    case KEY_STORE:
        s->folder = arg;
        return 0;
    case KEY_THRESHOLD:
        s->threshold = 0.01 * cli_real("threshold", arg, 0, false, 1000);
        return 0;
    case KEY_ANYWAY:
        s->anyway = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp stored_argp = {.options = options, .parser = parse_option};

bool stored_takes(struct stored_settings *s, const char *arg, const struct argp_state *state) {
    if (!s->name_at || s->name_at != state->next - 1) return false;
    s->save = name_of(arg);
    return true;
}

bool stored_is_used(const struct stored_settings *s) { return s->save || s->against; }

void stored_complete(struct stored_settings *s) {
    if (s->folder && !stored_is_used(s)) cli_die(CLI_USAGE, "--store has no effect without --save or --against");
    if ((s->anyway || s->threshold > 0) && !s->against)
        cli_die(CLI_USAGE, "--%s has no effect without --against", s->anyway ? "anyway" : "threshold");
    if (!(s->threshold > 0)) s->threshold = 0.05;
}

char *stored_folder(const char *given) {
    char *folder = NULL;
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int length;
    if (given && *given)
        length = asprintf(&folder, "%s", given);
    else if (given)
        cli_die(CLI_USAGE, "--store must name a folder");
    else if (data && *data == '/')
        length = asprintf(&folder, "%s/shikaku/bench", data);
    else if (home && *home)
        length = asprintf(&folder, "%s/.local/share/shikaku/bench", home);
    else
        cli_die(CLI_USAGE, "neither XDG_DATA_HOME nor HOME is set: name the store's folder with --store");
    if (length < 0) cli_die(CLI_FAILED, "out of memory");
    return folder;
}

// ---- Before ----

static void choose(struct stored *s, const json_t *facts) {
    struct shk_error error = {0};
    struct measured fresh;
    struct shk_names notes = {0};
    const struct baseline_request request = {s->settings->against, s->folder, s->settings->anyway};
    if (!store_read(s->folder, &s->store, &error) || !measured_from_json(facts, "this run", &fresh, &error))
        cli_die_error(&error);
    if (*s->store.warning) cli_warn("%s", s->store.warning);
    s->baseline = calloc(fresh.count, sizeof *s->baseline);
    if (!s->baseline) cli_die(CLI_FAILED, "out of memory");
    if (!baselines_choose(&s->store, &fresh, &request, s->baseline, &s->count, &notes, &error)) cli_die_error(&error);
    for (size_t i = 0; i < notes.count; i++) cli_warn("%s", notes.names[i]);
    shk_names_free(&notes);
    measured_free(&fresh);
}

struct stored *stored_open(const struct stored_settings *settings, const json_t *facts) {
    struct stored *s = calloc(1, sizeof *s);
    struct shk_error error = {0};
    if (!s) cli_die(CLI_FAILED, "out of memory");
    s->settings = settings;
    s->folder = stored_folder(settings->folder);
    if (settings->against) choose(s, facts);
    if (settings->save && !store_prepare(s->folder, &error)) cli_die_error(&error);
    return s;
}

// ---- After ----

static int width_of(const struct stored *s) {
    size_t width = strlen("benchmark");
    for (size_t i = 0; i < s->count; i++)
        if (strlen(s->baseline[i].base->name) > width) width = strlen(s->baseline[i].base->name);
    return (int)width;
}

static void print_row(const struct baseline *b, const struct comparison *c, int width) {
    char weather[16] = "-";
    if (b->runs >= BASELINE_RUNS) snprintf(weather, sizeof weather, "%.1f%%", 100 * expm1(c->noise));
    cli_print("%-*s  %+7.1f%%  %+6.1f .. %+5.1f  %7s  %7.4f  %-24s  %-12s  %s\n", width, cli_shown(b->base->name).text,
              100 * expm1(c->shift.estimate), 100 * expm1(c->shift.low), 100 * expm1(c->shift.high), weather,
              c->probability, cli_shown(b->run->date).text, cli_shown(b->run->commit).text, verdict_name(c->verdict));
}

// Why these verdicts are worth less than those of bench-compare.
static void print_doubts(const struct stored *s, const struct measured *fresh) {
    size_t unknown = 0, few = 0;
    for (size_t i = 0; i < s->count; i++) {
        unknown += s->baseline[i].runs < BASELINE_RUNS;
        few += isinf(s->comparison[i].shift.high) || isinf(s->comparison[i].shift.low);
    }
    cli_print("weather: so far two runs of the same program may lie apart, as they were measured at different times: "
              "three times the median change from one stored run to the next. 'shikaku bench-compare' runs two "
              "programs at the same time.\n");
    if (unknown)
        cli_warn("what the weather does to %zu of %zu benchmarks is not known, and not in their verdicts: it takes %d "
                 "stored runs",
                 unknown, s->count, BASELINE_RUNS);
    if (few)
        cli_warn("%zu and %zu repetitions are too few to be sure of anything: use --repeats 5 or more",
                 s->baseline->base->count, fresh->benchmark[s->baseline->index].count);
}

static int print_answer(const struct stored *s) {
    size_t count[VERDICTS] = {0};
    for (size_t i = 0; i < s->count; i++) count[s->comparison[i].verdict]++;
    cli_print("this run is %s than %s: of %zu benchmarks %zu slower by more than %g %%, %zu not slower, %zu too noisy "
              "to tell\n",
              count[VERDICT_SLOWER]      ? "slower"
              : count[VERDICT_TOO_NOISY] ? "perhaps slower"
                                         : "not slower",
              s->settings->against, s->count, count[VERDICT_SLOWER], 100 * s->settings->threshold,
              count[VERDICT_NOT_SLOWER], count[VERDICT_TOO_NOISY]);
    return count[VERDICT_SLOWER] ? CLI_SLOWER : count[VERDICT_TOO_NOISY] ? CLI_NOISY : CLI_DONE;
}

static int compare(struct stored *s, const json_t *file) {
    struct shk_error error = {0};
    struct measured fresh;
    if (!measured_from_json(file, "this run", &fresh, &error)) cli_die_error(&error);
    s->comparison = calloc(s->count, sizeof *s->comparison);
    if (!s->comparison ||
        !baselines_judge(&s->store, &fresh, s->settings->threshold, s->baseline, s->count, s->comparison))
        cli_die(CLI_FAILED, "out of memory");
    const int width = width_of(s);
    cli_print("\n%-*s  %8s  %15s  %7s  %7s  %-24s  %-12s  verdict\n", width, "benchmark", "time", "0.95", "weather",
              "p", "against", "commit");
    for (size_t i = 0; i < s->count; i++) print_row(&s->baseline[i], &s->comparison[i], width);
    print_doubts(s, &fresh);
    measured_free(&fresh);
    return print_answer(s);
}

static void save(const struct stored *s, const json_t *file) {
    struct shk_error error = {0};
    bool dropped = false;
    if (!store_add(s->folder, file, s->settings->save, &dropped, &error)) cli_die_error(&error);
    if (dropped) cli_warn("%s: a line that was not whole stood at the end, and is gone", s->folder);
    cli_note("saved in %s%s%s", s->folder, *s->settings->save ? " as " : "", s->settings->save);
}

int stored_finish(struct stored *s, const json_t *file) {
    const int code = s->settings->against ? compare(s, file) : CLI_DONE;
    if (s->settings->save) save(s, file);
    store_free(&s->store);
    free(s->baseline);
    free(s->comparison);
    free(s->folder);
    free(s);
    return code;
}
