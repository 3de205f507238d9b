// SPDX-License-Identifier: MIT
// Loads weights with their notes.
#include "cli/weights.h"

#include "report/config.h"
#include "report/folder.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// A copy of a note, to be freed, or NULL.
static char *note(const struct shk_weights *file, const char *key) {
    const char *text = shk_weights_note(file, key);
    char *copy = text ? strdup(text) : NULL;
    if (text && !copy) cli_die(CLI_FAILED, "out of memory");
    return copy;
}

// In the place of a position, what the model was taken for where its file does not say it.
static void say_guess(struct weights *w) {
    const struct shk_shape s = shk_model_shape(w->model);
    if (!shk_model_guessed(w->model)) return;
    if (asprintf(&w->place, "by its tensors, %zux%zu pixels of %zu channel%s", s.height, s.width, s.channels,
                 s.channels == 1 ? "" : "s") < 0)
        cli_die(CLI_FAILED, "out of memory");
}

struct weights weights_load(const char *path, const struct run_settings *typed) {
    const struct shk_run_settings *v = &typed->values;
    struct shk_error error = {0};
    struct shk_weights *file = shk_weights_open(path, &error);
    struct weights w = {.path = strdup(path)};
    if (!w.path) cli_die(CLI_FAILED, "out of memory");
    if (file) w.model = shk_weights_model(file, *v->model ? v->model : NULL, v->data.size, &error);
    if (!w.model) cli_die_error(&error);
    w.place = note(file, "place");
    w.settings = note(file, "settings");
    shk_weights_free(file);
    say_guess(&w);
    return w;
}

enum { KEY_MODEL = 2048, KEY_SIZE };

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct run_settings *s = state->input;
    struct shk_error error = {0};
    if (key != KEY_MODEL && key != KEY_SIZE) return ARGP_ERR_UNKNOWN;
    const struct shk_setting *row = shk_setting_named(key == KEY_MODEL ? "model" : "size");
    if (!shk_setting_parse(row, &s->values, key == KEY_MODEL ? cli_model_text(arg) : arg, &error))
        cli_die_error(&error);
    return 0;
}

const struct argp weights_argp = {
    .options =
        (const struct argp_option[]){
            {"model", KEY_MODEL, "MODEL", 0, "What a file of another tool is, where it is no preset", 0},
            {"size", KEY_SIZE, "N", 0, "Height and width of its images in pixels (32, or the smallest that fits)", 0},
            {0},
        },
    .parser = parse_option,
};

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

struct weights weights_load_best(const char *path, const struct run_settings *typed) {
    char *file = weights_best_path(path);
    struct weights w = weights_load(file, typed);
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
