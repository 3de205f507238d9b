// SPDX-License-Identifier: MIT
// What `train` and `compare` share: the settings of a run, its machine and data, and the training of one model.
#ifndef SHK_CLI_RUN_H
#define SHK_CLI_RUN_H

#include "cli/common.h"

struct run_settings {
    size_t epochs, batch, shards; // shards 0: the library's choice
    size_t train_samples, test_samples;
    size_t size, square; // pixels
    unsigned threads;    // 0: the library's choice
    const char *pin;     // NULL: the library's choice
    const char *isa;     // NULL: the library's choice
    uint64_t seed;       // of data, weights, shuffling and dropout
    double lr, invert;
};

// The options of run_settings, as a child parser whose input is one.
extern const struct argp run_argp;
extern const struct run_settings run_defaults;

// Machine and data of a run. Creating ends the program in one sentence where a setting makes no sense.
struct run {
    struct run_settings settings;
    struct shk_runtime *runtime;
    unsigned warned; // warnings of the runtime that have been printed
    struct shk_dataset *train, *test;
};
struct run run_create(const struct run_settings *settings);
void run_free(struct run *);
bool run_print_device(struct run *); // and warnings, to stderr
// After the training: whether the quota held it back, to stderr.
void run_check_quota(struct run *);
bool run_print_data(const struct run *);

// One model of a run and what its training gave.
struct contender {
    struct shk_model *model;
    struct shk_trainer *trainer;
    struct shk_epoch last; // the last epoch
    double seconds;        // of all training steps
    double samples_per_second;
};
struct contender contender_create(const struct run *, const char *description);
void contender_free(struct contender *);
// Trains, a line per epoch, and a last one. False after a write error.
bool contender_train(struct contender *, const struct run *);

#endif
