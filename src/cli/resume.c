// SPDX-License-Identifier: MIT
// shikaku resume: goes on with a run, and ends in the bits of one that was never interrupted.
#include "cli/kept_run.h"

#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>

static const struct argp_option options[] = {
    CLI_HELP_OPTION,
    {0},
};

static void check_is_folder(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) return;
    char copy[4096]; // as long as a path can be that was found
    snprintf(copy, sizeof copy, "%s", path);
    cli_die(CLI_USAGE, "%s is a file, but resume takes the run's folder: shikaku resume %s", path,
            cli_quoted(dirname(copy)).text);
}

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct kept_run_settings *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->run;
        return 0;
    case ARGP_KEY_ARG:
        if (s->must_exist) cli_die(CLI_USAGE, "resume takes one run's folder, not '%s' as well", arg);
        if (!shk_setting_set_text(shk_setting_named("out"), &s->run.values, arg))
            cli_die(CLI_USAGE, "'%s' is not the name of a run's folder", arg);
        s->must_exist = true;
        check_is_folder(arg);
        return 0;
    case ARGP_KEY_NO_ARGS:
        cli_die(CLI_USAGE, "resume needs a run's folder, as in 'shikaku resume DIR'");
    default:
        return cli_parse_common(key, arg, state);
    }
}

static bool takes(const struct shk_setting *s) { return s != shk_setting_named("out"); }

// What a run cannot change.
static bool hides(const struct shk_setting *s) { return shk_setting_kept(s) && !s->rises; }

int cli_resume(int argc, char **argv) {
    const struct argp_child children[] = {{run_argp_but(takes, hides), 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "DIR",
        .doc =
            "Goes on with the run in DIR from its last checkpoint, with the same bits as if it had never stopped, on "
            "any "
            "number of threads, instruction set and machine.\v--epochs may be raised. Any other setting of training or "
            "data must be as it was, or be left out.",
        .children = children,
    };
    struct kept_run_settings settings = {.run = run_defaults(), .resume = true};
    cli_parse(&argp, "shikaku resume", argc, argv, &settings);
    run_check_output(&settings.run);
    return kept_run_train(&settings);
}
