// SPDX-License-Identifier: MIT
#include "cli/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct run_settings run_defaults = {.config = CONFIG_DEFAULTS};

// ---- Options ----

// Keys beyond the characters: these options have no short form. KEY_SETTING + i is setting i.
enum { KEY_THREADS = 256, KEY_PIN, KEY_SETTING = 512 };
enum { MACHINE_GROUP = SETTING_GROUPS + 1 };

size_t run_options(enum setting_group group, struct argp_option *out) {
    size_t n = 0;
    for (int i = 0; i < CONFIG_SETTINGS; i++) {
        const struct setting *s = &config_settings[i];
        if (s->group == group)
            out[n++] = (struct argp_option){s->name, KEY_SETTING + i, s->text, 0, s->doc, (int)group + 1};
    }
    return n;
}

bool run_parse_setting(int key, const char *arg, struct run_settings *s) {
    if (key < KEY_SETTING || key >= KEY_SETTING + CONFIG_SETTINGS) return false;
    struct shk_error error = {0};
    if (!config_parse(&s->config, &config_settings[key - KEY_SETTING], arg, &error)) cli_die_error(&error);
    s->given |= UINT32_C(1) << (key - KEY_SETTING);
    return true;
}

bool run_was_given(const struct run_settings *s, const char *setting) {
    for (int i = 0; i < CONFIG_SETTINGS; i++)
        if (strcmp(config_settings[i].name, setting) == 0) return s->given >> i & 1;
    return false;
}

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct run_settings *s = state->input;
    switch (key) {
    case KEY_THREADS:
        s->threads = (unsigned)cli_whole("threads", arg, 1, SHK_MAX_THREADS);
        return 0;
    case KEY_PIN:
        s->pin = arg;
        return 0;
    default:
        return run_parse_setting(key, arg, s) ? 0 : ARGP_ERR_UNKNOWN;
    }
}

static size_t machine_options(struct argp_option *out) {
    out[0] = (struct argp_option){.doc = "Threads:", .group = MACHINE_GROUP};
    out[1] = (struct argp_option){
        "threads",    KEY_THREADS, "N", 0, "Threads (SHIKAKU_THREADS, OMP_NUM_THREADS, else by cores and quota)",
        MACHINE_GROUP};
    out[2] =
        (struct argp_option){"pin",
                             KEY_PIN,
                             "HOW",
                             0,
                             "Where: auto, cores, compact, scatter, none, or CPUs as in 0-3,8 (SHIKAKU_PIN, else auto)",
                             MACHINE_GROUP};
    return 3;
}

static size_t data_options(struct argp_option *out) {
    out[0] = (struct argp_option){.doc = "Data, images of squares:", .group = SETTING_DATA + 1};
    return 1 + run_options(SETTING_DATA, out + 1);
}

const struct argp *run_argp(void) {
    static struct argp_option options[CONFIG_SETTINGS + 6];
    static const struct argp argp = {.options = options, .parser = parse_option};
    size_t n = 0;
    options[n++] = (struct argp_option){.doc = "Training:", .group = SETTING_TRAINING + 1};
    n += run_options(SETTING_TRAINING, options + n);
    n += data_options(options + n);
    machine_options(options + n);
    return &argp;
}

const struct argp *run_data_argp(void) {
    static struct argp_option options[CONFIG_SETTINGS + 5];
    static const struct argp argp = {.options = options, .parser = parse_option};
    machine_options(options + data_options(options));
    return &argp;
}

// ---- Machine and data ----

struct shk_dataset *run_make_squares(const struct config *c, size_t n, uint32_t stream) {
    const struct shk_squares_options options = {
        .n = n,
        .size = c->size,
        .square = c->square,
        .invert = c->invert,
        .seed = c->seed,
        .stream = stream,
    };
    struct shk_error error = {0};
    struct shk_dataset *data = shk_dataset_squares(&options, &error);
    if (!data) cli_die_error(&error);
    return data;
}

struct shk_train_options run_train_options(const struct config *c) {
    return (struct shk_train_options){
        .batch = c->batch, .shards = c->shards, .lr = c->lr, .seed = c->seed, .clip_norm = c->clip_norm};
}

struct run run_create(const struct run_settings *settings) {
    struct run run = {.settings = *settings};
    struct shk_error error = {0};
    const struct shk_train_options train = run_train_options(&settings->config);
    const struct shk_runtime_options options = {
        .isa = settings->isa, .threads = settings->threads, .pin = settings->pin, .tasks = shk_train_shards(&train)};
    run.runtime = shk_runtime_create(&options, &error);
    if (!run.runtime) cli_die_error(&error);
    run.train = run_make_squares(&settings->config, settings->config.train_samples, 0);
    run.test = run_make_squares(&settings->config, settings->config.test_samples, 1);
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
    const struct config *c = &run->settings.config;
    return cli_print("dataset: squares, %" PRIu64 " training and %" PRIu64 " test images of %" PRIu64 "x%" PRIu64
                     " pixels, 9 classes, seed %" PRIu64 "\n",
                     c->train_samples, c->test_samples, c->size, c->size, c->seed);
}

// ---- One model ----

struct contender contender_create(const struct run *run, const char *description) {
    const struct shk_train_options options = run_train_options(&run->settings.config);
    const struct shk_shape shape = shk_dataset_shape(run->train);
    struct shk_error error = {0};
    struct contender c = {.model = shk_model_create(description, &shape, options.seed, &error)};
    if (!c.model) cli_die_error(&error);
    c.trainer = shk_trainer_create(c.model, run->runtime, &options, &error);
    if (!c.trainer) cli_die_error(&error);
    return c;
}

void contender_free(struct contender *c) {
    shk_trainer_free(c->trainer);
    shk_model_free(c->model);
}

bool contender_end_epoch(struct contender *c, const struct run *run, const struct shk_epoch *epoch) {
    c->last = *epoch;
    c->seconds += epoch->train_seconds;
    c->epochs++;
    return cli_print("[%s] epoch %zu/%" PRIu64 " - loss: %.4f, acc: %.3f\n", shk_model_title(c->model), epoch->epoch,
                     run->settings.config.epochs, epoch->train_loss, epoch->test.accuracy);
}

struct progress {
    struct contender *contender;
    const struct run *run;
};

static bool on_epoch(const struct shk_epoch *epoch, void *user) {
    const struct progress *p = user;
    return contender_end_epoch(p->contender, p->run, epoch);
}

bool contender_train(struct contender *c, const struct run *run) {
    struct progress progress = {c, run};
    const struct shk_callbacks callbacks = {.on_epoch = on_epoch, .user = &progress};
    struct shk_error error = {0};
    if (!shk_train(c->trainer, run->train, run->test, run->settings.config.epochs, &callbacks, &error)) {
        cli_die_error(&error);
    }
    return contender_print_done(c, run);
}

bool contender_print_done(struct contender *c, const struct run *run) {
    cli_print("[%s] done - %zu parameters, ", shk_model_title(c->model), shk_model_parameters(c->model));
    if (c->epochs) {
        c->samples_per_second = (double)run->settings.config.train_samples * (double)c->epochs / c->seconds;
        cli_print("%.2f s, %.0f samples/s, ", c->seconds, c->samples_per_second);
    }
    return cli_print("weights %016" PRIx64 "\n", shk_model_hash(c->model));
}
