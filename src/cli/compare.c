// SPDX-License-Identifier: MIT
// shikaku compare: the founding experiment, several models on the same squares and a table.
#include "cli/lists.h"
#include "cli/printer.h"
#include "cli/run.h"
#include "cli/signals.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct compare_settings {
    struct run_settings run;
    const char *models;
};

enum { KEY_MODELS = 1024 }; // beyond the characters and options.c's keys: no short form

static const struct argp_option options[] = {
    {"models", KEY_MODELS, "LIST", 0, "Presets or descriptions, with commas between (tinycnn,tinyvit)", 0},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct compare_settings *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->run;
        return 0;
    case KEY_MODELS:
        s->models = arg;
        return 0;
    default:
        return cli_parse_common(key, arg, state);
    }
}

static void print_table(const struct job *jobs, size_t count) {
    int width = (int)strlen("model");
    for (size_t i = 0; i < count; i++) {
        const int length = (int)strlen(shk_model_title(jobs[i].model));
        if (length > width) width = length;
    }
    cli_print("\n%-*s  parameters  final loss  accuracy  time (s)  samples/s  weights\n", width, "model");
    for (size_t i = 0; i < count; i++) {
        const struct job *c = &jobs[i];
        cli_print("%-*s  %10zu  %10.4f  %8.3f  %8.2f  %9.0f  %016" PRIx64 "\n", width, shk_model_title(c->model),
                  shk_model_parameters(c->model), c->last.train_loss, c->last.test.accuracy, c->seconds,
                  c->samples_per_second, shk_model_hash(c->model));
    }
}

static bool takes(const struct shk_setting *s) {
    return s->section != SHK_SECTION_MODEL && s->section != SHK_SECTION_RUN;
}

int cli_compare(int argc, char **argv) {
    const struct argp_child children[] = {{run_argp(takes), 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Trains several models on the same images and compares them in a table.\vTime and samples/s "
               "are those of the training steps alone, without the test after each epoch.",
        .children = children,
    };
    struct compare_settings settings = {.run = run_defaults(), .models = "tinycnn,tinyvit"};
    cli_parse(&argp, "shikaku compare", argc, argv, &settings);
    run_check_output(&settings.run);

    enum { MOST_MODELS = 16 };
    char *list = strdup(settings.models);
    const char *descriptions[MOST_MODELS];
    if (!list) cli_die(CLI_FAILED, "out of memory");
    const size_t count = list_models(list, descriptions, MOST_MODELS);

    struct run run = run_create(&settings.run, (struct initial){0});
    struct job jobs[MOST_MODELS];
    for (size_t i = 0; i < count; i++) jobs[i] = job_create(&run, descriptions[i]);
    int code = CLI_DONE;
    signals_catch();
    signals_catch_requests();
    bool ok = run_print_device(&run) && run_print_data(&run);
    for (size_t i = 0; ok && i < count; i++) {
        ok = job_train(&jobs[i], &run);
        if (!ok && signals_caught())
            code = job_print_interrupt(&jobs[i], " of that model, the comparison is not complete");
    }
    if (ok) print_table(jobs, count);
    run_check(&run);

    for (size_t i = 0; i < count; i++) job_free(&jobs[i]);
    run_free(&run);
    free(list);
    if (code == CLI_DONE) return cli_finish_output();
    printer_drain();
    return code;
}
