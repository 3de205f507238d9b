// SPDX-License-Identifier: MIT
#include "cli/one_model.h"

#include <stdio.h>
#include <string.h>

enum { KEY_MODEL = 1024 }; // beyond the characters and run.c's keys: no short form

static const struct argp_option options[] = {
    {"model", KEY_MODEL, "MODEL", 0, "A preset or a description (see 'shikaku --help')", 0},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct run_settings *s = state->input;
    if (key != KEY_MODEL) return ARGP_ERR_UNKNOWN;
    if (strlen(arg) >= sizeof s->config.model)
        cli_die(CLI_USAGE, "the model description is longer than %zu characters", sizeof s->config.model - 1);
    snprintf(s->config.model, sizeof s->config.model, "%s", arg);
    s->model_given = true;
    return 0;
}

const struct argp one_model_argp = {.options = options, .parser = parse_option};

void one_model_check(const char *command, const struct run_settings *s) {
    if (!s->model_given) cli_die(CLI_USAGE, "%s needs a model, for example --model tinycnn", command);
}
