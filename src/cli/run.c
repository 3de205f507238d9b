// SPDX-License-Identifier: MIT
// Makes machine, data, model and trainer of a run's settings, and prints what a training says.
#include "cli/run.h"

#include "data/source.h"
#include <inttypes.h>
#include <stdio.h>

// ---- Machine and data ----

static struct shk_dataset *open_data(const struct run_settings *s, enum shk_part part) {
    struct shk_error error = {0};
    struct shk_dataset *data = shk_source_open(&s->values, part, &error);
    if (!data) cli_die_error(&error);
    return data;
}

struct shk_runtime *run_make_runtime(const struct run_settings *s, size_t tasks) {
    struct shk_error error = {0};
    const struct shk_runtime_options options = {
        .isa = s->isa, .threads = s->values.threads, .pin = *s->values.pin ? s->values.pin : NULL, .tasks = tasks};
    struct shk_runtime *runtime = shk_runtime_create(&options, &error);
    if (!runtime) cli_die_error(&error);
    return runtime;
}

struct run run_create(const struct run_settings *settings) {
    struct run run = {.settings = *settings};
    run.runtime = run_make_runtime(settings, shk_train_shards(&settings->values.train));
    run.train = open_data(settings, SHK_PART_TRAIN);
    run.test = open_data(settings, SHK_PART_TEST);
    return run;
}

void run_free(struct run *run) {
    shk_dataset_free(run->test);
    shk_dataset_free(run->train);
    shk_runtime_free(run->runtime);
}

static void print_warnings(struct run *run) {
    for (; run->warned < shk_runtime_warnings(run->runtime); run->warned++) {
        fprintf(stderr, "shikaku: warning: %s\n", shk_runtime_warning(run->runtime, run->warned));
    }
}

bool run_print_device(struct run *run) {
    const unsigned threads = shk_runtime_threads(run->runtime);
    print_warnings(run);
    return cli_print("device: CPU, %s, %u thread%s\n%s\n", shk_runtime_isa(run->runtime), threads,
                     threads == 1 ? "" : "s", shk_runtime_describe(run->runtime));
}

void run_check_quota(struct run *run) {
    shk_runtime_check_quota(run->runtime);
    print_warnings(run);
}

bool run_print_data(const struct run *run) {
    const struct shk_run_settings *s = &run->settings.values;
    const struct shk_shape shape = shk_dataset_shape(run->train);
    return cli_print("dataset: %s, %zu training and %zu test images of %zux%zu pixels, %zu classes, seed %" PRIu64 "\n",
                     s->data.source, shk_dataset_size(run->train), shk_dataset_size(run->test), shape.height,
                     shape.width, shape.classes, s->train.seed);
}

// ---- One model ----

struct job job_create(const struct run *run, const char *description) {
    const struct shk_train_options options = run->settings.values.train;
    const struct shk_shape shape = shk_dataset_shape(run->train);
    struct shk_error error = {0};
    struct job c = {.model = shk_model_create(description, &shape, options.seed, &error)};
    if (!c.model) cli_die_error(&error);
    c.trainer = shk_trainer_create(c.model, run->runtime, &options, &error);
    if (!c.trainer) cli_die_error(&error);
    return c;
}

void job_free(struct job *c) {
    shk_trainer_free(c->trainer);
    shk_model_free(c->model);
}

bool job_end_epoch(struct job *c, const struct run *run, const struct shk_epoch *epoch) {
    c->last = *epoch;
    c->seconds += epoch->train_seconds;
    c->epochs++;
    return cli_print("[%s] epoch %zu/%zu - loss: %.4f, acc: %.3f\n", shk_model_title(c->model), epoch->epoch,
                     run->settings.values.epochs, epoch->train_loss, epoch->test.accuracy);
}

struct progress {
    struct job *job;
    const struct run *run;
};

static bool on_epoch(const struct shk_epoch *epoch, void *user) {
    const struct progress *p = user;
    return job_end_epoch(p->job, p->run, epoch);
}

bool job_train(struct job *c, const struct run *run) {
    struct progress progress = {c, run};
    const struct shk_callbacks callbacks = {.on_epoch = on_epoch, .user = &progress};
    struct shk_error error = {0};
    if (!shk_train(c->trainer, run->train, run->test, run->settings.values.epochs, &callbacks, &error)) {
        cli_die_error(&error);
    }
    return job_print_done(c, run);
}

bool job_print_done(struct job *c, const struct run *run) {
    cli_print("[%s] done - %zu parameters, ", shk_model_title(c->model), shk_model_parameters(c->model));
    if (c->epochs) {
        c->samples_per_second = (double)shk_dataset_size(run->train) * (double)c->epochs / c->seconds;
        cli_print("%.2f s, %.0f samples/s, ", c->seconds, c->samples_per_second);
    }
    return cli_print("weights %016" PRIx64 "\n", shk_model_hash(c->model));
}
