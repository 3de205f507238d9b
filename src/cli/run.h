// SPDX-License-Identifier: MIT
// What the commands that train share: the settings of a run, its machine and data, and the training of one model.
#ifndef SHK_CLI_RUN_H
#define SHK_CLI_RUN_H

#include "cli/common.h"
#include "report/config.h"

struct run_settings {
    struct config config;
    uint32_t given;   // which of config_settings are in the command line: bit i is setting i
    unsigned threads; // 0: the library's choice
    const char *pin;  // NULL: the library's choice
    const char *isa;  // NULL: the library's choice
    bool model_given;
};
extern const struct run_settings run_defaults;

// The options for training, threads and data, and those without training, as child parsers whose input is a run_settings.
const struct argp *run_argp(void);
const struct argp *run_data_argp(void);
// Options of a group into `out`, which has place for CONFIG_SETTINGS; returns how many. Their keys are taken by
// run_parse_setting: false where the key is none.
size_t run_options(enum setting_group group, struct argp_option *out);
bool run_parse_setting(int key, const char *arg, struct run_settings *);
bool run_was_given(const struct run_settings *, const char *setting);

// Machine and data of a run. Creating ends the program in one sentence where a setting makes no sense.
struct run {
    struct run_settings settings;
    struct shk_runtime *runtime;
    unsigned warned; // warnings of the runtime that have been printed
    struct shk_dataset *train, *test;
};
struct run run_create(const struct run_settings *settings);
void run_free(struct run *);
struct shk_dataset *run_make_squares(const struct config *, size_t n, uint32_t stream);
bool run_print_device(struct run *); // and warnings, to stderr
// After the training: whether the quota held it back, to stderr.
void run_check_quota(struct run *);
bool run_print_data(const struct run *);
struct shk_train_options run_train_options(const struct config *);

// One model of a run and what its training gave.
struct contender {
    struct shk_model *model;
    struct shk_trainer *trainer;
    struct shk_epoch last;     // the last epoch; epoch 0: none was completed
    size_t epochs;             // that were completed
    double seconds;            // of their training steps
    double samples_per_second; // of these
};
struct contender contender_create(const struct run *, const char *description);
void contender_free(struct contender *);
// Keeps an epoch's figures and prints its line; false after a write error.
bool contender_end_epoch(struct contender *, const struct run *, const struct shk_epoch *);
// Trains, a line per epoch, and a last one. False after a write error.
bool contender_train(struct contender *, const struct run *);
bool contender_print_done(struct contender *, const struct run *);

#endif
