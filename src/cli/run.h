// SPDX-License-Identifier: MIT
// What the commands that train share: the machine and data of a run, and the training of one model.
#ifndef SHK_CLI_RUN_H
#define SHK_CLI_RUN_H

#include "base/names.h"
#include "cli/initial.h"
#include "cli/progress.h"

// Machine and data of a run. Creating ends the program in one sentence where a setting makes no sense.
struct run {
    struct run_settings settings;
    struct shk_runtime *runtime;
    unsigned warned; // warnings of the runtime that have been printed
    struct initial initial;
    struct shk_data *data;
    struct shk_names bad;                     // sentences about files of it that were left out
    const struct shk_dataset *train, *choice; // choice: val, or, where there is none, test
    const struct shk_dataset *test; // to be looked at once, at the end; NULL: it is the choice, or there is none
};
// The weights from which its models start, or none, become the run's.
struct run run_create(const struct run_settings *settings, struct initial initial);
void run_free(struct run *);
struct shk_runtime *run_make_runtime(const struct run_settings *, size_t tasks);
bool run_print_device(struct run *); // and warnings, to stderr
// After the training: whether the quota or other programs held it back, to stderr.
void run_check(struct run *);
bool run_print_data(const struct run *);
const char *run_choice(const struct run *); // "val" or "test": what choices are made on
size_t run_steps_of_epoch(const struct run *);

// What the options of output cannot have together, or on this terminal; ends the program.
void run_check_output(const struct run_settings *);

// One model of a run and what its training gave.
struct job {
    struct shk_model *model;
    struct shk_trainer *trainer;
    struct shk_epoch last;     // the last epoch; epoch 0: none was completed
    size_t epochs;             // that were completed
    double seconds;            // of their training steps
    double samples_per_second; // of these
    bool warned;               // that it diverges
    double epoch_loss;         // sum over the steps of the epoch at hand that were taken here
    size_t epoch_steps;        // how many they are
    struct progress progress;
    char title[41]; // of the model; a long one is cut
};
struct job job_create(struct run *, const char *description);
void job_free(struct job *);
// The model, and the settings in force.
void job_print_beginning(const struct job *, const struct run *);
// The training from here on is shown; nothing waits for a reader until job_rest.
void job_work(struct job *, const struct run *);
void job_rest(void);
// In the callbacks of a training: keeps a step's figures; an epoch's, and prints its line; false after a write error.
void job_end_step(struct job *, const struct shk_step *);
bool job_end_epoch(struct job *, const struct run *, const struct shk_epoch *);
// Trains, a line per epoch, and a last one. False after a write error, or where a signal has ended it.
bool job_train(struct job *, const struct run *);
bool job_print_done(struct job *, const struct run *);
// The one look at run->test, with the weights of an epoch.
void job_print_test(const struct job *, const struct run *, const struct shk_model *, size_t epoch);
// A signal has ended the training: says after what, and `more`. The exit code.
int job_print_interrupt(const struct job *, const char *more);
// "epoch 3", or "epoch 3, step 17" inside the third.
void print_place(struct shk_position, char text[64]);

#endif
