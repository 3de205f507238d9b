// SPDX-License-Identifier: MIT
// What the commands that train share: the machine and data of a run, and the training of one model.
#ifndef SHK_CLI_RUN_H
#define SHK_CLI_RUN_H

#include "cli/options.h"

// Machine and data of a run. Creating ends the program in one sentence where a setting makes no sense.
struct run {
    struct run_settings settings;
    struct shk_runtime *runtime;
    unsigned warned; // warnings of the runtime that have been printed
    struct shk_dataset *train, *test;
};
struct run run_create(const struct run_settings *settings);
void run_free(struct run *);
struct shk_runtime *run_make_runtime(const struct run_settings *, size_t tasks);
bool run_print_device(struct run *); // and warnings, to stderr
// After the training: whether the quota held it back, to stderr.
void run_check_quota(struct run *);
bool run_print_data(const struct run *);

// One model of a run and what its training gave.
struct job {
    struct shk_model *model;
    struct shk_trainer *trainer;
    struct shk_epoch last;     // the last epoch; epoch 0: none was completed
    size_t epochs;             // that were completed
    double seconds;            // of their training steps
    double samples_per_second; // of these
};
struct job job_create(const struct run *, const char *description);
void job_free(struct job *);
// Keeps an epoch's figures and prints its line; false after a write error.
bool job_end_epoch(struct job *, const struct run *, const struct shk_epoch *);
// Trains, a line per epoch, and a last one. False after a write error.
bool job_train(struct job *, const struct run *);
bool job_print_done(struct job *, const struct run *);

#endif
