// SPDX-License-Identifier: MIT
#ifndef SHK_CLI_ONE_MODEL_H
#define SHK_CLI_ONE_MODEL_H

#include "cli/run.h"

// What a subcommand that trains one model is given.
struct one_model {
    struct run_settings run;
    const char *model;
    bool tuned;             // use what 'shikaku tune' found
    const char *tuned_file; // NULL: its default
};

// Parses --model and the options of a run. `command`: the subcommand's name; epochs: the default, 0 where it takes none.
struct one_model one_model_parse(const char *command, const char *doc, size_t epochs, int argc, char **argv);

#endif
