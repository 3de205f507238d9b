// SPDX-License-Identifier: MIT
// The list of files that a run left out because they cannot be read.
#ifndef SHK_REPORT_SKIPPED_H
#define SHK_REPORT_SKIPPED_H

#include "base/names.h"
#include "report/folder.h"

// Writes skipped.txt, a line for each file: its path, and what is wrong. Where nothing was left out, there is none.
bool skipped_write(const struct folder *, const struct shk_names *sentences, struct shk_error *);
// Whether the folder has the list of these files; false with an error: it cannot be read.
bool skipped_is(const struct folder *, const struct shk_names *sentences, struct shk_error *);

#endif
