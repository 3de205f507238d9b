// SPDX-License-Identifier: MIT
#include "cli/run.h"

#include <inttypes.h>
#include <stdio.h>

const struct run_settings run_defaults = {
    .epochs = 5,
    .batch = 64,
    .train_samples = 5000,
    .test_samples = 1000,
    .size = 32,
    .square = 6,
    .lr = 1e-3,
    .invert = 0.5,
};

// Keys beyond the characters: these options have no short form.
enum { KEY_EPOCHS = 256, KEY_BATCH, KEY_LR, KEY_SEED, KEY_SHARDS, KEY_THREADS, KEY_PIN };
enum { KEY_TRAIN = 512, KEY_TEST, KEY_SIZE, KEY_SQUARE, KEY_INVERT };

static const struct argp_option run_options[] = {
    {0, 0, 0, 0, "Training:", 1},
    {"epochs", KEY_EPOCHS, "N", 0, "Epochs (5)", 1},
    {"batch", KEY_BATCH, "N", 0, "Samples per step (64)", 1},
    {"lr", KEY_LR, "X", 0, "Learning rate of Adam (1e-3)", 1},
    {"seed", KEY_SEED, "N", 0, "Seed of data, weights, shuffling and dropout (0)", 1},
    {"shards", KEY_SHARDS, "N", 0, "Parts of a batch; they fix the order of sums (by batch: 24 for 64)", 1},
    {"threads", KEY_THREADS, "N", 0, "Threads (SHIKAKU_THREADS, OMP_NUM_THREADS, else by cores and quota)", 1},
    {"pin", KEY_PIN, "HOW", 0,
     "Where: auto, cores, compact, scatter, none, or CPUs as in 0-3,8 (SHIKAKU_PIN, else auto)", 1},
    {0, 0, 0, 0, "Data, images of squares:", 2},
    {"train-samples", KEY_TRAIN, "N", 0, "Training samples (5000)", 2},
    {"test-samples", KEY_TEST, "N", 0, "Test samples (1000)", 2},
    {"size", KEY_SIZE, "N", 0, "Height and width of an image, 8 to 256 pixels (32)", 2},
    {"square", KEY_SQUARE, "N", 0, "Side of the square, at most a third of the image (6)", 2},
    {"invert", KEY_INVERT, "P", 0, "Probability that an image is inverted (0.5)", 2},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct run_settings *s = state->input;
    switch (key) {
    case KEY_EPOCHS:
        s->epochs = cli_whole("epochs", arg, 1, 1000000);
        return 0;
    case KEY_BATCH:
        s->batch = cli_whole("batch", arg, 1, SHK_MAX_BATCH);
        return 0;
    case KEY_LR:
        s->lr = cli_real("lr", arg, 0, false, 1000);
        return 0;
    case KEY_SEED:
        s->seed = cli_whole("seed", arg, 0, UINT64_MAX);
        return 0;
    case KEY_SHARDS:
        s->shards = cli_whole("shards", arg, 1, SHK_MAX_SHARDS);
        return 0;
    case KEY_THREADS:
        s->threads = (unsigned)cli_whole("threads", arg, 1, SHK_MAX_THREADS);
        return 0;
    case KEY_PIN:
        s->pin = arg;
        return 0;
    case KEY_TRAIN:
        s->train_samples = cli_whole("train-samples", arg, 1, 10000000);
        return 0;
    case KEY_TEST:
        s->test_samples = cli_whole("test-samples", arg, 1, 10000000);
        return 0;
    case KEY_SIZE:
        s->size = cli_whole("size", arg, 8, 256);
        return 0;
    case KEY_SQUARE:
        s->square = cli_whole("square", arg, 1, 85);
        return 0;
    case KEY_INVERT:
        s->invert = cli_real("invert", arg, 0, true, 1);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp run_argp = {.options = run_options, .parser = parse_option};

static struct shk_dataset *make_squares(const struct run_settings *s, size_t n, uint32_t stream) {
    const struct shk_squares_options options = {
        .n = n,
        .size = s->size,
        .square = s->square,
        .invert = s->invert,
        .seed = s->seed,
        .stream = stream,
    };
    struct shk_error error = {0};
    struct shk_dataset *data = shk_dataset_squares(&options, &error);
    if (!data) cli_die_error(&error);
    return data;
}

struct run run_create(const struct run_settings *settings) {
    struct run run = {.settings = *settings};
    struct shk_error error = {0};
    const struct shk_train_options train = {.batch = settings->batch, .shards = settings->shards};
    const struct shk_runtime_options options = {
        .isa = settings->isa, .threads = settings->threads, .pin = settings->pin, .tasks = shk_train_shards(&train)};
    run.runtime = shk_runtime_create(&options, &error);
    if (!run.runtime) cli_die_error(&error);
    run.train = make_squares(settings, settings->train_samples, 0);
    run.test = make_squares(settings, settings->test_samples, 1);
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
    const struct run_settings *s = &run->settings;
    return cli_print("dataset: squares, %zu training and %zu test images of %zux%zu pixels, 9 classes, seed %" PRIu64
                     "\n",
                     s->train_samples, s->test_samples, s->size, s->size, s->seed);
}

struct contender contender_create(const struct run *run, const char *description) {
    const struct run_settings *s = &run->settings;
    const struct shk_shape shape = shk_dataset_shape(run->train);
    const struct shk_train_options options = {.batch = s->batch, .shards = s->shards, .lr = s->lr, .seed = s->seed};
    struct shk_error error = {0};
    struct contender c = {.model = shk_model_create(description, &shape, s->seed, &error)};
    if (!c.model) cli_die_error(&error);
    c.trainer = shk_trainer_create(c.model, run->runtime, &options, &error);
    if (!c.trainer) cli_die_error(&error);
    return c;
}

void contender_free(struct contender *c) {
    shk_trainer_free(c->trainer);
    shk_model_free(c->model);
}

struct progress {
    struct contender *contender;
    size_t epochs;
};

static bool on_epoch(const struct shk_epoch *epoch, void *user) {
    const struct progress *p = user;
    p->contender->last = *epoch;
    p->contender->seconds += epoch->train_seconds;
    return cli_print("[%s] epoch %zu/%zu - loss: %.4f, acc: %.3f\n", shk_model_title(p->contender->model), epoch->epoch,
                     p->epochs, epoch->train_loss, epoch->test.accuracy);
}

bool contender_train(struct contender *c, const struct run *run) {
    struct progress progress = {c, run->settings.epochs};
    struct shk_error error = {0};
    const struct shk_callbacks callbacks = {.on_epoch = on_epoch, .user = &progress};
    if (!shk_train(c->trainer, run->train, run->test, progress.epochs, &callbacks, &error)) {
        cli_die_error(&error);
    }
    c->samples_per_second = (double)run->settings.train_samples * (double)c->last.epoch / c->seconds;
    return cli_print("[%s] done - %zu parameters, %.2f s, %.0f samples/s, weights %016" PRIx64 "\n",
                     shk_model_title(c->model), shk_model_parameters(c->model), c->seconds, c->samples_per_second,
                     shk_model_hash(c->model));
}
