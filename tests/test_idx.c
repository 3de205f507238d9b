// SPDX-License-Identifier: MIT
// IDX files: every type, and the names of MNIST and its relatives; gzip or not; what is wrong is named in a sentence.
#include "array_files.h"

#include <zlib.h>

// ---- Files ----

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

// ---- What is read ----

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx_types), cmocka_unit_test(test_idx_names), cmocka_unit_test(test_idx_qmnist),
        cmocka_unit_test(test_idx_gzip),  cmocka_unit_test(test_gzip_bomb), cmocka_unit_test(test_idx_refusals),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
