// SPDX-License-Identifier: MIT
// Pictures of every kind become the bytes that they should, upright and of the wanted size; what is none is named.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "data/pictures/fit.h"
#include "data/pictures/picture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

// ---- Files in memory ----

struct file {
    unsigned char bytes[1 << 16];
    size_t size;
};

static void put(png_structp png, png_bytep bytes, size_t n) {
    struct file *f = png_get_io_ptr(png);
    assert_true(f->size + n <= sizeof f->bytes);
    memcpy(f->bytes + f->size, bytes, n);
    f->size += n;
}

struct png_case {
    unsigned width, height, depth;
    int type; // PNG_COLOR_TYPE_...
    bool interlaced;
    const unsigned char *rows; // height rows, without gaps
    size_t row_bytes;
    const png_color *palette;
    int colours;
    const unsigned char *alphas; // tRNS of the palette
    int alpha_count;
    const png_color_16 *key; // tRNS of others
};

static void make_png(const struct png_case *c, struct file *f) {
    f->size = 0;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    assert_false(setjmp(png_jmpbuf(png)));
    png_set_write_fn(png, f, put, NULL);
    png_set_IHDR(png, info, c->width, c->height, (int)c->depth, c->type,
                 c->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (c->palette) png_set_PLTE(png, info, c->palette, c->colours);
    if (c->alphas || c->key) png_set_tRNS(png, info, c->alphas, c->alpha_count, c->key);
    png_write_info(png, info);
    const int passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++)
        for (unsigned y = 0; y < c->height; y++) png_write_row(png, c->rows + y * c->row_bytes);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
}

static struct shk_picture decoded(const struct file *f, uint8_t background) {
    struct shk_picture p, look;
    struct shk_error err;
    if (!shk_picture_decode(f->bytes, f->size, "a picture", background, &p, &err)) fail_msg("%s", err.text);
    assert_true(shk_picture_look(f->bytes, f->size, "a picture", &look, &err));
    assert_true(look.height == p.height && look.width == p.width && look.channels == p.channels && !look.pixels);
    return p;
}

static void check(const struct file *f, uint8_t background, size_t channels, const unsigned char *want, size_t n) {
    struct shk_picture p = decoded(f, background);
    assert_int_equal(p.channels, channels);
    assert_int_equal(p.height * p.width * channels, n);
    assert_memory_equal(p.pixels, want, n);
    shk_picture_free(&p);
}

// ---- PNG ----

static void test_png_depths(void **state) {
    (void)state;
    static const unsigned char one[] = {0xa0}, two[] = {0x1b}, four[] = {0x0f, 0x80}, eight[] = {0, 1, 128, 255},
                               wide[] = {0, 0, 0, 255, 1, 0, 0x80, 0, 0xff, 0xff};
    struct file f;
    make_png(&(struct png_case){4, 1, 1, PNG_COLOR_TYPE_GRAY, .rows = one, .row_bytes = 1}, &f);
    check(&f, 255, 1, (const unsigned char[]){255, 0, 255, 0}, 4);
    make_png(&(struct png_case){4, 1, 2, PNG_COLOR_TYPE_GRAY, .rows = two, .row_bytes = 1}, &f);
    check(&f, 255, 1, (const unsigned char[]){0, 85, 170, 255}, 4);
    make_png(&(struct png_case){3, 1, 4, PNG_COLOR_TYPE_GRAY, .rows = four, .row_bytes = 2}, &f);
    check(&f, 255, 1, (const unsigned char[]){0, 255, 136}, 3);
    make_png(&(struct png_case){4, 1, 8, PNG_COLOR_TYPE_GRAY, .rows = eight, .row_bytes = 4}, &f);
    check(&f, 255, 1, eight, 4);
    make_png(&(struct png_case){5, 1, 16, PNG_COLOR_TYPE_GRAY, .rows = wide, .row_bytes = 10}, &f);
    check(&f, 255, 1, (const unsigned char[]){0, 1, 1, 128, 255}, 5); // v / 257, rounded: 255 is 0.99, 256 is 0.996
    static const unsigned char colours[] = {0, 0, 1, 0, 0x10, 0x10, 0x4e, 0x20, 0x9c, 0x40, 0xff, 0xff};
    make_png(&(struct png_case){2, 1, 16, PNG_COLOR_TYPE_RGB, .rows = colours, .row_bytes = 12}, &f);
    check(&f, 255, 3, (const unsigned char[]){0, 1, 16, 78, 156, 255}, 6);
}

// Over white and over black; colours that nobody sees are not seen.
static void test_png_alpha(void **state) {
    (void)state;
    static const unsigned char grey[] = {10, 255, 100, 128, 200, 0}, rgba[] = {250, 20, 20, 0, 20, 20, 250, 255},
                               keyed[] = {0, 80, 160, 240}, indices[] = {0, 1, 2}, alphas[] = {255, 128, 0};
    static const png_color palette[] = {{255, 0, 0}, {0, 255, 0}, {0, 0, 255}};
    static const png_color_16 key = {.gray = 160};
    struct file f;
    make_png(&(struct png_case){3, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, .rows = grey, .row_bytes = 6}, &f);
    check(&f, 255, 1, (const unsigned char[]){10, 177, 255}, 3);
    check(&f, 0, 1, (const unsigned char[]){10, 50, 0}, 3);
    make_png(&(struct png_case){2, 1, 8, PNG_COLOR_TYPE_RGBA, .rows = rgba, .row_bytes = 8}, &f);
    check(&f, 255, 3, (const unsigned char[]){255, 255, 255, 20, 20, 250}, 6);
    make_png(&(struct png_case){4, 1, 8, PNG_COLOR_TYPE_GRAY, .rows = keyed, .row_bytes = 4, .key = &key}, &f);
    check(&f, 255, 1, (const unsigned char[]){0, 80, 255, 240}, 4);
    make_png(&(struct png_case){3, 1, 8, PNG_COLOR_TYPE_PALETTE, .rows = indices, .row_bytes = 3, .palette = palette,
                                .colours = 3, .alphas = alphas, .alpha_count = 3},
             &f);
    check(&f, 255, 3, (const unsigned char[]){255, 0, 0, 127, 255, 127, 255, 255, 255}, 9);
    check(&f, 0, 3, (const unsigned char[]){255, 0, 0, 0, 128, 0, 0, 0, 0}, 9);
}

static void test_png_interlaced(void **state) {
    (void)state;
    enum { W = 13, H = 11 };
    unsigned char rows[H * W * 3];
    struct file f;
    for (size_t i = 0; i < sizeof rows; i++) rows[i] = (unsigned char)(i * 37);
    make_png(&(struct png_case){W, H, 8, PNG_COLOR_TYPE_RGB, .interlaced = true, .rows = rows, .row_bytes = W * 3}, &f);
    check(&f, 255, 3, rows, sizeof rows);
    // Cut anywhere it is refused, in a sentence with its name.
    for (size_t size = 0; size < f.size; size += 7) {
        struct shk_picture p;
        struct shk_error err = {0};
        if (f.size - size <= 12) break; // the last chunk is empty
        assert_false(shk_picture_decode(f.bytes, size, "cut.png", 255, &p, &err));
        assert_int_equal(err.code, SHK_BAD_INPUT);
        assert_non_null(strstr(err.text, "cut.png"));
    }
}

// Puts EXIF with an orientation before the chunk that begins at `at`.
static void insert_exif(struct file *f, size_t at, unsigned orientation, bool damaged) {
    unsigned char chunk[] = "\0\0\0\32eXIfII*\0\10\0\0\0\1\0\22\1\3\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    enum { DATA = 26, SIZE = 4 + 4 + DATA + 4 };
    chunk[8 + 18] = (unsigned char)orientation;
    const unsigned long sum = crc32(0, chunk + 4, 4 + DATA) + damaged;
    for (unsigned i = 0; i < 4; i++) chunk[8 + DATA + i] = (unsigned char)(sum >> (24 - 8 * i));
    assert_true(f->size + SIZE <= sizeof f->bytes);
    memmove(f->bytes + at + SIZE, f->bytes + at, f->size - at);
    memcpy(f->bytes + at, chunk, SIZE);
    f->size += SIZE;
}

// EXIF counts before the pixels and behind them, where the header alone is looked at, too; a damaged one does not.
static void test_png_orientations(void **state) {
    (void)state;
    static const unsigned char row[3] = {10, 20, 30};
    enum { HEADER_END = 8 + 25, LAST_CHUNK = 12 };
    for (int behind = 0; behind < 2; behind++) {
        for (int damaged = 0; damaged < 2; damaged++) {
            struct file f;
            struct shk_picture seen;
            struct shk_error err = {0};
            make_png(&(struct png_case){3, 1, 8, PNG_COLOR_TYPE_GRAY, .rows = row, .row_bytes = 3}, &f);
            insert_exif(&f, behind ? f.size - LAST_CHUNK : HEADER_END, 6, damaged);
            struct shk_picture p = decoded(&f, 255);
            assert_int_equal(p.height, damaged ? 1 : 3);
            assert_int_equal(p.width, damaged ? 3 : 1);
            assert_memory_equal(p.pixels, row, sizeof row);
            shk_picture_free(&p);
            assert_true(shk_picture_look(f.bytes, f.size, "late", &seen, &err));
            assert_int_equal(seen.height, damaged ? 1 : 3);
        }
    }
}

// ---- JPEG ----

// A picture of blocks of 8 x 8; orientation 0: no EXIF.
static void make_jpeg(struct file *f, unsigned width, unsigned height, int components, J_COLOR_SPACE space,
                      const unsigned char *pixels, unsigned orientation, bool progressive) {
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr errors;
    unsigned char *out = NULL;
    unsigned long size = 0;
    j.err = jpeg_std_error(&errors);
    jpeg_create_compress(&j);
    jpeg_mem_dest(&j, &out, &size);
    j.image_width = width;
    j.image_height = height;
    j.input_components = components;
    j.in_color_space = space;
    jpeg_set_defaults(&j);
    jpeg_set_quality(&j, 100, TRUE);
    for (int i = 0; i < j.num_components; i++) j.comp_info[i].h_samp_factor = j.comp_info[i].v_samp_factor = 1;
    if (progressive) jpeg_simple_progression(&j);
    jpeg_start_compress(&j, TRUE);
    if (orientation) {
        unsigned char exif[] = "Exif\0\0II*\0\10\0\0\0\1\0\22\1\3\0\1\0\0\0\0\0\0\0\0\0\0\0";
        exif[24] = (unsigned char)orientation;
        jpeg_write_marker(&j, JPEG_APP0 + 1, exif, sizeof exif - 1);
    }
    for (unsigned y = 0; y < height; y++) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (size_t)y * width * (unsigned)components);
        jpeg_write_scanlines(&j, &row, 1);
    }
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    assert_true(size <= sizeof f->bytes);
    memcpy(f->bytes, out, size);
    f->size = size;
    free(out);
}

static bool near(unsigned a, unsigned b) { return a + 3 >= b && b + 3 >= a; }

// Where the first, last-of-row and last-row blocks are, seen upright.
static void test_jpeg_orientations(void **state) {
    (void)state;
    enum { W = 24, H = 16 };
    unsigned char pixels[H * W];
    for (unsigned y = 0; y < H; y++)
        for (unsigned x = 0; x < W; x++) pixels[y * W + x] = (unsigned char)(40 + 30 * (x / 8) + 100 * (y / 8));
    // Blocks of the file: 40 70 100 / 140 170 200. The upright corners: top left, top right, bottom left, bottom right.
    static const unsigned char corners[9][4] = {{40, 100, 140, 200}, {40, 100, 140, 200}, {100, 40, 200, 140},
                                                {200, 140, 100, 40}, {140, 200, 40, 100}, {40, 140, 100, 200},
                                                {140, 40, 200, 100}, {200, 100, 140, 40}, {100, 200, 40, 140}};
    for (unsigned o = 0; o <= 8; o++) {
        struct file f;
        make_jpeg(&f, W, H, 1, JCS_GRAYSCALE, pixels, o, o % 2);
        struct shk_picture p = decoded(&f, 255);
        assert_int_equal(p.height, o >= 5 ? W : H);
        assert_int_equal(p.width, o >= 5 ? H : W);
        const size_t last = (p.height - 1) * p.width;
        const size_t at[4] = {0, p.width - 1, last, last + p.width - 1};
        for (int i = 0; i < 4; i++)
            if (!near(p.pixels[at[i]], corners[o][i]))
                fail_msg("orientation %u, corner %d: %u, not %u", o, i, p.pixels[at[i]], corners[o][i]);
        shk_picture_free(&p);
    }
}

static void test_jpeg_colours(void **state) {
    (void)state;
    unsigned char rgb[8 * 8 * 3], cmyk[8 * 8 * 4];
    struct file f;
    for (int i = 0; i < 64; i++) {
        memcpy(rgb + 3 * i, (const unsigned char[]){200, 30, 90}, 3);
        memcpy(cmyk + 4 * i, (const unsigned char[]){255, 128, 255, 255},
               4); // inverted, as Adobe's are: magenta of a half
    }
    make_jpeg(&f, 8, 8, 3, JCS_RGB, rgb, 0, false);
    struct shk_picture p = decoded(&f, 255);
    assert_int_equal(p.channels, 3);
    for (int c = 0; c < 3; c++) assert_true(near(p.pixels[c], rgb[c]));
    shk_picture_free(&p);
    make_jpeg(&f, 8, 8, 4, JCS_CMYK, cmyk, 0, false);
    p = decoded(&f, 255);
    assert_int_equal(p.channels, 3);
    assert_true(near(p.pixels[0], 255) && near(p.pixels[1], 128) && near(p.pixels[2], 255));
    shk_picture_free(&p);
}

// ---- What is no picture, or too large a one ----

static void refuses(const void *bytes, size_t size, const char *says) {
    struct shk_picture p;
    struct shk_error err = {0};
    assert_false(shk_picture_decode(bytes, size, "dir/x.jpg", 255, &p, &err));
    if (err.code != SHK_BAD_INPUT || !strstr(err.text, "dir/x.jpg") || !strstr(err.text, says))
        fail_msg("not '%s': %s", says, err.text);
}

static void test_refused(void **state) {
    (void)state;
    refuses("", 0, "empty");
    refuses("GIF89a......", 12, "GIF");
    refuses("BM..........", 12, "BMP");
    refuses("RIFF....WEBP", 12, "WebP");
    refuses("\x1f\x8b..........", 12, "gzip");
    refuses("<html>", 6, "HTML");
    refuses("words", 5, "no picture that is known");
    // 60,000 x 60,000 pixels in the header of a small file: 8 bits, grey; its checksum is right.
    static const unsigned char huge[] = "\x89PNG\r\n\x1a\n\0\0\0\15IHDR\0\0\xea\x60\0\0\xea\x60\10\0\0\0\0\0\0\0\0"
                                        "\0\0\0\1IDATx\0\0\0\0";
    unsigned char bytes[sizeof huge];
    memcpy(bytes, huge, sizeof huge);
    const uint32_t crc = (uint32_t)crc32(0, bytes + 12, 17);
    for (int i = 0; i < 4; i++) bytes[29 + i] = (unsigned char)(crc >> (24 - 8 * i));
    refuses(bytes, sizeof bytes - 1, "60000 x 60000 pixels");
}

// ---- Sizes ----

static void fit(const struct shk_picture *p, enum shk_fit how, size_t height, size_t width, size_t channels,
                uint8_t *to) {
    struct shk_error err;
    const struct shk_fitting f = {how, height, width, channels, 255};
    if (!shk_picture_fit(p, &f, to, &err)) fail_msg("%s", err.text);
}

// Stripes of single pixels are grey from afar.
static void test_area(void **state) {
    (void)state;
    enum { SIDE = 64 };
    uint8_t pixels[SIDE * SIDE], to[32 * 32];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = i % 2 ? 255 : 0;
    fit(&(struct shk_picture){SIDE, SIDE, 1, pixels}, SHK_FIT_STRETCH, 32, 32, 1, to);
    for (size_t i = 0; i < sizeof to; i++) assert_true(to[i] == 127 || to[i] == 128);
}

// Three blocks side by side: stretched all are there, cropped the middle one, letterboxed all of them with bars.
static void test_fits(void **state) {
    (void)state;
    enum { W = 96, H = 32 };
    uint8_t pixels[H * W], to[32 * 32];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(50 + 100 * (i % W / 32));
    const struct shk_picture p = {H, W, 1, pixels};
    fit(&p, SHK_FIT_STRETCH, 32, 32, 1, to);
    assert_true(to[16 * 32 + 5] == 50 && to[16 * 32 + 16] == 150 && to[16 * 32 + 27] == 250);
    fit(&p, SHK_FIT_CROP, 32, 32, 1, to);
    assert_true(to[16 * 32 + 5] == 150 && to[16 * 32 + 16] == 150 && to[16 * 32 + 27] == 150);
    fit(&p, SHK_FIT_LETTERBOX, 32, 32, 1, to);
    assert_true(to[16 * 32 + 5] == 50 && to[16 * 32 + 16] == 150 && to[16 * 32 + 27] == 250);
    size_t bars = 0;
    for (size_t y = 0; y < 32; y++) bars += to[y * 32 + 16] == 255;
    assert_true(bars == 21 || bars == 22);
}

// What has the size stays as it is; grey is copied to three channels, and they become its luma.
static void test_channels(void **state) {
    (void)state;
    uint8_t grey[64], rgb[64 * 3], to[64 * 3];
    for (size_t i = 0; i < 64; i++) grey[i] = (uint8_t)(i * 4);
    fit(&(struct shk_picture){8, 8, 1, grey}, SHK_FIT_CROP, 8, 8, 1, to);
    assert_memory_equal(to, grey, 64);
    fit(&(struct shk_picture){8, 8, 1, grey}, SHK_FIT_STRETCH, 8, 8, 3, to);
    for (size_t i = 0; i < 64; i++)
        assert_true(to[3 * i] == grey[i] && to[3 * i + 1] == grey[i] && to[3 * i + 2] == grey[i]);
    for (size_t i = 0; i < 64; i++) memcpy(rgb + 3 * i, (const uint8_t[]){255, 0, 0}, 3);
    fit(&(struct shk_picture){8, 8, 3, rgb}, SHK_FIT_STRETCH, 8, 8, 1, to);
    for (size_t i = 0; i < 64; i++) assert_int_equal(to[i], 76); // 0.299 * 255
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png_depths),     cmocka_unit_test(test_png_alpha),
        cmocka_unit_test(test_png_interlaced), cmocka_unit_test(test_jpeg_orientations),
        cmocka_unit_test(test_jpeg_colours),   cmocka_unit_test(test_png_orientations),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_area),
        cmocka_unit_test(test_fits),           cmocka_unit_test(test_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
