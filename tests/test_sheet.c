// SPDX-License-Identifier: MIT
// A contact sheet has the pixels of the samples where they belong, enlarged, and the names of the classes; letters differ.
#include "open_data.h"

#include "report/canvas.h"
#include "report/sheet.h"
#include <png.h>
#include <stdlib.h>

enum { MARGIN = 8, GAP = 4, SIDE = 8 };

// ---- What was drawn ----

static unsigned char drawn[1 << 20];
static png_image image;

static const char *full(const char *path) {
    static char text[512];
    snprintf(text, sizeof text, "%s%s", tree, path);
    return text;
}

static void read_png(const char *path) {
    image = (png_image){.version = PNG_IMAGE_VERSION};
    assert_int_equal(png_image_begin_read_from_file(&image, full(path)), 1);
    assert_int_equal(image.format, PNG_FORMAT_RGB);
    assert_true(PNG_IMAGE_SIZE(image) <= sizeof drawn);
    assert_int_equal(png_image_finish_read(&image, NULL, drawn, 0, NULL), 1);
}

static const unsigned char *at(size_t y, size_t x) { return drawn + (y * image.width + x) * 3; }

static bool is(size_t y, size_t x, unsigned red, unsigned green, unsigned blue) {
    const unsigned char *p = at(y, x);
    return p[0] == red && p[1] == green && p[2] == blue;
}

// Dots in an area that are neither paper nor of an image.
static size_t dark(size_t top, size_t bottom, size_t left, size_t right) {
    size_t n = 0;
    for (size_t y = top; y < bottom; y++)
        for (size_t x = left; x < right; x++) n += is(y, x, 24, 24, 24);
    return n;
}

// n samples of SIDE x SIDE; pixel k of sample i is (10 i + k) / 255 in channel 0, and 0 in others; classes take turns.
static struct shk_dataset *samples(size_t n, size_t classes, size_t channels, float factor) {
    struct shk_error err;
    const struct shk_shape shape = {SIDE, SIDE, channels, classes};
    float *pixels = calloc(n * SIDE * SIDE * channels, sizeof *pixels);
    uint32_t *labels = calloc(n, sizeof *labels);
    assert_true(pixels && labels);
    for (size_t i = 0; i < n; i++) {
        labels[i] = (uint32_t)(i % classes);
        for (size_t k = 0; k < SIDE * SIDE; k++)
            pixels[(i * SIDE * SIDE + k) * channels] = factor * (float)(10 * i % 100 + k) / 255.0f;
    }
    struct shk_dataset *d = shk_dataset_copy(pixels, labels, n, &shape, &err);
    if (!d) fail_msg("%s", err.text);
    free(pixels);
    free(labels);
    return d;
}

static struct sheet write_sheet(const struct shk_dataset *d, size_t each) {
    struct shk_error err;
    struct sheet s = {.samples = each};
    if (!sheet_write(&s, d, full("/sheet.png"), &err)) fail_msg("%s", err.text);
    read_png("/sheet.png");
    assert_true(image.height == s.height && image.width == s.width);
    return s;
}

// ---- Tests ----

static void check_tile(size_t top, size_t left, size_t sample) {
    for (size_t y = 0; y < 64; y++)
        for (size_t x = 0; x < 64; x++) {
            const unsigned value = (unsigned)(10 * sample + y / 8 * SIDE + x / 8);
            if (!is(top + y, left + x, value, value, value))
                fail_msg("sample %zu, (%zu, %zu): %u, not %u", sample, y, x, at(top + y, left + x)[0], value);
        }
    assert_true(is(top + 64, left, 232, 232, 232) && is(top, left + 64, 232, 232, 232));
}

// Five samples of two classes, two of each at most: a class has three, a class two.
static void test_tiles(void **state) {
    (void)state;
    tree_clear();
    struct shk_dataset *d = samples(5, 2, 1, 1);
    const struct sheet s = write_sheet(d, 2);
    assert_true(s.classes == 2 && !s.scaled && s.height == 2 * MARGIN + 2 * 64 + GAP);
    const size_t left = s.width - MARGIN - 2 * 64 - GAP;
    for (size_t row = 0; row < 2; row++)
        for (size_t k = 0; k < 2; k++) check_tile(MARGIN + row * (64 + GAP), left + k * (64 + GAP), 2 * k + row);
    assert_true(dark(MARGIN, MARGIN + 14, MARGIN, left) > 20); // "0"
    assert_true(dark(MARGIN + 68, MARGIN + 82, MARGIN, left) > 20);
    shk_dataset_free(d);
    d = samples(3, 2, 1, 1); // the second class has one sample alone
    write_sheet(d, 2);
    check_tile(MARGIN + 64 + GAP, left, 1);
    assert_true(is(MARGIN + 64 + GAP, left + 64 + GAP, 232, 232, 232));
    shk_dataset_free(d);
}

static void test_pixels(void **state) {
    (void)state;
    tree_clear();
    struct shk_dataset *d = samples(2, 2, 3, 1);
    struct sheet s = write_sheet(d, 1);
    assert_true(is(MARGIN, s.width - MARGIN - 1, 7, 0, 0)); // the first row's last pixel
    shk_dataset_free(d);
    d = samples(2, 2, 4, 1); // the fourth is not drawn
    s = write_sheet(d, 1);
    assert_true(is(MARGIN, s.width - MARGIN - 1, 7, 0, 0));
    shk_dataset_free(d);
    d = samples(2, 2, 2, 1);
    s = write_sheet(d, 1);
    assert_true(is(MARGIN, s.width - MARGIN - 1, 7, 7, 7));
    shk_dataset_free(d);
    d = samples(2, 2, 1, 255); // 0 to 73
    s = write_sheet(d, 1);
    assert_true(s.scaled && s.least == 0 && s.greatest == 73);
    assert_true(is(MARGIN, s.width - MARGIN - 1, 24, 24, 24)); // 7 of 73
    shk_dataset_free(d);
    d = samples(2, 2, 1, -1);
    s = write_sheet(d, 1);
    assert_true(s.scaled && s.least < 0 && s.greatest == 1);
    shk_dataset_free(d);
}

// Of thousands of classes the first ones are drawn.
static void test_many(void **state) {
    (void)state;
    tree_clear();
    struct shk_dataset *d = samples(5000, 5000, 1, 1);
    struct shk_error err;
    struct sheet s = {.samples = 8};
    assert_true(sheet_write(&s, d, full("/sheet.png"), &err));
    assert_true(s.classes > 100 && s.classes < 5000 && s.height * s.width <= 1 << 24);
    shk_dataset_free(d);
}

static void test_letters(void **state) {
    (void)state;
    for (int a = ' '; a <= '~'; a++)
        for (int b = ' '; b < a; b++) assert_true(memcmp(font_glyph((char)a), font_glyph((char)b), FONT_HEIGHT) != 0);
    for (int a = -128; a < 128; a++) {
        unsigned dots = 0;
        for (int y = 0; y < FONT_HEIGHT; y++) {
            assert_true(font_glyph((char)a)[y] < 32);
            dots += font_glyph((char)a)[y];
        }
        assert_int_equal(dots == 0, a == ' ');
    }
    assert_ptr_equal(font_glyph('\n'), font_glyph('?'));
    assert_int_equal(canvas_letters("a\xc3\xa9\xe5\x9b\x9b"), 3);
}

// What lies beyond the edges is not drawn, and nothing is written there.
static void test_edges(void **state) {
    (void)state;
    struct canvas c;
    struct shk_error err;
    const struct colour white = {255, 255, 255}, red = {255, 0, 0};
    assert_true(canvas_create(&c, 10, 12, white, &err));
    canvas_fill(&c, 8, 9, 100, 100, red);
    canvas_text(&c, 3, 10, "Wide", 3, red);
    canvas_image(&c, 9, 11, (const unsigned char[]){1, 2, 3, 4}, 2, 2, 1, 5);
    size_t reds = 0;
    for (size_t i = 0; i < 120; i++) reds += c.pixels[3 * i] == 255 && c.pixels[3 * i + 1] == 0;
    assert_true(reds >= 5 && c.pixels[0] == 255 && c.pixels[1] == 255);
    canvas_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiles),   cmocka_unit_test(test_pixels), cmocka_unit_test(test_many),
        cmocka_unit_test(test_letters), cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
