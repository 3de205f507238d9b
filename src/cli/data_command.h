// SPDX-License-Identifier: MIT
// What the commands below `shikaku data` share: the data that they name, and the options of these.
#ifndef SHK_CLI_DATA_COMMAND_H
#define SHK_CLI_DATA_COMMAND_H

#include "cli/data.h"

// Arguments are SPEC, unless --train-data stands for it, and OUT, where the command writes something.
struct data_arguments {
    struct run_settings run;
    bool writes;
    size_t count;
    const char *given[2];
    const char *out;
};
struct data_arguments data_arguments_of(bool writes);
// The settings that these commands take, as a child parser whose input is the run_settings: all of data but how pixels are
// normalised, which are shown and written as they are before that.
const struct argp *data_argp(void);
// ARGP_KEY_INIT, _ARG and _END; an example of the usage for sentences, as in "info pictures". Other keys: cli_parse_common.
error_t data_parse(struct data_arguments *, const char *example, int key, char *arg, struct argp_state *);

// Ends the program where OUT is a file that is there, and not to be replaced.
void data_check_out(const char *out, bool force);

int data_info(int argc, char **argv);
int data_make(int argc, char **argv);
int data_sheet(int argc, char **argv);

#endif
