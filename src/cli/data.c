// SPDX-License-Identifier: MIT
// Makes the library's options of the settings of data, and prints its notes.
#include "cli/data.h"

#include "base/text.h"
#include "cli/progress.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct listener {
    bool quiet, apart; // apart: notes go to stderr
    size_t bad;
    struct shk_names *kept; // gets the files that cannot be read, too, unless it is NULL
    struct data_said *said; // keeps all sentences; NULL: they are printed
    char cache[4096];       // its folder
    const struct shk_run_settings *settings;
    bool decodes; // and shows how far it is
    struct progress progress;
};

static void keep(struct shk_names *sentences, const char *sentence) {
    struct shk_error error;
    if (!shk_names_add(sentences, sentence, &error)) cli_die_error(&error);
}

static void on_note(const char *sentence, void *user) {
    const struct listener *l = user;
    if (l->said)
        keep(&l->said->notes, sentence);
    else if (!l->quiet && l->apart)
        cli_note("data: %s", sentence);
    else if (!l->quiet)
        cli_print("data: %s\n", cli_shown(sentence).text);
}

// From the first of them on; once all are decoded, a training may begin with a line of its own.
static void on_progress(size_t done, size_t all, void *user) {
    struct listener *l = user;
    if (!l->decodes) {
        l->progress = (struct progress){
            .title = "decoding", .unit = "picture", .parts = 1, .units = all, .samples = 1, .loss = (double)NAN};
        progress_begin(&l->progress, l->settings);
    }
    l->decodes = done < all;
    atomic_store_explicit(&l->progress.done, done, memory_order_relaxed);
    if (!l->decodes) progress_end();
}

enum { MOST_BAD_LINES = 100 };

static void on_bad(const char *sentence, void *user) {
    struct listener *l = user;
    if (l->kept) keep(l->kept, sentence);
    if (l->said)
        keep(&l->said->bad, sentence);
    else if (l->bad++ < MOST_BAD_LINES)
        cli_warn("%s", sentence);
}

// "0.5,0.4,0.3", or one number for all channels.
static void read_channels(const char *option, const char *text, double least, float out[SHK_MAX_CHANNELS]) {
    size_t n = 0;
    char *copy = strdup(text), *rest = copy, *each;
    if (!copy) cli_die(CLI_FAILED, "out of memory");
    while ((each = strsep(&rest, ","))) {
        double x;
        if (n == SHK_MAX_CHANNELS || !shk_typed_real(each, &x) || !(x > least) || !(x < 1e6))
            cli_die(CLI_USAGE,
                    "--%s must be a number, or one for each of up to %d channels, as in 0.5,0.4,0.3%s, not '%s'",
                    option, SHK_MAX_CHANNELS, least == 0 ? ", above 0" : "", text);
        out[n++] = (float)x;
    }
    for (size_t c = n; n == 1 && c < SHK_MAX_CHANNELS; c++) out[c] = out[0];
    free(copy);
}

static enum shk_fit fit_of(const char *word) {
    return strcmp(word, "crop") == 0        ? SHK_FIT_CROP
           : strcmp(word, "letterbox") == 0 ? SHK_FIT_LETTERBOX
                                            : SHK_FIT_STRETCH;
}

static void read_normalisation(const struct shk_data_settings *s, struct shk_data_options *o) {
    const bool none = strcmp(s->normalise, "none") == 0;
    if (!*s->mean != !*s->deviation) cli_die(CLI_USAGE, "--mean and --std make sense together only");
    if (none && *s->mean) cli_die(CLI_USAGE, "--normalise none and --mean cannot be given together");
    o->normalise = none ? SHK_NORMALISE_NONE : *s->mean ? SHK_NORMALISE_GIVEN : SHK_NORMALISE_AUTO;
    if (!*s->mean) return;
    read_channels("mean", s->mean, -1e6, o->mean);
    read_channels("std", s->deviation, 0, o->deviation);
}

// Empty: there is none.
static void find_cache(const char *setting, struct listener *l) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const bool is_auto = strcmp(setting, "auto") == 0;
    if (!is_auto && strcmp(setting, "none") != 0)
        snprintf(l->cache, sizeof l->cache, "%s", setting);
    else if (is_auto && cache && *cache == '/')
        snprintf(l->cache, sizeof l->cache, "%s/shikaku", cache);
    else if (is_auto && home && *home)
        snprintf(l->cache, sizeof l->cache, "%s/.cache/shikaku", home);
    else if (is_auto)
        on_note("decoded images are not kept for the next time: neither XDG_CACHE_HOME nor HOME is set", l);
}

static struct shk_data_options options_of(const struct shk_run_settings *run, struct listener *listener) {
    const struct shk_data_settings *s = &run->data;
    const bool apart = *s->train;
    if (!shk_settings_draw(run)) find_cache(run->cache, listener);
    struct shk_data_options o = {
        .spec = apart ? NULL : s->spec,
        .train = apart ? s->train : NULL,
        .test = *s->test ? s->test : NULL,
        .split = s->split,
        .seed = run->train.seed,
        .size = s->size,
        .channels = s->channels,
        .fit = fit_of(s->fit),
        .background = s->background,
        .skip_bad = s->skip_bad,
        .cache = *listener->cache ? listener->cache : NULL,
        .square = s->square,
        .train_samples = s->train_samples,
        .test_samples = s->test_samples,
        .invert = s->invert,
        .on_note = on_note,
        .on_bad = on_bad,
        .on_progress = on_progress,
        .user = listener,
    };
    read_normalisation(s, &o);
    return o;
}

// What was typed must make sense with these data.
static void check_given(const struct run_settings *s) {
    for (size_t i = 0; i < shk_setting_count; i++) {
        char option[SHK_SETTING_NAME];
        if (!(s->given >> i & 1) || shk_setting_applies(&shk_settings[i], &s->values)) continue;
        shk_setting_option(&shk_settings[i], option);
        if (shk_settings_draw(&s->values))
            cli_die(CLI_USAGE, "--%s has no effect on drawn squares: give --data FOLDER or FILE as well", option);
        cli_die(CLI_USAGE, "--%s has no effect on data from files: it is for squares", option);
    }
    if (*s->values.data.train && run_was_given(s, "data"))
        cli_die(CLI_USAGE, "--data and --train-data cannot be given together: the first names all parts");
    if (*s->values.data.test && !*s->values.data.train)
        cli_die(CLI_USAGE, "--test-data goes with --train-data; test data that are in --data are found there");
}

static struct shk_data *open(const struct shk_model *m, const struct run_settings *s, const struct shk_runtime *runtime,
                             struct data_said *said, struct shk_names *bad) {
    struct listener listener = {
        .quiet = s->values.quiet, .apart = s->apart, .kept = bad, .said = said, .settings = &s->values};
    struct shk_error error = {0};
    check_given(s);
    const struct shk_data_options o = options_of(&s->values, &listener);
    struct shk_data *data = m ? shk_data_open_for(m, &o, runtime, &error) : shk_data_open(&o, runtime, &error);
    if (listener.bad > MOST_BAD_LINES) cli_warn("and %zu more", listener.bad - MOST_BAD_LINES);
    if (!data) cli_die_error(&error);
    return data;
}

struct shk_data *data_open(const struct run_settings *s, const struct shk_runtime *runtime, struct shk_names *bad) {
    return open(NULL, s, runtime, NULL, bad);
}

struct shk_data *data_look(const struct run_settings *s, const struct shk_runtime *runtime, struct data_said *said) {
    *said = (struct data_said){0};
    return open(NULL, s, runtime, said, NULL);
}

void data_said_free(struct data_said *said) {
    shk_names_free(&said->notes);
    shk_names_free(&said->bad);
}

struct shk_data *data_open_for(const struct shk_model *m, const struct run_settings *s,
                               const struct shk_runtime *runtime) {
    return open(m, s, runtime, NULL, NULL);
}
