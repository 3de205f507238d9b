// SPDX-License-Identifier: MIT
// A training with a run's folder: it can be interrupted at any moment and goes on with the same bits.
#ifndef SHK_CLI_KEPT_RUN_H
#define SHK_CLI_KEPT_RUN_H

#include "cli/run.h"

struct kept_run_settings {
    struct run_settings run;
    bool resume, must_exist, force; // must_exist: a run has to be there
};

// Trains as the settings and the folder say; returns the exit code.
int kept_run_train(const struct kept_run_settings *);

#endif
