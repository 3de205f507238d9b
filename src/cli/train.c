// SPDX-License-Identifier: MIT
// shikaku train: trains one model, and keeps the run in a folder where one is named.
#include "cli/kept_run.h"
#include "cli/printer.h"
#include "cli/signals.h"
#include "cli/tuned.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct train_settings {
    struct kept_run_settings kept;
    bool tuned;             // use what 'shikaku tune' found
    const char *tuned_file; // NULL: its default
};

enum { KEY_TUNED = 4096, KEY_RESUME, KEY_FORCE };

static const struct argp_option options[] = {
    {"tuned", KEY_TUNED, "FILE", OPTION_ARG_OPTIONAL, "Threads, pinning and ISA as 'shikaku tune' found them", 0},
    {"resume", KEY_RESUME, 0, 0, "Go on with the run in --out where there is one", OPTION_GROUP_RUN},
    {"force", KEY_FORCE, 0, 0, "Replace the run in --out", OPTION_GROUP_RUN},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct train_settings *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->kept.run;
        return 0;
    case KEY_TUNED:
        s->tuned = true;
        s->tuned_file = arg;
        return 0;
    case KEY_RESUME:
        s->kept.resume = true;
        return 0;
    case KEY_FORCE:
        s->kept.force = true;
        return 0;
    default:
        return cli_parse_common(key, arg, state);
    }
}

// What the tuning found, where neither an option nor a variable says otherwise.
static void apply(const struct tuned *t, struct run_settings *s) {
    struct shk_run_settings *v = &s->values;
    const bool own_threads = v->threads || getenv("SHIKAKU_THREADS") || getenv("OMP_NUM_THREADS");
    if (!own_threads) v->threads = t->threads;
    if (!own_threads && !*v->pin && !getenv("SHIKAKU_PIN"))
        snprintf(v->pin, sizeof v->pin, "%s", t->pin); // found with that many threads
    if (!getenv("SHIKAKU_ISA")) s->isa = t->isa;
    if (!run_was_given(s, "shards") && t->shards) v->train.shards = t->shards;
}

static void use_tuned(const char *file, struct run_settings *s, struct tuned *t) {
    const struct shk_run_settings *v = &s->values;
    const struct shk_shape shape = {tuned_size(v), tuned_size(v), 1, 9};
    struct shk_error error = {0};
    if (!shk_settings_draw(v) && !v->data.size)
        cli_die(CLI_USAGE, "--tuned needs --size where the data come from files: what is tuned is found by it");
    if (file && access(file, F_OK) != 0)
        cli_die(CLI_USAGE, "%s is not there: shikaku tune --model %s --batch %zu --out %s makes it", file, v->model,
                v->train.batch, cli_quoted(file).text);
    struct shk_machine *machine = shk_machine_create(NULL, &error);
    if (!machine) cli_die_error(&error);
    struct shk_model *model = shk_model_create(v->model, &shape, v->train.seed, &error);
    if (!model) cli_die_error(&error);
    struct tuned_key key;
    tuned_key_fill(&key, machine, model, v->train.batch);
    if (!tuned_find(file, &key, t))
        cli_die(CLI_USAGE,
                "nothing is tuned for this machine, model, batch and image size: run 'shikaku tune --model %s --batch "
                "%zu --size %zu'",
                v->model, key.batch, tuned_size(v));
    apply(t, s);
    if (!v->quiet)
        cli_print("tuned: %s, %u thread%s, pinning %s; %.0f samples/s when measured\n", cli_shown(t->isa).text,
                  t->threads, t->threads == 1 ? "" : "s", cli_shown(t->pin).text, t->samples_per_second);
    shk_model_free(model);
    shk_machine_free(machine);
}

static bool takes(const struct shk_setting *s) { return s->name != NULL; }

// Whether something was typed that makes sense with a run's folder alone.
static bool of_folder(const struct run_settings *s) {
    for (size_t i = 0; i < shk_setting_count; i++)
        if (shk_settings[i].section == SHK_SECTION_RUN && s->given >> i & 1) return true;
    return false;
}

static struct train_settings parse(int argc, char **argv) {
    const struct argp_child children[] = {{run_argp(takes), 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Trains one model and prints loss, test accuracy, speed and a hash of the weights.\vExamples:\n"
               "  shikaku train --model tinycnn --epochs 3 --seed 7\n"
               "  shikaku train --model vit:dim=128,depth=4 --epochs 50 --out runs/a --resume",
        .children = children,
    };
    struct train_settings s = {.kept = {.run = run_defaults()}};
    cli_parse(&argp, "shikaku train", argc, argv, &s);
    const struct kept_run_settings *r = &s.kept;
    const bool out = run_was_given(&r->run, "out");
    if (!(out && r->resume)) run_need_model("train", &r->run);
    if (!out && (r->resume || r->force || of_folder(&r->run)))
        cli_die(CLI_USAGE,
                "--resume, --force, --checkpoint-... and --metrics-every need a run's folder, as in --out DIR");
    if (r->resume && s.tuned)
        cli_die(CLI_USAGE,
                "--tuned and --resume cannot be given together: a run keeps its settings, but SHIKAKU_THREADS, "
                "SHIKAKU_PIN and SHIKAKU_ISA count");
    run_check_output(&r->run);
    if (r->resume && r->force) cli_die(CLI_USAGE, "--resume and --force cannot be given together: go on, or replace");
    return s;
}

int cli_train(int argc, char **argv) {
    struct train_settings settings = parse(argc, argv);
    struct tuned tuned;
    if (settings.tuned) use_tuned(settings.tuned_file, &settings.kept.run, &tuned);
    if (run_was_given(&settings.kept.run, "out")) return kept_run_train(&settings.kept);
    const struct initial initial = initial_open(&settings.kept.run, true);
    struct run run = run_create(&settings.kept.run, initial);
    struct job job = job_create(&run, run.settings.values.model);
    int code = CLI_DONE;
    signals_catch();
    signals_catch_requests();
    if (run_print_device(&run) && run_print_data(&run) && !job_train(&job, &run) && signals_caught())
        code = job_print_interrupt(&job, "; with --out DIR the run would have been kept, to go on from there");
    run_check(&run);
    job_free(&job);
    run_free(&run);
    if (code == CLI_DONE) return cli_finish_output();
    printer_drain();
    return code;
}
