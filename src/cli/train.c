// SPDX-License-Identifier: MIT
// shikaku train: one model on squares.
#include "cli/run.h"

struct train_settings {
    struct run_settings run;
    const char *model;
};

enum { KEY_MODEL = 1024 }; // beyond the characters and run.c's keys: no short form

static const struct argp_option options[] = {
    {"model", KEY_MODEL, "MODEL", 0, "A preset or a description (see 'shikaku --help')", 0},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct train_settings *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->run;
        return 0;
    case KEY_MODEL:
        s->model = arg;
        return 0;
    case 'h':
        cli_help(state);
    case ARGP_KEY_ARG:
        cli_extra_argument(state, arg);
    case ARGP_KEY_ERROR:
        cli_bad_option(state);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cli_train(int argc, char **argv) {
    static const struct argp_child children[] = {{&run_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Trains one model on images of squares and prints loss, test accuracy, speed and a hash of the weights.",
        .children = children,
    };
    struct train_settings settings = {.run = run_defaults};
    cli_parse(&argp, "shikaku train", argc, argv, &settings);
    if (!settings.model) cli_die(CLI_USAGE, "train needs a model, for example --model tinycnn");

    struct run run = run_create(&settings.run);
    struct contender contender = contender_create(&run, settings.model);
    if (run_print_device(&run)) contender_train(&contender, &run);
    contender_free(&contender);
    run_free(&run);
    return cli_finish_output();
}
