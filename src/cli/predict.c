// SPDX-License-Identifier: MIT
// shikaku predict: what a model takes pictures for.
#include "base/text.h"
#include "cli/json.h"
#include "cli/run.h"
#include "cli/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USUAL_TOP = 3 };

struct predict_settings {
    struct run_settings run;
    const char *model;
    const char **paths;
    size_t count;
    size_t top; // 0: at most USUAL_TOP
    bool json, logits;
};

enum { KEY_JSON = 4096, KEY_TOP, KEY_LOGITS };

static const struct argp_option options[] = {
    {"top", KEY_TOP, "K", 0, "Name the K most probable classes (3, or all)", 0},
    {"logits", KEY_LOGITS, 0, 0, "Give all logits, too", 0},
    {"json", KEY_JSON, 0, 0, "Print JSON: an array, an object for each picture", 0},
    CLI_HELP_OPTION,
    {0},
};

static void add_path(struct predict_settings *s, const char *path) {
    if (!s->model) {
        s->model = path;
        return;
    }
    s->paths = realloc(s->paths, (s->count + 1) * sizeof *s->paths);
    if (!s->paths) cli_die(CLI_FAILED, "out of memory");
    s->paths[s->count++] = path;
}

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct predict_settings *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = state->child_inputs[1] = &s->run;
        return 0;
    case KEY_JSON:
        s->json = true;
        return 0;
    case KEY_LOGITS:
        s->logits = true;
        return 0;
    case KEY_TOP:
        s->top = cli_whole("--top", arg, 1, 65536);
        return 0;
    case ARGP_KEY_ARG:
        add_path(s, arg);
        return 0;
    case ARGP_KEY_END:
        if (s->count) return 0;
        cli_die(CLI_USAGE,
                "predict needs a run's folder or a file of weights, and pictures, as in 'shikaku predict DIR "
                "photo.jpg'");
    default:
        return cli_parse_common(key, arg, state);
    }
}

// ---- One picture ----

struct answer {
    const struct shk_model *model;
    size_t classes, top;
    const float *logits;  // [classes]
    float *probabilities; // [classes]
    size_t *order;        // [top] labels, the most probable first
    char **labels;        // [classes]: a class's name, or its number, as it is shown
};

static char **show_labels(const struct shk_model *m, size_t classes) {
    char **labels = calloc(classes, sizeof *labels);
    for (size_t c = 0; labels && c < classes; c++) {
        const char *class = shk_model_class(m, c);
        const int length = class ? asprintf(&labels[c], "%s", cli_shown(class).text) : asprintf(&labels[c], "%zu", c);
        if (length < 0) cli_die(CLI_FAILED, "out of memory");
    }
    return labels;
}

static void rank(struct answer *a) {
    shk_softmax(a->logits, a->classes, a->probabilities);
    size_t n = 0;
    for (size_t c = 0; c < a->classes; c++) {
        size_t at = n < a->top ? n++ : a->top;
        for (; at > 0 && a->logits[c] > a->logits[a->order[at - 1]]; at--)
            if (at < a->top) a->order[at] = a->order[at - 1];
        if (at < a->top) a->order[at] = c;
    }
}

// Lines are printed many at once: each text that is printed may wake the printer.
struct lines {
    FILE *out;
    char *text;
    size_t size;
};

static void begin_lines(struct lines *l) {
    *l = (struct lines){0};
    l->out = open_memstream(&l->text, &l->size);
    if (!l->out) cli_die(CLI_FAILED, "out of memory");
}

static void print_lines(struct lines *l) {
    if (fclose(l->out) != 0) cli_die(CLI_FAILED, "out of memory");
    if (l->size) cli_print("%s", l->text);
    free(l->text);
}

static void print_answer(struct lines *l, const struct answer *a, const char *name, bool logits) {
    struct cli_text shown;
    shk_show(name, strlen(name), "", shown.text, sizeof shown.text);
    fprintf(l->out, "%s:", shown.text);
    for (size_t i = 0; i < a->top; i++)
        fprintf(l->out, "%s %s %.4f", i ? "," : "", a->labels[a->order[i]], (double)a->probabilities[a->order[i]]);
    for (size_t c = 0; logits && c < a->classes; c++)
        fprintf(l->out, "%s%.9g", c ? " " : "; logits ", (double)a->logits[c]);
    fputc('\n', l->out);
}

static json_t *answer_to_json(const struct answer *a, const char *name, bool logits) {
    json_t *classes = json_array(), *object = NULL;
    for (size_t i = 0; classes && i < a->top; i++) {
        const size_t label = a->order[i];
        json_array_append_new(classes, json_pack("{s:I, s:s?, s:f}", "label", (json_int_t)label, "name",
                                                 shk_model_class(a->model, label), "probability",
                                                 (double)a->probabilities[label]));
    }
    object = json_pack("{s:o, s:o}", "file", json_string(cli_shown(name).text), "classes", classes);
    if (!logits || !object) return object;
    json_t *all = json_array();
    for (size_t c = 0; all && c < a->classes; c++) json_array_append_new(all, json_real((double)a->logits[c]));
    json_object_set_new(object, "logits", all);
    return object;
}

// ---- All pictures ----

enum { LINES = 100 }; // that are printed at once

// Returns how many could not be read; those are said, and the others go on.
static size_t answer_all(struct answer *a, const struct predict_settings *s, const struct shk_pictures *p,
                         const float *logits, json_t *array) {
    const size_t n = shk_dataset_size(shk_pictures_data(p));
    size_t bad = 0;
    struct lines lines;
    begin_lines(&lines);
    for (size_t i = 0; i < n; i++) {
        const char *name = shk_pictures_name(p, i), *why = shk_pictures_error(p, i);
        json_t *object = NULL;
        if (why || i % LINES == LINES - 1) {
            print_lines(&lines);
            begin_lines(&lines);
        }
        if (why) {
            bad++;
            cli_warn("%s", why);
            if (array) object = json_pack("{s:s, s:s}", "file", cli_shown(name).text, "error", cli_shown(why).text);
        } else {
            a->logits = logits + i * a->classes;
            rank(a);
            if (array)
                object = answer_to_json(a, name, s->logits);
            else
                print_answer(&lines, a, name, s->logits);
        }
        if (array && json_array_append_new(array, object) != 0) cli_die(CLI_FAILED, "out of memory");
    }
    print_lines(&lines);
    return bad;
}

// One picture is not worth starting threads for.
static void run_model(const struct shk_model *m, const struct shk_runtime *runtime, const struct shk_dataset *d,
                      float *logits) {
    struct shk_error error = {0};
    if (shk_dataset_size(d) > 1) {
        if (!shk_predict(m, runtime, d, logits, &error)) cli_die_error(&error);
        return;
    }
    const struct shk_shape shape = shk_dataset_shape(d);
    float *pixels = malloc(shape.height * shape.width * shape.channels * sizeof *pixels);
    struct shk_predictor *p = pixels ? shk_predictor_create(m, runtime, &error) : NULL;
    if (!pixels) cli_die(CLI_FAILED, "out of memory");
    if (!p) cli_die_error(&error);
    shk_dataset_pixels(d, 0, pixels);
    shk_predictor_run(p, pixels, logits);
    shk_predictor_free(p);
    free(pixels);
}

static size_t predict(const struct predict_settings *s, const struct shk_model *m, const struct shk_runtime *runtime,
                      json_t *array) {
    struct shk_error error = {0};
    struct shk_pictures *p = shk_pictures_open(m, s->paths, s->count, runtime, &error);
    if (!p) cli_die_error(&error);
    const size_t n = shk_dataset_size(shk_pictures_data(p)), classes = shk_model_shape(m).classes;
    struct answer a = {.model = m, .classes = classes, .top = s->top ? s->top : USUAL_TOP};
    if (a.top > classes) a.top = classes;
    float *logits = calloc(n, classes * sizeof *logits);
    a.probabilities = calloc(classes, sizeof *a.probabilities);
    a.order = calloc(a.top, sizeof *a.order);
    a.labels = show_labels(m, classes);
    if (!logits || !a.probabilities || !a.order || !a.labels) cli_die(CLI_FAILED, "out of memory");
    run_model(m, runtime, shk_pictures_data(p), logits);
    const size_t bad = answer_all(&a, s, p, logits, array);
    free(logits);
    free(a.probabilities);
    free(a.order);
    for (size_t c = 0; c < classes; c++) free(a.labels[c]);
    free(a.labels);
    shk_pictures_free(p);
    return bad;
}

static bool takes(const struct shk_setting *s) { return s->section == SHK_SECTION_MACHINE; }

int cli_predict(int argc, char **argv) {
    const struct argp_child children[] = {{run_argp(takes), 0, NULL, 0}, {&weights_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "DIR|FILE PICTURE|FOLDER|-...",
        .doc =
            "Says what the best weights of a run, or a file of weights, take pictures for. PNG and JPEG are read, and "
            "prepared as those of the training were; of a folder all files, - is standard input.\vA picture that "
            "cannot "
            "be read is named, the others go on, and the exit code is 1.\n\nExamples:\n  shikaku predict runs/a "
            "photo.jpg\n  shikaku predict runs/a photos/ --top 1 --json",
        .children = children,
    };
    struct predict_settings s = {.run = run_defaults()};
    cli_parse(&argp, "shikaku predict", argc, argv, &s);
    struct weights w = weights_load_best(s.model, &s.run);
    const bool single = s.count == 1 && !weights_is_folder(s.paths[0]);
    struct shk_runtime *runtime = run_make_runtime(&s.run, single); // one task takes one thread
    json_t *array = s.json ? json_array() : NULL;
    if (s.json && !array) cli_die(CLI_FAILED, "out of memory");
    const size_t bad = predict(&s, w.model, runtime, array);
    if (array) cli_print_json(array);
    weights_free(&w);
    shk_runtime_free(runtime);
    free(s.paths);
    return cli_finish_output() == CLI_DONE && bad ? CLI_FAILED : CLI_DONE;
}
