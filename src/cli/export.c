// SPDX-License-Identifier: MIT
// shikaku export: writes a model for other programs.
#include "cli/weights.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

struct export_settings {
    struct run_settings run;
    const char *model, *out;
    bool force;
};

enum { KEY_FORCE = 4096 };

static const struct argp_option options[] = {
    {"force", KEY_FORCE, 0, 0, "Replace a file that is there", 0},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct export_settings *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->run;
        return 0;
    case KEY_FORCE:
        s->force = true;
        return 0;
    case ARGP_KEY_ARG:
        if (s->out) cli_die(CLI_USAGE, "export takes a model and a file to write, not '%s' as well", arg);
        *(s->model ? &s->out : &s->model) = arg;
        return 0;
    case ARGP_KEY_END:
        if (s->out) return 0;
        cli_die(CLI_USAGE,
                "export needs a run's folder or a file of weights, and a file to write, as in 'shikaku export "
                "DIR model.onnx'");
    default:
        return cli_parse_common(key, arg, state);
    }
}

// One thread computes the logits of the self-test.
static bool export_c(const struct shk_model *model, const char *path, struct shk_error *error) {
    const struct shk_runtime_options alone = {.threads = 1, .pin = "none"};
    struct shk_runtime *runtime = shk_runtime_create(&alone, error);
    const bool ok = runtime && shk_model_export_c(model, runtime, path, error);
    shk_runtime_free(runtime);
    return ok;
}

// What the file's name ends in says what it is to be.
static const struct form {
    const char *ending;
    bool (*write)(const struct shk_model *, const char *path, struct shk_error *);
} forms[] = {
    {".onnx", shk_model_export_onnx},
    {".c", export_c},
};
enum { FORMS = sizeof forms / sizeof *forms };

static const struct form *find_form(const char *path) {
    const size_t length = strlen(path);
    for (size_t i = 0; i < FORMS; i++) {
        const size_t end = strlen(forms[i].ending);
        if (length > end && strcmp(path + length - end, forms[i].ending) == 0) return &forms[i];
    }
    cli_die(CLI_USAGE,
            "%s cannot be written: the name must end in .onnx or .c; weights for PyTorch are in the run's "
            "best.safetensors",
            path);
}

int cli_export(int argc, char **argv) {
    const struct argp_child children[] = {{&weights_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "DIR|FILE OUT",
        .doc = "Writes a model for other programs: the best weights of a run, or a file of weights, as ONNX "
               "(OUT.onnx) or as one file of plain C (OUT.c).",
        .children = children,
    };
    struct export_settings settings = {.run = run_defaults()};
    struct shk_error error = {0};
    struct stat info;
    cli_parse(&argp, "shikaku export", argc, argv, &settings);
    const struct form *form = find_form(settings.out);
    if (!settings.force && lstat(settings.out, &info) == 0)
        cli_die(CLI_USAGE, "%s is there already: name another file, or replace it with --force", settings.out);
    struct weights w = weights_load_best(settings.model, &settings.run);
    if (!form->write(w.model, settings.out, &error)) cli_die_error(&error);
    cli_print("[%s] %s%sweights %016" PRIx64 ", %s -> %s\n", shk_model_title(w.model),
              w.place ? cli_shown(w.place).text : "", w.place ? " - " : "", shk_model_hash(w.model),
              cli_shown(w.path).text, cli_shown(settings.out).text);
    weights_free(&w);
    return cli_finish_output();
}
