// SPDX-License-Identifier: MIT
// What stands out in data is found: equal pixels in whatever file, pictures that were encoded again, images of one value; and what
// is different is not taken for the same.
#include "open_data.h"

#include <jpeglib.h>
#include <png.h>
#include <stdlib.h>
#include <unistd.h>

enum { SIDE = 24, PIXELS = SIDE * SIDE, GRID = 5 };

// ---- Pictures ----

static unsigned next(unsigned *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 24;
}

// Smooth light and shade: values at the points of a grid, linear between them.
static void paint(unsigned seed, unsigned char pixels[PIXELS]) {
    unsigned state = seed * 2654435761u + 1, grid[GRID][GRID];
    for (int i = 0; i < GRID * GRID; i++) grid[i / GRID][i % GRID] = next(&state);
    for (unsigned y = 0; y < SIDE; y++)
        for (unsigned x = 0; x < SIDE; x++) {
            const unsigned step = SIDE / (GRID - 1), i = y / step, j = x / step, v = y % step, u = x % step;
            const unsigned top = grid[i][j] * (step - u) + grid[i][j + 1] * u;
            const unsigned bottom = grid[i + 1][j] * (step - u) + grid[i + 1][j + 1] * u;
            pixels[y * SIDE + x] = (unsigned char)((top * (step - v) + bottom * v) / step / step);
        }
}

static const char *full(const char *path) {
    static char text[512];
    tree_write(path, ""); // makes its folders
    snprintf(text, sizeof text, "%s%s", tree, path);
    return text;
}

static void put_pixels(const char *path, const unsigned char *pixels) {
    png_image image = {.version = PNG_IMAGE_VERSION, .width = SIDE, .height = SIDE, .format = PNG_FORMAT_GRAY};
    assert_int_equal(png_image_write_to_file(&image, full(path), 0, pixels, 0, NULL), 1);
}

static void put_png(const char *path, unsigned seed) {
    unsigned char pixels[PIXELS];
    paint(seed, pixels);
    put_pixels(path, pixels);
}

// The same pixels, by a palette that counts backwards.
static void put_palette(const char *path, unsigned seed) {
    unsigned char pixels[PIXELS], palette[256][3];
    paint(seed, pixels);
    for (int i = 0; i < PIXELS; i++) pixels[i] = (unsigned char)(255 - pixels[i]);
    for (int i = 0; i < 256; i++) memset(palette[i], 255 - i, 3);
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = SIDE,
                       .height = SIDE,
                       .format = PNG_FORMAT_RGB_COLORMAP,
                       .colormap_entries = 256};
    assert_int_equal(png_image_write_to_file(&image, full(path), 0, pixels, 0, palette), 1);
}

static void put_jpeg(const char *path, unsigned seed, int quality) {
    unsigned char pixels[PIXELS];
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr errors;
    FILE *file = fopen(full(path), "wb");
    assert_non_null(file);
    paint(seed, pixels);
    j.err = jpeg_std_error(&errors);
    jpeg_create_compress(&j);
    jpeg_stdio_dest(&j, file);
    j.image_width = j.image_height = SIDE;
    j.input_components = 1;
    j.in_color_space = JCS_GRAYSCALE;
    jpeg_set_defaults(&j);
    jpeg_set_quality(&j, quality, TRUE);
    jpeg_start_compress(&j, TRUE);
    for (int y = 0; y < SIDE; y++) {
        JSAMPROW row = pixels + y * SIDE;
        jpeg_write_scanlines(&j, &row, 1);
    }
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    assert_int_equal(fclose(file), 0);
}

// ---- What is found ----

static void add_name(char *text, size_t size, const struct shk_data *d, struct shk_sample s) {
    static const char *const parts[] = {"train", "val", "test"};
    const char *name = shk_data_sample(d, s.part, s.index);
    const size_t used = strlen(text);
    if (name)
        snprintf(text + used, size - used, "%s/%s", parts[s.part], name);
    else
        snprintf(text + used, size - used, "%s/%zu", parts[s.part], s.index);
}

// "val/a/x.png = train/a/0.png, ...; constant: train/b/1.png "
static void check_found(const struct shk_data *d, const char *want) {
    struct shk_error err;
    struct shk_runtime *two = shk_runtime_create(&(struct shk_runtime_options){.threads = 2, .pin = "none"}, &err);
    assert_non_null(two);
    for (int threads = 0; threads < 2; threads++) {
        char text[2000] = "";
        struct shk_findings *f = shk_data_findings(d, threads ? two : NULL, &err);
        assert_non_null(f);
        for (size_t i = 0; i < f->sames; i++) {
            add_name(text, sizeof text, d, f->same[i].sample);
            strcat(text, f->same[i].equal ? " = " : " ~ ");
            add_name(text, sizeof text, d, f->same[i].first);
            strcat(text, "\n");
        }
        for (size_t i = 0; i < f->constants; i++) {
            strcat(text, "constant: ");
            add_name(text, sizeof text, d, f->constant[i]);
            strcat(text, "\n");
        }
        assert_string_equal(text, want);
        shk_findings_free(f);
    }
    shk_runtime_free(two);
}

// Five pictures of each class in train, and others of the same kind in val.
static void put_ordinary(void) {
    char path[64];
    tree_clear();
    for (unsigned i = 0; i < 20; i++) {
        snprintf(path, sizeof path, "/d/%s/%s/%u.png", i < 10 ? "train" : "val", i % 2 ? "a" : "b", i);
        put_png(path, i);
    }
}

static void test_nothing(void **state) {
    (void)state;
    put_ordinary();
    struct shk_data *d = opened("/d", NULL, NULL, "folder");
    check_found(d, "");
    shk_data_free(d);
}

static void test_equal(void **state) {
    (void)state;
    put_ordinary();
    put_png("/d/val/a/leak.png", 1);
    put_palette("/d/val/b/leak.png", 2);
    put_png("/d/train/b/conflict.png", 3);
    put_png("/d/train/b/deeper/twice.png", 4);
    put_png("/d/test/a/first.png", 15);
    put_png("/d/test/a/second.png", 100);
    put_png("/d/test/b/third.png", 100);
    struct shk_data *d = opened("/d", NULL, NULL, "folder");
    check_found(d, "train/b/conflict.png = train/a/3.png\n"
                   "train/b/deeper/twice.png = train/b/4.png\n"
                   "val/a/leak.png = train/a/1.png\n"
                   "val/b/leak.png = train/b/2.png\n"
                   "test/a/first.png = val/a/15.png\n"
                   "test/b/third.png = test/a/second.png\n");
    assert_int_equal(shk_dataset_label(shk_data_part(d, SHK_PART_TRAIN), 0), 0);
    shk_data_free(d);
}

static void test_alike(void **state) {
    (void)state;
    put_ordinary();
    put_jpeg("/d/test/a/40.jpg", 1, 40);
    put_jpeg("/d/test/a/75.jpg", 3, 75);
    put_jpeg("/d/test/b/95.jpg", 2, 95);
    put_jpeg("/d/val/b/90.jpg", 200, 90);
    put_jpeg("/d/val/b/91.jpg", 200, 60);
    struct shk_data *d = opened("/d", NULL, NULL, "folder");
    check_found(d, "val/b/91.jpg ~ val/b/90.jpg\n"
                   "test/a/40.jpg ~ train/a/1.png\n"
                   "test/a/75.jpg ~ train/a/3.png\n"
                   "test/b/95.jpg ~ train/b/2.png\n");
    shk_data_free(d);
}

// What a file is says its content.
static void test_names(void **state) {
    (void)state;
    put_ordinary();
    put_png("/d/test/a/is_png.jpg", 1);
    put_jpeg("/d/test/b/UPPER.JPEG", 4, 90);
    put_jpeg("/d/test/b/is_jpeg.png", 2, 90);
    struct shk_data *d = opened("/d", NULL, NULL, "folder");
    check_found(d, "test/a/is_png.jpg = train/a/1.png\n"
                   "test/b/UPPER.JPEG ~ train/b/4.png\n"
                   "test/b/is_jpeg.png ~ train/b/2.png\n");
    shk_data_free(d);
}

// Mirrored, shifted, inverted or with a piece of another, a picture is another one.
static void test_different(void **state) {
    (void)state;
    unsigned char from[PIXELS], other[PIXELS], to[4][PIXELS];
    char path[64];
    put_ordinary();
    paint(1, from);
    paint(99, other);
    for (int i = 0; i < PIXELS; i++) {
        const int x = i % SIDE, y = i / SIDE;
        to[0][i] = from[y * SIDE + SIDE - 1 - x];
        to[1][i] = from[y * SIDE + (x + 3) % SIDE];
        to[2][i] = (unsigned char)(255 - from[i]);
        to[3][i] = x < SIDE / 3 && y < SIDE / 3 ? other[i] : from[i];
    }
    for (int k = 0; k < 4; k++) {
        snprintf(path, sizeof path, "/d/test/a/%d.png", k);
        put_pixels(path, to[k]);
    }
    struct shk_data *d = opened("/d", NULL, NULL, "folder");
    check_found(d, "");
    shk_data_free(d);
}

// Those of one value have no picture to be like; equal they can be.
static void test_constant(void **state) {
    (void)state;
    unsigned char pixels[PIXELS];
    put_ordinary();
    for (int i = 0; i < 3; i++) {
        static const char *const paths[] = {"/d/train/a/black.png", "/d/val/b/white.png", "/d/val/b/white2.png"};
        memset(pixels, i ? 255 : 0, sizeof pixels);
        put_pixels(paths[i], pixels);
    }
    struct shk_data *d = opened("/d", NULL, NULL, "folder");
    check_found(d, "val/b/white2.png = val/b/white.png\n"
                   "constant: train/a/black.png\nconstant: val/b/white.png\nconstant: val/b/white2.png\n");
    shk_data_free(d);
}

// Samples without names have numbers; squares of the same place are the same.
static void test_squares(void **state) {
    (void)state;
    struct shk_error err;
    const struct shk_data_options o = {.spec = "squares", .train_samples = 600, .test_samples = 40, .invert = 0};
    struct shk_data *d = shk_data_open(&o, NULL, &err);
    assert_non_null(d);
    assert_null(shk_data_sample(d, SHK_PART_TRAIN, 0));
    struct shk_findings *f = shk_data_findings(d, NULL, &err);
    assert_non_null(f);
    assert_true(f->sames >= 600 + 40 - 225 && f->constants == 0); // 9 cells of 5 x 5 places
    for (size_t i = 0; i < f->sames; i++) {
        const struct shk_sample a = f->same[i].sample, b = f->same[i].first;
        float x[1024], y[1024];
        shk_dataset_pixels(shk_data_part(d, a.part), a.index, x);
        shk_dataset_pixels(shk_data_part(d, b.part), b.index, y);
        assert_true(f->same[i].equal);
        assert_memory_equal(x, y, sizeof x);
    }
    shk_findings_free(f);
    shk_data_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing), cmocka_unit_test(test_equal),     cmocka_unit_test(test_alike),
        cmocka_unit_test(test_names),   cmocka_unit_test(test_different), cmocka_unit_test(test_constant),
        cmocka_unit_test(test_squares),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
