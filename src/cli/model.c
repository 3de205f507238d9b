// SPDX-License-Identifier: MIT
// shikaku model: what a model is made of, and what its training will take, without training.
#include "cli/data.h"
#include "cli/json.h"
#include "cli/run.h"

#include "base/json.h"
#include <shikaku/summary.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct model_settings {
    struct run_settings run;
    const char *model;
    bool json;
};

// ---- Text ----

struct shape_text {
    char text[80];
};
static struct shape_text shape_text(const struct shk_summary_layer *l) {
    struct shape_text t;
    if (l->map)
        snprintf(t.text, sizeof t.text, "%zux%zux%zu", l->height, l->width, l->channels);
    else if (l->height > 1)
        snprintf(t.text, sizeof t.text, "%zux%zu", l->height, l->channels);
    else
        snprintf(t.text, sizeof t.text, "%zu", l->channels);
    return t;
}

// Of a layer without parameters the name is what it is.
static void print_layers(const struct shk_summary *s) {
    cli_print("%-34s %-14s %12s %10s %10s %10s\n", "layer", "kind", "output", "parameters", "forward", "backward");
    for (size_t i = 0; i < s->layers; i++) {
        const struct shk_summary_layer *l = &s->layer[i];
        cli_print("%-34s %-14s %12s", strcmp(l->name, l->kind) == 0 ? "" : l->name, l->kind, shape_text(l).text);
        if (l->parameters || l->forward_flops > 0)
            cli_print(" %10zu %10.3f %10.3f", l->parameters, 1e-6 * l->forward_flops, 1e-6 * l->backward_flops);
        cli_print("\n");
    }
    cli_print("%-34s %-14s %12s %10zu %10.3f %10.3f\n", "all", "", "", s->parameters, 1e-6 * s->forward_flops,
              1e-6 * s->backward_flops);
    cli_print("forward, backward: MFLOP a sample, with every layer dense and without element-wise work\n"
              "on disk: %zu numbers (%.2f MiB)\n\n",
              s->floats, (double)(s->floats * sizeof(float)) / (1 << 20));
}

static void print_part(const char *what, size_t bytes) {
    if (bytes) cli_print("  %-66s %9.2f\n", what, (double)bytes / (1 << 20));
}

static void print_memory(const struct shk_summary *s) {
    const struct shk_summary_memory *t = &s->training;
    cli_print("memory of training, batch %zu, %u thread%s (MiB): %.2f, beside the data\n", s->batch, s->threads,
              s->threads == 1 ? "" : "s", (double)t->all / (1 << 20));
    print_part("weights and their packings", t->model);
    print_part("moments of the optimizer", t->optimizer);
    print_part("gradients of parts of the batch", t->gradients);
    print_part("activations and their gradients, of the whole batch", t->batch);
    print_part("each thread's own", t->threads);
    print_part("test behind an epoch, weights of the best one", t->evaluation);
    const double saved = (double)(s->saved * s->batch * sizeof(float));
    cli_print("what a backward pass reads of the forward one: %zu floats a sample, %.2f MiB of a batch; all of the "
              "above is %.2f times that\n",
              s->saved, saved / (1 << 20), (double)t->all / saved);
    cli_print("memory of prediction (MiB): %.2f; of one image at a time: %.2f\n\n",
              (double)s->prediction.all / (1 << 20), (double)s->single.all / (1 << 20));
}

static double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

static void print_work(const struct shk_summary *s) {
    double flops = 0, bytes = 0;
    for (size_t i = 0; i < s->ops; i++) {
        flops += s->op[i].forward_flops + s->op[i].backward_flops;
        bytes += s->op[i].forward_bytes + s->op[i].backward_bytes;
    }
    cli_print("work of a training step (%% of all FLOPs, %% of all bytes: not of time, of which nothing was measured; "
              "'shikaku profile' does)\n%-34s %-16s %8s %8s %8s %8s\n",
              "layer", "op", "forward", "backward", "FLOPs", "bytes");
    for (size_t i = 0; i < s->ops; i++) {
        const struct shk_summary_op *o = &s->op[i];
        cli_print("%-34s %-16s %7.1f%% %7.1f%% %7.1f%% %7.1f%%\n", o->layer, o->op, percent(o->forward_flops, flops),
                  percent(o->backward_flops, flops), percent(o->forward_flops + o->backward_flops, flops),
                  percent(o->forward_bytes + o->backward_bytes, bytes));
    }
    cli_print("all: %.3f MFLOP a sample are computed, %.3f MB are read and written, each number once in an op\n",
              1e-6 * flops, 1e-6 * bytes);
}

// The text first, with what it stands for, so that a file can hold it.
static void print_text(const struct shk_summary *s, const char *model) {
    if (strncmp(model, "net:", 4) != 0) cli_print("# %s\n", cli_shown(model).text);
    cli_print("%s\n\n", s->net);
    print_layers(s);
    print_memory(s);
    print_work(s);
}

// ---- JSON ----

static json_t *layers_json(const struct shk_summary *s) {
    json_t *layers = json_array();
    for (size_t i = 0; i < s->layers; i++) {
        const struct shk_summary_layer *l = &s->layer[i];
        json_array_append_new(layers,
                              json_pack("{s:s, s:s, s:b, s:[I, I, I], s:I, s:f, s:f}", "name", l->name, "kind", l->kind,
                                        "map", l->map, "output", (json_int_t)l->height, (json_int_t)l->width,
                                        (json_int_t)l->channels, "parameters", (json_int_t)l->parameters,
                                        "forward_flops", l->forward_flops, "backward_flops", l->backward_flops));
    }
    return layers;
}

static json_t *ops_json(const struct shk_summary *s) {
    json_t *ops = json_array();
    for (size_t i = 0; i < s->ops; i++) {
        const struct shk_summary_op *o = &s->op[i];
        json_array_append_new(ops, json_pack("{s:s, s:s, s:f, s:f, s:f, s:f}", "layer", o->layer, "op", o->op,
                                             "forward_flops", o->forward_flops, "backward_flops", o->backward_flops,
                                             "forward_bytes", o->forward_bytes, "backward_bytes", o->backward_bytes));
    }
    return ops;
}

static json_t *memory_json(const struct shk_summary_memory *m) {
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "model", (json_int_t)m->model, "optimizer",
                     (json_int_t)m->optimizer, "gradients", (json_int_t)m->gradients, "batch", (json_int_t)m->batch,
                     "threads", (json_int_t)m->threads, "evaluation", (json_int_t)m->evaluation, "all",
                     (json_int_t)m->all);
}

static void print_json(const struct shk_summary *s, const char *model) {
    cli_print_json(json_pack("{s:s, s:s, s:s, s:I, s:i, s:o, s:I, s:I, s:I, s:f, s:f, s:{s:o, s:o, s:o}, s:o}",
                             "version", shk_version(), "model", model, "net", s->net, "batch", (json_int_t)s->batch,
                             "threads", (int)s->threads, "layers", layers_json(s), "parameters",
                             (json_int_t)s->parameters, "numbers_on_disk", (json_int_t)s->floats, "saved_floats",
                             (json_int_t)s->saved, "forward_flops", s->forward_flops, "backward_flops",
                             s->backward_flops, "bytes", "training", memory_json(&s->training), "prediction",
                             memory_json(&s->prediction), "one_image", memory_json(&s->single), "ops", ops_json(s)));
}

// ---- Command ----

enum { KEY_JSON = 256 };

static const struct argp_option options[] = {
    {"json", KEY_JSON, 0, 0, "Print JSON", 0},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct model_settings *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->run;
        return 0;
    case KEY_JSON:
        s->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (s->model) cli_die(CLI_USAGE, "model takes one model, not '%s' as well", arg);
        s->model = cli_model_text(arg);
        return 0;
    case ARGP_KEY_NO_ARGS:
        cli_die(CLI_USAGE, "model needs a model, as in 'shikaku model tinycnn'");
    default:
        return cli_parse_common(key, arg, state);
    }
}

// What images there are, and how a step and its threads are.
static bool takes(const struct shk_setting *s) {
    static const char *const names[] = {"batch",     "shards", "data",     "train_data",
                                        "test_data", "size",   "channels", "skip_bad"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (s == shk_setting_named(names[i])) return true;
    return s->section == SHK_SECTION_MACHINE;
}

// Of squares one is enough, of a pixel, which fits any size.
static struct shk_shape shape_of(struct run_settings *s, const struct shk_runtime *runtime) {
    struct shk_data_settings *d = &s->values.data;
    if (shk_settings_draw(&s->values)) d->train_samples = d->test_samples = d->square = 1;
    s->apart = true;
    struct shk_data *data = data_open(s, runtime, NULL);
    const struct shk_shape shape = shk_dataset_shape(shk_data_part(data, SHK_PART_TRAIN));
    shk_data_free(data);
    return shape;
}

int cli_model(int argc, char **argv) {
    const struct argp_child children[] = {{run_argp(takes), 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "MODEL",
        .doc =
            "Prints a model as a net's text, which a file can hold for @FILE; its layers; and what a training of it "
            "takes: memory, and which layers have how much of the work. Nothing is trained or measured.\vMODEL is "
            "what train takes as --model; images are those of --data, or squares.\n\nExamples:\n  shikaku model "
            "tinycnn\n  shikaku model 'net:conv(16) relu mean linear(classes)' --batch 256\n  shikaku model @net.txt "
            "--data pictures",
        .children = children,
    };
    struct model_settings settings = {.run = run_defaults()};
    cli_parse(&argp, "shikaku model", argc, argv, &settings);
    struct shk_runtime *runtime = run_make_runtime(&settings.run, shk_train_shards(&settings.run.values.train));
    const struct shk_shape shape = shape_of(&settings.run, runtime);
    struct shk_error error = {0};
    struct shk_summary *s = shk_summary_create(settings.model, &shape, runtime, &settings.run.values.train, &error);
    if (!s) cli_die_error(&error);
    if (settings.json)
        print_json(s, settings.model);
    else
        print_text(s, settings.model);
    shk_summary_free(s);
    shk_runtime_free(runtime);
    return cli_finish_output();
}
