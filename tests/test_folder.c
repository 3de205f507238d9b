// SPDX-License-Identifier: MIT
// A folder of pictures becomes train, val and test: classes, order, what is left out and said, bad files, splits, sizes.
#include "open_data.h"

#include <png.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

// A picture of one value, grey or RGB.
static void put_picture(const char *path, unsigned height, unsigned width, unsigned char value, bool rgb) {
    static unsigned char pixels[100 * 100 * 3];
    char full[512];
    memset(pixels, value, sizeof pixels);
    tree_write(path, "");
    snprintf(full, sizeof full, "%s%s", tree, path);
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = width,
                       .height = height,
                       .format = rgb ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY};
    assert_int_equal(png_image_write_to_file(&image, full, 0, pixels, 0, NULL), 1);
}

static void put(const char *path, unsigned char value) { put_picture(path, 8, 8, value, false); }

static void link_to(const char *target, const char *path) {
    char full[512];
    snprintf(full, sizeof full, "%s%s", tree, path);
    assert_int_equal(symlink(target, full), 0);
}

// "10:cat 20:dog " of a part.
static void check_part(const struct shk_data *d, enum shk_part part, const char *want) {
    const struct shk_dataset *set = shk_data_part(d, part);
    char text[1000] = "";
    for (size_t i = 0; set && i < shk_dataset_size(set); i++) {
        float pixels[100 * 100 * 3];
        shk_dataset_pixels(set, i, pixels);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%.0f:%s ", (double)(pixels[0] * 255),
                 shk_dataset_class(set, shk_dataset_label(set, i)));
    }
    assert_string_equal(text, want);
}

static void test_order(void **state) {
    (void)state;
    tree_clear();
    put("/d/train/b/2.png", 22);
    put("/d/train/b/10.png", 21);
    put("/d/train/a/z.png", 12);
    put("/d/train/a/deeper/y.png", 11);
    put("/d/validation/a/1.png", 13);
    put("/d/test/b/1.png", 23);
    struct shk_data *d = opened("/d", NULL, NULL, "folder");
    check_part(d, SHK_PART_TRAIN, "11:a 12:a 21:b 22:b "); // by class, then by the bytes of the names
    check_part(d, SHK_PART_VAL, "13:a ");
    check_part(d, SHK_PART_TEST, "23:b ");
    assert_true(noted("class 'b' has no picture in val") && noted("class 'a' has no picture in test"));
    shk_data_free(d);
}

static void test_numbers(void **state) {
    (void)state;
    tree_clear();
    char path[64], want[200] = "";
    for (int c = 0; c < 12; c++)
        for (int i = 0; i < 2; i++) {
            snprintf(path, sizeof path, "/d/%s/%d/%d.png", i ? "test" : "train", c, i);
            put(path, (unsigned char)(10 * c));
        }
    for (int c = 0; c < 12; c++) snprintf(want + strlen(want), sizeof want - strlen(want), "%d:%d ", 10 * c, c);
    struct shk_data *d = opened("/d", NULL, NULL, "folder");
    check_part(d, SHK_PART_TRAIN, want);
    check_part(d, SHK_PART_TEST, want);
    shk_data_free(d);
}

// Hidden names, files beside the classes, and loops of links are no samples and no classes; they are counted.
static void test_left_out(void **state) {
    (void)state;
    tree_clear();
    put("/d/train/cat/0.png", 1);
    put("/d/train/dog/0.png", 2);
    put("/d/test/dog/0.png", 3);
    put("/d/train/cat/.hidden.png", 9);
    put("/d/train/.git/0.png", 9);
    put("/d/train/__MACOSX/cat/0.png", 9);
    tree_write("/d/train/cat/Thumbs.db", "x");
    tree_write("/d/train/dog/desktop.ini", "x");
    tree_write("/d/train/labels.txt", "x");
    link_to("..", "/d/train/cat/up");
    link_to("../dog/0.png", "/d/train/cat/linked.png");
    struct shk_data *d = opened("/d", NULL, NULL, "folder");
    check_part(d, SHK_PART_TRAIN, "1:cat 2:cat 2:dog ");
    assert_true(noted("5 hidden files are left out"));
    assert_true(noted("1 file beside the classes' folders is left out"));
    assert_true(noted("1 link that leads back to a folder above is left out"));
    shk_data_free(d);
}

// Links to pictures and to folders of them are followed, and count where they lie; one that leads to nothing is a bad file.
static void test_links(void **state) {
    (void)state;
    tree_clear();
    put("/d/store/others/0.png", 1);
    put("/d/store/others/1.png", 2);
    put("/d/train/normal/0.png", 3);
    put("/d/train/normal/deep/er/1.png", 4);
    put("/d/train/abnormal/2.png", 5);
    put("/d/test/normal/0.png", 6);
    link_to("../../store/others/0.png", "/d/train/abnormal/0.png");
    link_to("../store/others", "/d/train/linked");
    link_to("..", "/d/train/normal/loop");
    link_to("nowhere.png", "/d/train/normal/gone.png");
    refuses("/d", "1 of 8 pictures cannot be read", "normal/gone.png cannot be read: No such file");
    skip_bad = true;
    struct shk_data *d = opened("/d", NULL, NULL, "folder");
    skip_bad = false;
    check_part(d, SHK_PART_TRAIN, "1:abnormal 5:abnormal 1:linked 2:linked 3:normal 4:normal ");
    shk_data_free(d);
}

static void test_classes(void **state) {
    (void)state;
    tree_clear();
    put("/one/cat/0.png", 1);
    refuses("/one", "/one holds 1 folder, but wanted is a folder for each class", "");
    put("/more/train/cat/0.png", 1);
    put("/more/train/dog/0.png", 1);
    put("/more/val/cow/0.png", 1);
    refuses("/more", "/more/val has a class 'cow', which training has not", "");
    char path[512];
    snprintf(path, sizeof path, "%s/none/a", tree);
    tree_write("/none/a/.x", "");
    tree_write("/none/b/.x", "");
    refuses("/none", "/none: there is no picture in it", "");
    put("/odd/caf\xe9/0.png", 1);
    put("/odd/b/0.png", 1);
    refuses("/odd", "is not UTF-8", "");
}

// All bad files are named; without them it goes on where that is wanted.
static void test_bad(void **state) {
    (void)state;
    tree_clear();
    for (int i = 0; i < 4; i++) {
        char path[64];
        snprintf(path, sizeof path, "/d/train/%s/%d.png", i % 2 ? "a" : "b", i);
        put(path, (unsigned char)i);
    }
    put("/d/test/a/0.png", 1);
    tree_write("/d/train/a/words.png", "words");
    tree_write("/d/train/a/empty.jpg", "");
    tree_write_bytes("/d/train/b/cut.png", "\x89PNG\r\n\x1a\n\0\0\0\15IHDR", 16);
    refuses("/d", "3 of 8 pictures cannot be read", "--skip-bad");
    assert_true(noted("words.png: this is no picture") && noted("empty.jpg: this file is empty") && noted("cut.png: "));
    skip_bad = true;
    struct shk_data *d = opened("/d", NULL, NULL, "folder");
    skip_bad = false;
    check_part(d, SHK_PART_TRAIN, "1:a 3:a 0:b 2:b ");
    assert_true(noted("3 of 8 pictures cannot be read and are left out"));
    shk_data_free(d);
    tree_clear();
    tree_write("/all/a/x", "x");
    tree_write("/all/b/x", "x");
    skip_bad = true;
    refuses("/all", "none of 2 pictures can be read", "");
    skip_bad = false;
}

// ---- Splits ----

static void put_many(void) {
    tree_clear();
    for (int i = 0; i < 60; i++) {
        char path[64];
        snprintf(path, sizeof path, "/d/%s/%d.png", i < 40 ? "a" : "b", i);
        put(path, (unsigned char)(4 * i));
    }
}

static struct shk_data *split(double part, uint64_t seed) {
    char path[512];
    struct shk_error err;
    snprintf(path, sizeof path, "%s/d", tree);
    const struct shk_data_options o = {
        .spec = path, .split = part, .seed = seed, .normalise = SHK_NORMALISE_NONE, .on_note = note};
    notes[0] = 0;
    struct shk_data *d = shk_data_open(&o, NULL, &err);
    if (!d) fail_msg("%s", err.text);
    return d;
}

static size_t of_class(const struct shk_dataset *d, uint32_t label) {
    size_t n = 0;
    for (size_t i = 0; i < shk_dataset_size(d); i++) n += shk_dataset_label(d, i) == label;
    return n;
}

// The same part of each class, a function of seed and names alone.
static void test_split(void **state) {
    (void)state;
    put_many();
    struct shk_data *d = split(0, 1), *same = split(0.1, 1), *other = split(0.1, 2), *half = split(0.5, 1);
    const struct shk_dataset *val = shk_data_part(d, SHK_PART_VAL);
    assert_true(of_class(val, 0) == 4 && of_class(val, 1) == 2 &&
                shk_dataset_size(shk_data_part(d, SHK_PART_TRAIN)) == 54);
    assert_true(shk_dataset_hash(val) == shk_dataset_hash(shk_data_part(same, SHK_PART_VAL)));
    assert_true(shk_dataset_hash(val) != shk_dataset_hash(shk_data_part(other, SHK_PART_VAL)));
    assert_true(of_class(shk_data_part(half, SHK_PART_VAL), 0) == 20 &&
                of_class(shk_data_part(half, SHK_PART_VAL), 1) == 10);
    shk_data_free(other);
    shk_data_free(half);
    // A picture more changes at most which one is at the edge: who was far from it stays where it was.
    put("/d/a/more.png", 255);
    struct shk_data *more = split(0.1, 1);
    size_t stay = 0;
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < shk_dataset_size(shk_data_part(more, SHK_PART_VAL)); j++) {
            float a[64], b[64];
            shk_dataset_pixels(val, i, a);
            shk_dataset_pixels(shk_data_part(more, SHK_PART_VAL), j, b);
            stay += a[0] == b[0];
        }
    assert_true(stay >= 5);
    shk_data_free(d);
    shk_data_free(same);
    shk_data_free(more);
    put("/d/val/a/0.png", 0);
}

// What the first picture lets one guess is mended by the others, whichever comes when.
static void test_wrong_guesses(void **state) {
    (void)state;
    tree_clear();
    for (int i = 0; i < 40; i++) {
        char path[64];
        snprintf(path, sizeof path, "/d/%c/%d.png", i % 2 ? 'a' : 'b', i);
        put_picture(path, 12, 12, 7, i == 21);
    }
    struct shk_data *d = opened("/d", NULL, NULL, "folder");
    struct shk_shape s = shk_dataset_shape(shk_data_part(d, SHK_PART_TRAIN));
    assert_true(s.height == 12 && s.width == 12 && s.channels == 3);
    shk_data_free(d);
    put_picture("/d/b/99.png", 40, 12, 7, false);
    d = opened("/d", NULL, NULL, "folder");
    s = shk_dataset_shape(shk_data_part(d, SHK_PART_TRAIN));
    assert_true(s.height == 32 && s.width == 32 && s.channels == 3 && noted("of several sizes"));
    shk_data_free(d);
    // One whose header alone is right says nothing about the others.
    char full[512];
    snprintf(full, sizeof full, "%s/d/b/99.png", tree);
    assert_int_equal(truncate(full, 60), 0);
    skip_bad = true;
    d = opened("/d", NULL, NULL, "folder");
    s = shk_dataset_shape(shk_data_part(d, SHK_PART_TRAIN));
    assert_true(s.height == 12 && s.width == 12 && s.channels == 3 && !noted("of several sizes"));
    shk_data_free(d);
    skip_bad = false;
}

// Models take no fewer than 8 pixels: such pictures are brought to 32, whether all of them are so small or the first one alone.
static void test_tiny(void **state) {
    (void)state;
    tree_clear();
    for (int more = 0; more < 2; more++) {
        put_picture("/d/a/0.png", 5, 9, 10, false);
        put_picture("/d/b/0.png", more ? 12 : 5, 9, 20, false);
        put_picture("/d/a/1.png", 5, 9, 30, false);
        put_picture("/d/b/1.png", 5, 9, 40, false);
        struct shk_data *d = opened("/d", NULL, NULL, "folder");
        const struct shk_shape s = shk_dataset_shape(shk_data_part(d, SHK_PART_TRAIN));
        assert_true(s.height == 32 && s.width == 32 && noted(more ? "of several sizes" : "of 5x9 pixels"));
        shk_data_free(d);
    }
}

// ---- Sizes, channels, normalisation ----

static struct shk_shape shape_of(const struct shk_data *d) {
    return shk_dataset_shape(shk_data_part(d, SHK_PART_TRAIN));
}

static void test_sizes(void **state) {
    (void)state;
    tree_clear();
    put_picture("/d/a/0.png", 20, 12, 10, false);
    put_picture("/d/a/1.png", 20, 12, 20, false);
    put_picture("/d/b/0.png", 20, 12, 30, false);
    struct shk_data *d = opened("/d", NULL, NULL, "folder");
    assert_true(shape_of(d).height == 20 && shape_of(d).width == 12 && shape_of(d).channels == 1); // their own
    shk_data_free(d);
    put_picture("/d/b/1.png", 20, 13, 40, true);
    d = opened("/d", NULL, NULL, "folder");
    assert_true(shape_of(d).height == 32 && shape_of(d).width == 32 && shape_of(d).channels == 3);
    assert_true(noted("pictures of several sizes are stretched to 32x32"));
    shk_data_free(d);
}

// Pixels are (x - mean) / deviation of training, and the model keeps both.
static void test_normalised(void **state) {
    (void)state;
    tree_clear();
    put("/d/train/a/0.png", 0);
    put("/d/train/b/0.png", 255);
    put("/d/test/a/0.png", 51);
    char path[512];
    struct shk_error err;
    snprintf(path, sizeof path, "%s/d", tree);
    struct shk_data *d = shk_data_open(&(struct shk_data_options){.spec = path}, NULL, &err);
    if (!d) fail_msg("%s", err.text);
    const struct shk_preprocessing p = shk_dataset_preprocessing(shk_data_part(d, SHK_PART_TEST));
    assert_true(p.normalised && p.mean[0] == 0.5f && p.deviation[0] == 0.5f);
    float pixels[64];
    shk_dataset_pixels(shk_data_part(d, SHK_PART_TEST), 0, pixels);
    assert_true(pixels[0] == (51.0f / 255.0f - 0.5f) / 0.5f);
    shk_data_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),         cmocka_unit_test(test_numbers), cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_links),         cmocka_unit_test(test_classes), cmocka_unit_test(test_bad),
        cmocka_unit_test(test_split),         cmocka_unit_test(test_sizes),   cmocka_unit_test(test_normalised),
        cmocka_unit_test(test_wrong_guesses), cmocka_unit_test(test_tiny),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
