// SPDX-License-Identifier: MIT
// shikaku eval: loss and accuracy of a run's weights, or of a file of weights.
#include "cli/data.h"
#include "cli/run.h"
#include "report/config.h"
#include "report/folder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct eval_settings {
    struct run_settings run;
    const char *path;
};

static const struct argp_option options[] = {
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct eval_settings *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->run;
        return 0;
    case ARGP_KEY_ARG:
        if (s->path) cli_die(CLI_USAGE, "eval takes one run's folder or file, not '%s' as well", arg);
        s->path = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        cli_die(CLI_USAGE, "eval needs a run's folder or a file, as in 'shikaku eval DIR'");
    default:
        return cli_parse_common(key, arg, state);
    }
}

// A note of the file, to be freed, or NULL.
static char *note(const char *path, const char *key) {
    struct shk_error error = {0};
    char *text = shk_file_note(path, key, &error);
    if (!text && error.code != SHK_OK) cli_die_error(&error);
    return text;
}

// The data on which the file's training was tested, but for what was typed.
static struct run_settings test_data(const char *path, const struct run_settings *typed) {
    char *text = note(path, "settings");
    struct run_settings c = *typed;
    if (!text) return c;
    struct shk_error error = {0};
    if (!config_from_note(text, path, &c.values, &error)) cli_die_error(&error);
    if (run_was_given(typed, "data")) *c.values.data.train = *c.values.data.test = 0;
    for (size_t i = 0; i < shk_setting_count; i++)
        if (typed->given >> i & 1) shk_setting_copy(&shk_settings[i], &c.values, &typed->values);
    free(text);
    return c;
}

// What was kept from the training: test, else val; else there is one part alone.
static const struct shk_dataset *best_part(const struct shk_data *data) {
    static const enum shk_part order[] = {SHK_PART_TEST, SHK_PART_VAL, SHK_PART_TRAIN};
    const struct shk_dataset *part = NULL;
    for (size_t i = 0; i < 3 && !part; i++) part = shk_data_part(data, order[i]);
    return part;
}

static bool same_text(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

// The model and its place. A training may replace the file at any moment: what is read before and after must agree.
static struct shk_model *load(const char *path, char **place) {
    struct shk_error error = {0};
    for (;;) {
        *place = note(path, "place");
        struct shk_model *model = shk_model_load(path, &error);
        if (!model) cli_die_error(&error);
        char *after = note(path, "place");
        const bool same = same_text(*place, after);
        free(after);
        if (same) return model;
        free(*place);
        shk_model_free(model);
    }
}

static void eval_file(const char *path, const struct run_settings *typed, struct shk_runtime *runtime) {
    struct shk_error error = {0};
    char *place;
    struct shk_model *model = load(path, &place);
    const struct run_settings c = test_data(path, typed);
    struct shk_data *data = data_open_for(model, &c, runtime);
    const struct shk_dataset *test = best_part(data);
    struct shk_metrics metrics;
    if (!shk_evaluate(model, runtime, test, &metrics, &error)) cli_die_error(&error);
    cli_print("[%s] %s%stest loss: %.4f, acc: %.3f, weights %016" PRIx64 ", %s\n", shk_model_title(model),
              place ? cli_shown(place).text : "", place ? " - " : "", metrics.loss, metrics.accuracy,
              shk_model_hash(model), cli_shown(path).text);
    free(place);
    shk_data_free(data);
    shk_model_free(model);
}

static bool folder_holds_run(const char *folder) {
    char *path;
    if (asprintf(&path, "%s/%s", folder, folder_name(FOLDER_CONFIG)) < 0) cli_die(CLI_FAILED, "out of memory");
    const bool holds = folder_exists(path);
    free(path);
    return holds;
}

// Whether the run's checkpoint is of a time when there was a best epoch.
static bool is_beyond_first(const char *folder) {
    char *path;
    size_t epoch = 0, step = 0;
    if (asprintf(&path, "%s/%s", folder, folder_name(FOLDER_CHECKPOINT)) < 0) cli_die(CLI_FAILED, "out of memory");
    char *place = note(path, "place");
    if (place) sscanf(place, "epoch %20zu, step %20zu", &epoch, &step);
    free(place);
    free(path);
    return epoch > (step != 0);
}

// The last and the best weights of a run.
static void eval_run(const char *folder, const struct run_settings *typed, struct shk_runtime *runtime) {
    static const enum folder_file files[] = {FOLDER_CHECKPOINT, FOLDER_BEST};
    size_t found = 0;
    enum folder_file missing = FOLDER_FILES;
    for (size_t i = 0; i < 2; i++) {
        char *path;
        struct stat info;
        if (asprintf(&path, "%s/%s", folder, folder_name(files[i])) < 0) cli_die(CLI_FAILED, "out of memory");
        if (stat(path, &info) == 0) {
            eval_file(path, typed, runtime);
            found++;
        } else if (i == 0 || (found && is_beyond_first(folder))) {
            missing = files[i];
        }
        free(path);
    }
    if (missing != FOLDER_FILES && found) cli_warn("%s/%s is missing", folder, folder_name(missing));
    if (found) return;
    if (!folder_holds_run(folder))
        cli_die(CLI_USAGE,
                "%s is no run's folder: eval takes one of 'shikaku train --out', or a file of weights, and draws its "
                "images; "
                "it cannot read pictures yet",
                folder);
    cli_die(CLI_USAGE, "%s holds no weights yet: neither last.ckpt nor best.safetensors is there", folder);
}

static bool takes(const struct shk_setting *s) { return s->evaluation; }

int cli_eval(int argc, char **argv) {
    const struct argp_child children[] = {{run_argp(takes), 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "DIR|FILE",
        .doc = "Tests the last and the best weights of a run, or a file of weights, on the images that its training "
               "was tested "
               "on.\vThe options choose other images.",
        .children = children,
    };
    struct eval_settings settings = {.run = run_defaults()};
    cli_parse(&argp, "shikaku eval", argc, argv, &settings);
    struct shk_runtime *runtime = run_make_runtime(&settings.run, 0);
    struct stat info;
    if (stat(settings.path, &info) == 0 && S_ISDIR(info.st_mode))
        eval_run(settings.path, &settings.run, runtime);
    else
        eval_file(settings.path, &settings.run, runtime);
    shk_runtime_free(runtime);
    return cli_finish_output();
}
