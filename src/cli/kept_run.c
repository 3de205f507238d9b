// SPDX-License-Identifier: MIT
// Trains with a run's folder: finds out what it holds, writes checkpoints and lines, and says how it ended.
#include "cli/kept_run.h"

#include "base/clock.h"
#include "cli/printer.h"
#include "cli/signals.h"
#include "report/config.h"
#include "report/folder.h"
#include "report/log.h"
#include "report/metrics.h"
#include "report/skipped.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- A training whose run is kept ----

// What happened to the folder while the run was at work in it.
enum fate { FOLDER_STANDS, FOLDER_MOVED, FOLDER_REMOVED };

struct kept_run {
    const struct kept_run_settings *settings;
    struct folder folder;
    struct run run;
    struct job job;
    struct metrics *metrics;
    struct log *log;
    char *notes;                   // the settings, which eval reads from the weights' files
    struct shk_run_settings found; // in config.json of a run that goes on; epochs 0: it is a new one
    struct shk_position saved;
    bool has_saved;         // since the beginning or in the folder
    bool has_news;          // something has happened since the last checkpoint
    bool has_stepped;       // this process has trained
    bool has_best;          // the best weights are not yet in the folder
    bool lost_best;         // nor can they be written
    enum fate fate;         // of the folder
    uint64_t steps;         // since the last checkpoint
    double since;           // time of the last checkpoint
    double write_seconds;   // what it took
    double begun;           // time when this process began
    double ready;           // time when it could begin to train
    double last_step;       // time when it ended
    double step_seconds;    // of the longest step
    double test_seconds;    // of the last test
    struct shk_error error; // in a callback
};

static const char *folder_of(const struct kept_run *r) { return r->settings->run.values.out; }

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

// Somebody else may have taken the folder away; another run may be at its path then. Its files are held, so that nothing is
// written into that one in any case.
static bool has_folder(struct kept_run *r) {
    if (r->fate != FOLDER_STANDS) return false;
    if (!metrics_stand(r->metrics))
        r->fate = FOLDER_REMOVED;
    else if (!shk_folder_stands(r->folder.held))
        r->fate = FOLDER_MOVED;
    return r->fate == FOLDER_STANDS;
}

static bool is_removed(struct kept_run *r) { return !has_folder(r) && r->fate == FOLDER_REMOVED; }

// The most that passes between two checkpoints: writing them is to take no more than one part in a hundred.
static double interval(const struct kept_run *r) {
    if (r->settings->run.values.checkpoint_seconds > 0) return r->settings->run.values.checkpoint_seconds;
    return fmax(10, 100 * r->write_seconds);
}

static bool is_due(const struct kept_run *r) {
    const size_t every = r->settings->run.values.checkpoint_every;
    return (every && r->steps >= every) || signals_asked() || shk_seconds() - r->since >= interval(r);
}

// Whether another step, or the test, and a checkpoint might end too late. They may take twice as long as the longest so far.
static bool is_out_of_time(const struct kept_run *r, size_t step) {
    const bool test_follows = step == run_steps_of_epoch(&r->run);
    const double most = r->settings->run.values.max_seconds;
    const double next = 2 * ((test_follows ? r->test_seconds : r->step_seconds) + r->write_seconds);
    return most > 0 && shk_seconds() - r->begun + next >= most;
}

// The best weights and the lines first: a checkpoint promises that they are there.
static bool write_files(struct kept_run *r, struct shk_error *err) {
    const struct shk_trainer *t = r->job.trainer;
    const struct shk_position here = shk_trainer_position(t);
    char place[64];
    if (r->has_best) {
        print_place((struct shk_position){shk_trainer_best(t).epoch, 0}, place);
        const struct shk_note notes[] = {{"settings", r->notes}, {"place", place}};
        if (!shk_trainer_save_best_in(t, r->folder.held, folder_name(FOLDER_BEST), notes, 2, err)) return false;
        r->has_best = false;
    }
    print_place(here, place);
    const struct shk_note notes[] = {{"settings", r->notes}, {"place", place}};
    return metrics_sync(r->metrics, err) &&
           shk_trainer_save_in(t, r->folder.held, folder_name(FOLDER_CHECKPOINT), notes, 2, err);
}

// What was asked for by a signal is said.
static void answer(const struct kept_run *r, int signal) {
    char place[64];
    print_place(r->saved, place);
    log_line(r->log, "%s: a checkpoint of %s", signals_name(signal), place);
    cli_note("%s: a checkpoint of %s is written", signals_name(signal), place);
}

// Not in a folder that was removed, or whose files were, before or meanwhile.
static void save(struct kept_run *r) {
    struct shk_error error = {0};
    const double start = shk_seconds();
    const int signal = signals_asked();
    signals_answered();
    if (is_removed(r)) return;
    if (!write_files(r, &error)) {
        if (is_removed(r)) return;
        kept_run_die(r, &error);
    }
    r->since = shk_seconds();
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
    const double time = shk_seconds();
    r->step_seconds = fmax(r->step_seconds, time - r->last_step);
    r->last_step = time;
    job_end_step(&r->job, step);
    r->steps++;
    r->has_news = r->has_stepped = true;
    if (count % r->run.settings.values.metrics_every == 0 &&
        !(metrics_step(r->metrics, step, &r->error) && has_folder(r)))
        return false;
    return !signals_caught() && !is_due(r) && !is_out_of_time(r, step->step);
}

static bool on_epoch(const struct shk_epoch *epoch, void *user) {
    struct kept_run *r = user;
    r->test_seconds = shk_seconds() - r->last_step;
    r->last_step = shk_seconds();
    job_end_epoch(&r->job, &r->run, epoch); // a lost reader of the lines is no loss
    log_line(r->log, "epoch %zu: loss %.4f, %s loss %.4f, accuracy %.3f%s", epoch->epoch, epoch->train_loss,
             run_choice(&r->run), epoch->test.loss, epoch->test.accuracy, epoch->best ? ", the best so far" : "");
    r->has_news = r->has_stepped = true;
    if (epoch->best) {
        r->has_best = true;
        r->lost_best = false;
    }
    return metrics_epoch(r->metrics, epoch, run_choice(&r->run), &r->error) && has_folder(r) && !signals_caught() &&
           !is_due(r) && !is_out_of_time(r, false);
}

static bool is_complete(const struct kept_run *r) {
    return shk_trainer_position(r->job.trainer).epoch >= r->run.settings.values.epochs;
}

static bool goes_on(struct kept_run *r) {
    return !is_complete(r) && r->fate == FOLDER_STANDS && !signals_caught() &&
           !is_out_of_time(r, shk_trainer_position(r->job.trainer).step);
}

static void train(struct kept_run *r) {
    const struct shk_callbacks callbacks = {.on_step = on_step, .on_epoch = on_epoch, .user = r};
    struct shk_error error = {0};
    r->since = r->ready = shk_seconds();
    job_work(&r->job, &r->run);
    while (goes_on(r)) {
        r->last_step = shk_seconds();
        if (!shk_train(r->job.trainer, r->run.train, r->run.choice, r->run.settings.values.epochs, &callbacks, &error))
            kept_run_die(r, &error);
        if (r->error.code != SHK_OK) kept_run_die(r, &r->error);
        if (is_due(r)) save(r);
    }
    if (r->has_news || !r->has_saved) save(r);
    job_rest();
}

// ---- Beginning ----

// What is kept is the folder's; what was typed must agree with it, or may change.
static void take_over(struct kept_run *r) {
    const struct shk_run_settings *found = &r->found;
    const struct run_settings *typed = &r->settings->run;
    struct shk_error error = {0};
    for (size_t i = 0; i < shk_setting_count; i++) {
        const struct shk_setting *s = &shk_settings[i];
        const bool given = typed->given >> i & 1;
        if (given && !shk_setting_may_become(s, found, &typed->values, folder_of(r), &error)) cli_die_error(&error);
        if (!given && shk_setting_kept(s)) shk_setting_copy(s, &r->run.settings.values, found);
    }
}

static void open_folder(struct kept_run *r, bool make) {
    struct shk_error error = {0};
    if (!folder_open(&r->folder, folder_of(r), make, &error)) cli_die_error(&error);
}

// Finds out what the folder holds, where there is one; true if a run goes on.
static bool find_run(struct kept_run *r) {
    const struct kept_run_settings *s = r->settings;
    struct shk_error error = {0};
    r->run.settings = s->run;
    if (!s->must_exist && !folder_exists(s->run.values.out)) return false;
    open_folder(r, false);
    if (s->must_exist && !r->folder.holds_run)
        cli_die(CLI_USAGE, "%s holds no run: there is no config.json", s->run.values.out);
    if (!r->folder.holds_run || !s->resume) return false;
    if (!folder_check_files(&r->folder, &error) || !config_read(&r->folder, &r->found, &error)) cli_die_error(&error);
    take_over(r);
    return true;
}

// Makes the folder where it is not there yet; nothing in it is overwritten unasked.
static void check_folder(struct kept_run *r) {
    const struct kept_run_settings *s = r->settings;
    if (!r->folder.held) open_folder(r, true);
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
        !config_write(&r->folder, &r->run.settings.values, r->job.model, r->run.runtime, &error))
        cli_die_error(&error);
    if (!skipped_write(&r->folder, &r->run.bad, &error)) cli_die_error(&error);
}

// Whether config.json and the data are still those with which the checkpoint was made.
static void check_settings(const struct kept_run *r) {
    const char *path = r->folder.path[FOLDER_CHECKPOINT];
    struct shk_run_settings saved;
    struct shk_error error = {0};
    char *text = shk_file_note(path, "settings", &error);
    if (error.code != SHK_OK) cli_die_error(&error);
    if (!config_from_note(text ? text : "", path, &saved, &error)) cli_die_error(&error);
    for (const struct shk_setting *s = shk_settings; s->name; s++)
        if (!shk_setting_may_become(s, &saved, &r->run.settings.values, path, &error)) cli_die_error(&error);
    if (!config_same_data(&saved, &r->run.settings.values, path, &error)) cli_die_error(&error);
    free(text);
}

// The epoch whose weights the file has, or 0.
static size_t epoch_of(const char *path) {
    struct shk_error error = {0};
    char *place = shk_file_note(path, "place", &error);
    size_t epoch = 0;
    if (!place || sscanf(place, "epoch %20zu", &epoch) != 1) epoch = 0;
    free(place);
    return epoch;
}

// What a checkpoint promises is there: the best weights of up to then, which it has itself where its epoch was the best one.
static void check_best(struct kept_run *r) {
    const size_t best = shk_trainer_best(r->job.trainer).epoch;
    const char *path = r->folder.path[FOLDER_BEST];
    if (!best || (folder_has(&r->folder, FOLDER_BEST) && epoch_of(path) >= best)) return;
    const char *what = folder_has(&r->folder, FOLDER_BEST) ? "has not" : "is missing, and with it";
    r->has_best = r->has_news = r->saved.epoch == best && r->saved.step == 0;
    r->lost_best = !r->has_best;
    if (r->has_best)
        cli_warn("%s %s the weights of epoch %zu, the best one: it is written again from the checkpoint", path, what,
                 best);
    else
        cli_warn(
            "%s %s the weights of epoch %zu, the best one: a better epoch will replace it, and the same training with "
            "--epochs %zu in another folder ends in them",
            path, what, best, best);
}

// The list stays as it was when the run began: hashes tell whether the data are the same. Where the data lie elsewhere, so do the
// files that are left out.
static void check_skipped(const struct kept_run *r) {
    const char *path = r->folder.path[FOLDER_SKIPPED];
    const size_t count = r->run.bad.count;
    struct shk_error error = {0};
    if (count && !folder_has(&r->folder, FOLDER_SKIPPED)) {
        if (r->has_saved) cli_warn("%s is missing: it is written again", path);
        if (!skipped_write(&r->folder, &r->run.bad, &error)) cli_die_error(&error);
    } else if (!skipped_is(&r->folder, &r->run.bad, &error)) {
        if (error.code != SHK_OK) cli_die_error(&error);
        cli_warn("%s lists other files, or names them otherwise, than the %zu that are left out now", path, count);
    }
}

// All is read and checked before anything changes.
static void go_on(struct kept_run *r) {
    struct shk_error error = {0};
    if (r->has_saved) check_settings(r);
    if (!config_same_data(&r->found, &r->run.settings.values, r->folder.path[FOLDER_CONFIG], &error))
        cli_die_error(&error);
    if (!r->has_saved && folder_has(&r->folder, FOLDER_BEST))
        cli_warn("%s is missing: the run begins at its beginning", r->folder.path[FOLDER_CHECKPOINT]);
    if (r->has_saved && !shk_trainer_load(r->job.trainer, r->folder.path[FOLDER_CHECKPOINT], &error))
        cli_die_error(&error);
    r->saved = shk_trainer_position(r->job.trainer);
}

// A log that cannot be written is no reason to end.
static void open_log(struct kept_run *r) {
    struct shk_error error = {0};
    if (r->has_saved && !folder_has(&r->folder, FOLDER_LOG))
        cli_warn("%s is missing, a new one begins", r->folder.path[FOLDER_LOG]);
    r->log = log_open(&r->folder, &error);
    if (!r->log)
        cli_warn("%s", error.text);
    else if (!log_line(r->log, "shikaku %s, %s, %s; %s", shk_version(), shk_model_description(r->job.model),
                       shk_runtime_isa(r->run.runtime), shk_runtime_describe(r->run.runtime)))
        cli_warn("%s cannot be written", r->folder.path[FOLDER_LOG]);
}

static void open_lines(struct kept_run *r) {
    struct shk_error error = {0};
    const struct metrics_place place = {r->saved, run_steps_of_epoch(&r->run), r->run.settings.values.metrics_every};
    r->metrics = metrics_open(&r->folder, &place, &error);
    if (!r->metrics) cli_die_error(&error);
    if (metrics_warning(r->metrics)) cli_warn("%s", metrics_warning(r->metrics));
    if (!has_folder(r)) cli_die(CLI_FAILED, "%s was moved or removed just now", folder_of(r));
    open_log(r);
    r->notes = config_to_note(&r->run.settings.values);
    if (!r->notes) cli_die(CLI_FAILED, "out of memory");
}

static void tidy(struct kept_run *r) {
    struct shk_error error = {0};
    const size_t epochs = r->run.settings.values.epochs;
    if (!folder_tidy(&r->folder, &error) ||
        (epochs != r->found.epochs && !config_raise_epochs(&r->folder, epochs, &error)))
        cli_die_error(&error);
}

static void hash_data(struct run *run) {
    struct shk_data_hashes *h = &run->settings.values.hashes;
    for (int i = 0; i < SHK_PARTS; i++) {
        const struct shk_dataset *part = shk_data_part(run->data, (enum shk_part)i);
        if (part) snprintf(h->of[i], sizeof h->of[i], "%016" PRIx64, shk_dataset_hash(part));
    }
}

// A checkpoint has all weights: the file from which they started need not be there any more.
static struct initial initial_of(const struct kept_run *r, struct run_settings *s, bool is_new) {
    return r->has_saved ? (struct initial){0} : initial_open(s, is_new);
}

// A run that begins once more begins with the same weights.
static void keep_initial(struct kept_run *r) {
    char *hash = r->run.settings.values.init_hash;
    const char *was = r->found.init_hash;
    if (!r->run.initial.weights) {
        snprintf(hash, 17, "%s", was);
        return;
    }
    snprintf(hash, 17, "%016" PRIx64, r->run.initial.started.hash);
    if (*was && strcmp(was, hash) != 0)
        cli_die(CLI_USAGE, "%s: the run began with the weights %s, %s now has %s: go on with the file of then",
                folder_of(r), was, r->run.settings.values.init, hash);
}

static void begin(struct kept_run *r) {
    const bool goes_on = find_run(r);
    struct run_settings s = r->run.settings;
    if (!goes_on) run_need_model("train", &s);
    r->has_saved = goes_on && folder_has(&r->folder, FOLDER_CHECKPOINT);
    r->run = run_create(&s, initial_of(r, &s, !goes_on));
    r->job = job_create(&r->run, s.values.model);
    keep_initial(r);
    r->run.settings.values.train.shards = shk_trainer_shards(r->job.trainer);
    hash_data(&r->run);
    if (!goes_on) check_folder(r);
    check_room(r, goes_on);
    if (goes_on)
        go_on(r);
    else
        begin_anew(r);
    open_lines(r);
    if (!goes_on) return;
    if (r->has_saved) check_best(r);
    check_skipped(r);
    tidy(r);
}

static void print_beginning(struct kept_run *r) {
    char place[64];
    run_print_device(&r->run);
    run_print_data(&r->run);
    job_print_beginning(&r->job, &r->run);
    if (!r->run.settings.values.quiet) cli_print("folder: %s\n", cli_shown(folder_of(r)).text);
    if (!r->found.epochs) return; // a new run
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

static void test_best(struct kept_run *r, size_t epoch) {
    struct shk_error error = {0};
    struct shk_model *best = shk_model_load(r->folder.path[FOLDER_BEST], &error);
    if (!best) cli_die_error(&error);
    job_print_test(&r->job, &r->run, best, epoch);
    shk_model_free(best);
}

static void print_end(struct kept_run *r) {
    const struct shk_best best = shk_trainer_best(r->job.trainer);
    job_print_done(&r->job, &r->run);
    if (best.epoch)
        cli_print("[%s] best: epoch %zu - %s loss: %.4f, acc: %.3f, %s %s\n", r->job.title, best.epoch,
                  run_choice(&r->run), best.test.loss, best.test.accuracy, r->lost_best ? "but not in" : "in",
                  cli_shown(r->folder.path[FOLDER_BEST]).text);
    if (best.epoch && r->run.test && !r->lost_best) test_best(r, best.epoch);
    log_line(r->log, "done, weights %016" PRIx64, shk_model_hash(r->job.model));
}

// Nothing was written at the folder's path; where it was moved as a whole, its checkpoint went with it.
static void print_lost(const struct kept_run *r) {
    char place[64];
    print_place(r->saved, place);
    if (r->fate == FOLDER_MOVED)
        cli_note(
            "%s was moved while the run was at work in it: the run has ended after %s, go on with 'shikaku resume' "
            "where the folder is now",
            folder_of(r), place);
    else
        cli_note(
            "%s, or metrics.jsonl in it, was removed or replaced while the run was at work in it: the run has ended "
            "and left what is there now as it is",
            folder_of(r));
}

static void print_interrupt(struct kept_run *r, const char *why) {
    char place[64];
    print_place(r->saved, place);
    log_line(r->log, "%s after %s", why, place);
    cli_note("%s after %s, go on with: shikaku resume %s", why, place, cli_quoted(folder_of(r)).text);
}

// Another call would get no further, so that this one may not ask for it.
static int print_no_time(const struct kept_run *r) {
    log_line(r->log, "--max-seconds was over before a step");
    cli_note("--max-seconds %g was over before the first step: the start alone took %.2f s, give it more time",
             r->settings->run.values.max_seconds, r->ready - r->begun);
    return CLI_FAILED;
}

static int end(struct kept_run *r) {
    const int signal = is_complete(r) ? 0 : signals_caught();
    if (r->fate != FOLDER_STANDS) {
        print_lost(r);
        return CLI_FAILED;
    }
    if (!is_complete(r) && !signal && !r->has_stepped) return print_no_time(r);
    if (is_complete(r))
        print_end(r);
    else
        print_interrupt(r, signal ? signals_name(signal) : "--max-seconds");
    return is_complete(r) ? CLI_DONE : signal ? 128 + signal : CLI_AGAIN;
}

int kept_run_train(const struct kept_run_settings *settings) {
    signals_catch_requests();
    struct kept_run r = {.settings = settings, .begun = shk_seconds()};
    begin(&r);
    signals_catch();
    print_beginning(&r);
    train(&r);
    const int code = end(&r);
    run_check(&r.run);
    metrics_close(r.metrics);
    log_close(r.log);
    free(r.notes);
    job_free(&r.job);
    run_free(&r.run);
    folder_close(&r.folder);
    printer_drain(); // a reader that has gone is no failure here
    return code == CLI_DONE && signals_caught() ? 128 + signals_caught() : code;
}
