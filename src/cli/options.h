// SPDX-License-Identifier: MIT
// Makes options of the rows of the table of settings (settings/settings.h), and keeps what was typed.
#ifndef SHK_CLI_OPTIONS_H
#define SHK_CLI_OPTIONS_H

#include "cli/common.h"
#include "settings/settings.h"

struct run_settings {
    struct shk_run_settings values;
    uint64_t given;  // which of them are in the command line: bit i is row i
    const char *isa; // NULL: the library's choice
    bool apart;      // standard output is for results alone: notes go to standard error
};
struct run_settings run_defaults(void);

// Options of the same heading as a section's.
enum { OPTION_GROUP_RUN = SHK_SECTION_RUN + 1 };
// The rows that a command takes, as a child parser whose input is a run_settings; for one command of a process.
const struct argp *run_argp(bool (*takes)(const struct shk_setting *));
// Some are not in the help: those that the command takes only to say why it refuses them.
const struct argp *run_argp_but(bool (*takes)(const struct shk_setting *), bool (*hides)(const struct shk_setting *));
bool run_was_given(const struct run_settings *, const char *setting);
// The end where no model was named.
void run_need_model(const char *command, const struct run_settings *);

#endif
