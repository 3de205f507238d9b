// SPDX-License-Identifier: MIT
// The weights that a command is given: a file, or the best of a run's folder.
#ifndef SHK_CLI_WEIGHTS_H
#define SHK_CLI_WEIGHTS_H

#include "cli/options.h"

struct weights {
    struct shk_model *model;
    char *path;
    char *place;    // "epoch 3"; of a file that does not say what model it is, what it was taken for; or NULL
    char *settings; // those of its training, as config_from_note reads them; NULL: none
};
// Ends the program in one sentence where it is no such file.
// The options --model and --size, which say what the file of another tool is; their parser's input is a run_settings.
extern const struct argp weights_argp;
struct weights weights_load(const char *path, const struct run_settings *typed);
// The file of a run's folder that weights_load_best loads, or the file itself; to be freed.
char *weights_best_path(const char *run_or_file);
// Of a run's folder best.safetensors, or, where that is not there, last.ckpt.
struct weights weights_load_best(const char *run_or_file, const struct run_settings *typed);
void weights_free(struct weights *);
// The settings of their training, but for what was typed; typed ones where the file has none.
struct run_settings weights_settings(const struct weights *, const struct run_settings *typed);
bool weights_is_folder(const char *path);
// Ends the program: a folder without weights.
_Noreturn void weights_missing(const char *folder);

#endif
