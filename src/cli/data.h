// SPDX-License-Identifier: MIT
// Opens the data that a command's settings name, and says what was done with them.
#ifndef SHK_CLI_DATA_H
#define SHK_CLI_DATA_H

#include "base/names.h"
#include "cli/options.h"

// For a training. Ends the program in one sentence where they cannot be read; notes go to stdout unless it is quiet, or
// to stderr where they stand apart, files that cannot be read to stderr, each on a line; these are kept, too, unless bad is NULL.
struct shk_data *data_open(const struct run_settings *, const struct shk_runtime *, struct shk_names *bad);
// The same, but the sentences are kept.
struct data_said {
    struct shk_names notes, bad; // what was done; files that cannot be read
};
struct shk_data *data_look(const struct run_settings *, const struct shk_runtime *, struct data_said *);
void data_said_free(struct data_said *);
// For a model, whose shape, classes and preprocessing count in place of the settings'.
struct shk_data *data_open_for(const struct shk_model *, const struct run_settings *, const struct shk_runtime *);

#endif
