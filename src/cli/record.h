// SPDX-License-Identifier: MIT
// A training with a run's folder: it can be interrupted at any moment and goes on with the same bits.
#ifndef SHK_CLI_RECORD_H
#define SHK_CLI_RECORD_H

#include "cli/run.h"

struct record_settings {
    struct run_settings run;
    bool resume, must_exist, force; // must_exist: a run has to be there
};

// Trains as the settings and the folder say; returns the exit code.
int record_train(const struct record_settings *);

#endif
