// SPDX-License-Identifier: MIT
// Encodes a picture as PNG, in memory.
#include "base/memory.h"
#include "data/pictures/picture.h"
#include <png.h>
#include <setjmp.h>
#include <shikaku/data.h>
#include <shikaku/shikaku.h>
#include <string.h>

// libpng leaves a function by longjmp: what must be freed then is here.
struct encoder {
    const struct shk_picture *in;
    struct shk_png *out;
    struct shk_error *err;
    png_structp png;
    png_infop info;
};

static void fail(png_structp png, png_const_charp why) {
    struct encoder *e = png_get_error_ptr(png);
    shk_fail(e->err, SHK_FAILED, "a picture cannot be encoded as PNG: %s", why);
    png_longjmp(png, 1);
}

static void ignore(png_structp png, png_const_charp why) {
    (void)png;
    (void)why;
}

static bool make_room(struct shk_png *p, size_t more, struct shk_error *err) {
    enum { FIRST_ROOM = 1 << 12 };
    size_t room = p->room ? p->room : FIRST_ROOM;
    while (room - p->size < more) room *= 2;
    if (room == p->room) return true;
    unsigned char *bytes = shk_alloc(room, 1, "a PNG", err);
    if (!bytes) return false;
    if (p->size) memcpy(bytes, p->bytes, p->size);
    shk_free(p->bytes);
    p->bytes = bytes;
    p->room = room;
    return true;
}

static void take(png_structp png, png_bytep bytes, size_t n) {
    struct encoder *e = png_get_io_ptr(png);
    if (!make_room(e->out, n, e->err)) png_longjmp(png, 1);
    memcpy(e->out->bytes + e->out->size, bytes, n);
    e->out->size += n;
}

// Under setjmp; no local variable is needed after a jump.
static bool encode(struct encoder *e) {
    const struct shk_picture *p = e->in;
    if (setjmp(png_jmpbuf(e->png))) return false;
    png_set_write_fn(e->png, e, take, NULL);
    png_set_IHDR(e->png, e->info, (png_uint_32)p->width, (png_uint_32)p->height, 8,
                 p->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(e->png, e->info);
    for (size_t y = 0; y < p->height; y++) png_write_row(e->png, p->pixels + y * p->width * p->channels);
    png_write_end(e->png, NULL);
    return true;
}

bool shk_png_encode(const struct shk_picture *p, struct shk_png *to, struct shk_error *err) {
    struct encoder e = {.in = p, .out = to, .err = err};
    if (p->channels != 1 && p->channels != 3)
        return shk_fail(err, SHK_BAD_INPUT, "no picture has %zu channels: they have 1 or 3", p->channels);
    to->size = 0;
    e.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &e, fail, ignore);
    e.info = e.png ? png_create_info_struct(e.png) : NULL;
    const bool ok = e.info ? encode(&e) : shk_fail(err, SHK_FAILED, "out of memory for encoding a picture");
    png_destroy_write_struct(&e.png, &e.info);
    return ok;
}

bool shk_write_png(const char *path, const uint8_t *pixels, size_t height, size_t width, size_t channels,
                   struct shk_error *err) {
    const struct shk_picture p = {height, width, channels, (uint8_t *)(uintptr_t)pixels}; // which are only read
    struct shk_png png = {0};
    const bool ok = shk_png_encode(&p, &png, err) && shk_write_file(path, png.bytes, png.size, err);
    shk_free(png.bytes);
    return ok;
}
