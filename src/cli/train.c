// SPDX-License-Identifier: MIT
// shikaku train: one model on squares.
#include "cli/one_model.h"
#include "cli/record.h"
#include "cli/tuned.h"

#include <stdlib.h>

struct train_settings {
    struct record_settings record;
    bool tuned;             // use what 'shikaku tune' found
    const char *tuned_file; // NULL: its default
};

enum { KEY_TUNED = 4096, KEY_OUT, KEY_RESUME, KEY_FORCE };

static const struct argp_option options[] = {
    {"tuned", KEY_TUNED, "FILE", OPTION_ARG_OPTIONAL, "Threads, pinning and ISA as 'shikaku tune' found them", 0},
    {"out", KEY_OUT, "DIR", 0, "Keep the run there: config.json, metrics.jsonl, last.ckpt, best.safetensors, log.txt",
     0},
    {"resume", KEY_RESUME, 0, 0, "Go on with the run in --out where there is one", 0},
    {"force", KEY_FORCE, 0, 0, "Replace the run in --out", 0},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct train_settings *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->record.run;
        state->child_inputs[1] = &s->record.run;
        state->child_inputs[2] = &s->record;
        return 0;
    case KEY_TUNED:
        s->tuned = true;
        s->tuned_file = arg;
        return 0;
    case KEY_OUT:
        s->record.out = arg;
        return 0;
    case KEY_RESUME:
        s->record.resume = true;
        return 0;
    case KEY_FORCE:
        s->record.force = true;
        return 0;
    default:
        return cli_parse_common(key, arg, state);
    }
}

// What the tuning found, where neither an option nor a variable says otherwise.
static void apply(const struct tuned *t, struct run_settings *s) {
    const bool own_threads = s->threads || getenv("SHIKAKU_THREADS") || getenv("OMP_NUM_THREADS");
    if (!own_threads) s->threads = t->threads;
    if (!own_threads && !s->pin && !getenv("SHIKAKU_PIN")) s->pin = t->pin; // found with that many threads
    if (!getenv("SHIKAKU_ISA")) s->isa = t->isa;
    if (!s->config.shards) s->config.shards = t->shards;
}

static void use_tuned(const char *file, struct run_settings *s, struct tuned *t) {
    const struct shk_shape shape = {s->config.size, s->config.size, 1, 9};
    struct shk_error error = {0};
    struct shk_machine *machine = shk_machine_create(NULL, &error);
    if (!machine) cli_die_error(&error);
    struct shk_model *model = shk_model_create(s->config.model, &shape, s->config.seed, &error);
    if (!model) cli_die_error(&error);
    struct tuned_key key;
    tuned_key_fill(&key, machine, model, s->config.batch);
    if (!tuned_find(file, &key, t))
        cli_die(CLI_USAGE,
                "nothing is tuned for this machine, model and batch: run 'shikaku tune --model %s --batch %zu'",
                s->config.model, key.batch);
    apply(t, s);
    cli_print("tuned: %s, %u thread%s, pinning %s; %.0f samples/s when measured\n", t->isa, t->threads,
              t->threads == 1 ? "" : "s", t->pin, t->samples_per_second);
    shk_model_free(model);
    shk_machine_free(machine);
}

static struct train_settings parse(int argc, char **argv) {
    const struct argp_child children[] = {
        {run_argp(), 0, NULL, 0}, {&one_model_argp, 0, NULL, 0}, {record_argp(), 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Trains one model on images of squares and prints loss, test accuracy, speed and a hash of the weights.",
        .children = children,
    };
    struct train_settings s = {.record = {.run = run_defaults}};
    cli_parse(&argp, "shikaku train", argc, argv, &s);
    const struct record_settings *r = &s.record;
    if (!(r->out && r->resume)) one_model_check("train", &r->run);
    if (!r->out && (r->resume || r->force || r->seconds > 0 || r->every || run_was_given(&r->run, "metrics-every")))
        cli_die(CLI_USAGE,
                "--resume, --force, --checkpoint-... and --metrics-every need a run's folder, as in --out DIR");
    if (r->resume && s.tuned)
        cli_die(CLI_USAGE,
                "--tuned and --resume cannot be given together: a run keeps its settings, but SHIKAKU_THREADS, "
                "SHIKAKU_PIN and SHIKAKU_ISA count");
    if (r->resume && r->force) cli_die(CLI_USAGE, "--resume and --force cannot be given together: go on, or replace");
    return s;
}

int cli_train(int argc, char **argv) {
    struct train_settings settings = parse(argc, argv);
    struct tuned tuned;
    if (settings.tuned) use_tuned(settings.tuned_file, &settings.record.run, &tuned);
    if (settings.record.out) return record_train(&settings.record);
    struct run run = run_create(&settings.record.run);
    struct contender contender = contender_create(&run, run.settings.config.model);
    if (run_print_device(&run)) contender_train(&contender, &run);
    run_check_quota(&run);
    contender_free(&contender);
    run_free(&run);
    return cli_finish_output();
}
