// SPDX-License-Identifier: MIT
// Arrays of IDX and NumPy files: every type, order and layout gives the same pixels, and what is wrong is named in a sentence.
#include "open_data.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>
#include <zip.h>
#include <zlib.h>

enum { N = 12, H = 9, W = 10, RGB = 3, CLASSES = 4 };

// ---- Files ----

// A file that is being put together.
struct file {
    unsigned char bytes[1 << 17];
    size_t size;
};

static void put(struct file *f, const void *bytes, size_t size) {
    assert_true(f->size + size <= sizeof f->bytes);
    memcpy(f->bytes + f->size, bytes, size);
    f->size += size;
}

// Of NumPy's type, as in ">f4".
static void put_number(struct file *f, const char *type, double value) {
    const size_t bytes = (size_t)(type[2] - '0');
    unsigned char little[8], out[8];
    const float single = (float)value;
    const int64_t whole = (int64_t)value;
    if (type[1] == 'f')
        memcpy(little, bytes == 4 ? (const void *)&single : &value, bytes);
    else
        memcpy(little, &whole, bytes);
    for (size_t i = 0; i < bytes; i++) out[i] = little[type[0] == '>' ? bytes - 1 - i : i];
    put(f, out, bytes);
}

// An array's axes are letters in their order: n, h, w, c (3), and 1 for one of a single place.
static size_t extent(char axis) { return axis == 'n' ? N : axis == 'h' ? H : axis == 'w' ? W : axis == 'c' ? RGB : 1; }

typedef double value_at(size_t n, size_t y, size_t x, size_t c);
static double pixel(size_t n, size_t y, size_t x, size_t c) {
    return (double)((n * 37 + y * 11 + x * 5 + c * 71) % 251);
}
static double low_pixel(size_t n, size_t y, size_t x, size_t c) { return floor(pixel(n, y, x, c) / 2); }
static double bit(size_t n, size_t y, size_t x, size_t c) { return fmod(pixel(n, y, x, c), 2); }
static double label(size_t n, size_t y, size_t x, size_t c) {
    (void)y, (void)x, (void)c;
    return (double)(n % CLASSES);
}
static double half(size_t n, size_t y, size_t x, size_t c) { return pixel(n, y, x, c) / 2; }
static double scaled(size_t n, size_t y, size_t x, size_t c) { return pixel(n, y, x, c) / 256; }
static double negative(size_t n, size_t y, size_t x, size_t c) { return pixel(n, y, x, c) - 100; }
static double nan_in_7(size_t n, size_t y, size_t x, size_t c) {
    return n == 7 && y == 3 ? (double)NAN : scaled(n, y, x, c);
}
static double label_minus_1(size_t n, size_t y, size_t x, size_t c) { return n == 3 ? -1 : label(n, y, x, c); }
static double half_label(size_t n, size_t y, size_t x, size_t c) { return label(n, y, x, c) + 0.5; }
static double five(size_t n, size_t y, size_t x, size_t c) { return n == 5 ? CLASSES : label(n, y, x, c); }

static void put_array(struct file *f, const char *type, const char *axes, bool fortran, value_at *value) {
    const size_t dims = strlen(axes);
    size_t count = 1;
    for (size_t i = 0; i < dims; i++) count *= extent(axes[i]);
    for (size_t k = 0; k < count; k++) {
        size_t at[128] = {0}, rest = k;
        for (size_t i = 0; i < dims; i++) {
            const char axis = axes[fortran ? i : dims - 1 - i];
            at[(unsigned char)axis] = rest % extent(axis);
            rest /= extent(axis);
        }
        put_number(f, type, value(at['n'], at['h'], at['w'], at['c']));
    }
}

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

static void make_idx(struct file *f, unsigned char code, const char *type, const char *axes, value_at *value) {
    const unsigned char begin[4] = {0, 0, code, (unsigned char)strlen(axes)};
    f->size = 0;
    put(f, begin, 4);
    for (const char *axis = axes; *axis; axis++) put_number(f, ">i4", (double)extent(*axis));
    put_array(f, type, axes, false, value);
}

static void put_idx(const char *path, unsigned char code, const char *type, const char *axes, value_at *value) {
    static struct file f;
    make_idx(&f, code, type, axes, value);
    tree_write_bytes(path, f.bytes, f.size);
}

static void put_gzip(const char *path, const struct file *f, size_t left_out) {
    static unsigned char packed[1 << 17];
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)f->bytes,
                  .avail_in = (unsigned)f->size,
                  .next_out = packed,
                  .avail_out = sizeof packed};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    tree_write_bytes(path, packed, z.total_out - left_out);
    deflateEnd(&z);
}

// ---- What is expected ----

// All N samples; channels: 1 or 3.
static void check_part(const struct shk_data *d, enum shk_part part, size_t channels, value_at *value, float divisor) {
    const struct shk_dataset *set = shk_data_part(d, part);
    assert_non_null(set);
    const struct shk_shape s = shk_dataset_shape(set);
    assert_int_equal(shk_dataset_size(set), N);
    assert_true(s.height == H && s.width == W && s.channels == channels && s.classes == CLASSES);
    for (size_t n = 0; n < N; n++) {
        float pixels[H * W * RGB], *at = pixels;
        shk_dataset_pixels(set, n, pixels);
        assert_int_equal(shk_dataset_label(set, n), n % CLASSES);
        for (size_t y = 0; y < H; y++)
            for (size_t x = 0; x < W; x++)
                for (size_t c = 0; c < channels; c++, at++) {
                    const float want = (float)value(n, y, x, c) / divisor;
                    if (*at != want)
                        fail_msg("sample %zu, (%zu, %zu, %zu): %g, not %g", n, y, x, c, (double)*at, (double)want);
                }
    }
}

// The same file twice, so that nothing is taken from train for val.
static void check_both(const char *path, const char *source, size_t channels, value_at *value, float divisor) {
    struct shk_data *d = opened(NULL, path, path, source);
    check_part(d, SHK_PART_TRAIN, channels, value, divisor);
    check_part(d, SHK_PART_TEST, channels, value, divisor);
    shk_data_free(d);
}

// ---- NumPy ----

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

static void put_in_zip(zip_t *zip, const char *name, const struct file *f, bool packed) {
    void *copy = malloc(f->size);
    assert_non_null(copy);
    memcpy(copy, f->bytes, f->size);
    const zip_int64_t at = zip_file_add(zip, name, zip_source_buffer(zip, copy, f->size, 1), ZIP_FL_OVERWRITE);
    assert_true(at >= 0);
    zip_set_file_compression(zip, (zip_uint64_t)at, packed ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 9);
}

static void put_npz(const char *path, const char *const names[4], bool packed) {
    static struct file f;
    char full[512];
    snprintf(full, sizeof full, "%s%s", tree, path);
    zip_t *zip = zip_open(full, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    assert_non_null(zip);
    for (size_t i = 0; i < 4 && names[i]; i++) {
        make_npy(&f, "|u1", i % 2 ? "n1" : "nhwc", false);
        put_array(&f, "|u1", i % 2 ? "n1" : "nhwc", false, i % 2 ? label : pixel);
        put_in_zip(zip, names[i], &f, packed);
    }
    assert_int_equal(zip_close(zip), 0);
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
    zip_t *zip = zip_open(full, ZIP_CREATE, NULL);
    make_npy(&f, "|u1", "nhwc", false);
    f.size = 10 + 118;
    memset(f.bytes + 10, ' ', 117);
    static const char header[] = "{'descr': '|u1', 'fortran_order': False, 'shape': (2000000, 28, 36), }";
    memcpy(f.bytes + 10, header, sizeof header - 1);
    put_in_zip(zip, "x.npy", &f, true);
    make_npy(&f, "|u1", "n", false);
    put_array(&f, "|u1", "n", false, label);
    put_in_zip(zip, "y.npy", &f, true);
    assert_int_equal(zip_close(zip), 0);
    refuses("/lie.npz", "lie.npz (x.npy)", "2016000000 bytes");
}

// ---- IDX ----

static void put_labels(const char *path) { put_idx(path, 0x08, "|u1", "n", label); }

static void test_idx_types(void **state) {
    (void)state;
    static const struct {
        unsigned char code;
        const char *type;
        value_at *value;
    } types[] = {{0x08, "|u1", pixel}, {0x09, "|i1", low_pixel}, {0x0b, ">i2", pixel},
                 {0x0c, ">i4", pixel}, {0x0d, ">f4", pixel},     {0x0e, ">f8", pixel}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        tree_clear();
        put_idx("/train-images-idx3-ubyte", types[i].code, types[i].type, "nhw", types[i].value);
        put_idx("/train-labels-idx1-ubyte", types[i].code, types[i].type, "n", label);
        check_both("/train-images-idx3-ubyte", "idx", 1, types[i].value, 255);
        check_both("/", "idx", 1, types[i].value, 255);
        put_idx("/train-images-idx3-ubyte", types[i].code, types[i].type, "nchw", types[i].value);
        check_both("/", "idx", RGB, types[i].value, 255);
    }
}

static void test_idx_names(void **state) {
    (void)state;
    static const char *const names[][4] = {
        {"/train-images-idx3-ubyte", "/train-labels-idx1-ubyte", "/t10k-images-idx3-ubyte", "/t10k-labels-idx1-ubyte"},
        {"/train-images.idx3-ubyte", "/train-labels.idx1-ubyte", "/test-images.idx3-ubyte", "/test-labels.idx1-ubyte"},
        {"/emnist-digits-train-images-idx3-ubyte", "/emnist-digits-train-labels-idx1-ubyte",
         "/emnist-digits-test-images-idx3-ubyte", "/emnist-digits-test-labels-idx1-ubyte"},
    };
    for (size_t i = 0; i < 3; i++) {
        tree_clear();
        put_idx(names[i][0], 0x08, "|u1", "nhw", pixel);
        put_labels(names[i][1]);
        put_idx(names[i][2], 0x08, "|u1", "nhw", low_pixel);
        put_labels(names[i][3]);
        struct shk_data *d = opened("/", NULL, NULL, "idx");
        check_part(d, SHK_PART_TRAIN, 1, pixel, 255);
        check_part(d, SHK_PART_TEST, 1, low_pixel, 255);
        shk_data_free(d);
        d = opened(NULL, names[i][0], names[i][2], "idx");
        check_part(d, SHK_PART_TRAIN, 1, pixel, 255);
        check_part(d, SHK_PART_TEST, 1, low_pixel, 255);
        shk_data_free(d);
    }
    put_idx("/emnist-letters-train-images-idx3-ubyte", 0x08, "|u1", "nhw", pixel);
    refuses("/", "emnist-digits-train", "emnist-letters-train");
}

// QMNIST's labels are the first of eight columns; here all columns but that are other numbers.
static double qmnist(size_t n, size_t column, size_t x, size_t c) {
    return column == 0 ? label(n, 0, x, c) : (double)(n + 100 * column);
}

static void test_idx_qmnist(void **state) {
    (void)state;
    static struct file f;
    tree_clear();
    put_idx("/qmnist-train-images-idx3-ubyte", 0x08, "|u1", "nhw", pixel);
    const unsigned char begin[12] = {0, 0, 0x0c, 2, 0, 0, 0, N, 0, 0, 0, 8};
    f.size = 0;
    put(&f, begin, sizeof begin);
    for (size_t n = 0; n < N; n++)
        for (size_t column = 0; column < 8; column++) put_number(&f, ">i4", qmnist(n, column, 0, 0));
    tree_write_bytes("/qmnist-train-labels-idx2-int", f.bytes, f.size);
    check_both("/", "idx", 1, pixel, 255);
}

static void test_idx_gzip(void **state) {
    (void)state;
    static struct file images, labels;
    make_idx(&images, 0x08, "|u1", "nhw", pixel);
    make_idx(&labels, 0x08, "|u1", "n", label);
    for (size_t i = 0; i < 2; i++) { // whatever the name says
        tree_clear();
        put_gzip(i ? "/train-images-idx3-ubyte" : "/train-images-idx3-ubyte.gz", &images, 0);
        put_gzip(i ? "/train-labels-idx1-ubyte" : "/train-labels-idx1-ubyte.gz", &labels, 0);
        check_both("/", "idx", 1, pixel, 255);
    }
    put_gzip("/train-images-idx3-ubyte.gz", &images, 0);
    check_both("/", "idx", 1, pixel, 255);
    assert_true(noted("train-images-idx3-ubyte.gz is left out"));
    put_gzip("/train-images-idx3-ubyte", &images, 40);
    refuses("/", "train-images-idx3-ubyte", "its packed data ends early");
    tree_write_bytes("/train-images-idx3-ubyte.gz", images.bytes, images.size); // nor is .gz a gzip
    remove(strcat(strcpy(path_text[0], tree), "/train-images-idx3-ubyte"));
    check_both("/", "idx", 1, pixel, 255);
}

// A gzip of two hundred megabytes of nothing is not unpacked.
static void test_gzip_bomb(void **state) {
    (void)state;
    static unsigned char nothing[1 << 20];
    char full[512];
    tree_clear();
    put_labels("/train-labels-idx1-ubyte");
    snprintf(full, sizeof full, "%s/train-images-idx3-ubyte", tree);
    gzFile file = gzopen(full, "wb9");
    const unsigned char begin[16] = {0, 0, 8, 3, 0, 0x10, 0, 0, 0, 0, 0, 16, 0, 0, 0, 16}; // 2^20 images, 2^28 bytes
    assert_non_null(file);
    gzwrite(file, begin, sizeof begin);
    for (size_t i = 0; i < 8; i++) gzwrite(file, nothing, sizeof nothing);
    assert_int_equal(gzclose(file), Z_OK);
    refuses("/", "train-images-idx3-ubyte", "268435456 bytes");
}

static void test_idx_refusals(void **state) {
    (void)state;
    static struct file f;
    static const struct {
        const char *begin; // replaces so many bytes
        size_t length, cut;
        const char *what;
    } cases[] = {
        {"", 0, 100, "it ends early: 1080 bytes of numbers are wanted, 980 are there"},
        {"", 0, 1080, "1080 bytes of numbers are wanted, 0 are there"},
        {"", 0, 1090, "header"},
        {"", 0, 1096, "header"},
        {"\0\0\x08\3\0\0\0\x0b", 8, 0, "more bytes follow than its header says"},
        {"\0\0\x08\3\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16, 0, "larger than any memory"},
        {"\0\0\x08\3\x7f\xff\xff\xff\0\x01\0\0\0\x01\0\0", 16, 0, "are there"},
        {"\0\0\x08\3\0\0\0\0", 8, 0, "empty"},
        {"\0\0\x07\3", 4, 0, "begins with 00 00 07 03"},
        {"\0\0\x08\5", 4, 0, "begins with 00 00 08 05"},
        {"\3\x08\0\0", 4, 0, "wrong byte order"},
        {"<html>", 6, 0, "begins with 3c 68 74 6d"},
    };
    tree_clear();
    put_labels("/train-labels-idx1-ubyte");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_idx(&f, 0x08, "|u1", "nhw", pixel);
        memcpy(f.bytes, cases[i].begin, cases[i].length);
        tree_write_bytes("/train-images-idx3-ubyte", f.bytes, f.size - cases[i].cut);
        refuses("/", "train-images-idx3-ubyte", cases[i].what);
        refuses("/train-images-idx3-ubyte", "train-images-idx3-ubyte", cases[i].what);
    }
    put_labels("/train-images-idx3-ubyte");
    put_idx("/train-labels-idx1-ubyte", 0x08, "|u1", "nhw", pixel);
    refuses("/", "(12) holds no images", "exchanged");
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
        cmocka_unit_test(test_npy_types),   cmocka_unit_test(test_npy_layouts), cmocka_unit_test(test_npy_values),
        cmocka_unit_test(test_npy_scales),  cmocka_unit_test(test_npy_names),   cmocka_unit_test(test_npy_refusals),
        cmocka_unit_test(test_npy_headers), cmocka_unit_test(test_npz),         cmocka_unit_test(test_npz_refusals),
        cmocka_unit_test(test_idx_types),   cmocka_unit_test(test_idx_names),   cmocka_unit_test(test_idx_qmnist),
        cmocka_unit_test(test_idx_gzip),    cmocka_unit_test(test_gzip_bomb),   cmocka_unit_test(test_idx_refusals),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
