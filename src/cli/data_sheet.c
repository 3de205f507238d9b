// SPDX-License-Identifier: MIT
// shikaku data sheet: draws some samples of each class.
#include "cli/data_command.h"
#include "cli/run.h"
#include "report/sheet.h"

#include <string.h>

struct sheet_settings {
    struct data_arguments data;
    uint64_t samples;
    bool force;
};

enum { KEY_SAMPLES = 4096, KEY_FORCE, USUAL_SAMPLES = 8, MOST_SAMPLES = 100 };

static const struct argp_option options[] = {
    {"samples", KEY_SAMPLES, "N", 0, "Of each class, its first ones (8)", 0},
    {"force", KEY_FORCE, 0, 0, "Replace a file that is there", 0},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct sheet_settings *s = state->input;
    switch (key) {
    case KEY_SAMPLES:
        s->samples = cli_whole("samples", arg, 1, MOST_SAMPLES);
        return 0;
    case KEY_FORCE:
        s->force = true;
        return 0;
    default:
        return data_parse(&s->data, "sheet pictures OUT.png", key, arg, state);
    }
}

static void check_name(const char *out) {
    const size_t length = strlen(out);
    if (length <= 4 || strcmp(out + length - 4, ".png") != 0)
        cli_die(CLI_USAGE, "%s cannot be drawn: a sheet is a PNG, and its name must end in .png", out);
}

static void print_drawn(const struct sheet *sheet, const struct shk_dataset *train, const char *out) {
    const struct shk_shape s = shk_dataset_shape(train);
    if (sheet->scaled)
        cli_print("data: pixels are %g to %g, and are drawn from black to white\n", (double)sheet->least,
                  (double)sheet->greatest);
    if (s.channels == 2 || s.channels == 4)
        cli_print("data: of %zu channels the first %s drawn\n", s.channels, s.channels == 2 ? "is" : "three are");
    cli_print("sheet: ");
    if (sheet->classes < s.classes) cli_print("the first %zu of ", sheet->classes);
    cli_print("%zu classes, %zux%zu pixels -> %s\n", s.classes, sheet->width, sheet->height, cli_shown(out).text);
}

int data_sheet(int argc, char **argv) {
    const struct argp_child children[] = {{data_argp(), 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "SPEC OUT.png",
        .doc =
            "Draws a contact sheet: a row for each class with its name, how many training samples it has, and some of "
            "them, as a model would get them before they are normalised, enlarged by a whole number.",
        .children = children,
    };
    struct sheet_settings s = {.data = data_arguments_of(true), .samples = USUAL_SAMPLES};
    struct shk_error error = {0};
    cli_parse(&argp, "shikaku data sheet", argc, argv, &s);
    check_name(s.data.out);
    data_check_out(s.data.out, s.force);
    struct shk_runtime *runtime = run_make_runtime(&s.data.run, 0);
    struct shk_data *data = data_open(&s.data.run, runtime, NULL);
    const struct shk_dataset *train = shk_data_part(data, SHK_PART_TRAIN);
    struct sheet sheet = {.samples = s.samples};
    if (!sheet_write(&sheet, train, s.data.out, &error)) cli_die_error(&error);
    print_drawn(&sheet, train, s.data.out);
    shk_data_free(data);
    shk_runtime_free(runtime);
    return cli_finish_output();
}
