// SPDX-License-Identifier: MIT
// A CSV lists pictures: quotes, headings, parts, classes and orders, and each line that is wrong is named. Squares that were
// written into files are the squares that were drawn.
#include "open_data.h"

#include <minizip/zip.h>
#include <png.h>
#include <stdlib.h>

// A grey picture of 8x8 pixels of one value.
static void put_png(const char *path, unsigned char value) {
    unsigned char pixels[64];
    char full[512];
    memset(pixels, value, sizeof pixels);
    tree_write(path, "");
    snprintf(full, sizeof full, "%s%s", tree, path);
    png_image image = {.version = PNG_IMAGE_VERSION, .width = 8, .height = 8, .format = PNG_FORMAT_GRAY};
    assert_int_equal(png_image_write_to_file(&image, full, 0, pixels, 0, NULL), 1);
}

static void put_pictures(void) {
    tree_clear();
    put_png("/a.png", 10);
    put_png("/b.png", 20);
    put_png("/in/c.png", 30);
    put_png("/in/d, \"e\".png", 40);
}

// Pixels and classes of a part, as "10:cat 20:dog ".
static void check_part(const struct shk_data *d, enum shk_part part, const char *want) {
    const struct shk_dataset *set = shk_data_part(d, part);
    char text[400] = "";
    for (size_t i = 0; set && i < shk_dataset_size(set); i++) {
        float pixels[64];
        shk_dataset_pixels(set, i, pixels);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%.0f:%s ", (double)(pixels[0] * 255),
                 shk_dataset_class(set, shk_dataset_label(set, i)));
    }
    assert_string_equal(text, want);
}

static void check_csv(const char *text, const char *train, const char *test) {
    tree_write("/list.csv", text);
    struct shk_data *d = opened("/list.csv", NULL, NULL, "csv");
    check_part(d, SHK_PART_TRAIN, train);
    check_part(d, SHK_PART_TEST, test);
    shk_data_free(d);
}

static void test_records(void **state) {
    (void)state;
    static const char train[] = "20:dog 10:cat 40:dog ", test[] = "30:cat ";
    put_pictures();
    check_csv("b.png,dog,train\na.png,cat,train\n\"in/d, \"\"e\"\".png\",dog,train\nin/c.png,cat,test\n", train, test);
    check_csv("b.png,dog,train\r\na.png,cat,\r\n\"in/d, \"\"e\"\".png\",dog\r\nin/c.png,cat,test\r\n", train, test);
    check_csv("\xef\xbb\xbfpath,label,split\n\n\"b.png\",\"dog\",\"train\"\na.png,cat,Train\n"
              "\"in/d, \"\"e\"\".png\",dog,train\nin/c.png,cat,test",
              train, test);
    check_csv(
        "Split,Label,Path\ntrain,dog,b.png\ntrain,cat,a.png\ntrain,dog,\"in/d, \"\"e\"\".png\"\ntest,cat,in/c.png\n",
        train, test);
    check_csv("a.png,\"two\nlines\"\nb.png,\"\"\"\"\nin/c.png,\"two\nlines\",test\n", "10:two\nlines 20:\" ",
              "30:two\nlines ");
}

static void test_orders(void **state) {
    (void)state;
    put_pictures();
    tree_write("/list", "file,class,split\nb.png,10,train\na.png,9,train\nin/c.png,9,valid\n");
    struct shk_data *d = opened("/list", NULL, NULL, "csv"); // by its heading
    check_part(d, SHK_PART_TRAIN, "20:10 10:9 ");
    check_part(d, SHK_PART_VAL, "30:9 ");
    assert_int_equal(shk_dataset_label(shk_data_part(d, SHK_PART_TRAIN), 0), 1); // 9 comes before 10
    shk_data_free(d);
    tree_write("/test.csv", "a.png,9\nb.png,10,test\nin/c.png,10,train\n");
    d = opened(NULL, "/list", "/test.csv", "csv");
    check_part(d, SHK_PART_TRAIN, "20:10 10:9 ");
    check_part(d, SHK_PART_TEST, "10:9 20:10 ");
    assert_true(noted("1 lines of other parts"));
    shk_data_free(d);
}

static void check_wrong(const char *text, const char *first, const char *second) {
    tree_write("/list.csv", text);
    refuses("/list.csv", first, second);
}

static void test_refusals(void **state) {
    (void)state;
    put_pictures();
    check_wrong("", "list.csv", "empty");
    check_wrong("\n\n", "list.csv", "no picture");
    check_wrong("path,label\n", "list.csv", "no picture");
    check_wrong("a.png,x\nb.png\n", "1 line is wrong", "line 2: it has one field");
    check_wrong("a.png,x\nb.png,y,train,\n", "line 2", "more than the fields");
    check_wrong("a.png,x\n,y\n", "line 2", "path is empty");
    check_wrong("a.png,x\nb.png,\n", "line 2", "label is empty");
    check_wrong("a.png,x\nb.png,\xff\n", "line 2", "UTF-8");
    check_wrong("a.png,x\nb.png,y,dev\n", "line 2", "'dev'");
    check_wrong("a.png,x\n\"b.png,y\n", "line 2", "not closed");
    check_wrong("a.png,x\n\"b.png\"s,y\n", "line 2", "comma must follow");
    check_wrong("a.png,x\nb\"c.png,y\n", "line 2", "quote stands within");
    check_wrong("a.png,x\rb.png,y\r", "line 1", "LF");
    check_wrong("a.png,\"x\ny\"\nb.png\n", "line 3", "one field");
    check_wrong("a.png,x\nb.png,x\n", "one class", "path,label");
    check_wrong("a.png,x\nb.png,y\nin/c.png,z,test\n", "line 3: it has a class 'z'", "training has not");
    check_wrong("a.png,x\nb.png,y\nnone.png,y\n", "1 of 3 pictures", "none.png cannot be read");
    tree_write_bytes("/list.csv", "a\0.\0", 4);
    refuses("/list.csv", "list.csv", "no text");
}

// All wrong lines are said, and left out where that is wanted.
static void test_skip_bad(void **state) {
    (void)state;
    put_pictures();
    check_wrong("a.png\nb.png,y\nin/c.png,x,1\nnone.png,x\na.png,x\n", "2 lines are wrong: the first", "line 1");
    assert_true(noted("line 1: it has one field") && noted("line 3: its split is '1'"));
    skip_bad = true;
    struct shk_data *d = opened(NULL, "/list.csv", "/list.csv", "csv");
    skip_bad = false;
    check_part(d, SHK_PART_TRAIN, "20:y 10:x ");
    assert_true(noted("2 lines are wrong and are left out") && noted("none.png"));
    shk_data_free(d);
}

// ---- Squares, drawn and written ----

enum { SQUARES = 40, SIDE = 32, PIXELS = SIDE * SIDE };

static struct shk_dataset *drawn(uint32_t stream) {
    struct shk_error err;
    struct shk_dataset *d = shk_dataset_squares(
        &(struct shk_squares_options){.n = SQUARES, .size = SIDE, .invert = -1, .seed = 3, .stream = stream}, &err);
    assert_non_null(d);
    return d;
}

// Bytes of an array behind a header.
static void put_pixels(const char *path, const struct shk_dataset *d, const char *header, size_t length) {
    static unsigned char file[200 + SQUARES * PIXELS];
    memcpy(file, header, length);
    for (size_t i = 0; i < SQUARES; i++) {
        float pixels[PIXELS];
        shk_dataset_pixels(d, i, pixels);
        for (size_t k = 0; k < PIXELS; k++) file[length + i * PIXELS + k] = pixels[k] > 0 ? 255 : 0;
    }
    tree_write_bytes(path, file, length + SQUARES * PIXELS);
}

static void put_labels(const char *path, const struct shk_dataset *d, const char *header, size_t length) {
    unsigned char file[200 + SQUARES];
    memcpy(file, header, length);
    for (size_t i = 0; i < SQUARES; i++) file[length + i] = (unsigned char)shk_dataset_label(d, i);
    tree_write_bytes(path, file, length + SQUARES);
}

static void put_square_png(const char *path, const struct shk_dataset *d, size_t sample) {
    float pixels[PIXELS];
    unsigned char bytes[PIXELS];
    char full[512];
    shk_dataset_pixels(d, sample, pixels);
    for (size_t k = 0; k < PIXELS; k++) bytes[k] = pixels[k] > 0 ? 255 : 0;
    snprintf(full, sizeof full, "%s%s", tree, path);
    png_image image = {.version = PNG_IMAGE_VERSION, .width = SIDE, .height = SIDE, .format = PNG_FORMAT_GRAY};
    assert_int_equal(png_image_write_to_file(&image, full, 0, bytes, 0, NULL), 1);
}

static void check_same(const struct shk_data *d, enum shk_part part, const struct shk_dataset *want) {
    const struct shk_dataset *set = shk_data_part(d, part);
    assert_non_null(set);
    assert_int_equal(shk_dataset_size(set), SQUARES);
    assert_int_equal(shk_dataset_shape(set).classes, 9);
    for (size_t i = 0; i < SQUARES; i++) {
        float a[PIXELS], b[PIXELS];
        shk_dataset_pixels(set, i, a);
        shk_dataset_pixels(want, i, b);
        assert_memory_equal(a, b, sizeof a);
        assert_int_equal(shk_dataset_label(set, i), shk_dataset_label(want, i));
    }
}

// The weights after an epoch.
static uint64_t weights_of(const struct shk_dataset *train) {
    struct shk_error err;
    const struct shk_shape shape = shk_dataset_shape(train);
    struct shk_runtime *runtime = shk_runtime_create(&(struct shk_runtime_options){.threads = 1}, &err);
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

static void check_squares(const char *path, const char *source) {
    struct shk_dataset *train = drawn(0), *test = drawn(1);
    struct shk_data *d = opened(path, NULL, NULL, source);
    check_same(d, SHK_PART_TRAIN, train);
    check_same(d, SHK_PART_TEST, test);
    assert_true(weights_of(shk_data_part(d, SHK_PART_TRAIN)) == weights_of(train));
    shk_data_free(d);
    shk_dataset_free(train);
    shk_dataset_free(test);
}

static const char *const part_names[] = {"train", "test"};

static void test_squares_in_idx(void **state) {
    (void)state;
    tree_clear();
    for (uint32_t part = 0; part < 2; part++) {
        static const char images[16] = {0, 0, 8, 3, 0, 0, 0, SQUARES, 0, 0, 0, SIDE, 0, 0, 0, SIDE};
        static const char labels[8] = {0, 0, 8, 1, 0, 0, 0, SQUARES};
        struct shk_dataset *d = drawn(part);
        char path[60];
        snprintf(path, sizeof path, "/%s-images-idx3-ubyte", part_names[part]);
        put_pixels(path, d, images, sizeof images);
        snprintf(path, sizeof path, "/%s-labels-idx1-ubyte", part_names[part]);
        put_labels(path, d, labels, sizeof labels);
        shk_dataset_free(d);
    }
    check_squares("/", "idx");
}

static void add_to_zip(zipFile zip, const char *name) {
    static unsigned char bytes[1 << 22];
    char full[512];
    snprintf(full, sizeof full, "%s/%s", tree, name);
    FILE *in = fopen(full, "rb");
    assert_non_null(in);
    const size_t size = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    assert_int_equal(zipOpenNewFileInZip(zip, name, NULL, NULL, 0, NULL, 0, NULL, Z_DEFLATED, 6), ZIP_OK);
    assert_int_equal(zipWriteInFileInZip(zip, bytes, (unsigned)size), ZIP_OK);
    assert_int_equal(zipCloseFileInZip(zip), ZIP_OK);
}

static void test_squares_in_npz(void **state) {
    (void)state;
    char full[512], header[160], path[40];
    tree_clear();
    tree_write("/npz/nothing", "");
    snprintf(full, sizeof full, "%s/npz/squares.npz", tree);
    zipFile zip = zipOpen64(full, APPEND_STATUS_CREATE);
    assert_non_null(zip);
    for (uint32_t part = 0; part < 2; part++)
        for (unsigned labels = 0; labels < 2; labels++) {
            struct shk_dataset *d = drawn(part);
            memcpy(header, "\x93NUMPY\1\0\x76", 10);
            snprintf(header + 10, sizeof header - 10,
                     "{'descr': '|u1', 'fortran_order': False, 'shape': (%d,%s), }%*s\n", SQUARES,
                     labels ? "" : " 32, 32", labels ? 53 : 46, "");
            snprintf(path, sizeof path, "/%c_%s.npy", labels ? 'y' : 'x', part_names[part]);
            (labels ? put_labels : put_pixels)(path, d, header, 128);
            add_to_zip(zip, path + 1);
            shk_dataset_free(d);
        }
    assert_int_equal(zipClose(zip, NULL), ZIP_OK);
    check_squares("/npz/squares.npz", "npy");
}

static void test_squares_in_csv(void **state) {
    (void)state;
    char text[2 * SQUARES * 40] = "", line[60];
    tree_clear();
    for (uint32_t part = 0; part < 2; part++) {
        struct shk_dataset *d = drawn(part);
        for (size_t i = 0; i < SQUARES; i++) {
            snprintf(line, sizeof line, "/%zu%s.png", (i * 7) % SQUARES, part_names[part]); // not in the order of names
            put_square_png(line, d, i);
            snprintf(line, sizeof line, "%zu%s.png,%u,%s\n", (i * 7) % SQUARES, part_names[part],
                     shk_dataset_label(d, i), part_names[part]);
            strcat(text, line);
        }
        shk_dataset_free(d);
    }
    tree_write("/squares.csv", text);
    check_squares("/squares.csv", "csv");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_skip_bad),
        cmocka_unit_test(test_squares_in_idx), cmocka_unit_test(test_squares_in_npz),
        cmocka_unit_test(test_squares_in_csv),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
