// SPDX-License-Identifier: MIT
// Trains with a run's folder: finds out what it holds, writes checkpoints and lines, and says how it ended.
#include "cli/kept_run.h"

#include "base/json.h"
#include "cli/printer.h"
#include "cli/signals.h"
#include "report/config.h"
#include "report/folder.h"
#include "report/log.h"
#include "report/metrics.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// ---- A training whose run is kept ----

struct kept_run {
    const struct kept_run_settings *settings;
    struct folder folder;
    struct run run;
    struct job job;
    struct metrics *metrics;
    struct log *log;
    char *notes;          // the settings, which eval reads from the weights' files
    size_t epochs_before; // of a run that goes on: those in config.json
    struct shk_position saved;
    bool has_saved;         // since the beginning or in the folder
    bool has_news;          // something has happened since the last checkpoint
    bool has_best;          // the best weights are not yet in the folder
    uint64_t steps;         // since the last checkpoint
    double since;           // time of the last checkpoint
    double write_seconds;   // what it took
    double begun;           // time when this process began
    double last_step;       // time when it ended
    double step_seconds;    // of the longest step
    double test_seconds;    // of the last test
    struct shk_error error; // in a callback
};

static const char *folder_of(const struct kept_run *r) { return r->settings->run.values.out; }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// The end of a training that cannot go on; what is in the folder stays.
static _Noreturn void kept_run_die(struct kept_run *r, const struct shk_error *error) {
    char place[64];
    print_place(r->saved, place);
    log_line(r->log, "failed: %s", error->text);
    if (error->code == SHK_BAD_INPUT) cli_die_error(error);
    if (!r->has_saved) cli_die(CLI_FAILED, "%s; there is no checkpoint yet", error->text);
    cli_die(CLI_FAILED, "%s; the last checkpoint is that of %s", error->text, place);
}

// ---- Checkpoints ----

// The most that passes between two checkpoints: writing them is to take no more than one part in a hundred.
static double interval(const struct kept_run *r) {
    if (r->settings->run.values.checkpoint_seconds > 0) return r->settings->run.values.checkpoint_seconds;
    return fmax(10, 100 * r->write_seconds);
}

static bool is_due(const struct kept_run *r) {
    const size_t every = r->settings->run.values.checkpoint_every;
    return (every && r->steps >= every) || signals_asked() || now() - r->since >= interval(r);
}

// Whether another step, or the test, and a checkpoint might end too late. They may take twice as long as the longest so far.
static bool is_out_of_time(const struct kept_run *r, size_t step) {
    const bool test_follows = step == run_steps_of_epoch(&r->run);
    const double most = r->settings->run.values.max_seconds;
    const double next = 2 * ((test_follows ? r->test_seconds : r->step_seconds) + r->write_seconds);
    return most > 0 && now() - r->begun + next >= most;
}

// The best weights and the lines first: a checkpoint promises that they are there.
static bool write_files(struct kept_run *r, struct shk_error *err) {
    const struct shk_trainer *t = r->job.trainer;
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

// What was asked for by a signal is said.
static void answer(const struct kept_run *r, int signal) {
    char place[64];
    print_place(r->saved, place);
    log_line(r->log, "%s: a checkpoint of %s", signals_name(signal), place);
    cli_note("%s: a checkpoint of %s is written", signals_name(signal), place);
}

static void save(struct kept_run *r) {
    struct shk_error error = {0};
    const double start = now();
    const int signal = signals_asked();
    signals_answered();
    if (!write_files(r, &error)) kept_run_die(r, &error);
    r->since = now();
    r->write_seconds = r->since - start;
    r->steps = 0;
    r->saved = shk_trainer_position(r->job.trainer);
    r->has_saved = true;
    r->has_news = false;
    if (signal) answer(r, signal);
}

// ---- The training ----

static bool on_step(const struct shk_step *step, void *user) {
    struct kept_run *r = user;
    const uint64_t count = (step->epoch - 1) * run_steps_of_epoch(&r->run) + step->step;
    const double time = now();
    r->step_seconds = fmax(r->step_seconds, time - r->last_step);
    r->last_step = time;
    job_end_step(&r->job, step);
    r->steps++;
    r->has_news = true;
    if (count % r->run.settings.values.metrics_every == 0 && !metrics_step(r->metrics, step, &r->error)) return false;
    return !signals_caught() && !is_due(r) && !is_out_of_time(r, step->step);
}

static bool on_epoch(const struct shk_epoch *epoch, void *user) {
    struct kept_run *r = user;
    r->test_seconds = now() - r->last_step;
    r->last_step = now();
    job_end_epoch(&r->job, &r->run, epoch); // a lost reader of the lines is no loss
    log_line(r->log, "epoch %zu: loss %.4f, test loss %.4f, accuracy %.3f%s", epoch->epoch, epoch->train_loss,
             epoch->test.loss, epoch->test.accuracy, epoch->best ? ", the best so far" : "");
    r->has_news = true;
    if (epoch->best) r->has_best = true;
    return metrics_epoch(r->metrics, epoch, &r->error) && !signals_caught() && !is_due(r) && !is_out_of_time(r, false);
}

static bool is_complete(const struct kept_run *r) {
    return shk_trainer_position(r->job.trainer).epoch >= r->run.settings.values.epochs;
}

static void train(struct kept_run *r) {
    const struct shk_callbacks callbacks = {.on_step = on_step, .on_epoch = on_epoch, .user = r};
    struct shk_error error = {0};
    r->since = now();
    job_work(&r->job, &r->run);
    while (!is_complete(r) && !signals_caught() && !is_out_of_time(r, shk_trainer_position(r->job.trainer).step)) {
        r->last_step = now();
        if (!shk_train(r->job.trainer, r->run.train, r->run.test, r->run.settings.values.epochs, &callbacks, &error))
            kept_run_die(r, &error);
        if (r->error.code != SHK_OK) kept_run_die(r, &r->error);
        if (is_due(r)) save(r);
    }
    if (r->has_news || !r->has_saved) save(r);
    job_rest();
}

// ---- Beginning ----

// What is kept is the folder's; what was typed must agree with it, or may change.
static void take_over(struct kept_run *r, const struct shk_run_settings *found) {
    const struct run_settings *typed = &r->settings->run;
    struct shk_error error = {0};
    for (size_t i = 0; i < shk_setting_count; i++) {
        const struct shk_setting *s = &shk_settings[i];
        const bool given = typed->given >> i & 1;
        if (given && !shk_setting_may_become(s, found, &typed->values, folder_of(r), &error)) cli_die_error(&error);
        if (!given && shk_setting_kept(s)) shk_setting_copy(s, &r->run.settings.values, found);
    }
    r->epochs_before = found->epochs;
}

static void open_folder(struct kept_run *r, bool make) {
    struct shk_error error = {0};
    if (!folder_open(&r->folder, folder_of(r), make, &error)) cli_die_error(&error);
}

// Finds out what the folder holds, where there is one; true if a run goes on.
static bool find_run(struct kept_run *r) {
    const struct kept_run_settings *s = r->settings;
    struct shk_error error = {0};
    struct shk_run_settings found;
    r->run.settings = s->run;
    if (!s->must_exist && !folder_exists(s->run.values.out)) return false;
    open_folder(r, false);
    if (s->must_exist && !r->folder.holds_run)
        cli_die(CLI_USAGE, "%s holds no run: there is no config.json", s->run.values.out);
    if (!r->folder.holds_run || !s->resume) return false;
    if (!config_read(r->folder.path[FOLDER_CONFIG], &found, &error)) cli_die_error(&error);
    take_over(r, &found);
    return true;
}

// Makes the folder where it is not there yet; nothing in it is overwritten unasked.
static void check_folder(struct kept_run *r) {
    const struct kept_run_settings *s = r->settings;
    if (!r->folder.path[FOLDER_CONFIG]) open_folder(r, true);
    if (r->folder.holds_run && !s->force)
        cli_die(CLI_USAGE, "%s holds a run: go on with: shikaku resume %s, or give --force to replace it",
                s->run.values.out, cli_quoted(s->run.values.out).text);
    if (r->folder.holds_others && !s->force)
        cli_die(CLI_USAGE, "%s holds other files: name a new folder, or give --force to put the run beside them",
                s->run.values.out);
}

// Twice the files, once in place and once on their way; those that are there already count.
static void check_room(const struct kept_run *r, bool goes_on) {
    const double numbers = (double)shk_model_parameters(r->job.model);
    const double losses = (double)shk_dataset_size(r->run.train);
    const double files = 4 * (4 * numbers + losses) + 65536;
    struct shk_error error = {0};
    if (!folder_has_room(&r->folder, (goes_on ? 1 : 2) * files + 1e6, &error)) cli_die_error(&error);
}

static void begin_anew(struct kept_run *r) {
    struct shk_error error = {0};
    if (!folder_tidy(&r->folder, &error) || !folder_clear(&r->folder, &error) ||
        !config_write(r->folder.path[FOLDER_CONFIG], &r->run.settings.values, r->job.model, r->run.runtime, &error))
        cli_die_error(&error);
}

// Whether config.json still has what the checkpoint was made with.
static void check_settings(const struct kept_run *r) {
    const char *path = r->folder.path[FOLDER_CHECKPOINT];
    struct shk_run_settings saved;
    struct shk_error error = {0};
    char *text = shk_file_note(path, "settings", &error);
    if (error.code != SHK_OK) cli_die_error(&error);
    if (!config_from_note(text ? text : "", path, &saved, &error)) cli_die_error(&error);
    for (const struct shk_setting *s = shk_settings; s->name; s++)
        if (!shk_setting_may_become(s, &saved, &r->run.settings.values, path, &error)) cli_die_error(&error);
    free(text);
}

static void go_on(struct kept_run *r) {
    struct shk_error error = {0};
    r->has_saved = folder_has(&r->folder, FOLDER_CHECKPOINT);
    if (r->has_saved) check_settings(r);
    if ((r->has_saved && !shk_trainer_load(r->job.trainer, r->folder.path[FOLDER_CHECKPOINT], &error)) ||
        !folder_tidy(&r->folder, &error) ||
        (r->run.settings.values.epochs != r->epochs_before &&
         !config_raise_epochs(r->folder.path[FOLDER_CONFIG], r->run.settings.values.epochs, &error)))
        cli_die_error(&error);
    r->saved = shk_trainer_position(r->job.trainer);
}

static void open_lines(struct kept_run *r) {
    struct shk_error error = {0};
    r->metrics = metrics_open(r->folder.path[FOLDER_METRICS], r->saved, &error);
    if (!r->metrics) cli_die_error(&error);
    r->log = log_open(r->folder.path[FOLDER_LOG]);
    if (!log_line(r->log, "shikaku %s, %s, %s; %s", shk_version(), shk_model_description(r->job.model),
                  shk_runtime_isa(r->run.runtime), shk_runtime_describe(r->run.runtime)))
        cli_warn("%s cannot be written", r->folder.path[FOLDER_LOG]);
    r->notes = config_to_note(&r->run.settings.values);
    if (!r->notes) cli_die(CLI_FAILED, "out of memory");
}

static struct kept_run begin(const struct kept_run_settings *settings) {
    struct kept_run r = {.settings = settings, .begun = now()};
    const bool goes_on = find_run(&r);
    struct run_settings s = r.run.settings;
    if (!goes_on) run_need_model("train", &s);
    r.run = run_create(&s);
    r.job = job_create(&r.run, s.values.model);
    r.run.settings.values.train.shards = shk_trainer_shards(r.job.trainer);
    if (!goes_on) check_folder(&r);
    check_room(&r, goes_on);
    if (goes_on)
        go_on(&r);
    else
        begin_anew(&r);
    open_lines(&r);
    return r;
}

static void print_beginning(struct kept_run *r) {
    char place[64];
    run_print_device(&r->run);
    run_print_data(&r->run);
    job_print_beginning(&r->job, &r->run);
    if (!r->run.settings.values.quiet) cli_print("folder: %s\n", cli_shown(folder_of(r)).text);
    if (!r->epochs_before) return; // a new run
    if (r->has_saved)
        print_place(r->saved, place);
    else
        snprintf(place, sizeof place, "the beginning, there is no checkpoint");
    if (!r->run.settings.values.quiet) cli_print("resumed from %s\n", place);
    log_line(r->log, "resumed from %s", place);
    if (is_complete(r) && !r->run.settings.values.quiet)
        cli_print("the run is complete; for more: shikaku resume %s --epochs %zu\n", cli_quoted(folder_of(r)).text,
                  r->run.settings.values.epochs + 5);
}

// ---- The end ----

static void print_end(struct kept_run *r) {
    const struct shk_best best = shk_trainer_best(r->job.trainer);
    job_print_done(&r->job, &r->run);
    if (best.epoch)
        cli_print("[%s] best: epoch %zu - test loss: %.4f, acc: %.3f, in %s\n", r->job.title, best.epoch,
                  best.test.loss, best.test.accuracy, cli_shown(r->folder.path[FOLDER_BEST]).text);
    log_line(r->log, "done, weights %016" PRIx64, shk_model_hash(r->job.model));
}

static void print_interrupt(struct kept_run *r, const char *why) {
    char place[64];
    print_place(r->saved, place);
    log_line(r->log, "%s after %s", why, place);
    cli_note("%s after %s, go on with: shikaku resume %s", why, place, cli_quoted(folder_of(r)).text);
}

static int end(struct kept_run *r) {
    const int signal = is_complete(r) ? 0 : signals_caught();
    if (is_complete(r))
        print_end(r);
    else
        print_interrupt(r, signal ? signals_name(signal) : "--max-seconds");
    return is_complete(r) ? CLI_DONE : signal ? 128 + signal : CLI_AGAIN;
}

int kept_run_train(const struct kept_run_settings *settings) {
    signals_catch_requests();
    struct kept_run r = begin(settings);
    signals_catch();
    print_beginning(&r);
    train(&r);
    const int code = end(&r);
    run_check_quota(&r.run);
    metrics_close(r.metrics);
    log_close(r.log);
    free(r.notes);
    job_free(&r.job);
    run_free(&r.run);
    folder_close(&r.folder);
    printer_drain(); // a reader that has gone is no failure here
    return code == CLI_DONE && signals_caught() ? 128 + signals_caught() : code;
}
