// SPDX-License-Identifier: MIT
// shikaku: finds the subcommand and hands over to it.
#include "base/text.h"
#include "cli/common.h"
#include "cli/printer.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int run_help(int argc, char **argv);
static int run_version(int argc, char **argv);

// In the order of work.
static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"train", cli_train, "train one model"},
    {"resume", cli_resume, "go on with a run from its last checkpoint"},
    {"eval", cli_eval, "test a run's weights, or a file of weights"},
    {"predict", cli_predict, "say what a model takes pictures for"},
    {"export", cli_export, "write a model for other programs"},
    {"data", cli_data, "show what data hold, write them in another form, or draw them"},
    {"compare", cli_compare, "train several models on the same data, then a table"},
    {"model", cli_model, "show what a model is made of, and what its training takes"},
    {"topo", cli_topo, "show this machine, and which threads would be used"},
    {"tune", cli_tune, "find the fastest threads, pinning and instruction set"},
    {"profile", cli_profile, "show where the time of a training step goes"},
    {"bench", cli_bench, "measure samples per second of training and evaluation"},
    {"bench-compare", cli_bench_compare, "say whether one program is slower than another"},
    {"help", run_help, "show this, or the options of a command"},
    {"version", run_version, "show the version"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

struct choice {
    const struct command *command;
    int first; // index of the subcommand in argv
};

static const struct argp_option options[] = {
    CLI_HELP_OPTION,
    {0},
};

static const struct command *find_command(const char *name) {
    const char *names[COMMANDS + 1] = {NULL};
    for (size_t i = 0; i < COMMANDS; i++) {
        names[i] = commands[i].name;
        if (strcasecmp(name, commands[i].name) == 0) return &commands[i];
    }
    const char *meant = shk_meant(name, names);
    if (meant)
        cli_die(CLI_USAGE, "unknown command '%s', did you mean '%s'? 'shikaku help' lists the commands", name, meant);
    cli_die(CLI_USAGE, "unknown command '%s', 'shikaku help' lists the commands", name);
}

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct choice *choice = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        choice->command = find_command(arg);
        choice->first = state->next - 1;
        state->next = state->argc; // the rest is the subcommand's
        return 0;
    case ARGP_KEY_NO_ARGS:
        cli_help(state);
    default:
        return cli_parse_common(key, arg, state);
    }
}

// Puts the table of commands after the first sentences of the help.
static char *filter_help(int key, const char *text, void *input) {
    (void)input;
    if (key != ARGP_KEY_HELP_PRE_DOC) return (char *)(uintptr_t)text; // argp wants its own pointer back
    char *help = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&help, &size);
    if (!out) return NULL;
    fprintf(out, "%s\n\nCommands ('shikaku COMMAND --help' lists the options of each):\n", text);
    for (size_t i = 0; i < COMMANDS; i++) fprintf(out, "  %-13s  %s\n", commands[i].name, commands[i].summary);
    return fclose(out) == 0 ? help : NULL;
}

static const struct argp argp = {
    .options = options,
    .parser = parse_option,
    .args_doc = "COMMAND [OPTION...]",
    .doc =
        "Trains small CNNs and ViTs on the CPU, with the same bits on any thread count, instruction set and compiler. "
        "The pictures are yours, in a folder for each class, or squares that are drawn.\v"
        "Examples:\n"
        "  shikaku compare                                  the experiment, in seconds\n"
        "  shikaku data info pictures                       what they hold, and doubtful ones\n"
        "  shikaku train --data pictures --model tinycnn --out runs/p\n"
        "  shikaku predict runs/p photo.jpg\n"
        "  shikaku export runs/p model.onnx\n"
        "  shikaku train --model tinyvit --epochs 50 --out runs/a\n"
        "  shikaku resume runs/a                            after an interruption\n"
        "  shikaku eval runs/a\n"
        "\n"
        "Models: tinycnn, tinyvit, tinyvit-pre, tinyvit-nopos, lenet5, or a description; keys that are left out have\n"
        "these values:\n"
        "  cnn:channels=16-32,hidden=128\n"
        "  vit:dim=64,depth=2,heads=4,patch=4,ff=256,pool=cls|mean,\n"
        "      norm=post|pre,pos=learned|none,dropout=0.1,act=relu|gelu|silu\n"
        "  resnet20:width=16,bn=batch|ghost\n"
        "  resnet18:stem=small|large,width=64,bn=batch|ghost\n"
        "  mobilenet-tiny:width=16,bn=batch|ghost\n"
        "  convmixer:dim=256,depth=8,kernel=5,patch=2,bn=batch|ghost\n"
        "  cct:dim=128,depth=2,heads=2,pos=learned|sincos\n"
        "  vit-tiny:dim=192,depth=12,heads=3,patch=4\n"
        "  net:conv(16,3) relu max_pool(2) flatten linear(classes)   a net of your own, layer by layer\n"
        "  @FILE                                                     such a text in a file\n"
        "\n"
        "Environment:\n"
        "  SHIKAKU_THREADS   threads, where --threads is not given\n"
        "  OMP_NUM_THREADS   threads, where SHIKAKU_THREADS is not set either\n"
        "  SHIKAKU_PIN       where threads run, where --pin is not given\n"
        "  SHIKAKU_ISA       auto, c, avx2, avx512 or neon: the kernels to use\n"
        "\n"
        "Exit codes: 0 done, 1 failed, 2 bad usage or input, 5 stopped by --max-seconds; 130, 143, 129 after "
        "SIGINT, SIGTERM, SIGHUP.",
    .help_filter = filter_help,
};

// "help" is "--help", "help train" is "train --help".
static int run_help(int argc, char **argv) {
    char option[] = "--help";
    const struct command *command = argc > 1 && argv[1][0] != '-' ? find_command(argv[1]) : NULL;
    if (argc > 2) cli_die(CLI_USAGE, "help takes one command, not '%s' as well", argv[2]);
    char *arguments[] = {argv[argc - 1], option, NULL};
    if (command && command->run != run_help && command->run != run_version) return command->run(2, arguments);
    cli_parse(&argp, "shikaku", 2, arguments, NULL);
    return CLI_DONE;
}

static int run_version(int argc, char **argv) {
    if (argc > 1) cli_die(CLI_USAGE, "version takes no argument, but '%s' was given", argv[1]);
    cli_version();
}

// Where standard input, output or error is closed, a file would get its number and what is printed. Not to be written.
static void take_descriptors(void) {
    int file;
    do file = open("/dev/null", O_RDONLY);
    while (file >= 0 && file <= STDERR_FILENO);
    if (file >= 0) close(file);
}

// The stack grows here, as far as any command needs it: where it had to grow when memory has run out, the process would end in a
// signal, not in a sentence.
static void grow_stack(void) {
    volatile char room[256 * 1024];
    for (size_t i = sizeof room; i; i -= 1024) room[i - 1] = 0;
}

int main(int argc, char **argv) {
    grow_stack();
    argp_err_exit_status = CLI_USAGE;
    setenv("HWLOC_HIDE_ERRORS", "2", 0); // what the kernel says wrong about caches is nobody's business here
    signal(SIGPIPE, SIG_IGN);            // a reader that goes away is a write error
    signal(SIGXFSZ, SIG_IGN);            // and so is a file that may not grow
    take_descriptors();
    printer_open();
    struct choice choice = {0};
    if (argc < 1) cli_die(CLI_USAGE, "a command is missing, 'shikaku help' lists the commands");
    cli_parse(&argp, "shikaku", argc, argv, &choice);
    return choice.command->run(argc - choice.first, argv + choice.first);
}
