// SPDX-License-Identifier: MIT
// A picture is decoded to bytes: grey or RGB, upright, over a background. What it is says its content, never its name.
#ifndef SHK_DATA_PICTURES_PICTURE_H
#define SHK_DATA_PICTURES_PICTURE_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

struct shk_picture {
    size_t height, width;
    size_t channels; // 1: grey, 3: RGB
    uint8_t *pixels; // [height][width][channels]; shk_free
};

// At most so many pixels are decoded; a header that says more is refused before any memory is taken.
enum { SHK_MOST_PICTURE_PIXELS = 64 << 20 };

// PNG or JPEG. name: the file's, for sentences. Transparent pixels lie over `background`, of all channels.
// PNG: all colour types and depths, interlaced; 16 bits become 8 by v/257, rounded. JPEG: baseline, progressive, grey, CMYK
// and YCCK, with the slow integer DCT and smooth upsampling. Gamma and colour profiles are not applied.
bool shk_picture_decode(const unsigned char *bytes, size_t size, const char *name, uint8_t background,
                        struct shk_picture *, struct shk_error *);
// Its upright size and its channels alone, from its header; pixels: NULL.
bool shk_picture_look(const unsigned char *bytes, size_t size, const char *name, struct shk_picture *,
                      struct shk_error *);
// A picture as a PNG of 8 bits. All zero at first; the memory of one picture serves the next.
struct shk_png {
    unsigned char *bytes; // shk_free
    size_t size, room;
};
bool shk_png_encode(const struct shk_picture *, struct shk_png *, struct shk_error *);
// Whether a file begins as a PNG or a JPEG does; else the error says what it is.
bool shk_picture_known(const unsigned char *begin, size_t size, const char *name, struct shk_error *);
void shk_picture_free(struct shk_picture *);

// ---- Parts, a file each ----

// What a format's decoder is given, and what it finds.
struct shk_encoded {
    const unsigned char *bytes;
    size_t size;
    const char *name;
    uint8_t background;
    bool look;            // at the header alone: no pixels
    unsigned orientation; // out: 1 .. 8, of EXIF; 0: none is known
};
// A checked size, and pixels for it unless only the header is looked at; false: too many, or no memory.
bool shk_picture_new(struct shk_picture *, size_t height, size_t width, size_t channels, const struct shk_encoded *,
                     struct shk_error *);
bool shk_png_decode(struct shk_encoded *, struct shk_picture *, struct shk_error *);
bool shk_jpeg_decode(struct shk_encoded *, struct shk_picture *, struct shk_error *);
// Which libraries decode.
const char *shk_png_version(void);
const char *shk_jpeg_version(void);
// Of a TIFF header and what follows (EXIF 2.32, 4.5 and 4.6.4).
unsigned shk_exif_orientation(const unsigned char *tiff, size_t size);
// Makes it upright.
bool shk_picture_turn(struct shk_picture *, const struct shk_encoded *, struct shk_error *);

#endif
