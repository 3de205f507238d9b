// SPDX-License-Identifier: MIT
// shikaku eval: what a run's weights, or a file of weights, are worth on data with labels.
#include "base/json.h"
#include "cli/data.h"
#include "cli/json.h"
#include "cli/run.h"
#include "cli/scores.h"
#include "cli/weights.h"
#include "report/folder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct eval_settings {
    struct run_settings run;
    bool json;
    const char *path;
};

enum { KEY_JSON = 4096 };

static const struct argp_option options[] = {
    {"json", KEY_JSON, 0, 0, "Print all of it as JSON: an array, an object for each file of weights", 0},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct eval_settings *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = state->child_inputs[1] = &s->run;
        return 0;
    case KEY_JSON:
        s->json = true;
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

// What was kept from the training: test, else val; else there is one part alone.
static const struct shk_dataset *best_part(const struct shk_data *data) {
    static const enum shk_part order[] = {SHK_PART_TEST, SHK_PART_VAL, SHK_PART_TRAIN};
    const struct shk_dataset *part = NULL;
    for (size_t i = 0; i < 3 && !part; i++) part = shk_data_part(data, order[i]);
    return part;
}

// Data for the weights that come next, too, where those want the same.
struct opened {
    struct shk_data *data; // NULL: none
    struct run_settings settings;
    struct shk_preprocessing prepared;
};

static bool are_same(const struct run_settings *a, const struct run_settings *b) {
    for (const struct shk_setting *s = shk_settings; s->name; s++)
        if (s->section != SHK_SECTION_OUTPUT && !shk_setting_equal(s, &a->values, &b->values)) return false;
    return true;
}

static bool are_prepared_alike(const struct shk_preprocessing *a, const struct shk_preprocessing *b) {
    return a->fit == b->fit && a->background == b->background && a->normalised == b->normalised &&
           memcmp(a->mean, b->mean, sizeof a->mean) == 0 &&
           memcmp(a->deviation, b->deviation, sizeof a->deviation) == 0;
}

static bool have_shape(const struct shk_dataset *d, struct shk_shape m) {
    const struct shk_shape s = shk_dataset_shape(d);
    return s.height == m.height && s.width == m.width && s.channels == m.channels && s.classes == m.classes;
}

static const struct shk_dataset *open_data(struct opened *o, const struct weights *w, const struct eval_settings *s,
                                           const struct shk_runtime *runtime) {
    struct run_settings c = weights_settings(w, &s->run);
    const struct shk_preprocessing prepared = shk_model_preprocessing(w->model);
    if (s->json) c.values.quiet = true;
    if (o->data && are_same(&o->settings, &c) && are_prepared_alike(&o->prepared, &prepared) &&
        have_shape(best_part(o->data), shk_model_shape(w->model)))
        return best_part(o->data);
    shk_data_free(o->data);
    *o = (struct opened){data_open_for(w->model, &c, runtime), c, prepared};
    return best_part(o->data);
}

// One file; with `all` the table of its classes, too.
static void eval_weights(const struct weights *w, const struct eval_settings *s, struct shk_runtime *runtime, bool all,
                         struct opened *opened, json_t *array) {
    struct shk_error error = {0};
    struct shk_evaluation *e = shk_evaluation_create(w->model, runtime, open_data(opened, w, s, runtime), &error);
    if (!e) cli_die_error(&error);
    if (array && json_array_append_new(array, scores_to_json(e, w)) != 0) cli_die(CLI_FAILED, "out of memory");
    if (!array)
        cli_print("[%s] %s%stest loss: %.4f, acc: %.3f, weights %016" PRIx64 ", %s\n", shk_model_title(w->model),
                  w->place ? cli_shown(w->place).text : "", w->place ? " - " : "", e->metrics.loss, e->metrics.accuracy,
                  shk_model_hash(w->model), cli_shown(w->path).text);
    if (!array && all) scores_print(e, w->model);
    shk_evaluation_free(e);
}

// Whether the run's checkpoint is of a time when there was a best epoch.
static bool is_beyond_first(const struct weights *checkpoint) {
    size_t epoch = 0, step = 0;
    if (checkpoint->place) sscanf(checkpoint->place, "epoch %20zu, step %20zu", &epoch, &step);
    return epoch > (step != 0);
}

// The last and the best weights of a run.
static void eval_run(const struct eval_settings *s, struct shk_runtime *runtime, struct opened *opened, json_t *array) {
    static const enum folder_file files[] = {FOLDER_CHECKPOINT, FOLDER_BEST};
    char *paths[2];
    bool there[2];
    bool needs_best = true;
    for (size_t i = 0; i < 2; i++) {
        if (asprintf(&paths[i], "%s/%s", s->path, folder_name(files[i])) < 0) cli_die(CLI_FAILED, "out of memory");
        there[i] = folder_exists(paths[i]);
    }
    if (!there[0] && !there[1]) weights_missing(s->path);
    for (size_t i = 0; i < 2; i++) {
        if (!there[i]) continue;
        struct weights w = weights_load(paths[i], &s->run);
        eval_weights(&w, s, runtime, i == 1 || !there[1], opened, array);
        if (i == 0) needs_best = is_beyond_first(&w);
        weights_free(&w);
    }
    for (size_t i = 0; i < 2; i++) {
        if (!there[i] && (i == 0 || needs_best)) cli_warn("%s is missing", paths[i]);
        free(paths[i]);
    }
}

static bool takes(const struct shk_setting *s) { return s->evaluation; }

int cli_eval(int argc, char **argv) {
    const struct argp_child children[] = {{run_argp(takes), 0, NULL, 0}, {&weights_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "DIR|FILE",
        .doc =
            "Tests the last and the best weights of a run, or a file of weights: on the images on which the training "
            "was tested, or on others.\vOf --data the test part counts, else val, else all. Pictures are prepared as "
            "those of the training were.\n\nExamples:\n  shikaku eval runs/a\n  shikaku eval runs/a --data pictures",
        .children = children,
    };
    struct eval_settings settings = {.run = run_defaults()};
    cli_parse(&argp, "shikaku eval", argc, argv, &settings);
    struct shk_runtime *runtime = run_make_runtime(&settings.run, 0);
    json_t *array = settings.json ? json_array() : NULL;
    if (settings.json && !array) cli_die(CLI_FAILED, "out of memory");
    struct opened opened = {0};
    if (weights_is_folder(settings.path)) {
        eval_run(&settings, runtime, &opened, array);
    } else {
        struct weights w = weights_load(settings.path, &settings.run);
        eval_weights(&w, &settings, runtime, true, &opened, array);
        weights_free(&w);
    }
    if (array) cli_print_json(array);
    shk_data_free(opened.data);
    shk_runtime_free(runtime);
    return cli_finish_output();
}
