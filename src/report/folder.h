// SPDX-License-Identifier: MIT
// A run's folder: which files it has, whose it is, and what is in the way.
#ifndef SHK_REPORT_FOLDER_H
#define SHK_REPORT_FOLDER_H

#include <shikaku/shikaku.h>

enum folder_file {
    FOLDER_CONFIG,
    FOLDER_CHECKPOINT,
    FOLDER_BEST,
    FOLDER_METRICS,
    FOLDER_LOG,
    FOLDER_SKIPPED,
    FOLDER_FILES
};

struct folder {
    struct shk_folder *held;  // locked as long as it is open
    char *path[FOLDER_FILES]; // of each file, for sentences and for reading
    bool holds_run;           // there is a config.json
    bool holds_others;        // files that are not of a run, or of one without config.json
};

// Makes a folder and those above it, where they are not there.
bool folder_make(const char *path, struct shk_error *);
bool folder_exists(const char *path); // or something else with that name
// Makes the folder where it is not there and `make` is set, and locks it: one training at a time.
bool folder_open(struct folder *, const char *path, bool make, struct shk_error *);
void folder_close(struct folder *);
const char *folder_name(enum folder_file); // without the folder
bool folder_has(const struct folder *, enum folder_file);
// A descriptor of one of its files, with the flags of open(2); -1: none. A run's files are regular ones: links are not followed, and what
// is written in place has no other name.
int folder_open_file(const struct folder *, enum folder_file, int flags, struct shk_error *);
// Whether those files that are there are regular ones, before a run goes on in them.
bool folder_check_files(const struct folder *, struct shk_error *);
// Removes a run's files in such an order that what is left is a whole run or none at every moment.
bool folder_clear(const struct folder *, struct shk_error *);
// Removes what a killed training left half written.
bool folder_tidy(const struct folder *, struct shk_error *);
// Whether so many bytes can still be written.
bool folder_has_room(const struct folder *, double bytes, struct shk_error *);

#endif
