// SPDX-License-Identifier: MIT
// A contact sheet: a row of samples for each class.
#ifndef SHK_REPORT_SHEET_H
#define SHK_REPORT_SHEET_H

#include <shikaku/data.h>

struct sheet {
    size_t samples; // of each class at most: its first ones
    // Out: what was drawn.
    size_t classes;       // the first ones, as far as a sheet has room
    size_t height, width; // of the sheet, in pixels
    bool scaled;          // pixels are not 0 to 1, and were drawn from `least`, as black, to `greatest`
    float least, greatest;
};
// Writes it as PNG. Of pictures of 2 channels the first is drawn, of those of 4 the first three.
bool sheet_write(struct sheet *, const struct shk_dataset *, const char *path, struct shk_error *);

#endif
