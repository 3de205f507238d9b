// SPDX-License-Identifier: MIT
// Decodes PNG by libpng's row interface, with limits and handlers of our own.
#include "base/memory.h"
#include "data/pictures/picture.h"
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

// libpng leaves a function by longjmp: what must be freed then is here.
struct decoder {
    struct shk_encoded *in;
    size_t at; // bytes of it that were read
    struct shk_error *err;
    png_structp png;
    png_infop info;
    struct shk_picture *out;
    unsigned char *rows; // of the file's samples: one, or all where it is interlaced
    size_t row_bytes;
    unsigned samples; // of a pixel in rows: grey; or red, green, blue; and alpha where the file has it
    bool alpha, wide; // wide: samples of 16 bits, the high byte first
};

static void fail(png_structp png, png_const_charp why) {
    struct decoder *d = png_get_error_ptr(png);
    shk_fail(d->err, SHK_BAD_INPUT, "%s: this PNG cannot be decoded: %s", d->in->name, why);
    png_longjmp(png, 1);
}

static size_t whole(const unsigned char *b) { // of 32 bits, the high byte first
    return (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
}

// Whether no chunk says that it is longer than what is there: libpng takes memory for some before it reads them. EXIF may stand
// behind the pixels, where libpng has not been yet when a picture is only looked at: the first such chunk that is whole counts.
static bool look_over(struct shk_encoded *e) {
    enum { SIGNATURE = 8, TYPE = 4, HEAD = 8, SUM = 4 }; // bytes; a chunk has length and type, its data, and a checksum
    for (size_t at = SIGNATURE; e->size - at >= HEAD;) {
        const unsigned char *b = e->bytes + at;
        const size_t length = whole(b);
        if (length + SUM > e->size - at - HEAD) return false;
        if (memcmp(b + TYPE, "IEND", 4) == 0) break;
        if (!e->orientation && memcmp(b + TYPE, "eXIf", 4) == 0 &&
            crc32(0, b + TYPE, (uInt)(4 + length)) == whole(b + HEAD + length))
            e->orientation = shk_exif_orientation(b + HEAD, length);
        at += HEAD + length + SUM;
    }
    return true;
}

static void ignore(png_structp png, png_const_charp why) {
    (void)png;
    (void)why;
}

static void give(png_structp png, png_bytep to, size_t bytes) {
    struct decoder *d = png_get_io_ptr(png);
    if (bytes > d->in->size - d->at) fail(png, "it ends early");
    memcpy(to, d->in->bytes + d->at, bytes);
    d->at += bytes;
}

// Chunks that nothing here reads, but which take memory or time.
static const png_byte unread[] =
    "iCCP\0zTXt\0iTXt\0tEXt\0sPLT\0hIST\0gAMA\0cHRM\0sRGB\0pCAL\0sCAL\0tIME\0pHYs\0oFFs\0bKGD\0eXIf";

static bool open_decoder(struct decoder *d) {
    d->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, d, fail, ignore);
    d->info = d->png ? png_create_info_struct(d->png) : NULL;
    if (!d->info) return shk_fail(d->err, SHK_FAILED, "out of memory for decoding a picture");
    png_set_read_fn(d->png, d, give);
    png_set_user_limits(d->png, SHK_MOST_PICTURE_PIXELS, SHK_MOST_PICTURE_PIXELS);
    png_set_keep_unknown_chunks(d->png, PNG_HANDLE_CHUNK_NEVER, unread, (int)(sizeof unread / 5));
    return true;
}

static bool palette_is_grey(struct decoder *d) {
    png_colorp colours;
    int count = 0;
    if (!png_get_PLTE(d->png, d->info, &colours, &count)) return false;
    for (int i = 0; i < count; i++)
        if (colours[i].red != colours[i].green || colours[i].red != colours[i].blue) return false;
    return true;
}

// Rows will have samples of 8 or 16 bits: grey or red, green, blue; and alpha where there is any.
static void read_header(struct decoder *d, size_t *channels) {
    png_read_info(d->png, d->info);
    const unsigned colour = png_get_color_type(d->png, d->info);
    *channels = colour & PNG_COLOR_MASK_COLOR && !(colour & PNG_COLOR_MASK_PALETTE && palette_is_grey(d)) ? 3 : 1;
    png_set_expand(d->png);
    png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
    d->samples = png_get_channels(d->png, d->info);
    d->alpha = png_get_color_type(d->png, d->info) & PNG_COLOR_MASK_ALPHA;
    d->wide = png_get_bit_depth(d->png, d->info) == 16;
    d->row_bytes = png_get_rowbytes(d->png, d->info);
}

// A sample as 8 bits: v/257, rounded.
static unsigned sample(const struct decoder *d, const unsigned char *row, size_t i) {
    return d->wide ? (((unsigned)row[2 * i] << 8 | row[2 * i + 1]) * 255 + 32895) >> 16 : row[i];
}

static void convert_row(const struct decoder *d, const unsigned char *row, uint8_t *to) {
    const size_t width = d->out->width, channels = d->out->channels, samples = d->samples;
    for (size_t x = 0; x < width; x++) {
        const unsigned alpha = d->alpha ? sample(d, row, x * samples + samples - 1) : 255;
        for (size_t c = 0; c < channels; c++) {
            const unsigned v = sample(d, row, x * samples + c);
            *to++ = (uint8_t)((v * alpha + d->in->background * (255 - alpha) + 127) / 255);
        }
    }
}

// Whether the file's rows are the picture's.
static bool as_they_are(const struct decoder *d) { return !d->wide && d->samples == d->out->channels; }

static void read_rows(struct decoder *d) {
    const size_t height = d->out->height, out_bytes = d->out->width * d->out->channels;
    const bool interlaced = png_get_interlace_type(d->png, d->info) != PNG_INTERLACE_NONE;
    const bool direct = !interlaced && as_they_are(d);
    if (!direct && !(d->rows = shk_alloc(interlaced ? height : 1, d->row_bytes, "a picture's rows", d->err)))
        png_longjmp(d->png, 1);
    for (int pass = 0; interlaced && pass < PNG_INTERLACE_ADAM7_PASSES; pass++)
        for (size_t y = 0; y < height; y++) png_read_row(d->png, d->rows + y * d->row_bytes, NULL);
    for (size_t y = 0; y < height; y++) {
        uint8_t *to = d->out->pixels + y * out_bytes;
        if (!interlaced) png_read_row(d->png, direct ? to : d->rows, NULL);
        if (!direct) convert_row(d, d->rows + (interlaced ? y * d->row_bytes : 0), to);
    }
    png_read_end(d->png, d->info);
}

// Under setjmp; no local variable is needed after a jump.
static bool decode(struct decoder *d) {
    size_t channels;
    if (setjmp(png_jmpbuf(d->png))) return false;
    read_header(d, &channels);
    if (!shk_picture_new(d->out, png_get_image_height(d->png, d->info), png_get_image_width(d->png, d->info), channels,
                         d->in, d->err))
        return false;
    if (!d->in->look) read_rows(d);
    return true;
}

bool shk_png_decode(struct shk_encoded *in, struct shk_picture *out, struct shk_error *err) {
    struct decoder d = {.in = in, .err = err, .out = out};
    if (!look_over(in)) return shk_fail(err, SHK_BAD_INPUT, "%s: this PNG cannot be decoded: it ends early", in->name);
    bool ok = open_decoder(&d) && decode(&d);
    png_destroy_read_struct(&d.png, &d.info, NULL);
    shk_free(d.rows);
    return ok;
}

const char *shk_png_version(void) { return png_get_libpng_ver(NULL); }
