// SPDX-License-Identifier: MIT
// How far work is: the one who works publishes numbers, and the printer's thread makes a line of them (cli/printer.h).
#ifndef SHK_CLI_PROGRESS_H
#define SHK_CLI_PROGRESS_H

#include "settings/settings.h"
#include <stdalign.h>
#include <stdatomic.h>

struct progress {
    alignas(64) atomic_size_t done; // units of all parts
    _Atomic double loss;            // NAN: none to show
    // What follows does not change while it is shown.
    alignas(64) const char *title; // "TinyCNN"
    const char *part, *unit;       // "epoch", "step"; part NULL: there is one alone
    size_t parts, units;           // units: of a part
    double samples;                // of a unit; 0: no speed to show
    size_t begun_with;             // units that were done before
    double begun_at;               // on the clock
    // The printer's thread keeps these.
    size_t seen;
    double seen_at, rate; // units a second, of late
};
// Fills in a progress that begins now, shows it as the setting says, and lets nothing wait for its reader from now on.
void progress_begin(struct progress *, const struct shk_run_settings *);
void progress_end(void);

// At most so many bytes, without colours: title, part, bar where one is wanted, units, loss, speed, time left; what finds no
// place in `width` columns is left out. For progress_begin, and tests.
void progress_line(void *progress, bool bar, size_t width, char *text, size_t size);

#endif
