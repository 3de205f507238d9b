// SPDX-License-Identifier: MIT
// What every subcommand shares: one error printer, strict numbers, checked output, options through argp.
#ifndef SHK_CLI_COMMON_H
#define SHK_CLI_COMMON_H

#include <argp.h>
#include <shikaku/shikaku.h>

enum {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_SLOWER = 3,
    CLI_NOISY = 4,
    CLI_AGAIN = 5
}; // exit codes; 5: out of time, call again

// Text goes through the printer (cli/printer.h): see there who waits, and that control characters are shown as escapes; in the
// sentences of cli_die, cli_warn and cli_note line breaks are, too.

// Prints "shikaku: <sentence>" to stderr and exits.
_Noreturn void cli_die(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void cli_die_error(const struct shk_error *error); // bad input: CLI_USAGE, else CLI_FAILED

// Zeroed memory for n things, to be freed, or the end.
void *cli_room(size_t n, size_t size);

// A number and nothing else (no space, sign, hexadecimal, nan, inf), or the end in one sentence that names the option.
uint64_t cli_whole(const char *option, const char *text, uint64_t least, uint64_t most);
double cli_real(const char *option, const char *text, double least, bool least_allowed, double most);

// Prints to stdout; false after a write error, now or earlier.
bool cli_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
// "shikaku: warning: <sentence>", or the sentence without "warning", to stderr.
void cli_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
// CLI_DONE if all output was written, else it ends the program: with CLI_FAILED, or as the signal does that ended the wait.
int cli_finish_output(void);

// Text of a file, or a name, as a part of a line of cli_print; and as one types it as an argument in a shell.
struct cli_text {
    char text[4 * 4096 + 8];
};
struct cli_text cli_shown(const char *text);
struct cli_text cli_quoted(const char *text);

// Parses argv in order; a bad option ends the program. name: what the user typed, such as "shikaku train". A parser
// adds CLI_HELP_OPTION to its options and hands the keys that it does not know to cli_parse_common.
#define CLI_HELP_OPTION                                                                                                \
    {"help", 'h', 0, 0, "Print this help and exit", -1}, { "version", 'V', 0, 0, "Print the version and exit", -1 }
void cli_parse(const struct argp *argp, const char *name, int argc, char **argv, void *input);
_Noreturn void cli_help(const struct argp_state *state);
_Noreturn void cli_version(void);
// Blanks and case are forgiven in words that have neither: changes what was typed.
void cli_forgive(char *text);
// A model as it was typed, which is forgiven likewise but for a net's text; of @FILE, the net's text in that file. Lives as long as
// the process, or as `typed`.
const char *cli_model_text(char *typed);
// The end for ARGP_KEY_ERROR: says what is wrong with the option at which the parser stopped.
_Noreturn void cli_bad_option(const struct argp_state *state);
// Help, version, an argument that no subcommand takes, a bad option: each ends the program.
error_t cli_parse_common(int key, const char *arg, const struct argp_state *state);

// Subcommands: argv[0] is the name of the subcommand; the value is the exit code.
int cli_train(int argc, char **argv);
int cli_resume(int argc, char **argv);
int cli_eval(int argc, char **argv);
int cli_predict(int argc, char **argv);
int cli_export(int argc, char **argv);
int cli_data(int argc, char **argv);
int cli_compare(int argc, char **argv);
int cli_profile(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_bench_history(int argc, char **argv); // bench history
int cli_bench_compare(int argc, char **argv);
int cli_model(int argc, char **argv);
int cli_topo(int argc, char **argv);
int cli_tune(int argc, char **argv);

#endif
