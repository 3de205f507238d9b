// SPDX-License-Identifier: MIT
// Data of a temporary folder are opened by tests, which keep what is said.
#ifndef TESTS_OPEN_DATA_H
#define TESTS_OPEN_DATA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tree.h"
#include <shikaku/shikaku.h>
#include <stdio.h>
#include <string.h>

static int begin(void **state) {
    (void)state;
    return tree_create() ? 0 : -1;
}
static int end(void **state) {
    (void)state;
    tree_remove();
    return 0;
}

static char notes[4000];

static void note(const char *sentence, void *user) {
    (void)user;
    strncat(notes, sentence, sizeof notes - strlen(notes) - 1);
    strncat(notes, "\n", sizeof notes - strlen(notes) - 1);
}

static char path_text[2][512];
static bool skip_bad;

static struct shk_data *open_data(const char *spec, const char *train, const char *test, struct shk_error *err) {
    struct shk_data_options o = {
        .normalise = SHK_NORMALISE_NONE, .on_note = note, .on_bad = note, .skip_bad = skip_bad};
    snprintf(path_text[0], sizeof path_text[0], "%s%s", tree, spec ? spec : train);
    snprintf(path_text[1], sizeof path_text[1], "%s%s", tree, test ? test : "");
    if (spec)
        o.spec = path_text[0];
    else
        o.train = path_text[0];
    if (test) o.test = path_text[1];
    notes[0] = 0;
    *err = (struct shk_error){0};
    return shk_data_open(&o, NULL, err);
}

static inline struct shk_data *opened(const char *spec, const char *train, const char *test, const char *source) {
    struct shk_error err;
    struct shk_data *d = open_data(spec, train, test, &err);
    if (!d) fail_msg("%s: %s", spec ? spec : train, err.text);
    assert_string_equal(shk_data_source(d), source);
    return d;
}

static inline void refuses(const char *spec, const char *first, const char *second) {
    struct shk_error err;
    struct shk_data *d = open_data(spec, NULL, NULL, &err);
    if (d) fail_msg("%s is taken", spec);
    if (err.code != SHK_BAD_INPUT || !strstr(err.text, first) || !strstr(err.text, second))
        fail_msg("%s: neither '%s' nor '%s' in: %s", spec, first, second, err.text);
}

static inline bool noted(const char *text) { return strstr(notes, text) != NULL; }

#endif
