// SPDX-License-Identifier: MIT
// Loads weights with their notes.
#include "cli/weights.h"

#include "report/config.h"
#include "report/folder.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// A note of the file, to be freed, or NULL.
static char *note(const char *path, const char *key) {
    struct shk_error error = {0};
    char *text = shk_file_note(path, key, &error);
    if (!text && error.code != SHK_OK) cli_die_error(&error);
    return text;
}

static bool same_text(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

// In the place of a position, what the model was taken for where its file does not say it.
static void say_guess(struct weights *w) {
    const struct shk_shape s = shk_model_shape(w->model);
    if (!shk_model_guessed(w->model)) return;
    free(w->place);
    if (asprintf(&w->place, "by its tensors, %zux%zu pixels of %zu channel%s", s.height, s.width, s.channels,
                 s.channels == 1 ? "" : "s") < 0)
        cli_die(CLI_FAILED, "out of memory");
}

// A training may replace the file at any moment: what is read before and after must agree.
struct weights weights_load(const char *path) {
    struct shk_error error = {0};
    for (;;) {
        struct weights w = {.path = strdup(path), .place = note(path, "place"), .settings = note(path, "settings")};
        if (!w.path) cli_die(CLI_FAILED, "out of memory");
        w.model = shk_model_load(path, &error);
        if (!w.model) cli_die_error(&error);
        char *after = note(path, "place");
        const bool same = same_text(w.place, after);
        free(after);
        if (same) {
            say_guess(&w);
            return w;
        }
        weights_free(&w);
    }
}

void weights_free(struct weights *w) {
    shk_model_free(w->model);
    free(w->path);
    free(w->place);
    free(w->settings);
}

bool weights_is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static char *join(const char *folder, const char *name) {
    char *path;
    if (asprintf(&path, "%s/%s", folder, name) < 0) cli_die(CLI_FAILED, "out of memory");
    return path;
}

void weights_missing(const char *folder) {
    char *config = join(folder, folder_name(FOLDER_CONFIG));
    if (!folder_exists(config))
        cli_die(CLI_USAGE,
                "%s is no run's folder: wanted is one of 'shikaku train --out', or a file of weights; pictures are "
                "named by "
                "--data, or behind it",
                folder);
    cli_die(CLI_USAGE, "%s holds no weights yet: neither last.ckpt nor best.safetensors is there", folder);
}

char *weights_best_path(const char *path) {
    static const enum folder_file files[] = {FOLDER_BEST, FOLDER_CHECKPOINT};
    char *file = weights_is_folder(path) ? NULL : strdup(path);
    for (size_t i = 0; weights_is_folder(path) && i < 2; i++) {
        file = join(path, folder_name(files[i]));
        if (folder_exists(file)) return file;
        free(file);
    }
    if (weights_is_folder(path)) weights_missing(path);
    if (!file) cli_die(CLI_FAILED, "out of memory");
    return file;
}

struct weights weights_load_best(const char *path) {
    char *file = weights_best_path(path);
    struct weights w = weights_load(file);
    free(file);
    if (shk_model_guessed(w.model)) cli_note("%s is %s %s", path, shk_model_title(w.model), w.place);
    return w;
}

struct run_settings weights_settings(const struct weights *w, const struct run_settings *typed) {
    struct run_settings s = *typed;
    struct shk_error error = {0};
    if (!w->settings) return s;
    if (!config_from_note(w->settings, w->path, &s.values, &error)) cli_die_error(&error);
    if (run_was_given(typed, "data")) *s.values.data.train = *s.values.data.test = 0;
    for (size_t i = 0; i < shk_setting_count; i++)
        if (typed->given >> i & 1) shk_setting_copy(&shk_settings[i], &s.values, &typed->values);
    return s;
}
