// SPDX-License-Identifier: MIT
// Keeps a run's settings in its file, config.json: a section for each part of the table (settings/settings.h).
#ifndef SHK_REPORT_CONFIG_H
#define SHK_REPORT_CONFIG_H

#include "report/folder.h"
#include "settings/settings.h"
#include <jansson.h>

// The settings that are kept, as an object of sections, and the hashes of the data beside them, to be released; NULL: out of
// memory.
json_t *config_to_json(const struct shk_run_settings *);
// Of what config_to_json made, now or where all settings stood in one object without sections. A setting that is not there
// is younger than the file and has its default; one that is not known, or has another value than it can, is refused.
// `where` begins the error's sentence; *out changes only where all is well.
bool config_from_json(const json_t *, const char *where, struct shk_run_settings *out, struct shk_error *);
// The same as a note of a file of weights, to be freed; NULL: out of memory. A note stands inside JSON, where each quotation
// mark would be escaped, and jansson ends a process that runs out of memory before an escape: so they are apostrophes.
char *config_to_note(const struct shk_run_settings *);
// Of such a note, or one with quotation marks, as older files have it.
bool config_from_note(const char *note, const char *where, struct shk_run_settings *out, struct shk_error *);
// Whether two runs have the same data, as far as their hashes are known; `where` begins the error's sentence.
bool config_same_data(const struct shk_run_settings *was, const struct shk_run_settings *is, const char *where,
                      struct shk_error *);

// config.json: the settings, the numerics version, the model in full, and the machine on which the run began.
bool config_write(const struct folder *, const struct shk_run_settings *, const struct shk_model *,
                  const struct shk_runtime *, struct shk_error *);
// Refuses the file of another version, or numerics version. `path` is for the error.
bool config_read_text(const char *text, size_t size, const char *path, struct shk_run_settings *, struct shk_error *);
bool config_read(const struct folder *, struct shk_run_settings *, struct shk_error *);
// Writes the file again with more epochs.
bool config_raise_epochs(const struct folder *, uint64_t epochs, struct shk_error *);

#endif
