// SPDX-License-Identifier: MIT
// shikaku bench-compare: runs two programs in turns, and says of each benchmark whether the new one is slower.
#include "cli/common.h"
#include "cli/contender.h"
#include "report/comparison.h"

#include "base/clock.h"
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BASE, NEW, AGAIN, CONTENDERS };

struct compare_settings {
    const char *program[2]; // base, new
    char **arguments;       // of bench; ended by NULL
    double threshold, seconds;
    bool anyway;
};

enum { KEY_THRESHOLD = 256, KEY_SECONDS, KEY_ANYWAY };

static const struct argp_option options[] = {
    {"threshold", KEY_THRESHOLD, "PERCENT", 0, "Slower is what takes longer by more than that (5)", 0},
    {"seconds", KEY_SECONDS, "X", 0, "Seconds of the comparison, but six rounds at least (30)", 0},
    {"anyway", KEY_ANYWAY, 0, 0, "Compare what was built with other flags, or computes something else", 0},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct compare_settings *s = state->input;
    switch (key) {
    case KEY_THRESHOLD:
        s->threshold = 0.01 * cli_real("threshold", arg, 0, false, 1000);
        return 0;
    case KEY_SECONDS:
        s->seconds = cli_real("seconds", arg, 0, false, 86400);
        return 0;
    case KEY_ANYWAY:
        s->anyway = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1) return cli_parse_common(key, arg, state);
        s->program[state->arg_num] = arg;
        return 0;
    case ARGP_KEY_END:
        if (s->program[1]) return 0;
        cli_die(CLI_USAGE,
                "bench-compare needs two programs, as in 'shikaku bench-compare OLD NEW'; what stands behind "
                "-- goes to the bench of both");
    default:
        return cli_parse_common(key, arg, state);
    }
}

// ---- What takes part ----

struct subject {
    const char *name;
    size_t index[CONTENDERS], steps; // of a block
    bool by_cpu;                     // one thread: what others take of its CPU is left out
    double *block[CONTENDERS];       // [blocks]: seconds a step
    double fastest[CONTENDERS];      // sum over the rounds of what a step took
};

struct contest {
    const struct compare_settings *settings;
    struct contender *contender[CONTENDERS];
    json_t *facts; // of the base program's first start
    struct subject *subject;
    struct comparison *comparison; // [count]
    size_t count, rounds;
    uint64_t random;
};

enum { BLOCKS = 12, MOST_ROUNDS = 60 }; // of a benchmark in a round; rounds at most
static const double block_seconds = 0.02;

static void *room(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (!p) cli_die(CLI_FAILED, "out of memory");
    return p;
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

// The programs begin beside each other; each round has new ones, since where a program's memory lies changes its speed.
static void start_all(struct contest *c) {
    const struct compare_settings *s = c->settings;
    for (int i = 0; i < CONTENDERS; i++) c->contender[i] = contender_start(s->program[i == NEW], s->arguments);
    for (int i = 0; i < CONTENDERS; i++) contender_facts(c->contender[i]);
}

static void stop_all(struct contest *c) {
    for (int i = 0; i < CONTENDERS; i++) contender_stop(c->contender[i]);
}

// ---- What may be compared ----

static const json_t *find(const json_t *facts, const char *name, size_t *index) {
    const json_t *each;
    size_t i;
    json_array_foreach(json_object_get(facts, "benchmarks"), i, each) {
        if (strcmp(text_of(each, "name"), name) != 0) continue;
        *index = i;
        return each;
    }
    return NULL;
}

static void must_agree(const struct contest *c, const json_t *base, const json_t *new, const char *what) {
    if (json_equal(base, new)) return;
    char *a = json_dumps(base, JSON_ENCODE_ANY), *b = json_dumps(new, JSON_ENCODE_ANY);
    if (c->settings->anyway)
        cli_warn("%s differ: %s and %s", what, a ? a : "nothing", b ? b : "nothing");
    else
        cli_die(CLI_USAGE, "%s differ, which --anyway takes: %s and %s", what, a ? a : "nothing", b ? b : "nothing");
    free(a);
    free(b);
}

static void check_contexts(const struct contest *c, const json_t *base, const json_t *new) {
    static const struct {
        const char *key, *what;
    } facts[] = {{"cpu", "CPUs"}, {"numerics", "numerics versions"}, {"flags", "flags"}, {"compiler", "compilers"}};
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        must_agree(c, json_object_get(base, facts[i].key), json_object_get(new, facts[i].key), facts[i].what);
}

static void meet(struct contest *c, struct subject *s, const json_t *base, const json_t *new) {
    char what[400];
    snprintf(what, sizeof what, "the weights after the same steps (%.200s)", s->name);
    must_agree(c, json_object_get(base, "hash"), json_object_get(new, "hash"), what);
    snprintf(what, sizeof what, "the threads' places (%.200s)", s->name);
    must_agree(c, json_object_get(base, "placement"), json_object_get(new, "placement"), what);
    const double ms = json_number_value(json_object_get(base, "real_time"));
    const double steps = ceil(1e3 * block_seconds / ms);
    s->steps = steps >= 1 && steps < 10000 ? (size_t)steps : 1;
    s->by_cpu = json_integer_value(json_object_get(base, "threads")) == 1;
}

// All benchmarks that both have.
static void find_subjects(struct contest *c) {
    const json_t *base = contender_facts(c->contender[BASE]), *new = contender_facts(c->contender[NEW]), *each;
    size_t index;
    c->facts = json_deep_copy(base);
    if (!c->facts) cli_die(CLI_FAILED, "out of memory");
    check_contexts(c, json_object_get(base, "context"), json_object_get(new, "context"));
    const json_t *benchmarks = json_object_get(c->facts, "benchmarks");
    c->subject = room(json_array_size(benchmarks), sizeof *c->subject);
    c->comparison = room(json_array_size(benchmarks), sizeof *c->comparison);
    json_array_foreach(benchmarks, index, each) {
        struct subject *s = &c->subject[c->count];
        s->name = text_of(each, "name");
        const json_t *other = find(new, s->name, &s->index[NEW]);
        if (!other) {
            cli_warn("%s has no benchmark %s, which is left out", c->settings->program[1], s->name);
            continue;
        }
        s->index[BASE] = s->index[AGAIN] = index;
        for (int i = 0; i < CONTENDERS; i++) s->block[i] = room(BLOCKS, sizeof(double));
        meet(c, s, each, other);
        c->count++;
    }
    if (!c->count) cli_die(CLI_USAGE, "the programs have no benchmark in common");
}

// ---- Rounds ----

static unsigned draw(struct contest *c, unsigned below) { // linear congruential, Knuth's MMIX
    c->random = c->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((c->random >> 33) % below);
}

// The three of them in random order, close together.
static void run_block(struct contest *c, struct subject *s, size_t block) {
    int order[CONTENDERS] = {BASE, NEW, AGAIN};
    for (unsigned i = CONTENDERS; i-- > 1;) {
        const unsigned k = draw(c, i + 1);
        const int swap = order[i];
        order[i] = order[k];
        order[k] = swap;
    }
    for (int i = 0; i < CONTENDERS; i++) {
        const struct timing t = contender_run(c->contender[order[i]], s->index[order[i]], s->steps);
        s->block[order[i]][block] = s->by_cpu ? t.cpu_seconds : t.seconds;
    }
}

static double middle_ratio(const double *above, const double *below) {
    double logs[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) logs[i] = log(above[i] / below[i]);
    return statistics_median(logs, BLOCKS);
}

// The clear ones take part no longer.
static void run_round(struct contest *c) {
    for (size_t block = 0; block < BLOCKS; block++)
        for (size_t i = 0; i < c->count; i++)
            if (!c->comparison[i].clear) run_block(c, &c->subject[i], block);
    for (size_t i = 0; i < c->count; i++) {
        struct comparison *r = &c->comparison[i];
        struct subject *s = &c->subject[i];
        if (r->clear) continue;
        r->change[r->rounds] = middle_ratio(s->block[NEW], s->block[BASE]);
        r->same[r->rounds++] = middle_ratio(s->block[AGAIN], s->block[BASE]);
        for (int k = 0; k < CONTENDERS; k++) s->fastest[k] += statistics_median(s->block[k], BLOCKS);
    }
}

static bool is_over(const struct contest *c, double begun, double longest) {
    bool all_clear = true;
    for (size_t i = 0; i < c->count; i++) all_clear = all_clear && c->comparison[i].clear;
    const bool enough = c->rounds >= COMPARISON_ROUNDS && shk_seconds() - begun + longest > c->settings->seconds;
    return all_clear || enough || c->rounds == MOST_ROUNDS;
}

static void run_all(struct contest *c) {
    const double begun = shk_seconds();
    double longest = 0;
    do {
        const double start = shk_seconds();
        start_all(c);
        if (c->rounds == 0) find_subjects(c);
        run_round(c);
        stop_all(c);
        c->rounds++;
        if (!comparisons_judge(c->comparison, c->count, c->settings->threshold)) cli_die(CLI_FAILED, "out of memory");
        longest = fmax(longest, shk_seconds() - start);
    } while (!is_over(c, begun, longest));
}

// ---- The answer ----

static void print_table(const struct contest *c) {
    int width = (int)strlen("benchmark");
    for (size_t i = 0; i < c->count; i++)
        if ((int)strlen(c->subject[i].name) > width) width = (int)strlen(c->subject[i].name);
    cli_print("%-*s  %8s  %15s  %6s  %7s  %6s  verdict\n", width, "benchmark", "time", "0.95", "A/A", "p", "rounds");
    for (size_t i = 0; i < c->count; i++) {
        const struct comparison *r = &c->comparison[i];
        cli_print("%-*s  %+7.1f%%  %+6.1f .. %+5.1f  %5.1f%%  %7.4f  %6zu  %s\n", width, c->subject[i].name,
                  100 * expm1(r->shift.estimate), 100 * expm1(r->shift.low), 100 * expm1(r->shift.high),
                  100 * expm1(r->noise), r->probability, r->rounds, verdict_name(r->verdict));
    }
}

static int answer(const struct contest *c) {
    size_t count[3] = {0};
    for (size_t i = 0; i < c->count; i++) count[c->comparison[i].verdict]++;
    cli_print("%s is %s: of %zu benchmarks %zu slower by more than %g %%, %zu not slower, %zu too noisy to tell\n",
              cli_shown(c->settings->program[1]).text,
              count[VERDICT_SLOWER]      ? "slower"
              : count[VERDICT_TOO_NOISY] ? "perhaps slower"
                                         : "not slower",
              c->count, count[VERDICT_SLOWER], 100 * c->settings->threshold, count[VERDICT_NOT_SLOWER],
              count[VERDICT_TOO_NOISY]);
    return count[VERDICT_SLOWER] ? CLI_SLOWER : count[VERDICT_TOO_NOISY] ? CLI_NOISY : CLI_DONE;
}

// Where bench's own options begin: behind --.
static int find_rest(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--") == 0) return i;
    return argc;
}

int cli_bench_compare(int argc, char **argv) {
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "BASE NEW [-- OPTION-OF-BENCH...]",
        .doc =
            "Runs the benchmarks of two programs in turns, in blocks too short for the weather to change, and says of "
            "each whether the new one is slower: exit code 0 no, 3 yes, 4 too noisy to tell.",
    };
    const int rest = find_rest(argc, argv);
    struct compare_settings s = {.threshold = 0.05, .seconds = 30, .arguments = argv + (rest < argc ? rest + 1 : argc)};
    struct contest c = {.settings = &s, .random = (uint64_t)(1e6 * shk_seconds())};
    cli_parse(&argp, "shikaku bench-compare", rest, argv, &s);
    signal(SIGPIPE, SIG_IGN);
    run_all(&c);
    print_table(&c);
    const int code = answer(&c);
    for (size_t i = 0; i < c.count; i++)
        for (int k = 0; k < CONTENDERS; k++) free(c.subject[i].block[k]);
    free(c.subject);
    free(c.comparison);
    json_decref(c.facts);
    const int written = cli_finish_output();
    return written == CLI_DONE ? code : written;
}
