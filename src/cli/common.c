// SPDX-License-Identifier: MIT
// What several subcommands do is here: their runtime, their warnings, their errors.
#include "cli/common.h"

#include "base/text.h"
#include "cli/printer.h"
#include "cli/signals.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- Printing ----

// A text of any length; a short one takes no memory.
static bool put(int file, const char *format, va_list args) {
    char text[2048], *all = NULL;
    va_list again;
    va_copy(again, args);
    const int length = vsnprintf(text, sizeof text, format, args);
    if (length >= (int)sizeof text && vasprintf(&all, format, again) < 0) cli_die(CLI_FAILED, "out of memory");
    va_end(again);
    const bool ok = length >= 0 && printer_put(file, all ? all : text, (size_t)length);
    free(all);
    return ok;
}

// One line to stderr, whatever the arguments hold.
static void put_sentence(const char *begin, const char *format, va_list args) {
    char text[8192], line[sizeof text];
    vsnprintf(text, sizeof text, format, args);
    const size_t length = (size_t)snprintf(line, sizeof line, "shikaku: %s", begin);
    shk_show(text, strlen(text), "", line + length, sizeof line - length - 1);
    strcat(line, "\n");
    printer_put(STDERR_FILENO, line, strlen(line));
}

bool cli_print(const char *format, ...) {
    va_list args;
    va_start(args, format);
    const bool ok = put(STDOUT_FILENO, format, args);
    va_end(args);
    return ok;
}

void cli_warn(const char *format, ...) {
    va_list args;
    va_start(args, format);
    put_sentence("warning: ", format, args);
    va_end(args);
}

void cli_note(const char *format, ...) {
    va_list args;
    va_start(args, format);
    put_sentence("", format, args);
    va_end(args);
}

_Noreturn void cli_die(int status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    put_sentence("", format, args);
    va_end(args);
    printer_drain();
    exit(status);
}

int cli_finish_output(void) {
    const bool written = printer_drain();
    if (!written && signals_caught()) exit(128 + signals_caught());
    if (!written || close(STDOUT_FILENO)) cli_die(CLI_FAILED, "standard output cannot be written");
    return CLI_DONE;
}

struct cli_text cli_shown(const char *text) {
    struct cli_text shown;
    shk_show(text, strlen(text), "", shown.text, sizeof shown.text);
    return shown;
}

// Plain where it can be; in apostrophes; or as $'...', where control characters are escapes.
struct cli_text cli_quoted(const char *text) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./:=@%,";
    const struct cli_text shown = cli_shown(text);
    struct cli_text quoted;
    if (*text && !text[strspn(text, plain)]) return shown;
    const bool escaped = strcmp(shown.text, text) != 0;
    size_t used = (size_t)snprintf(quoted.text, sizeof quoted.text, escaped ? "$'" : "'");
    for (const char *at = text; *at && used + SHK_SHOWN < sizeof quoted.text;) {
        const size_t length = strcspn(at, escaped ? "'\\" : "'");
        if (length) {
            at += shk_show(at, length, "", quoted.text + used, sizeof quoted.text - used);
            used += strlen(quoted.text + used);
        } else {
            used += (size_t)snprintf(quoted.text + used, SHK_SHOWN, escaped ? "\\%c" : "'\\%c'", *at++);
        }
    }
    snprintf(quoted.text + used, sizeof quoted.text - used, "'");
    return quoted;
}

// ---- Errors and numbers ----

_Noreturn void cli_die_error(const struct shk_error *error) {
    cli_die(error->code == SHK_BAD_INPUT ? CLI_USAGE : CLI_FAILED, "%s", error->text);
}

uint64_t cli_whole(const char *option, const char *text, uint64_t least, uint64_t most) {
    uint64_t value;
    if (!shk_typed_whole(text, &value) || value < least || value > most) {
        cli_die(CLI_USAGE, "--%s must be a whole number from %" PRIu64 " to %" PRIu64 ", not '%s'", option, least, most,
                text);
    }
    return value;
}

double cli_real(const char *option, const char *text, double least, bool least_allowed, double most) {
    double value;
    if (!shk_typed_real(text, &value) || !(least_allowed ? value >= least : value > least) || value > most) {
        cli_die(CLI_USAGE, "--%s must be a number %s %g%s%g, not '%s'", option, least_allowed ? "from" : "above", least,
                least_allowed ? " to " : " and at most ", most, text);
    }
    return value;
}

// ---- Options ----

// How many options begin with the first `length` characters of `name`, each with its aliases once; an exact match counts as
// the only one. *takes_value: of the last one found.
static size_t count_options(const struct argp *argp, const char *name, size_t length, bool *takes_value) {
    size_t count = 0;
    bool counted = false, takes = false; // the option and its aliases, which follow it
    for (const struct argp_option *o = argp->options; o && (o->name || o->key || o->doc || o->group); o++) {
        if (!(o->flags & OPTION_ALIAS)) {
            counted = false;
            takes = o->arg != NULL;
        }
        if (!o->name || strncmp(o->name, name, length) != 0) continue;
        *takes_value = takes;
        if (!o->name[length]) return 1;
        count += !counted;
        counted = true;
    }
    for (const struct argp_child *c = argp->children; c && c->argp; c++) {
        count += count_options(c->argp, name, length, takes_value);
    }
    return count;
}

_Noreturn void cli_bad_option(const struct argp_state *state) {
    // The parser has gone past the bad option, except inside a cluster of short ones such as -xy.
    const char *text = state->argv[state->next - 1];
    const char *next = state->next < state->argc ? state->argv[state->next] : "";
    bool takes_value = false;
    if (text[0] == '-' && text[1] == '-') {
        const size_t length = strcspn(text + 2, "=");
        const bool has_value = text[2 + length] == '=';
        const size_t count = count_options(state->root_argp, text + 2, length, &takes_value);
        const int shown = (int)length + 2;
        if (count > 1) cli_die(CLI_USAGE, "option '%.*s' fits more than one option, write it in full", shown, text);
        if (count == 1 && takes_value && !has_value) {
            cli_die(CLI_USAGE, "option '%s' needs a value, as in %s=...", text, text);
        }
        if (count == 1 && !takes_value && has_value) {
            cli_die(CLI_USAGE, "option '%.*s' takes no value", shown, text);
        }
        if (count == 0) {
            cli_die(CLI_USAGE, "unknown option '%.*s', see '%s --help'", shown, text, state->name);
        }
    }
    const bool in_cluster = text[0] != '-' || text[1] == '-';
    cli_die(CLI_USAGE, "unknown option '%s', see '%s --help'", in_cluster ? next : text, state->name);
}

_Noreturn void cli_help(const struct argp_state *state) {
    char *help = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&help, &size);
    if (!out) cli_die(CLI_FAILED, "out of memory");
    argp_help(state->root_argp, out, ARGP_HELP_STD_HELP & ~(unsigned)ARGP_HELP_EXIT_OK, state->name);
    if (fclose(out) != 0) cli_die(CLI_FAILED, "out of memory");
    cli_print("%s", help);
    free(help);
    exit(cli_finish_output());
}

error_t cli_parse_common(int key, const char *arg, const struct argp_state *state) {
    switch (key) {
    case 'h':
        cli_help(state);
    case ARGP_KEY_ARG:
        cli_die(CLI_USAGE, "unexpected argument '%s', '%s' takes options only", arg, state->name);
    case ARGP_KEY_ERROR:
        cli_bad_option(state);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void cli_parse(const struct argp *argp, const char *name, int argc, char **argv, void *input) {
    char *shown = strdup(name); // argp shows argv[0]
    if (!shown) cli_die(CLI_FAILED, "out of memory");
    char *first = argv[0];
    argv[0] = shown;
    // argp's own messages take two lines, so ours replace them.
    const error_t error = argp_parse(argp, argc, argv, ARGP_IN_ORDER | ARGP_NO_ERRS | ARGP_NO_HELP, NULL, input);
    argv[0] = first;
    free(shown);
    if (error == ENOMEM) cli_die(CLI_FAILED, "out of memory");
    if (error) cli_die(CLI_USAGE, "the options cannot be read (%s), see '%s --help'", strerror(error), name);
}
