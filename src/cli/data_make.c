// SPDX-License-Identifier: MIT
// shikaku data make: writes data in another form.
#include "cli/data_command.h"
#include "cli/run.h"
#include "cli/signals.h"

#include <string.h>

struct make_settings {
    struct data_arguments data;
    const char *as; // NULL: OUT says it
    bool force;
};

enum { KEY_AS = 4096, KEY_FORCE };

static const struct argp_option options[] = {
    {"as", KEY_AS, "FORM", 0, "folder, idx, cifar, npz or csv (npz where OUT ends in .npz, else folder)", 0},
    {"force", KEY_FORCE, 0, 0, "Replace a .npz that is there; a folder is never replaced", 0},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct make_settings *s = state->input;
    switch (key) {
    case KEY_AS:
        s->as = arg;
        return 0;
    case KEY_FORCE:
        s->force = true;
        return 0;
    default:
        return data_parse(&s->data, "make squares OUT", key, arg, state);
    }
}

static const struct {
    const char *name;
    enum shk_form form;
    const char *read_as; // what of OUT is named to read it
} forms[] = {{"folder", SHK_FORM_FOLDER, ""},
             {"idx", SHK_FORM_IDX, ""},
             {"cifar", SHK_FORM_CIFAR, ""},
             {"npz", SHK_FORM_NPZ, ""},
             {"csv", SHK_FORM_CSV, "/data.csv"}};
enum { FORMS = sizeof forms / sizeof *forms };

static size_t form_of(const struct make_settings *s) {
    const size_t length = strlen(s->data.out);
    const bool npz = length > 4 && strcmp(s->data.out + length - 4, ".npz") == 0;
    const char *name = s->as ? s->as : npz ? "npz" : "folder";
    for (size_t i = 0; i < FORMS; i++)
        if (strcmp(forms[i].name, name) == 0) return i;
    cli_die(CLI_USAGE, "--as must be folder, idx, cifar, npz or csv, not '%s'", name);
}

static void on_note(const char *sentence, void *user) {
    (void)user;
    cli_print("data: %s\n", cli_shown(sentence).text);
}

static bool goes_on(void *user) {
    (void)user;
    return !signals_caught();
}

// An interrupted one leaves nothing.
static void write(const struct shk_data *data, enum shk_form form, const char *out) {
    static const struct shk_write_options options = {.on_note = on_note, .goes_on = goes_on};
    struct shk_error error = {0};
    signals_catch();
    if (shk_data_write(data, form, out, &options, &error)) return;
    if (signals_caught()) cli_die(128 + signals_caught(), "%s: nothing is written", signals_name(signals_caught()));
    cli_die_error(&error);
}

static void check(const struct make_settings *s, enum shk_form form) {
    struct shk_error error = {0};
    if (s->force && form != SHK_FORM_NPZ)
        cli_die(CLI_USAGE, "--force replaces a .npz; a folder is never replaced: name another one");
    if (form == SHK_FORM_NPZ) data_check_out(s->data.out, s->force);
    if (!shk_form_fits(form, s->data.out, &error)) cli_die_error(&error);
}

static void print_made(const struct shk_data *data, const char *out, const char *read_as) {
    static const char *const part_names[SHK_PARTS] = {"train", "val", "test"};
    cli_print("made:");
    for (unsigned part = 0; part < SHK_PARTS; part++) {
        const struct shk_dataset *d = shk_data_part(data, part);
        if (d) cli_print(" %zu %s,", shk_dataset_size(d), part_names[part]);
    }
    const struct shk_shape s = shk_dataset_shape(shk_data_part(data, SHK_PART_TRAIN));
    cli_print(" images of %zux%zu pixels, %zu channel%s, %zu classes -> %s%s\n", s.height, s.width, s.channels,
              s.channels == 1 ? "" : "s", s.classes, cli_shown(out).text, read_as);
}

int data_make(int argc, char **argv) {
    const struct argp_child children[] = {{data_argp(), 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "SPEC OUT",
        .doc = "Writes data in another form, whole or not at all, with the pixels and parts that a training would get, "
               "before "
               "they are normalised.\vExamples:\n  shikaku data make squares digits --train-samples 500\n"
               "  shikaku data make /usr/share/datasets/fashion-mnist fashion.npz\n"
               "  shikaku data make pictures small --as cifar --size 32 --channels 3",
        .children = children,
    };
    struct make_settings s = {.data = data_arguments_of(true)};
    cli_parse(&argp, "shikaku data make", argc, argv, &s);
    const size_t form = form_of(&s);
    check(&s, forms[form].form);
    struct shk_runtime *runtime = run_make_runtime(&s.data.run, 0);
    struct shk_data *data = data_open(&s.data.run, runtime, NULL);
    write(data, forms[form].form, s.data.out);
    print_made(data, s.data.out, forms[form].read_as);
    shk_data_free(data);
    shk_runtime_free(runtime);
    return cli_finish_output();
}
