// SPDX-License-Identifier: MIT
// Makes argp's options of the table's rows, headings of its sections, and hidden options of what others call them.
#include "cli/options.h"

#include <stdio.h>
#include <string.h>

enum { KEY_SETTING = 512 }; // beyond the characters: no short form; KEY_SETTING + i is row i
enum { MOST_OPTIONS = 4 * SHK_MOST_SETTINGS + SHK_SECTIONS + 1, DOC = 2 * SHK_SETTING_TEXT };

static const char *const headings[SHK_SECTIONS] = {
    NULL, "Data:", "Training:", "The run's folder:", "Threads:", "Output:"};

struct run_settings run_defaults(void) {
    return (struct run_settings){.values = shk_settings_defaults()};
}

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct run_settings *s = state->input;
    struct shk_error error = {0};
    if (key < KEY_SETTING || key >= KEY_SETTING + (int)shk_setting_count) return ARGP_ERR_UNKNOWN;
    const int row = key - KEY_SETTING;
    const char *value = &shk_settings[row] == shk_setting_named("model") ? cli_model_text(arg) : arg;
    if (!shk_setting_parse(&shk_settings[row], &s->values, value ? value : "1", &error)) cli_die_error(&error);
    s->given |= UINT64_C(1) << row;
    return 0;
}

// A copy that lives as long as the process.
static const char *keep(const char *text) {
    char *copy = strdup(text);
    if (!copy) cli_die(CLI_FAILED, "out of memory");
    return copy;
}

static const char *doc_of(const struct shk_setting *s) {
    char standard[SHK_SETTING_TEXT], doc[DOC];
    shk_setting_default(s, standard);
    snprintf(doc, sizeof doc, *standard && s->placeholder ? "%s (%s)" : "%s", s->sentence, standard);
    return keep(doc);
}

// The option, and hidden ones for its other names; returns how many.
static size_t add_row(const struct shk_setting *s, int flags, struct argp_option *out) {
    const int key = KEY_SETTING + (int)(s - shk_settings), group = headings[s->section] ? (int)s->section + 1 : 0;
    char name[SHK_SETTING_NAME];
    size_t n = 0;
    shk_setting_option(s, name);
    out[n++] = (struct argp_option){keep(name), key, s->placeholder, flags, doc_of(s), group};
    for (; n <= 3 && s->aliases[n - 1]; n++)
        out[n] = (struct argp_option){s->aliases[n - 1], 0, NULL, OPTION_ALIAS | OPTION_HIDDEN, NULL, group};
    return n;
}

const struct argp *run_argp(bool (*takes)(const struct shk_setting *)) { return run_argp_but(takes, NULL); }

const struct argp *run_argp_but(bool (*takes)(const struct shk_setting *), bool (*hides)(const struct shk_setting *)) {
    static struct argp_option options[MOST_OPTIONS];
    static const struct argp argp = {.options = options, .parser = parse_option};
    bool headed[SHK_SECTIONS] = {false};
    size_t n = 0;
    for (const struct shk_setting *s = shk_settings; s->name; s++) {
        if (!takes(s)) continue;
        const bool hidden = hides && hides(s);
        if (!hidden && headings[s->section] && !headed[s->section])
            options[n++] = (struct argp_option){.doc = headings[s->section], .group = (int)s->section + 1};
        headed[s->section] = headed[s->section] || !hidden;
        n += add_row(s, hidden ? OPTION_HIDDEN : 0, options + n);
    }
    options[n] = (struct argp_option){0};
    return &argp;
}

bool run_was_given(const struct run_settings *s, const char *setting) {
    return s->given >> (shk_setting_named(setting) - shk_settings) & 1;
}

void run_need_model(const char *command, const struct run_settings *s) {
    if (!*s->values.model) cli_die(CLI_USAGE, "%s needs a model, for example --model tinycnn", command);
}
