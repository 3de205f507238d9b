// SPDX-License-Identifier: MIT
// Lays out and draws a contact sheet: the class and how many samples it has, and then some of them, enlarged by a whole number.
#include "report/sheet.h"

#include "base/error.h"
#include "report/canvas.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TILE = 64, GAP = 4, MARGIN = 8, TEXT = 2, SMALL_TEXT = 1, MOST_LETTERS = 20, MOST_PIXELS = 1 << 24 };
static const struct colour paper = {232, 232, 232}, ink = {24, 24, 24}, pale_ink = {110, 110, 110};

struct layout {
    const struct shk_dataset *data;
    struct shk_shape shape;
    size_t samples, classes;           // that are drawn
    size_t scale, row, column, labels; // pixels: of a pixel, from row to row, from tile to tile, of the labels' column
    uint32_t *chosen;                  // [classes][samples] samples, of which the first `found` count
    size_t *count;                     // [all classes] samples that there are
    float *pixels;                     // of one image
    uint8_t *bytes;
    float least, greatest;
};

static size_t greater(size_t a, size_t b) { return a > b ? a : b; }

// "cat", cut where it is long; the number where it has no name.
static void name_class(const struct layout *l, size_t label, char text[4 * MOST_LETTERS + 4]) {
    const char *name = shk_dataset_class(l->data, label);
    size_t length = 0;
    if (!name) {
        snprintf(text, 24, "%zu", label);
        return;
    }
    for (size_t letters = 0; name[length]; length++) {
        letters += ((unsigned char)name[length] & 0xc0) != 0x80;
        if (letters > MOST_LETTERS || length == 4 * MOST_LETTERS) break;
    }
    snprintf(text, 4 * MOST_LETTERS + 4, "%.*s%s", (int)length, name, name[length] ? ".." : "");
}

// The first samples of each class.
static bool choose(struct layout *l, struct shk_error *err) {
    l->count = calloc(l->shape.classes, sizeof *l->count);
    l->chosen = calloc(l->classes * l->samples, sizeof *l->chosen);
    if (!l->count || !l->chosen) return shk_fail(err, SHK_FAILED, "out of memory for a contact sheet");
    for (size_t i = 0; i < shk_dataset_size(l->data); i++) {
        const uint32_t label = shk_dataset_label(l->data, i);
        const size_t place = l->count[label]++;
        if (label < l->classes && place < l->samples) l->chosen[label * l->samples + place] = (uint32_t)i;
    }
    return true;
}

static size_t drawn_of(const struct layout *l, size_t label) {
    return l->count[label] < l->samples ? l->count[label] : l->samples;
}

// The sheet is not to be larger than what can be looked at.
static void lay_out(struct layout *l) {
    const size_t height = l->shape.height, width = l->shape.width;
    size_t letters = 0;
    l->scale = greater(1, TILE / greater(height, width));
    l->column = width * l->scale + GAP;
    l->row = greater(height * l->scale, (FONT_HEIGHT + 1) * (TEXT + SMALL_TEXT)) + GAP;
    const size_t most_width = 2 * MARGIN + (MOST_LETTERS + 3) * CANVAS_LETTER * TEXT + l->samples * l->column;
    const size_t most = greater(1, MOST_PIXELS / most_width / l->row);
    l->classes = l->shape.classes < most ? l->shape.classes : most;
    for (size_t c = 0; c < l->classes; c++) {
        char name[4 * MOST_LETTERS + 4];
        name_class(l, c, name);
        letters = greater(letters, canvas_letters(name));
    }
    l->labels = greater(letters, 5) * CANVAS_LETTER * TEXT + MARGIN;
}

// ---- Pixels ----

static void measure(struct layout *l) {
    const size_t pixels = l->shape.height * l->shape.width * l->shape.channels;
    float least = 0, greatest = 1;
    for (size_t c = 0; c < l->classes; c++)
        for (size_t k = 0; k < drawn_of(l, c); k++) {
            shk_dataset_pixels(l->data, l->chosen[c * l->samples + k], l->pixels);
            for (size_t i = 0; i < pixels; i++) {
                least = fminf(least, l->pixels[i]);
                greatest = fmaxf(greatest, l->pixels[i]);
            }
        }
    l->least = least;
    l->greatest = greatest;
}

static size_t drawn_channels(const struct layout *l) { return l->shape.channels < 3 ? 1 : 3; }

static void draw_sample(const struct layout *l, struct canvas *canvas, size_t top, size_t left, uint32_t sample) {
    const size_t from = l->shape.channels, to = drawn_channels(l), area = l->shape.height * l->shape.width;
    shk_dataset_pixels(l->data, sample, l->pixels);
    for (size_t i = 0; i < area; i++)
        for (size_t c = 0; c < to; c++) {
            const float x = (l->pixels[i * from + c] - l->least) / (l->greatest - l->least);
            l->bytes[i * to + c] = (uint8_t)(x * 255 + 0.5f);
        }
    canvas_image(canvas, top, left, l->bytes, l->shape.height, l->shape.width, to, l->scale);
}

// ---- The sheet ----

static void draw_row(const struct layout *l, struct canvas *canvas, size_t label) {
    const size_t top = MARGIN + label * l->row;
    char text[4 * MOST_LETTERS + 4];
    name_class(l, label, text);
    canvas_text(canvas, top, MARGIN, text, TEXT, ink);
    snprintf(text, sizeof text, "%zu", l->count[label]);
    canvas_text(canvas, top + (FONT_HEIGHT + 2) * TEXT, MARGIN, text, SMALL_TEXT, pale_ink);
    for (size_t k = 0; k < drawn_of(l, label); k++)
        draw_sample(l, canvas, top, MARGIN + l->labels + k * l->column, l->chosen[label * l->samples + k]);
}

static bool draw(struct layout *l, struct sheet *s, const char *path, struct shk_error *err) {
    struct canvas canvas;
    s->height = 2 * MARGIN + l->classes * l->row - GAP;
    s->width = 2 * MARGIN + l->labels + l->samples * l->column - GAP;
    if (!canvas_create(&canvas, s->height, s->width, paper, err)) return false;
    for (size_t c = 0; c < l->classes; c++) draw_row(l, &canvas, c);
    const bool ok = canvas_write(&canvas, path, err);
    canvas_free(&canvas);
    return ok;
}

bool sheet_write(struct sheet *s, const struct shk_dataset *data, const char *path, struct shk_error *err) {
    struct layout l = {.data = data, .shape = shk_dataset_shape(data), .samples = s->samples};
    const size_t area = l.shape.height * l.shape.width;
    lay_out(&l);
    l.pixels = malloc(area * l.shape.channels * sizeof *l.pixels);
    l.bytes = malloc(area * drawn_channels(&l));
    bool ok = (l.pixels && l.bytes) || shk_fail(err, SHK_FAILED, "out of memory for a contact sheet");
    ok = ok && choose(&l, err);
    if (ok) measure(&l);
    ok = ok && draw(&l, s, path, err);
    s->classes = l.classes;
    s->scaled = l.least < 0 || l.greatest > 1;
    s->least = l.least;
    s->greatest = l.greatest;
    free(l.pixels);
    free(l.bytes);
    free(l.chosen);
    free(l.count);
    return ok;
}
