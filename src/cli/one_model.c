// SPDX-License-Identifier: MIT
#include "cli/one_model.h"

#include <stdio.h>

enum { KEY_MODEL = 1024, KEY_TUNED }; // beyond the characters and run.c's keys: no short form

static const struct argp_option options[] = {
    {"model", KEY_MODEL, "MODEL", 0, "A preset or a description (see 'shikaku --help')", 0},
    {"tuned", KEY_TUNED, "FILE", OPTION_ARG_OPTIONAL, "Threads, pinning and ISA as 'shikaku tune' found them", 0},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct one_model *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->run;
        return 0;
    case KEY_MODEL:
        s->model = arg;
        return 0;
    case KEY_TUNED:
        s->tuned = true;
        s->tuned_file = arg;
        return 0;
    default:
        return cli_parse_common(key, arg, state);
    }
}

struct one_model one_model_parse(const char *command, const char *doc, size_t epochs, int argc, char **argv) {
    const struct argp_child children[] = {{&run_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {.options = options, .parser = parse_option, .doc = doc, .children = children};
    struct one_model settings = {.run = run_defaults};
    settings.run.epochs = epochs;
    char name[32];
    snprintf(name, sizeof name, "shikaku %s", command);
    cli_parse(&argp, name, argc, argv, &settings);
    if (epochs == 0 && settings.tuned) cli_die(CLI_USAGE, "%s takes no --tuned", command);
    if (epochs == 0 && settings.run.epochs) cli_die(CLI_USAGE, "%s takes no --epochs", command);
    if (!settings.model) cli_die(CLI_USAGE, "%s needs a model, for example --model tinycnn", command);
    return settings;
}
