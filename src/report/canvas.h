// SPDX-License-Identifier: MIT
// A picture that is drawn: areas, images and words, and then written as PNG.
#ifndef SHK_REPORT_CANVAS_H
#define SHK_REPORT_CANVAS_H

#include "report/font.h"
#include <shikaku/data.h>
#include <shikaku/error.h>
#include <stdbool.h>
#include <stddef.h>

struct colour {
    uint8_t red, green, blue;
};

// What lies beyond its edges is not drawn.
struct canvas {
    size_t height, width;
    uint8_t *pixels; // [height][width][3]
};
bool canvas_create(struct canvas *, size_t height, size_t width, struct colour, struct shk_error *);
void canvas_free(struct canvas *);
void canvas_fill(struct canvas *, size_t top, size_t left, size_t height, size_t width, struct colour);
// An image [height][width][channels] of 1 channel (grey) or 3, each pixel as a square of `scale` pixels.
void canvas_image(struct canvas *, size_t top, size_t left, const uint8_t *image, size_t height, size_t width,
                  size_t channels, size_t scale);
// Words of UTF-8 on one line; each dot of a letter is a square of `scale` pixels.
void canvas_text(struct canvas *, size_t top, size_t left, const char *text, size_t scale, struct colour);
enum { CANVAS_LETTER = FONT_WIDTH + 1 }; // dots from letter to letter
size_t canvas_letters(const char *text); // that a text has
bool canvas_write(const struct canvas *, const char *path, struct shk_error *);

#endif
