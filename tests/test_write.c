// SPDX-License-Identifier: MIT
// Data that are written in any form come back: samples, labels, classes and parts, and weights to the bit; what a form cannot hold
// is refused, and then nothing is left.
#include "open_data.h"

#include <png.h>
#include <shikaku/data.h>
#include <stdlib.h>
#include <unistd.h>

enum { TRAIN = 90, TEST = 30, MOST_PIXELS = 32 * 32 * 3 };

static const char *full(const char *path) {
    static char text[512];
    snprintf(text, sizeof text, "%s%s", tree, path);
    return text;
}

static struct shk_data *squares(size_t size) {
    struct shk_error err;
    const struct shk_data_options o = {
        .spec = "squares", .size = size, .train_samples = TRAIN, .test_samples = TEST, .invert = 0.5, .seed = 3};
    struct shk_data *d = shk_data_open(&o, NULL, &err);
    if (!d) fail_msg("%s", err.text);
    return d;
}

static void written(const struct shk_data *d, enum shk_form form, const char *path) {
    struct shk_error err;
    const struct shk_write_options o = {.on_note = note};
    notes[0] = 0;
    if (!shk_data_write(d, form, full(path), &o, &err)) fail_msg("%s: %s", path, err.text);
}

static void not_written(const struct shk_data *d, enum shk_form form, const char *path, const char *why) {
    struct shk_error err = {0};
    assert_false(shk_data_write(d, form, full(path), NULL, &err));
    if (err.code != SHK_BAD_INPUT || !strstr(err.text, why)) fail_msg("not '%s': %s", why, err.text);
}

// Whether the folder holds so many things: what failed leaves nothing.
static void holds(size_t want) {
    char command[600], count[16] = "";
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", tree);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    assert_non_null(fgets(count, sizeof count, out));
    pclose(out);
    assert_int_equal(atoi(count), want);
}

// ---- What comes back ----

static uint64_t weights_of(const struct shk_dataset *train) {
    struct shk_error err;
    const struct shk_shape shape = shk_dataset_shape(train);
    struct shk_runtime *runtime = shk_runtime_create(&(struct shk_runtime_options){.threads = 1, .pin = "none"}, &err);
    struct shk_model *model = shk_model_create("cnn:channels=2-4,hidden=8", &shape, 1, &err);
    struct shk_trainer *trainer = shk_trainer_create(model, runtime, &(struct shk_train_options){.batch = 8}, &err);
    assert_non_null(trainer);
    assert_true(shk_train(trainer, train, NULL, 1, NULL, &err));
    const uint64_t hash = shk_model_hash(model);
    shk_trainer_free(trainer);
    shk_model_free(model);
    shk_runtime_free(runtime);
    return hash;
}

// Sample i of `a` is the sample order[i] of b (NULL: i); grey ones may have become RGB.
static void check_part(const struct shk_dataset *a, const struct shk_dataset *b, const size_t *order) {
    static float x[MOST_PIXELS], y[MOST_PIXELS];
    const struct shk_shape s = shk_dataset_shape(a), t = shk_dataset_shape(b);
    assert_int_equal(shk_dataset_size(a), shk_dataset_size(b));
    assert_true(s.height == t.height && s.width == t.width);
    for (size_t i = 0; i < shk_dataset_size(a); i++) {
        const size_t k = order ? order[i] : i;
        shk_dataset_pixels(a, i, x);
        shk_dataset_pixels(b, k, y);
        assert_int_equal(shk_dataset_label(a, i), shk_dataset_label(b, k));
        for (size_t p = 0; p < s.height * s.width; p++)
            for (size_t c = 0; c < s.channels; c++)
                assert_true(x[p * s.channels + c] == y[p * t.channels + (t.channels == 1 ? 0 : c)]);
    }
}

static void check_back(const char *path, const char *source, const struct shk_data *want) {
    struct shk_data *d = opened(path, NULL, NULL, source);
    check_part(shk_data_part(d, SHK_PART_TRAIN), shk_data_part(want, SHK_PART_TRAIN), NULL);
    check_part(shk_data_part(d, SHK_PART_TEST), shk_data_part(want, SHK_PART_TEST), NULL);
    assert_null(shk_data_part(d, SHK_PART_VAL));
    assert_true(weights_of(shk_data_part(d, SHK_PART_TRAIN)) == weights_of(shk_data_part(want, SHK_PART_TRAIN)));
    shk_data_free(d);
}

static void test_squares(void **state) {
    (void)state;
    tree_clear();
    struct shk_data *d = squares(18);
    written(d, SHK_FORM_IDX, "/idx");
    check_back("/idx", "idx", d);
    written(d, SHK_FORM_NPZ, "/squares.npz");
    check_back("/squares.npz", "npy", d);
    written(d, SHK_FORM_CSV, "/csv/"); // a slash at the end changes nothing
    check_back("/csv/data.csv", "csv", d);
    assert_string_equal(notes, "");
    shk_data_free(d);
    holds(3);
}

// A folder has another order: by class, and within it that of the samples.
static void test_folder(void **state) {
    (void)state;
    tree_clear();
    struct shk_error err;
    struct shk_data *d = squares(18);
    const struct shk_dataset *train = shk_data_part(d, SHK_PART_TRAIN);
    size_t order[TRAIN], n = 0;
    static float images[TRAIN * 324];
    uint32_t labels[TRAIN];
    for (uint32_t c = 0; c < 9; c++)
        for (size_t i = 0; i < TRAIN; i++)
            if (shk_dataset_label(train, i) == c) {
                shk_dataset_pixels(train, i, images + n * 324);
                labels[n] = c;
                order[n++] = i;
            }
    written(d, SHK_FORM_FOLDER, "/folder");
    struct shk_data *back = opened("/folder", NULL, NULL, "folder");
    const struct shk_dataset *set = shk_data_part(back, SHK_PART_TRAIN);
    check_part(set, train, order);
    assert_string_equal(shk_dataset_class(set, 8), "8");
    const struct shk_shape shape = shk_dataset_shape(train);
    struct shk_dataset *ordered = shk_dataset_copy(images, labels, TRAIN, &shape, &err);
    assert_true(weights_of(set) == weights_of(ordered));
    shk_dataset_free(ordered);
    shk_data_free(back);
    shk_data_free(d);
}

static void test_cifar(void **state) {
    (void)state;
    tree_clear();
    struct shk_data *d = squares(0), *small = squares(18);
    written(d, SHK_FORM_CIFAR, "/cifar");
    assert_true(noted("grey images become RGB") && noted("CIFAR-10 has 10 classes: those from 9 on stay empty"));
    struct shk_data *back = opened("/cifar", NULL, NULL, "cifar");
    check_part(shk_data_part(back, SHK_PART_TRAIN), shk_data_part(d, SHK_PART_TRAIN), NULL);
    check_part(shk_data_part(back, SHK_PART_TEST), shk_data_part(d, SHK_PART_TEST), NULL);
    not_written(small, SHK_FORM_CIFAR, "/small", "32x32 pixels, RGB, but these have 18x18 and 1 channels");
    shk_data_free(back);
    shk_data_free(small);
    shk_data_free(d);
    holds(1);
}

// ---- Pictures with names, colours and three parts ----

static void put(const char *path, unsigned char red, unsigned char blue) {
    unsigned char pixels[32 * 32][3];
    for (int i = 0; i < 32 * 32; i++) memcpy(pixels[i], (unsigned char[]){red, (unsigned char)i, blue}, 3);
    tree_write(path, "");
    png_image image = {.version = PNG_IMAGE_VERSION, .width = 32, .height = 32, .format = PNG_FORMAT_RGB};
    assert_int_equal(png_image_write_to_file(&image, full(path), 0, pixels, 0, NULL), 1);
}

static struct shk_data *pictures(void) {
    tree_clear();
    put("/p/train/a, \"b\"/1.png", 1, 2);
    put("/p/train/a, \"b\"/2.png", 3, 4);
    put("/p/train/c\nd/1.png", 5, 6);
    put("/p/val/c\nd/1.png", 7, 8);
    put("/p/test/a, \"b\"/1.png", 9, 10);
    return opened("/p", NULL, NULL, "folder");
}

static void test_parts(void **state) {
    (void)state;
    static const struct {
        enum shk_form form;
        const char *path, *read, *source;
        bool names;
    } forms[] = {{SHK_FORM_FOLDER, "/folder", "/folder", "folder", true},
                 {SHK_FORM_CSV, "/csv", "/csv/data.csv", "csv", true},
                 {SHK_FORM_IDX, "/idx", "/idx", "idx", false},
                 {SHK_FORM_NPZ, "/x.npz", "/x.npz", "npy", false}};
    struct shk_data *d = pictures();
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        written(d, forms[i].form, forms[i].path);
        assert_int_equal(noted("the names of classes are not kept"), !forms[i].names);
        struct shk_data *back = opened(forms[i].read, NULL, NULL, forms[i].source);
        for (unsigned part = 0; part < SHK_PARTS; part++) {
            const struct shk_dataset *set = shk_data_part(back, part);
            assert_non_null(set);
            check_part(set, shk_data_part(d, part), NULL);
            assert_true(shk_dataset_hash(set) == shk_dataset_hash(shk_data_part(d, part)));
            if (forms[i].names) assert_string_equal(shk_dataset_class(set, 0), "a, \"b\"");
            if (forms[i].names) assert_string_equal(shk_dataset_class(set, 1), "c\nd");
        }
        shk_data_free(back);
    }
    not_written(d, SHK_FORM_CIFAR, "/cifar", "have a val part");
    shk_data_free(d);
    holds(5);
}

// ---- What is refused ----

static void test_places(void **state) {
    (void)state;
    tree_clear();
    struct shk_data *d = squares(18);
    tree_write("/full/mine", "mine");
    tree_write("/file", "mine");
    not_written(d, SHK_FORM_FOLDER, "/full", "is there already and is not empty");
    not_written(d, SHK_FORM_IDX, "/file", "is there already and is no folder");
    holds(2);
    tree_write("/empty/x", "");
    assert_int_equal(remove(full("/empty/x")), 0);
    written(d, SHK_FORM_IDX, "/empty");
    written(d, SHK_FORM_NPZ, "/file"); // a file is replaced by a file
    check_back("/file", "npy", d);
    shk_data_free(d);
    holds(3);
}

static struct shk_data *numbers(const char *labels, const char *values) {
    char header[129], file[128 + 3 * 64 * 4];
    tree_clear();
    for (int images = 0; images < 2; images++) {
        snprintf(header, sizeof header, "%c%s%c%c%c%c{'descr': '%s', 'fortran_order': False, 'shape': (3,%s), }", 0x93,
                 "NUMPY", 1, 1, 118, 1, images ? "<f4" : "|u1", images ? " 8, 8" : "");
        header[7] = header[9] = 0;
        memset(file, ' ', 127);
        memcpy(file, header, 10 + strlen(header + 10));
        file[127] = '\n';
        float x[3 * 64] = {0};
        for (int i = 0; i < 3; i++) x[64 * i] = values[i] == 'x' ? 0.3f : 1;
        memcpy(file + 128, images ? (const void *)x : labels, images ? sizeof x : 3);
        tree_write_bytes(images ? "/in/x_train.npy" : "/in/y_train.npy", file, 128 + (images ? sizeof x : 3));
        tree_write_bytes(images ? "/in/x_test.npy" : "/in/y_test.npy", file, 128 + (images ? sizeof x : 3));
    }
    return opened("/in", NULL, NULL, "npy");
}

static void test_floats(void **state) {
    (void)state;
    struct shk_data *d = numbers("\0\1\0", "1x1");
    not_written(d, SHK_FORM_FOLDER, "/out", "sample 1 of train holds the pixel 0.3");
    not_written(d, SHK_FORM_IDX, "/out", "sample 1 of train holds the pixel 0.3");
    not_written(d, SHK_FORM_CSV, "/out", "sample 1 of train holds the pixel 0.3");
    holds(1);
    written(d, SHK_FORM_NPZ, "/out");
    struct shk_data *back = opened("/out", NULL, NULL, "npy");
    assert_true(shk_dataset_hash(shk_data_part(back, SHK_PART_TRAIN)) ==
                shk_dataset_hash(shk_data_part(d, SHK_PART_TRAIN)));
    shk_data_free(back);
    shk_data_free(d);
}

static void test_refused(void **state) {
    (void)state;
    struct shk_data *d = numbers("\0\2\0", "111");
    not_written(d, SHK_FORM_CSV, "/out", "class '1' has no sample in train");
    written(d, SHK_FORM_IDX, "/idx"); // the last class is there
    shk_data_free(d);
    tree_clear();
    put("/1.png", 1, 1);
    tree_write("/list.csv", "1.png,a/b\n1.png,c\n1.png,c,test\n");
    d = opened("/list.csv", NULL, NULL, "csv");
    not_written(d, SHK_FORM_FOLDER, "/out", "class 'a/b' cannot be the name of a folder");
    written(d, SHK_FORM_CSV, "/out");
    shk_data_free(d);
    holds(3);
}

static bool three_times(void *user) { return ++*(int *)user <= 3; }

static void test_stopped(void **state) {
    (void)state;
    tree_clear();
    struct shk_data *d = squares(0);
    for (int form = 0; form < SHK_FORMS; form++) {
        int asked = 0;
        struct shk_error err = {0};
        const struct shk_write_options o = {.goes_on = three_times, .user = &asked};
        assert_false(shk_data_write(d, (enum shk_form)form, full("/out"), &o, &err));
        assert_true(err.code == SHK_FAILED && strstr(err.text, "stopped"));
        holds(0);
    }
    shk_data_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_squares), cmocka_unit_test(test_folder),  cmocka_unit_test(test_cifar),
        cmocka_unit_test(test_parts),   cmocka_unit_test(test_places),  cmocka_unit_test(test_floats),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_stopped),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
