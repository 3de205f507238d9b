// SPDX-License-Identifier: MIT
#include "cli/record.h"

#include "base/json.h"
#include "cli/one_model.h"
#include "cli/signals.h"
#include "report/folder.h"
#include "report/log.h"
#include "report/metrics.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// ---- Options ----

enum { KEY_SECONDS = 2048, KEY_EVERY }; // beyond those of run.c and one_model.c

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct record_settings *s = state->input;
    switch (key) {
    case KEY_SECONDS:
        s->seconds = cli_real("checkpoint-seconds", arg, 0, false, 1e9);
        return 0;
    case KEY_EVERY:
        s->every = cli_whole("checkpoint-every", arg, 1, UINT32_MAX);
        return 0;
    default:
        return run_parse_setting(key, arg, &s->run) ? 0 : ARGP_ERR_UNKNOWN;
    }
}

const struct argp *record_argp(void) {
    static struct argp_option options[CONFIG_SETTINGS + 4];
    static const struct argp argp = {.options = options, .parser = parse_option};
    enum { GROUP = SETTING_RUN + 1 };
    size_t n = 0;
    options[n++] = (struct argp_option){.doc = "The run's folder:", .group = GROUP};
    options[n++] = (struct argp_option){"checkpoint-seconds",
                                        KEY_SECONDS,
                                        "X",
                                        0,
                                        "A checkpoint at the latest after so many seconds (10, or 100 times what "
                                        "writing one takes)",
                                        GROUP};
    options[n++] =
        (struct argp_option){"checkpoint-every", KEY_EVERY, "N", 0, "A checkpoint every N steps, too", GROUP};
    run_options(SETTING_RUN, options + n);
    return &argp;
}

// ---- The record of a training ----

struct record {
    const struct record_settings *settings;
    struct folder folder;
    struct run run;
    struct contender contender;
    struct metrics *metrics;
    struct log *log;
    char *notes;            // the settings as JSON, which eval reads from the weights' files
    uint64_t epochs_before; // of a run that goes on: those in config.json
    struct shk_position saved;
    bool has_saved;         // since the beginning or in the folder
    bool has_news;          // something has happened since the last checkpoint
    bool has_best;          // the best weights are not yet in the folder
    uint64_t steps;         // since the last checkpoint
    double since;           // time of the last checkpoint
    double write_seconds;   // what it took
    struct shk_error error; // in a callback
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// "epoch 3", or "epoch 3, step 17" inside the fourth.
static void print_place(struct shk_position at, char text[64]) {
    if (at.step)
        snprintf(text, 64, "epoch %zu, step %zu", at.epoch + 1, at.step);
    else
        snprintf(text, 64, "epoch %zu", at.epoch);
}

// The end of a training that cannot go on; what is in the folder stays.
static _Noreturn void record_die(struct record *r, const struct shk_error *error) {
    char place[64];
    print_place(r->saved, place);
    log_line(r->log, "failed: %s", error->text);
    if (error->code == SHK_BAD_INPUT) cli_die_error(error);
    if (!r->has_saved) cli_die(CLI_FAILED, "%s; there is no checkpoint yet", error->text);
    cli_die(CLI_FAILED, "%s; the last checkpoint is that of %s", error->text, place);
}

// ---- Checkpoints ----

// The most that passes between two checkpoints: writing them is to take no more than one part in a hundred.
static double interval(const struct record *r) {
    if (r->settings->seconds > 0) return r->settings->seconds;
    return fmax(10, 100 * r->write_seconds);
}

static bool is_due(const struct record *r) {
    return (r->settings->every && r->steps >= r->settings->every) || now() - r->since >= interval(r);
}

// The best weights and the lines first: a checkpoint promises that they are there.
static bool write_files(struct record *r, struct shk_error *err) {
    const struct shk_trainer *t = r->contender.trainer;
    const struct shk_position here = shk_trainer_position(t);
    char place[64];
    if (r->has_best) {
        print_place((struct shk_position){shk_trainer_best(t).epoch, 0}, place);
        const struct shk_note notes[] = {{"settings", r->notes}, {"place", place}};
        if (!shk_trainer_save_best(t, r->folder.path[FOLDER_BEST], notes, 2, err)) return false;
        r->has_best = false;
    }
    print_place(here, place);
    const struct shk_note notes[] = {{"settings", r->notes}, {"place", place}};
    return metrics_sync(r->metrics, err) && shk_trainer_save(t, r->folder.path[FOLDER_CHECKPOINT], notes, 2, err);
}

static void save(struct record *r) {
    struct shk_error error = {0};
    const double start = now();
    if (!write_files(r, &error)) record_die(r, &error);
    r->since = now();
    r->write_seconds = r->since - start;
    r->steps = 0;
    r->saved = shk_trainer_position(r->contender.trainer);
    r->has_saved = true;
    r->has_news = false;
}

// ---- The training ----

static size_t steps_of_epoch(const struct record *r) {
    const struct config *c = &r->run.settings.config;
    return (c->train_samples + c->batch - 1) / c->batch;
}

static bool on_step(const struct shk_step *step, void *user) {
    struct record *r = user;
    const uint64_t count = (step->epoch - 1) * steps_of_epoch(r) + step->step;
    r->steps++;
    r->has_news = true;
    if (count % r->run.settings.config.metrics_every == 0 && !metrics_step(r->metrics, step, &r->error)) return false;
    return !signals_caught() && !is_due(r);
}

static bool on_epoch(const struct shk_epoch *epoch, void *user) {
    struct record *r = user;
    contender_end_epoch(&r->contender, &r->run, epoch); // a lost reader of the lines is no loss
    log_line(r->log, "epoch %zu: loss %.4f, test loss %.4f, accuracy %.3f%s", epoch->epoch, epoch->train_loss,
             epoch->test.loss, epoch->test.accuracy, epoch->best ? ", the best so far" : "");
    r->has_news = true;
    if (epoch->best) r->has_best = true;
    return metrics_epoch(r->metrics, epoch, &r->error) && !signals_caught() && !is_due(r);
}

static bool is_complete(const struct record *r) {
    return shk_trainer_position(r->contender.trainer).epoch >= r->run.settings.config.epochs;
}

static void train(struct record *r) {
    const struct shk_callbacks callbacks = {.on_step = on_step, .on_epoch = on_epoch, .user = r};
    struct shk_error error = {0};
    r->since = now();
    while (!is_complete(r) && !signals_caught()) {
        if (!shk_train(r->contender.trainer, r->run.train, r->run.test, r->run.settings.config.epochs, &callbacks,
                       &error))
            record_die(r, &error);
        if (r->error.code != SHK_OK) record_die(r, &r->error);
        if (is_due(r)) save(r);
    }
    if (r->has_news || !r->has_saved) save(r);
}

// ---- Beginning ----

// Everything that the bits depend on is the folder's; what was typed must agree with it.
static void take_over(struct record *r, struct config *found) {
    const struct run_settings *typed = &r->settings->run;
    struct config *mine = &r->run.settings.config;
    if (typed->model_given && strcmp(typed->config.model, found->model) != 0)
        cli_die(CLI_USAGE, "%s: the run has --model %s, a resumed run cannot change it to %s", r->settings->out,
                found->model, typed->config.model);
    for (size_t i = 0; i < CONFIG_SETTINGS; i++) {
        const struct setting *s = &config_settings[i];
        if (!run_was_given(typed, s->name) || config_equal(found, &typed->config, s)) continue;
        char was[32], is[32];
        config_print(found, s, was);
        config_print(&typed->config, s, is);
        if (strcmp(s->name, "epochs") != 0)
            cli_die(CLI_USAGE, "%s: the run has --%s %s, a resumed run cannot change it to %s", r->settings->out,
                    s->name, was, is);
        if (typed->config.epochs < found->epochs)
            cli_die(CLI_USAGE, "%s: the run has --epochs %s, a resumed run can raise it, but not lower it to %s",
                    r->settings->out, was, is);
    }
    *mine = *found;
    r->epochs_before = found->epochs;
    if (run_was_given(typed, "epochs")) mine->epochs = typed->config.epochs;
}

static void open_folder(struct record *r, bool make) {
    struct shk_error error = {0};
    if (!folder_open(&r->folder, r->settings->out, make, &error)) cli_die_error(&error);
}

// Finds out what the folder holds, where there is one; true if a run goes on.
static bool find_run(struct record *r) {
    const struct record_settings *s = r->settings;
    struct shk_error error = {0};
    struct config found;
    r->run.settings = s->run;
    if (!s->must_exist && !folder_exists(s->out)) return false;
    open_folder(r, false);
    if (s->must_exist && !r->folder.holds_run) cli_die(CLI_USAGE, "%s holds no run: there is no config.json", s->out);
    if (!r->folder.holds_run || !s->resume) return false;
    if (!config_read(r->folder.path[FOLDER_CONFIG], &found, &error)) cli_die_error(&error);
    take_over(r, &found);
    return true;
}

// Makes the folder where it is not there yet; nothing in it is overwritten unasked.
static void check_folder(struct record *r) {
    const struct record_settings *s = r->settings;
    if (!r->folder.path[FOLDER_CONFIG]) open_folder(r, true);
    if (r->folder.holds_run && !s->force)
        cli_die(CLI_USAGE, "%s holds a run: go on with 'shikaku resume %s', or give --force to replace it", s->out,
                s->out);
    if (r->folder.holds_others && !s->force)
        cli_die(CLI_USAGE, "%s holds other files: name a new folder, or give --force to put the run beside them",
                s->out);
}

// Twice the files, once in place and once on their way; those that are there already count.
static void check_room(const struct record *r, bool goes_on) {
    const double numbers = (double)shk_model_parameters(r->contender.model);
    const double losses = (double)r->run.settings.config.train_samples;
    const double files = 4 * (4 * numbers + losses) + 65536;
    struct shk_error error = {0};
    if (!folder_has_room(&r->folder, (goes_on ? 1 : 2) * files + 1e6, &error)) cli_die_error(&error);
}

static void begin_anew(struct record *r) {
    struct shk_error error = {0};
    if (!folder_tidy(&r->folder, &error) || !folder_clear(&r->folder, &error) ||
        !config_write(r->folder.path[FOLDER_CONFIG], &r->run.settings.config, r->contender.model, r->run.runtime,
                      &error))
        cli_die_error(&error);
}

static void go_on(struct record *r) {
    struct shk_error error = {0};
    r->has_saved = folder_has(&r->folder, FOLDER_CHECKPOINT);
    if ((r->has_saved && !shk_trainer_load(r->contender.trainer, r->folder.path[FOLDER_CHECKPOINT], &error)) ||
        !folder_tidy(&r->folder, &error) ||
        (r->run.settings.config.epochs != r->epochs_before &&
         !config_raise_epochs(r->folder.path[FOLDER_CONFIG], r->run.settings.config.epochs, &error)))
        cli_die_error(&error);
    r->saved = shk_trainer_position(r->contender.trainer);
}

static void open_lines(struct record *r) {
    struct shk_error error = {0};
    r->metrics = metrics_open(r->folder.path[FOLDER_METRICS], r->saved, &error);
    if (!r->metrics) cli_die_error(&error);
    r->log = log_open(r->folder.path[FOLDER_LOG]);
    if (!log_line(r->log, "shikaku %s, %s, %s; %s", shk_version(), shk_model_description(r->contender.model),
                  shk_runtime_isa(r->run.runtime), shk_runtime_describe(r->run.runtime)))
        fprintf(stderr, "shikaku: warning: %s cannot be written\n", r->folder.path[FOLDER_LOG]);
    json_t *settings = config_to_json(&r->run.settings.config);
    r->notes = shk_json_text(settings, JSON_COMPACT);
    json_decref(settings);
    if (!r->notes) cli_die(CLI_FAILED, "out of memory");
}

static struct record begin(const struct record_settings *settings) {
    struct record r = {.settings = settings};
    const bool goes_on = find_run(&r);
    struct run_settings s = r.run.settings;
    if (!goes_on) one_model_check("train", &s);
    r.run = run_create(&s);
    r.contender = contender_create(&r.run, s.config.model);
    r.run.settings.config.shards = shk_trainer_shards(r.contender.trainer);
    if (!goes_on) check_folder(&r);
    check_room(&r, goes_on);
    if (goes_on)
        go_on(&r);
    else
        begin_anew(&r);
    open_lines(&r);
    return r;
}

static void print_beginning(struct record *r) {
    char place[64];
    run_print_device(&r->run);
    if (!r->epochs_before) return; // a new run
    if (r->has_saved)
        print_place(r->saved, place);
    else
        snprintf(place, sizeof place, "the beginning, there is no checkpoint");
    cli_print("resumed from %s\n", place);
    log_line(r->log, "resumed from %s", place);
}

// ---- The end ----

static void print_end(struct record *r) {
    const struct shk_best best = shk_trainer_best(r->contender.trainer);
    contender_print_done(&r->contender, &r->run);
    if (best.epoch)
        cli_print("[%s] best: epoch %zu - test loss: %.4f, acc: %.3f, in %s\n", shk_model_title(r->contender.model),
                  best.epoch, best.test.loss, best.test.accuracy, r->folder.path[FOLDER_BEST]);
    log_line(r->log, "done, weights %016" PRIx64, shk_model_hash(r->contender.model));
}

static void print_interrupt(struct record *r, int signal) {
    char place[64];
    print_place(r->saved, place);
    log_line(r->log, "%s after %s", signals_name(signal), place);
    fprintf(stderr, "shikaku: %s after %s, go on with 'shikaku resume %s'\n", signals_name(signal), place,
            r->settings->out);
}

int record_train(const struct record_settings *settings) {
    struct record r = begin(settings);
    signals_catch();
    print_beginning(&r);
    train(&r);
    const int signal = is_complete(&r) ? 0 : signals_caught();
    if (signal)
        print_interrupt(&r, signal);
    else
        print_end(&r);
    run_check_quota(&r.run);
    metrics_close(r.metrics);
    log_close(r.log);
    free(r.notes);
    contender_free(&r.contender);
    run_free(&r.run);
    folder_close(&r.folder);
    fclose(stdout); // a reader that has gone is no failure here
    return signal ? 128 + signal : CLI_DONE;
}
