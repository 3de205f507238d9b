// SPDX-License-Identifier: MIT
// Draws by filling rectangles.
#include "report/canvas.h"

#include "base/error.h"
#include <stdlib.h>
#include <string.h>

enum { RGB = 3 };

bool canvas_create(struct canvas *c, size_t height, size_t width, struct colour colour, struct shk_error *err) {
    *c = (struct canvas){height, width, malloc(height * width * RGB)};
    if (!c->pixels) return shk_fail(err, SHK_FAILED, "out of memory for a picture of %zux%zu pixels", width, height);
    canvas_fill(c, 0, 0, height, width, colour);
    return true;
}

void canvas_free(struct canvas *c) {
    free(c->pixels);
    c->pixels = NULL;
}

void canvas_fill(struct canvas *c, size_t top, size_t left, size_t height, size_t width, struct colour colour) {
    const uint8_t values[RGB] = {colour.red, colour.green, colour.blue};
    for (size_t y = top; y < top + height && y < c->height; y++)
        for (size_t x = left; x < left + width && x < c->width; x++)
            memcpy(c->pixels + (y * c->width + x) * RGB, values, RGB);
}

void canvas_image(struct canvas *c, size_t top, size_t left, const uint8_t *image, size_t height, size_t width,
                  size_t channels, size_t scale) {
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++, image += channels) {
            const struct colour colour = {image[0], image[channels / 2], image[channels - 1]};
            canvas_fill(c, top + y * scale, left + x * scale, scale, scale, colour);
        }
}

// Bytes of a character behind its first one.
static bool continues(char byte) { return ((unsigned char)byte & 0xc0) == 0x80; }

size_t canvas_letters(const char *text) {
    size_t n = 0;
    for (; *text; text++) n += !continues(*text);
    return n;
}

void canvas_text(struct canvas *c, size_t top, size_t left, const char *text, size_t scale, struct colour colour) {
    for (; *text; text++) {
        if (continues(*text)) continue;
        const uint8_t *rows = font_glyph(*text);
        for (size_t y = 0; y < FONT_HEIGHT; y++)
            for (size_t x = 0; x < FONT_WIDTH; x++)
                if (rows[y] >> (FONT_WIDTH - 1 - x) & 1)
                    canvas_fill(c, top + y * scale, left + x * scale, scale, scale, colour);
        left += CANVAS_LETTER * scale;
    }
}

bool canvas_write(const struct canvas *c, const char *path, struct shk_error *err) {
    return shk_write_png(path, c->pixels, c->height, c->width, RGB, err);
}
