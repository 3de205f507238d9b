// SPDX-License-Identifier: MIT
// Makes a line of how far work is, as long as the terminal is wide.
#include "cli/progress.h"

#include "base/clock.h"
#include "cli/printer.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TEXT = 200, LEAST_BAR = 10, MOST_BAR = 40 };
static const double window = 3; // seconds over which the speed is taken

// ---- Numbers ----

// The speed of late, and none before the first unit.
static void look(struct progress *p, size_t done) {
    const double now = shk_seconds(), passed = now - p->seen_at;
    if (done == p->seen || passed <= 0) return;
    const double rate = (double)(done - p->seen) / passed;
    const double weight = p->rate > 0 ? 1 - exp(-passed / window) : 1;
    p->rate += weight * (rate - p->rate);
    p->seen = done;
    p->seen_at = now;
}

// Seconds from the last unit until all is done, with what comes between the units (tests, checkpoints).
static double seconds_left(const struct progress *p, size_t done) {
    const size_t since = done - p->begun_with;
    if (!since) return NAN;
    return (p->seen_at - p->begun_at) / (double)since * (double)(p->parts * p->units - done);
}

// 0:07, 12:34, 1:02:03; "?" where it is not known.
static void time_text(double seconds, char text[32]) {
    if (!(seconds < 1e8)) {
        snprintf(text, 32, "?");
        return;
    }
    const unsigned long s = (unsigned long)ceil(seconds);
    if (s < 3600)
        snprintf(text, 32, "%lu:%02lu", s / 60, s % 60);
    else
        snprintf(text, 32, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
}

// ---- The line ----

enum piece { TITLE, PART, BAR, UNITS, LOSS, SPEED, LEFT, LEFT_OF_ALL, PIECES };
// What goes first where there is no place.
static const enum piece spare[] = {UNITS, SPEED, LEFT, TITLE, LOSS, LEFT_OF_ALL, BAR};
enum { SPARES = sizeof spare / sizeof *spare };

struct line {
    char piece[PIECES][TEXT];
    bool left_out[PIECES];
    size_t part, unit; // the part at hand, its units that are done
};

static void fill(struct line *l, struct progress *p, bool bar) {
    const size_t done = p->done;
    const double loss = p->loss;
    char left[32], all[32];
    look(p, done);
    l->part = done / p->units < p->parts ? done / p->units : p->parts - 1;
    l->unit = done - l->part * p->units;
    time_text(p->rate > 0 ? (double)(p->units - l->unit) / p->rate : NAN, left);
    time_text(seconds_left(p, done), all);
    snprintf(l->piece[TITLE], TEXT, "[%s] ", p->title);
    if (p->part) snprintf(l->piece[PART], TEXT, "%s %zu/%zu%s", p->part, l->part + 1, p->parts, bar ? " " : ", ");
    snprintf(l->piece[UNITS], TEXT, "%s %zu/%zu", p->unit, l->unit, p->units);
    if (!isnan(loss)) snprintf(l->piece[LOSS], TEXT, " - loss: %.4f", loss);
    if (p->rate > 0 && p->samples > 0) snprintf(l->piece[SPEED], TEXT, ", %.0f samples/s", p->rate * p->samples);
    snprintf(l->piece[LEFT], TEXT, ", %s left", left);
    if (p->part) snprintf(l->piece[LEFT_OF_ALL], TEXT, ", all %s", all);
    l->left_out[BAR] = !bar;
}

static size_t length_of(const struct line *l) {
    size_t n = l->left_out[BAR] ? 0 : LEAST_BAR + 3;
    for (int i = 0; i < PIECES; i++)
        if (!l->left_out[i] && i != BAR) n += strlen(l->piece[i]);
    return n;
}

static void draw_bar(struct line *l, size_t width, size_t units) {
    const size_t room = LEAST_BAR + width - length_of(l), columns = room < MOST_BAR ? room : MOST_BAR;
    const size_t full = columns * l->unit / units;
    char *text = l->piece[BAR];
    *text++ = '[';
    memset(text, '#', full);
    memset(text + full, '.', columns - full);
    memcpy(text + columns, "] ", 3);
}

void progress_line(void *progress, bool bar, size_t width, char *text, size_t size) {
    struct progress *p = progress;
    struct line l = {0};
    size_t used = 0;
    fill(&l, p, bar);
    for (size_t i = 0; i < SPARES && length_of(&l) > width; i++) l.left_out[spare[i]] = true;
    if (!l.left_out[BAR]) draw_bar(&l, width, p->units);
    *text = 0;
    for (int i = 0; i < PIECES && used < size; i++)
        if (!l.left_out[i]) used += (size_t)snprintf(text + used, size - used, "%s", l.piece[i]);
    if (width < size && used > width) text[width] = 0;
}

// ---- Showing it ----

void progress_begin(struct progress *p, const struct shk_run_settings *s) {
    static struct work work;
    const bool bar = strcmp(s->progress, "bar") == 0 || (strcmp(s->progress, "auto") == 0 && printer_has_terminal());
    const bool shown = !s->quiet && strcmp(s->progress, "none") != 0;
    p->begun_with = p->seen = p->done;
    p->begun_at = p->seen_at = shk_seconds();
    work = (struct work){.line = shown ? progress_line : NULL, .user = p, .bar = bar};
    printer_work(&work);
}

void progress_end(void) { printer_rest(); }
