// SPDX-License-Identifier: MIT
// NumPy's arrays: every type, order and layout gives the same pixels, and what is wrong is named in a sentence.
#include "array_files.h"

#include <minizip/zip.h>
#include <unistd.h>

// ---- Values ----

static double bit(size_t n, size_t y, size_t x, size_t c) { return fmod(pixel(n, y, x, c), 2); }
static double half(size_t n, size_t y, size_t x, size_t c) { return pixel(n, y, x, c) / 2; }
static double scaled(size_t n, size_t y, size_t x, size_t c) { return pixel(n, y, x, c) / 256; }
static double negative(size_t n, size_t y, size_t x, size_t c) { return pixel(n, y, x, c) - 100; }
static double nan_in_7(size_t n, size_t y, size_t x, size_t c) {
    return n == 7 && y == 3 ? (double)NAN : scaled(n, y, x, c);
}
static double label_minus_1(size_t n, size_t y, size_t x, size_t c) { return n == 3 ? -1 : label(n, y, x, c); }
static double half_label(size_t n, size_t y, size_t x, size_t c) { return label(n, y, x, c) + 0.5; }
static double five(size_t n, size_t y, size_t x, size_t c) { return n == 5 ? CLASSES : label(n, y, x, c); }

// ---- Files ----

static void make_npy(struct file *f, const char *type, const char *axes, bool fortran) {
    char header[118];
    int used = snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': %s, 'shape': (", type,
                        fortran ? "True" : "False");
    for (; *axes && used > 0; axes++) {
        used += snprintf(header + used, sizeof header - (size_t)used, "%zu, ", extent(*axes));
    }
    used += snprintf(header + used, sizeof header - (size_t)used, "), }");
    memset(header + used, ' ', sizeof header - (size_t)used);
    header[sizeof header - 1] = '\n';
    f->size = 0;
    put(f, "\x93NUMPY\1\0\x76", 10); // 0x76 = 118, and a zero behind it
    put(f, header, sizeof header);
}

static void put_npy(const char *path, const char *type, const char *axes, bool fortran, value_at *value) {
    static struct file f;
    make_npy(&f, type, axes, fortran);
    put_array(&f, type, axes, fortran, value);
    tree_write_bytes(path, f.bytes, f.size);
}

// ---- One array ----

static void test_npy_types(void **state) {
    (void)state;
    static const char *const types[] = {"|u1", "<u2", ">u2", "<i2", ">i2", "<u4", ">u4", "<i4", ">i4",
                                        "<u8", ">u8", "<i8", ">i8", "<f4", ">f4", "<f8", ">f8", "=u2"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        tree_clear();
        put_npy("/x.npy", types[i], "nhw", false, pixel);
        put_npy("/y.npy", types[i], "n", false, label);
        check_both("/x.npy", "npy", 1, pixel, 255);
        assert_true(noted("divided by 255") == (types[i][0] != '|'));
        put_npy("/x.npy", types[i], "nhwc", i % 2, pixel);
        put_npy("/y.npy", types[i], i % 3 ? "n" : "n1", i % 2, label);
        check_both("/", "npy", RGB, pixel, 255);
    }
    put_npy("/x.npy", "|i1", "nhw", false, low_pixel);
    put_npy("/y.npy", "|i1", "n", false, label);
    check_both("/x.npy", "npy", 1, low_pixel, 255);
    put_npy("/x.npy", "|b1", "nhw", false, bit);
    check_both("/x.npy", "npy", 1, bit, 1);
}

static void test_npy_layouts(void **state) {
    (void)state;
    static const char *const axes[] = {"nhw", "nhw1", "n1hw", "nhwc", "nchw"};
    tree_clear();
    put_npy("/y.npy", "<i8", "n", false, label);
    for (size_t i = 0; i < 10; i++) {
        put_npy("/x.npy", "|u1", axes[i / 2], i % 2, pixel);
        check_both("/x.npy", "npy", i / 2 < 3 ? 1 : RGB, pixel, 255);
        put_npy("/x.npy", ">f8", axes[i / 2], i % 2, half);
        check_both("/x.npy", "npy", i / 2 < 3 ? 1 : RGB, half, 255);
    }
}

// Values are as they are, unless they are above 1 and up to 255.
static void test_npy_values(void **state) {
    (void)state;
    tree_clear();
    put_npy("/y.npy", "<f8", "n1", false, label);
    put_npy("/x.npy", "<f4", "nhw", false, scaled);
    check_both("/x.npy", "npy", 1, scaled, 1);
    assert_false(noted("divided"));
    put_npy("/x.npy", "<f4", "nhw", false, negative);
    check_both("/x.npy", "npy", 1, negative, 1);
    put_npy("/x.npy", "<i2", "nhw", false, negative);
    check_both("/x.npy", "npy", 1, negative, 1);
}

// Parts must be scaled alike.
static void test_npy_scales(void **state) {
    (void)state;
    struct shk_data *d;
    tree_clear();
    put_npy("/y_train.npy", "<i4", "n", false, label);
    put_npy("/y_test.npy", "<i4", "n", false, label);
    put_npy("/x_train.npy", "<f4", "nhw", false, pixel);
    put_npy("/x_test.npy", "<f4", "nhw", false, bit);
    d = opened("/", NULL, NULL, "npy");
    check_part(d, SHK_PART_TEST, 1, bit, 255);
    shk_data_free(d);
    put_npy("/x_train.npy", "|u1", "nhw", false, pixel);
    put_npy("/x_test.npy", "<f4", "nhw", false, half);
    d = opened("/", NULL, NULL, "npy");
    check_part(d, SHK_PART_TRAIN, 1, pixel, 255);
    check_part(d, SHK_PART_TEST, 1, half, 255);
    shk_data_free(d);
    put_npy("/x_train.npy", "<f4", "nhw", false, scaled);
    put_npy("/x_test.npy", "<f4", "nhw", false, pixel);
    refuses("/", "x_test.npy", "scaled alike");
    struct shk_error err;
    assert_null(open_data(NULL, "/x_train.npy", "/x_test.npy", &err)); // nor do parts that lie apart
    assert_true(strstr(err.text, "x_test.npy") && strstr(err.text, "scaled alike"));
    put_npy("/x_test.npy", "|u1", "nhw", false, pixel);
    d = opened("/", NULL, NULL, "npy");
    check_part(d, SHK_PART_TRAIN, 1, scaled, 1);
    check_part(d, SHK_PART_TEST, 1, pixel, 255);
    shk_data_free(d);
}

static void test_npy_names(void **state) {
    (void)state;
    static const char *const names[][3] = {
        {"/train_images.npy", "/train_labels.npy", "/"},
        {"/X.npy", "/y.npy", "/"},
        {"/images.npy", "/labels.npy", "/"},
        {"/data.npy", "/targets.npy", "/"},
        {"/data.npy", "/data_labels.npy", "/"},
        {"/cats_images.npy", "/cats_labels.npy", "/cats_images.npy"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tree_clear();
        put_npy(names[i][0], "|u1", "nhw", false, pixel);
        put_npy(names[i][1], "|u1", "n", false, label);
        tree_write("/._x.npy", "a Mac's");
        check_both(names[i][2], "npy", 1, pixel, 255);
    }
    // A set beside another one is named by its file.
    put_npy("/dogs_images.npy", "|u1", "nhw", false, pixel);
    put_npy("/dogs_labels.npy", "|u1", "n", false, label);
    refuses("/", "cats_images.npy", "dogs_images.npy");
    check_both("/dogs_images.npy", "npy", 1, pixel, 255);
    remove(strcat(strcpy(path_text[0], tree), "/dogs_labels.npy"));
    refuses("/dogs_images.npy", "no labels", "dogs_images.npy");
    refuses("/cats_labels.npy", "cats_labels.npy", "not called as images");
}

// Folders beside arrays are of no account, unless there are pictures in them.
static void test_npy_beside_folders(void **state) {
    (void)state;
    tree_clear();
    put_npy("/x.npy", "|u1", "nhw", false, pixel);
    put_npy("/y.npy", "|u1", "n", false, label);
    tree_write("/scripts/read.py", "print(1)");
    tree_write("/empty/.hidden", "");
    check_both("/", "npy", 1, pixel, 255);
    tree_write("/cats/1.jpg", "\xff\xd8\xff\xe0 the beginning of one");
    refuses("/", "can be read", "1.jpg");
}

// What is wrong with images alone or labels alone.
static void test_npy_refusals(void **state) {
    (void)state;
    const struct {
        const char *type, *axes;
        value_at *value;
        bool is_label;
        const char *first, *second;
    } cases[] = {
        {"<f4", "nhw", nan_in_7, false, "x.npy", "image 7 holds nan"},
        {"|u1", "n", label, false, "x.npy", "(12) holds no images"},
        {"|u1", "hhhhh", pixel, false, "x.npy", "(9, 9, 9, 9, 9) holds no images"},
        {"|u1", "nhww", pixel, false, "x.npy", "(12, 9, 10, 10)"},
        {"|u1", "n1w", pixel, false, "x.npy", "1x10"},
        {"|u1", "hhw", pixel, false, "y.npy holds 12 labels", "9 images"},
        {"<i8", "n", label_minus_1, true, "y.npy", "label 3 is -1"},
        {"<f8", "n", half_label, true, "y.npy", "label 0 is 0.5"},
        {"<i8", "nc", label, true, "y.npy", "(12, 3)"},
        {"<c8", "n", label, true, "y.npy", "<c8"},
        {"|O8", "n", label, true, "y.npy", "pickle"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tree_clear();
        put_npy("/x.npy", "|u1", "nhw", false, pixel);
        put_npy("/y.npy", "|u1", "n", false, label);
        put_npy(cases[i].is_label ? "/y.npy" : "/x.npy", cases[i].type, cases[i].axes, false, cases[i].value);
        refuses("/", cases[i].first, cases[i].second);
    }
}

// Headers that lie, and files that are cut.
static void test_npy_headers(void **state) {
    (void)state;
    static struct file f;
    static const char *const headers[][2] = {
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (12, 9, 99), }", "10692 bytes"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (12, 9, 99999999999999999999999), }", "larger than any"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (12, 9, 9), }", "more bytes follow"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (12, 0, 9), }", "is empty"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (12, -9, 9), }", "not understood"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1), }", "not understood"},
        {"{'descr': '|u1', 'shape': (12, 9, 10), }", "not understood"},
        {"{'descr': '", "not understood"},
        {"{'descr': 'u", "not understood"},
        {"{'fortran_order': True, 'shape': (1), 'descr': '", "not read"},
    };
    tree_clear();
    put_npy("/y.npy", "|u1", "n", false, label);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        make_npy(&f, "|u1", "nhw", false);
        memset(f.bytes + 10, ' ', 117);
        memcpy(f.bytes + 10, headers[i][0], strlen(headers[i][0]));
        put_array(&f, "|u1", "nhw", false, pixel);
        tree_write_bytes("/x.npy", f.bytes, f.size);
        refuses("/x.npy", "x.npy", headers[i][1]);
    }
    for (size_t size = 0; size < 200; size += 7) {
        tree_write_bytes("/x.npy", f.bytes, size);
        refuses("/x.npy", "x.npy", size < 128 ? "early" : "");
    }
    f.bytes[6] = 4;
    tree_write_bytes("/x.npy", f.bytes, f.size);
    refuses("/x.npy", "x.npy", "version 4");
}

// ---- Zips ----

static void put_in_zip(zipFile zip, const char *name, const struct file *f, bool packed) {
    assert_int_equal(zipOpenNewFileInZip(zip, name, NULL, NULL, 0, NULL, 0, NULL, packed ? Z_DEFLATED : 0, 9), ZIP_OK);
    assert_int_equal(zipWriteInFileInZip(zip, f->bytes, (unsigned)f->size), ZIP_OK);
    assert_int_equal(zipCloseFileInZip(zip), ZIP_OK);
}

static void put_npz(const char *path, const char *const names[4], bool packed) {
    static struct file f;
    char full[512];
    snprintf(full, sizeof full, "%s%s", tree, path);
    zipFile zip = zipOpen64(full, APPEND_STATUS_CREATE);
    assert_non_null(zip);
    for (size_t i = 0; i < 4 && names[i]; i++) {
        make_npy(&f, "|u1", i % 2 ? "n1" : "nhwc", false);
        put_array(&f, "|u1", i % 2 ? "n1" : "nhwc", false, i % 2 ? label : pixel);
        put_in_zip(zip, names[i], &f, packed);
    }
    assert_int_equal(zipClose(zip, NULL), ZIP_OK);
}

static void test_npz(void **state) {
    (void)state;
    static const char *const names[][4] = {
        {"x_train.npy", "y_train.npy", "x_test.npy", "y_test.npy"},
        {"train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy"},
        {"X_train.npy", "Y_train.npy", "X_valid.npy", "Y_valid.npy"},
    };
    for (size_t i = 0; i < 6; i++) {
        tree_clear();
        put_npz("/any.name", names[i / 2], i % 2);
        struct shk_data *d = opened("/any.name", NULL, NULL, "npy");
        check_part(d, SHK_PART_TRAIN, RGB, pixel, 255);
        check_part(d, i / 2 == 2 ? SHK_PART_VAL : SHK_PART_TEST, RGB, pixel, 255);
        shk_data_free(d);
    }
    struct shk_error err;
    assert_null(open_data(NULL, "/any.name", "/any.name", &err)); // it has train and val
    assert_non_null(strstr(err.text, "none for test"));
    put_npz("/a.npz", (const char *const[4]){"x.npy", "y.npy", "note.npy"}, true);
    check_both("/a.npz", "npy", RGB, pixel, 255);
    assert_true(noted("1 array is neither images nor labels by its name and is left out: note.npy"));
}

static void cut_file(const char *path, long size) {
    char full[512];
    snprintf(full, sizeof full, "%s%s", tree, path);
    FILE *file = fopen(full, "r+");
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), size), 0);
    fclose(file);
}

static void test_npz_refusals(void **state) {
    (void)state;
    static struct file f;
    tree_clear();
    put_npz("/a.npz", (const char *const[4]){"photo.png", "text.txt"}, true);
    refuses("/a.npz", "a.npz", "no .npy");
    put_npz("/a.npz", (const char *const[4]){"weights.npy", "bias.npy"}, true);
    refuses("/a.npz", "a.npz", "x_train and y_train");
    put_npz("/a.npz", (const char *const[4]){"x_train.npy", "bias.npy"}, true);
    refuses("/a.npz", "no labels", "x_train.npy");
    cut_file("/a.npz", 1000);
    refuses("/a.npz", "a.npz", "zip");

    // A header of 2 GB, and little behind it.
    char full[512];
    snprintf(full, sizeof full, "%s/lie.npz", tree);
    zipFile zip = zipOpen64(full, APPEND_STATUS_CREATE);
    make_npy(&f, "|u1", "nhwc", false);
    f.size = 10 + 118;
    memset(f.bytes + 10, ' ', 117);
    static const char header[] = "{'descr': '|u1', 'fortran_order': False, 'shape': (2000000, 28, 36), }";
    memcpy(f.bytes + 10, header, sizeof header - 1);
    put_in_zip(zip, "x.npy", &f, true);
    make_npy(&f, "|u1", "n", false);
    put_array(&f, "|u1", "n", false, label);
    put_in_zip(zip, "y.npy", &f, true);
    assert_int_equal(zipClose(zip, NULL), ZIP_OK);
    refuses("/lie.npz", "lie.npz (x.npy)", "2016000000 bytes");
}

// ---- Parts, shapes and classes ----

static void test_parts(void **state) {
    (void)state;
    struct shk_error err;
    tree_clear();
    put_npy("/x_train.npy", "|u1", "nhw", false, pixel);
    put_npy("/y_train.npy", "|u1", "n", false, label);
    put_npy("/x_test.npy", "|u1", "nhwc", false, pixel);
    put_npy("/y_test.npy", "|u1", "n", false, label);
    refuses("/", "x_test.npy holds images of 9x10x3", "wanted are 9x10x1");
    put_npy("/x_test.npy", "|u1", "nhw", false, pixel);
    put_npy("/y_test.npy", "|u1", "n", false, five);
    refuses("/", "y_test.npy: label 5 is 4", "4 classes in training");
    assert_null(open_data(NULL, "/x_train.npy", "/x_test.npy", &err));
    assert_non_null(strstr(err.text, "4 classes in training"));
    put_npy("/y_train.npy", "|u1", "n", false, five);
    put_npy("/y_test.npy", "|u1", "n", false, label);
    shk_data_free(open_data("/", NULL, NULL, &err));
    assert_true(noted("1 of 5 classes has no sample in test: 4"));
    tree_write("/y_train.npy", "");
    refuses("/", "y_train.npy", "early");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_npy_types),    cmocka_unit_test(test_npy_layouts),
        cmocka_unit_test(test_npy_values),   cmocka_unit_test(test_npy_scales),
        cmocka_unit_test(test_npy_names),    cmocka_unit_test(test_npy_beside_folders),
        cmocka_unit_test(test_npy_refusals), cmocka_unit_test(test_npy_headers),
        cmocka_unit_test(test_npz),          cmocka_unit_test(test_npz_refusals),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
