// SPDX-License-Identifier: MIT
// shikaku bench-compare: says of each benchmark of two programs whether the new one is slower.
#include "base/file.h"
#include "cli/benching.h"
#include "cli/compared_files.h"
#include "cli/contest.h"
#include "cli/run.h"
#include "report/verdicts.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct compare_settings {
    struct run_settings run; // how it is shown
    const char *name[2];     // base, new
    char **arguments;        // of their benchmarks; ended by NULL
    double threshold, seconds;
    bool anyway;
    const char *markdown, *junit; // NULL: none; "-": in place of the table
};

enum { KEY_THRESHOLD = 256, KEY_SECONDS, KEY_ANYWAY, KEY_MARKDOWN, KEY_JUNIT };

static const struct argp_option options[] = {
    {"threshold", KEY_THRESHOLD, "PERCENT", 0, "Slower is what takes longer by more than that (5)", 0},
    {"seconds", KEY_SECONDS, "X", 0, "Seconds of the comparison, but six rounds at least (30)", 0},
    {"anyway", KEY_ANYWAY, 0, 0, "Compare what was built with other flags, or computes something else", 0},
    {"markdown", KEY_MARKDOWN, "FILE", 0, "Write the table as Markdown, too; -: print it in place of the table", 0},
    {"junit", KEY_JUNIT, "FILE", 0, "Write the verdicts as JUnit's XML, too; -: print it in place of the table", 0},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct compare_settings *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->run;
        return 0;
    case KEY_THRESHOLD:
        s->threshold = 0.01 * cli_real("threshold", arg, 0, false, 1000);
        return 0;
    case KEY_SECONDS:
        s->seconds = cli_real("seconds", arg, 0, false, 86400);
        return 0;
    case KEY_ANYWAY:
        s->anyway = true;
        return 0;
    case KEY_MARKDOWN:
        s->markdown = arg;
        return 0;
    case KEY_JUNIT:
        s->junit = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1) return cli_parse_common(key, arg, state);
        s->name[state->arg_num] = arg;
        return 0;
    case ARGP_KEY_END:
        if (s->name[1]) return 0;
        cli_die(CLI_USAGE, "bench-compare needs two programs or files of results, as in 'shikaku bench-compare OLD "
                           "NEW'; what stands behind "
                           "-- goes to the bench of both");
    default:
        return cli_parse_common(key, arg, state);
    }
}

// ---- The answer ----

static bool is_printed(const char *path) { return path && strcmp(path, "-") == 0; }

// Prints a text or writes it to a file; frees it.
static void give(const char *path, char *text) {
    struct shk_error error = {0};
    if (!text) cli_die(CLI_FAILED, "out of memory");
    if (is_printed(path))
        cli_print("%s", text);
    else if (!shk_write_file(path, text, strlen(text), &error))
        cli_die_error(&error);
    free(text);
}

static int answer(const struct compare_settings *s, const struct verdicts *v) {
    const struct verdict_counts counts = verdicts_count(v);
    if (!is_printed(s->markdown) && !is_printed(s->junit)) give("-", verdicts_table(v));
    if (s->markdown) give(s->markdown, verdicts_markdown(v));
    if (s->junit) give(s->junit, verdicts_junit(v));
    return counts.of[VERDICT_SLOWER] ? CLI_SLOWER : counts.of[VERDICT_TOO_NOISY] ? CLI_NOISY : CLI_DONE;
}

static int compare_files(const struct compare_settings *s) {
    struct compared_files c = compared_files_open(s->name, s->arguments, s->threshold, s->anyway);
    const struct verdicts v = {s->name[0], s->name[1], s->threshold, c.count, c.name, c.comparison};
    const int code = answer(s, &v);
    compared_files_close(&c);
    return code;
}

static int compare_programs(const struct compare_settings *s) {
    const struct contest_options o = {.base = contestant_of(s->name[0], s->arguments),
                                      .new = contestant_of(s->name[1], s->arguments),
                                      .threshold = s->threshold,
                                      .seconds = s->seconds,
                                      .anyway = s->anyway,
                                      .shown = &s->run.values};
    struct contest c = contest_hold(&o);
    const struct verdicts v = {s->name[0], s->name[1], s->threshold, c.count, c.name, c.comparison};
    const int code = answer(s, &v);
    contest_free(&c);
    return code;
}

// Where the benchmarks' own options begin: behind --.
static int find_rest(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--") == 0) return i;
    return argc;
}

static bool takes(const struct shk_setting *s) { return s->section == SHK_SECTION_OUTPUT; }

int cli_bench_compare(int argc, char **argv) {
    const struct argp_child children[] = {{run_argp(takes), 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .children = children,
        .args_doc = "BASE NEW [-- OPTION-OF-BENCH...]",
        .doc = "Runs the benchmarks of two programs in turns, in blocks too short for the weather to change, and says "
               "of each whether the new one is slower: exit code 0 no, 3 yes, 4 too noisy to tell.\vA program is "
               "shikaku, of any version that has bench, or one made with Google Benchmark, which gets the options "
               "behind -- and is started for each piece. In the place of a program may stand a file of results: then "
               "nothing runs in turns, and the weather counts as a change.",
    };
    benching_pin();
    const int rest = find_rest(argc, argv);
    struct compare_settings s = {
        .run = run_defaults(), .threshold = 0.05, .seconds = 30, .arguments = argv + (rest < argc ? rest + 1 : argc)};
    cli_parse(&argp, "shikaku bench-compare", rest, argv, &s);
    run_check_output(&s.run);
    signal(SIGPIPE, SIG_IGN);
    const bool files = compared_is_file(s.name[0]) || compared_is_file(s.name[1]);
    const int code = files ? compare_files(&s) : compare_programs(&s);
    const int written = cli_finish_output();
    return written == CLI_DONE ? code : written;
}
