// SPDX-License-Identifier: MIT
// shikaku data: finds the command below it, and reads which data are meant.
#include "cli/data_command.h"

#include "base/text.h"
#include <string.h>
#include <sys/stat.h>

// ---- Which data ----

static bool takes(const struct shk_setting *s) {
    static const char *const normalisation[] = {"normalise", "mean", "std"};
    for (size_t i = 0; i < sizeof normalisation / sizeof *normalisation; i++)
        if (strcmp(s->name, normalisation[i]) == 0) return false;
    return s->section == SHK_SECTION_DATA || s->section == SHK_SECTION_MACHINE || strcmp(s->name, "seed") == 0;
}

static bool hides(const struct shk_setting *s) { return strcmp(s->name, "data") == 0; }

const struct argp *data_argp(void) { return run_argp_but(takes, hides); }

struct data_arguments data_arguments_of(bool writes) {
    struct data_arguments a = {.run = run_defaults(), .writes = writes};
    shk_setting_set_text(shk_setting_named("normalise"), &a.run.values, "none");
    return a;
}

static void take_spec(struct run_settings *run, const char *spec) {
    struct shk_error error = {0};
    if (strncmp(spec, "squares:", strlen("squares:")) == 0)
        cli_die(CLI_USAGE, "squares are described by options, as in 'squares --size 16 --train-samples 100'");
    if (!shk_setting_parse(shk_setting_named("data"), &run->values, spec, &error)) cli_die_error(&error);
}

static void check(struct data_arguments *a, const char *example) {
    const bool apart = *a->run.values.data.train;
    const size_t wanted = (apart ? 0 : 1) + (a->writes ? 1 : 0);
    if (run_was_given(&a->run, "data"))
        cli_die(CLI_USAGE, "here data are named without an option, as in 'shikaku data %s'", example);
    if (a->count > wanted)
        cli_die(CLI_USAGE, "'%s' is one argument too many%s", a->given[wanted],
                apart ? ", since --train-data names the data" : "");
    if (a->count < wanted)
        cli_die(CLI_USAGE, "%s missing, as in 'shikaku data %s'",
                a->count + 1 < wanted ? "arguments are" : "an argument is", example);
    if (a->writes) a->out = a->given[wanted - 1];
    if (!apart) take_spec(&a->run, a->given[0]);
}

error_t data_parse(struct data_arguments *a, const char *example, int key, char *arg, struct argp_state *state) {
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->run;
        return 0;
    case ARGP_KEY_ARG:
        if (a->count == 2) cli_die(CLI_USAGE, "'%s' is one argument too many", arg);
        a->given[a->count++] = arg;
        return 0;
    case ARGP_KEY_END:
        check(a, example);
        return 0;
    default:
        return cli_parse_common(key, arg, state);
    }
}

void data_check_out(const char *out, bool force) {
    struct stat info;
    if (!force && lstat(out, &info) == 0)
        cli_die(CLI_USAGE, "%s is there already: name another file, or replace it with --force", out);
}

// ---- Commands ----

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {{"info", data_info}, {"make", data_make}, {"sheet", data_sheet}};
enum { COMMANDS = sizeof commands / sizeof *commands };

struct choice {
    int (*run)(int argc, char **argv);
    int first; // index of its name in argv
};

static const struct argp_option options[] = {
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct choice *choice = state->input;
    const char *names[COMMANDS + 1] = {NULL};
    if (key == ARGP_KEY_NO_ARGS) cli_help(state);
    if (key != ARGP_KEY_ARG) return cli_parse_common(key, arg, state);
    for (size_t i = 0; i < COMMANDS; i++) {
        names[i] = commands[i].name;
        if (strcmp(arg, commands[i].name) == 0) choice->run = commands[i].run;
    }
    const char *meant = shk_meant(arg, names);
    if (!choice->run)
        cli_die(CLI_USAGE, "unknown command 'data %s'%s%s%s, see 'shikaku data --help'", arg,
                meant ? ", did you mean '" : "", meant ? meant : "", meant ? "'?" : "");
    choice->first = state->next - 1;
    state->next = state->argc; // the rest is the command's
    return 0;
}

int cli_data(int argc, char **argv) {
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "COMMAND SPEC [OPTION...]",
        .doc = "Shows what data hold, writes them in another form, or draws them. SPEC is what train takes as --data: "
               "a folder of "
               "pictures in a folder for each "
               "class, "
               "a .csv of path,label lines, IDX, .npz, .npy, CIFAR, or squares.\v"
               "Commands ('shikaku data COMMAND --help' lists the options of each):\n"
               "  info SPEC            show shape, classes, statistics, duplicates, leaks\n"
               "  make SPEC OUT        write them as pictures, IDX, CIFAR, .npz or CSV\n"
               "  sheet SPEC OUT.png   draw some samples of each class",
    };
    struct choice choice = {0};
    cli_parse(&argp, "shikaku data", argc, argv, &choice);
    return choice.run(argc - choice.first, argv + choice.first);
}
