// SPDX-License-Identifier: MIT
#ifndef SHK_CLI_ONE_MODEL_H
#define SHK_CLI_ONE_MODEL_H

#include "cli/run.h"

// The option of a subcommand for one model: --model into the config, as a child parser whose input is a run_settings.
extern const struct argp one_model_argp;
// The end where it was left out.
void one_model_check(const char *command, const struct run_settings *);

#endif
