// SPDX-License-Identifier: MIT
// What several subcommands do is here: their runtime, their warnings, their errors.
#include "cli/common.h"

#include "base/text.h"
#include "cli/printer.h"
#include "cli/signals.h"
#include <ctype.h>
#include <errno.h>
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

void *cli_room(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (!p) cli_die(CLI_FAILED, "out of memory");
    return p;
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

enum { MOST_NAMES = 200 };

// Names of options that are shown, behind the `count` that are there; returns how many there are then.
static size_t list_options(const struct argp *argp, const char **names, size_t count) {
    for (const struct argp_option *o = argp->options; o && (o->name || o->key || o->doc || o->group); o++)
        if (o->name && !(o->flags & OPTION_HIDDEN) && count < MOST_NAMES) names[count++] = o->name;
    for (const struct argp_child *c = argp->children; c && c->argp; c++) count = list_options(c->argp, names, count);
    return count;
}

static _Noreturn void die_of_unknown(const struct argp_state *state, const char *text, size_t length) {
    const char *names[MOST_NAMES + 1] = {NULL};
    char typed[64];
    names[list_options(state->root_argp, names, 0)] = NULL;
    snprintf(typed, sizeof typed, "%.*s", (int)length - 2, text + 2);
    const char *meant = shk_meant(typed, names);
    if (meant)
        cli_die(CLI_USAGE, "unknown option '%.*s', did you mean --%s? See '%s --help'", (int)length, text, meant,
                state->name);
    cli_die(CLI_USAGE, "unknown option '%.*s', see '%s --help'", (int)length, text, state->name);
}

// "--name" or "--name=value"; returns where nothing is wrong with it.
static void check_long(const struct argp_state *state, const char *text) {
    const size_t length = strcspn(text, "=");
    const int shown = (int)length;
    bool takes_value = false;
    const size_t count = count_options(state->root_argp, text + 2, length - 2, &takes_value);
    if (count > 1) cli_die(CLI_USAGE, "option '%.*s' fits more than one option, write it in full", shown, text);
    if (count == 1 && takes_value && !text[length])
        cli_die(CLI_USAGE, "option '%s' needs a value, as in %s=...", text, text);
    if (count == 1 && !takes_value && text[length]) cli_die(CLI_USAGE, "option '%.*s' takes no value", shown, text);
    if (count == 0) die_of_unknown(state, text, length);
}

_Noreturn void cli_bad_option(const struct argp_state *state) {
    // The parser has gone past the bad option, except inside a cluster of short ones such as -xy.
    const char *text = state->argv[state->next - 1];
    const char *next = state->next < state->argc ? state->argv[state->next] : "";
    if (text[0] == '-' && text[1] == '-') check_long(state, text);
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

_Noreturn void cli_version(void) {
    cli_print("shikaku %s (numerics version %d)\n", shk_version(), SHK_NUMERICS_VERSION);
    exit(cli_finish_output());
}

void cli_forgive(char *text) {
    char *end = text;
    for (; *text; text++)
        if (!isspace((unsigned char)*text)) *end++ = (char)tolower((unsigned char)*text);
    *end = 0;
}

// The text of a net in a file.
static const char *net_in(const char *path) {
    enum { MOST = 64 * 1024 };
    static char *kept[16]; // so that nothing is lost
    static size_t count;
    if (count == sizeof kept / sizeof *kept) cli_die(CLI_USAGE, "@%s is one file too many", path);
    FILE *file = fopen(path, "r");
    char *text = kept[count++] = calloc(1, MOST + 8);
    if (!text) cli_die(CLI_FAILED, "out of memory");
    if (!file) cli_die(CLI_USAGE, "%s cannot be read: %s", path, strerror(errno));
    memcpy(text, "net:", 4);
    const size_t length = fread(text + 4, 1, MOST, file);
    const bool failed = ferror(file), all = feof(file);
    fclose(file);
    if (failed) cli_die(CLI_USAGE, "%s cannot be read: %s", path, strerror(errno));
    if (!all || strlen(text) != length + 4)
        cli_die(CLI_USAGE, "%s is no net's text: it has %s", path, all ? "bytes that are 0" : "more than 64 KiB");
    return text;
}

const char *cli_model_text(char *typed) {
    typed += strspn(typed, " \t\r\n");
    if (*typed == '@') return net_in(typed + 1);
    if (strncasecmp(typed, "net:", 4) == 0)
        memcpy(typed, "net:", 4);
    else
        cli_forgive(typed);
    return typed;
}

// A model without its option.
static bool is_model(const char *arg) {
    return strncasecmp(arg, "tiny", 4) == 0 || strncasecmp(arg, "cnn", 3) == 0 || strncasecmp(arg, "vit", 3) == 0 ||
           strncasecmp(arg, "net:", 4) == 0;
}

static _Noreturn void die_of_argument(const struct argp_state *state, const char *arg) {
    bool takes_value;
    const char *option = count_options(state->root_argp, "models", 6, &takes_value) ? "models" : "model";
    if (is_model(arg) && count_options(state->root_argp, option, strlen(option), &takes_value))
        cli_die(CLI_USAGE, "unexpected argument '%s', a model is named by an option: %s --%s %s", arg, state->name,
                option, cli_quoted(arg).text);
    cli_die(CLI_USAGE, "unexpected argument '%s', '%s' takes options only", arg, state->name);
}

error_t cli_parse_common(int key, const char *arg, const struct argp_state *state) {
    switch (key) {
    case 'h':
        cli_help(state);
    case 'V':
        cli_version();
    case ARGP_KEY_ARG:
        die_of_argument(state, arg);
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
