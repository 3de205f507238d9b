// SPDX-License-Identifier: MIT
// Makes machine, data, model and trainer of a run's settings, and prints what a training says.
#include "cli/run.h"

#include "cli/data.h"
#include "cli/printer.h"
#include "cli/signals.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

// ---- Machine and data ----

struct shk_runtime *run_make_runtime(const struct run_settings *s, size_t tasks) {
    struct shk_error error = {0};
    const struct shk_runtime_options options = {
        .isa = s->isa, .threads = s->values.threads, .pin = *s->values.pin ? s->values.pin : NULL, .tasks = tasks};
    struct shk_runtime *runtime = shk_runtime_create(&options, &error);
    if (!runtime) cli_die_error(&error);
    return runtime;
}

struct run run_create(const struct run_settings *settings, struct initial initial) {
    struct run run = {.settings = *settings, .initial = initial};
    run.runtime = run_make_runtime(settings, shk_train_shards(&settings->values.train));
    run.data = data_open(settings, run.runtime, &run.bad);
    const struct shk_dataset *val = shk_data_part(run.data, SHK_PART_VAL),
                             *test = shk_data_part(run.data, SHK_PART_TEST);
    run.train = shk_data_part(run.data, SHK_PART_TRAIN);
    run.choice = val ? val : test;
    run.test = val ? test : NULL;
    if (shk_settings_draw(&settings->values)) run.settings.values.data.size = shk_dataset_shape(run.train).height;
    return run;
}

void run_free(struct run *run) {
    initial_free(&run->initial);
    shk_data_free(run->data);
    shk_names_free(&run->bad);
    shk_runtime_free(run->runtime);
}

static void print_warnings(struct run *run) {
    for (; run->warned < shk_runtime_warnings(run->runtime); run->warned++)
        cli_warn("%s", shk_runtime_warning(run->runtime, run->warned));
}

static bool is_quiet(const struct run *run) { return run->settings.values.quiet; }

bool run_print_device(struct run *run) {
    const unsigned threads = shk_runtime_threads(run->runtime);
    print_warnings(run);
    return is_quiet(run) || cli_print("device: CPU, %s, %u thread%s\n%s\n", shk_runtime_isa(run->runtime), threads,
                                      threads == 1 ? "" : "s", shk_runtime_describe(run->runtime));
}

void run_check(struct run *run) {
    shk_runtime_check(run->runtime);
    print_warnings(run);
}

static size_t count(const struct run *run, enum shk_part part) {
    const struct shk_dataset *d = shk_data_part(run->data, part);
    return d ? shk_dataset_size(d) : 0;
}

bool run_print_data(const struct run *run) {
    const struct shk_run_settings *s = &run->settings.values;
    const struct shk_shape shape = shk_dataset_shape(run->train);
    const size_t val = count(run, SHK_PART_VAL), test = count(run, SHK_PART_TEST);
    char parts[64] = "", place[64] = "";
    if (is_quiet(run)) return true;
    if (val) snprintf(parts, sizeof parts, test ? ", %zu val" : " and %zu val", val);
    if (test) snprintf(place, sizeof place, " and %zu test", test);
    cli_print("dataset: %s, %zu training%s%s images of %zux%zu pixels%s, %zu classes, seed %" PRIu64 "\n",
              shk_data_source(run->data), shk_dataset_size(run->train), parts, place, shape.height, shape.width,
              shape.channels == 1   ? ""
              : shape.channels == 3 ? ", RGB"
                                    : ", several channels",
              shape.classes, s->train.seed);
    if (shk_settings_draw(s)) return true;
    return cli_print("choices are made on: %s%s\n", val ? "val" : "test, since there is no val",
                     val && test ? "; test is looked at once, at the end" : "");
}

void run_check_output(const struct run_settings *s) {
    if (s->values.quiet && run_was_given(s, "progress"))
        cli_die(CLI_USAGE, "--quiet and --progress cannot be given together: --quiet shows no progress");
    if (strcmp(s->values.progress, "bar") == 0 && !printer_has_terminal())
        cli_die(CLI_USAGE, "--progress bar needs a terminal, and standard output is none: use --progress line");
}

// ---- One model ----

struct job job_create(struct run *run, const char *description) {
    const struct shk_train_options options = run->settings.values.train;
    const struct shk_shape shape = shk_dataset_shape(run->train);
    struct shk_error error = {0};
    struct job c = {.model = shk_model_create(description, &shape, options.seed, &error)};
    if (!c.model) cli_die_error(&error);
    initial_apply(&run->initial, c.model);
    c.trainer = shk_trainer_create(c.model, run->runtime, &options, &error);
    if (!c.trainer) cli_die_error(&error);
    const char *title = shk_model_title(c.model);
    const size_t most = sizeof c.title - 1;
    snprintf(c.title, sizeof c.title, strlen(title) > most ? "%.*s..." : "%.*s",
             (int)(strlen(title) > most ? most - 3 : most), title);
    return c;
}

void job_free(struct job *c) {
    shk_trainer_free(c->trainer);
    shk_model_free(c->model);
}

void print_place(struct shk_position at, char text[64]) {
    if (at.step)
        snprintf(text, 64, "epoch %zu, step %zu", at.epoch + 1, at.step);
    else
        snprintf(text, 64, "epoch %zu", at.epoch);
}

// All settings of the training that have a value; shards as the trainer has them.
static void print_settings(const struct job *c, const struct run *run) {
    struct shk_run_settings settings = run->settings.values;
    const char *comma = "";
    settings.train.shards = shk_trainer_shards(c->trainer);
    cli_print("settings: ");
    for (const struct shk_setting *s = shk_settings; s->name; s++) {
        char option[SHK_SETTING_NAME], value[SHK_SETTING_TEXT];
        const bool unset = s->type == SHK_FREE ? !*shk_setting_text(s, &settings)
                                               : s->unset && s->type == SHK_REAL && shk_setting_real(s, &settings) == 0;
        if (s->section != SHK_SECTION_TRAINING || unset) continue;
        shk_setting_option(s, option);
        shk_setting_print(s, &settings, value);
        cli_print("%s%s %s", comma, option, value);
        comma = ", ";
    }
    cli_print("\n");
}

void job_print_beginning(const struct job *c, const struct run *run) {
    if (is_quiet(run)) return;
    cli_print("model: %s (%s), %zu parameters\n", shk_model_title(c->model), shk_model_description(c->model),
              shk_model_parameters(c->model));
    initial_print(&run->initial, &run->settings, c->model);
    print_settings(c, run);
}

// ---- The training of one model ----

size_t run_steps_of_epoch(const struct run *run) {
    const size_t batch = run->settings.values.train.batch;
    return (shk_dataset_size(run->train) + batch - 1) / batch;
}

void job_work(struct job *c, const struct run *run) {
    const struct shk_position at = shk_trainer_position(c->trainer);
    struct progress *p = &c->progress;
    p->title = c->title;
    p->part = "epoch";
    p->unit = "step";
    p->parts = run->settings.values.epochs;
    p->units = run_steps_of_epoch(run);
    p->samples = (double)shk_dataset_size(run->train) / (double)p->units;
    p->done = at.epoch * p->units + at.step;
    p->loss = (double)NAN;
    progress_begin(p, &run->settings.values);
}

void job_rest(void) { progress_end(); }

void job_end_step(struct job *c, const struct shk_step *step) {
    if (step->step == 1) c->epoch_steps = 0;
    c->epoch_loss = c->epoch_steps ? c->epoch_loss + step->loss : step->loss;
    c->epoch_steps++;
    atomic_store_explicit(&c->progress.loss, c->epoch_loss / (double)c->epoch_steps, memory_order_relaxed);
    atomic_store_explicit(&c->progress.done, (step->epoch - 1) * c->progress.units + step->step, memory_order_relaxed);
}

// Once: where the loss is more than twice that of guessing, the weights know less than nothing.
static void warn_of_divergence(struct job *c, const struct run *run, const struct shk_epoch *epoch) {
    const double guessing = log((double)shk_dataset_shape(run->train).classes);
    if (c->warned || !(epoch->train_loss > 2 * guessing)) return;
    c->warned = true;
    cli_warn(
        "[%s] the loss of epoch %zu is %.4g, that of guessing is %.4f: the training diverges; use a lower --lr than "
        "%g, or --clip-norm 1",
        c->title, epoch->epoch, epoch->train_loss, guessing, run->settings.values.train.lr);
}

bool job_end_epoch(struct job *c, const struct run *run, const struct shk_epoch *epoch) {
    c->last = *epoch;
    c->seconds += epoch->train_seconds;
    c->epochs++;
    warn_of_divergence(c, run, epoch);
    return is_quiet(run) ||
           cli_print("[%s] epoch %zu/%zu - loss: %.4f, acc: %.3f, %s loss: %.4f, %.2f s, %.0f samples/s\n", c->title,
                     epoch->epoch, run->settings.values.epochs, epoch->train_loss, epoch->test.accuracy,
                     run_choice(run), epoch->test.loss, epoch->train_seconds, epoch->samples_per_second);
}

const char *run_choice(const struct run *run) {
    return run->choice == shk_data_part(run->data, SHK_PART_VAL) ? "val" : "test";
}

void job_print_test(const struct job *c, const struct run *run, const struct shk_model *best, size_t epoch) {
    struct shk_error error = {0};
    struct shk_metrics m;
    if (!shk_evaluate(best, run->runtime, run->test, &m, &error)) cli_die_error(&error);
    cli_print("[%s] test loss: %.4f, acc: %.3f, with the weights of epoch %zu\n", c->title, m.loss, m.accuracy, epoch);
}

struct callback {
    struct job *job;
    const struct run *run;
};

// Where no run is kept, a request for a checkpoint can only be answered.
static bool on_step(const struct shk_step *step, void *user) {
    const struct callback *p = user;
    job_end_step(p->job, step);
    if (signals_asked()) {
        cli_warn("%s, but there is no run's folder for a checkpoint", signals_name(signals_asked()));
        signals_answered();
    }
    return !signals_caught();
}

static bool on_epoch(const struct shk_epoch *epoch, void *user) {
    const struct callback *p = user;
    return job_end_epoch(p->job, p->run, epoch) && !signals_caught();
}

bool job_train(struct job *c, const struct run *run) {
    struct callback user = {c, run};
    const struct shk_callbacks callbacks = {.on_step = on_step, .on_epoch = on_epoch, .user = &user};
    struct shk_error error = {0};
    job_print_beginning(c, run);
    job_work(c, run);
    if (!shk_train(c->trainer, run->train, run->choice, run->settings.values.epochs, &callbacks, &error))
        cli_die_error(&error);
    job_rest();
    if (shk_trainer_position(c->trainer).epoch != run->settings.values.epochs || !job_print_done(c, run)) return false;
    if (run->test) job_print_test(c, run, c->model, run->settings.values.epochs);
    return true;
}

bool job_print_done(struct job *c, const struct run *run) {
    cli_print("[%s] done - %zu parameters, ", c->title, shk_model_parameters(c->model));
    if (c->epochs) {
        c->samples_per_second = (double)shk_dataset_size(run->train) * (double)c->epochs / c->seconds;
        cli_print("%.2f s, %.0f samples/s, ", c->seconds, c->samples_per_second);
    }
    return cli_print("weights %016" PRIx64 "\n", shk_model_hash(c->model));
}

int job_print_interrupt(const struct job *c, const char *more) {
    char place[64];
    print_place(shk_trainer_position(c->trainer), place);
    cli_note("%s after %s%s", signals_name(signals_caught()), place, more);
    return 128 + signals_caught();
}
