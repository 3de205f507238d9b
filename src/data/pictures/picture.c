// SPDX-License-Identifier: MIT
// Finds out what a picture's bytes are, and makes it upright.
#include "data/pictures/picture.h"

#include "base/memory.h"
#include <string.h>

// ---- Kinds of files ----

// How known files begin.
static const struct {
    const char *name;
    size_t at, length;
    const char *bytes;
} kinds[] = {
    {"PNG", 0, 8, "\x89PNG\r\n\x1a\n"},
    {"JPEG", 0, 3, "\xff\xd8\xff"},
    {"GIF", 0, 4, "GIF8"},
    {"BMP", 0, 2, "BM"},
    {"WebP", 8, 4, "WEBP"},
    {"TIFF", 0, 4, "II*\0"},
    {"TIFF", 0, 4, "MM\0*"},
    {"HEIF or AVIF", 4, 4, "ftyp"},
    {"Photoshop", 0, 4, "8BPS"},
    {"JPEG XL", 0, 2, "\xff\x0a"},
    {"JPEG 2000", 4, 4, "jP  "},
    {"PNM", 0, 2, "P5"},
    {"PNM", 0, 2, "P6"},
    {"gzip", 0, 2, "\x1f\x8b"},
    {"zip", 0, 4, "PK\3\4"},
    {"PDF", 0, 4, "%PDF"},
    {"markup (XML, HTML)", 0, 1, "<"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const char *kind_of(const unsigned char *bytes, size_t size) {
    for (size_t i = 0; i < KINDS; i++)
        if (size >= kinds[i].at + kinds[i].length && memcmp(bytes + kinds[i].at, kinds[i].bytes, kinds[i].length) == 0)
            return kinds[i].name;
    return NULL;
}

bool shk_picture_known(const unsigned char *begin, size_t size, const char *name, struct shk_error *err) {
    const char *kind = kind_of(begin, size);
    if (size == 0) return shk_fail(err, SHK_BAD_INPUT, "%s: this file is empty", name);
    if (!kind) return shk_fail(err, SHK_BAD_INPUT, "%s: this is no picture that is known: use PNG or JPEG", name);
    return strcmp(kind, "PNG") == 0 || strcmp(kind, "JPEG") == 0 ||
           shk_fail(err, SHK_BAD_INPUT, "%s: this is a %s file: use PNG or JPEG", name, kind);
}

// ---- Pictures ----

bool shk_picture_new(struct shk_picture *p, size_t height, size_t width, size_t channels, const struct shk_encoded *e,
                     struct shk_error *err) {
    *p = (struct shk_picture){height, width, channels, NULL};
    if (height == 0 || width == 0 || height > SHK_MOST_PICTURE_PIXELS || width > SHK_MOST_PICTURE_PIXELS / height)
        return shk_fail(err, SHK_BAD_INPUT, "%s: its header says %zu x %zu pixels; 1 to %d are decoded", e->name, width,
                        height, SHK_MOST_PICTURE_PIXELS);
    if (e->look) return true;
    p->pixels = shk_alloc(height * width, channels, "a picture", err);
    return p->pixels;
}

void shk_picture_free(struct shk_picture *p) {
    shk_free(p->pixels);
    p->pixels = NULL;
}

// Where the upright picture's pixel (y, x) is: at first + y * down + x * right.
struct walk {
    ptrdiff_t first, down, right;
};

// orientation 2 .. 8, of a picture of h rows and w columns (EXIF 2.32, table 6).
static struct walk walk_of(unsigned orientation, ptrdiff_t h, ptrdiff_t w) {
    const ptrdiff_t last_row = (h - 1) * w, last = w - 1;
    switch (orientation) {
    case 2:
        return (struct walk){last, w, -1};
    case 3:
        return (struct walk){last_row + last, -w, -1};
    case 4:
        return (struct walk){last_row, -w, 1};
    case 5:
        return (struct walk){0, 1, w};
    case 6:
        return (struct walk){last_row, 1, -w};
    case 7:
        return (struct walk){last_row + last, -1, -w};
    default:
        return (struct walk){last, -1, w};
    }
}

bool shk_picture_turn(struct shk_picture *p, const struct shk_encoded *e, struct shk_error *err) {
    if (e->orientation < 2 || e->orientation > 8) return true;
    const struct walk walk = walk_of(e->orientation, (ptrdiff_t)p->height, (ptrdiff_t)p->width);
    const bool swapped = e->orientation >= 5;
    struct shk_picture to;
    if (!shk_picture_new(&to, swapped ? p->width : p->height, swapped ? p->height : p->width, p->channels, e, err))
        return false;
    uint8_t *at = to.pixels;
    for (size_t y = 0; at && y < to.height; y++)
        for (size_t x = 0; x < to.width; x++, at += p->channels) {
            const ptrdiff_t pixel = walk.first + (ptrdiff_t)y * walk.down + (ptrdiff_t)x * walk.right;
            memcpy(at, p->pixels + (size_t)pixel * p->channels, p->channels);
        }
    shk_picture_free(p);
    *p = to;
    return true;
}

static bool decode(struct shk_encoded *e, struct shk_picture *p, struct shk_error *err) {
    *p = (struct shk_picture){0};
    if (!shk_picture_known(e->bytes, e->size, e->name, err)) return false;
    bool (*decoder)(struct shk_encoded *, struct shk_picture *, struct shk_error *) =
        e->bytes[0] == 0xff ? shk_jpeg_decode : shk_png_decode;
    if (decoder(e, p, err) && shk_picture_turn(p, e, err)) return true;
    shk_picture_free(p);
    return false;
}

bool shk_picture_decode(const unsigned char *bytes, size_t size, const char *name, uint8_t background,
                        struct shk_picture *p, struct shk_error *err) {
    return decode(&(struct shk_encoded){.bytes = bytes, .size = size, .name = name, .background = background}, p, err);
}

bool shk_picture_look(const unsigned char *bytes, size_t size, const char *name, struct shk_picture *p,
                      struct shk_error *err) {
    return decode(&(struct shk_encoded){.bytes = bytes, .size = size, .name = name, .look = true}, p, err);
}
