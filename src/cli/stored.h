// SPDX-License-Identifier: MIT
// What bench has to do with the store of results: it saves runs there, and compares with those that are.
#ifndef SHK_CLI_STORED_H
#define SHK_CLI_STORED_H

#include "cli/common.h"
#include <jansson.h>

struct stored_settings {
    const char *save;    // the name; "": none; NULL: nothing is saved
    const char *against; // NULL: nothing is compared
    const char *folder;  // NULL: the usual one
    double threshold;    // as a part; 0: the default
    bool anyway;
    int name_at; // in argv: what stands there, if no option, is the name to save under
};
// Options for a child parser whose input is these settings.
extern const struct argp stored_argp;
// Whether an argument is the NAME of "--save NAME", which it then keeps.
bool stored_takes(struct stored_settings *, const char *arg, const struct argp_state *state);
bool stored_is_used(const struct stored_settings *);
// The end where an option has no effect; else what was left out has its default.
void stored_complete(struct stored_settings *);

// The folder of the store, to be freed. Ends the program where there is none.
char *stored_folder(const char *given);

struct stored;
// Before anything is measured: finds what the run is compared with, and whether it can be saved; `facts` is a file of results with its
// benchmarks. Ends the program where that makes no sense.
struct stored *stored_open(const struct stored_settings *, const json_t *facts);
// Compares the run's file of results, saves it, and frees all. The exit code.
int stored_finish(struct stored *, const json_t *file);

#endif
