// SPDX-License-Identifier: MIT
// CIFAR's binary files: planes become pixels, batches become parts, and what is wrong is named.
#include "open_data.h"

#include <stdlib.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, RGB = 3, N = 6 };

static unsigned char value(size_t sample, size_t channel, size_t pixel) {
    return (unsigned char)(sample * 41 + channel * 101 + pixel * 7 + pixel / 256);
}

// N records from the sample `first` on; labels: 1 or 2 before the pixels, of which the last is the sample modulo `classes`.
static void put_batch(const char *path, size_t first, size_t labels, size_t classes, size_t cut) {
    static unsigned char file[N * (2 + RGB * PLANE)];
    unsigned char *at = file;
    for (size_t n = first; n < first + N; n++) {
        if (labels == 2) *at++ = 19;
        *at++ = (unsigned char)(n % classes);
        for (size_t c = 0; c < RGB; c++)
            for (size_t i = 0; i < PLANE; i++) *at++ = value(n, c, i);
    }
    tree_write_bytes(path, file, (size_t)(at - file) - cut);
}

static void check_part(const struct shk_data *d, enum shk_part part, size_t first, size_t n, size_t classes) {
    static float pixels[PLANE * RGB];
    const struct shk_dataset *set = shk_data_part(d, part);
    assert_non_null(set);
    assert_int_equal(shk_dataset_size(set), n);
    const struct shk_shape s = shk_dataset_shape(set);
    assert_true(s.height == SIDE && s.width == SIDE && s.channels == RGB);
    for (size_t k = 0; k < n; k++) {
        shk_dataset_pixels(set, k, pixels);
        assert_int_equal(shk_dataset_label(set, k), (first + k) % classes);
        for (size_t i = 0; i < PLANE; i++)
            for (size_t c = 0; c < RGB; c++) assert_true(pixels[i * RGB + c] == (float)value(first + k, c, i) / 255.0f);
    }
}

static const char names[] = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

static void test_cifar10(void **state) {
    (void)state;
    char path[40];
    tree_clear();
    for (size_t i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "/data_batch_%zu.bin", i + 1);
        put_batch(path, i * N, 1, 10, 0);
    }
    put_batch("/test_batch.bin", 100, 1, 10, 0);
    tree_write("/batches.meta.txt", names);
    tree_write("/readme.html", "<html>");
    struct shk_data *d = opened("/", NULL, NULL, "cifar");
    check_part(d, SHK_PART_TRAIN, 0, 5 * N, 10);
    check_part(d, SHK_PART_TEST, 100, N, 10);
    assert_string_equal(shk_dataset_class(shk_data_part(d, SHK_PART_TEST), 9), "truck");
    shk_data_free(d);
    d = opened(NULL, "/data_batch_2.bin", "/test_batch.bin", "cifar");
    check_part(d, SHK_PART_TRAIN, N, N, 10);
    check_part(d, SHK_PART_TEST, 100, N, 10);
    shk_data_free(d);
    d = opened(NULL, "/", "/test_batch.bin", "cifar"); // train's batches alone
    check_part(d, SHK_PART_TRAIN, 0, 5 * N, 10);
    shk_data_free(d);
}

static void test_cifar100(void **state) {
    (void)state;
    tree_clear();
    put_batch("/train.bin", 95, 2, 100, 0);
    put_batch("/test.bin", 7, 2, 100, 0);
    struct shk_data *d = opened("/", NULL, NULL, "cifar");
    check_part(d, SHK_PART_TRAIN, 95, N, 100);
    check_part(d, SHK_PART_TEST, 7, N, 100);
    assert_null(shk_dataset_class(shk_data_part(d, SHK_PART_TRAIN), 0));
    assert_true(noted("fine_label_names.txt"));
    shk_data_free(d);
    put_batch("/mine.bin", 50, 2, 100, 0); // by its size
    d = opened(NULL, "/mine.bin", "/test.bin", "cifar");
    check_part(d, SHK_PART_TRAIN, 50, N, 100);
    shk_data_free(d);
}

static void test_refusals(void **state) {
    (void)state;
    struct shk_error err;
    tree_clear();
    put_batch("/data_batch_1.bin", 0, 1, 10, 1);
    refuses("/", "data_batch_1.bin: 18437 bytes", "3073 bytes each");
    put_batch("/data_batch_1.bin", 5, 1, 12, 0); // the last sample is 10
    refuses("/", "data_batch_1.bin: record 5 has the label 10", "10 classes");
    tree_write("/data_batch_1.bin", "");
    refuses("/", "data_batch_1.bin: 0 bytes", "");
    put_batch("/data_batch_1.bin", 0, 1, 10, 0);
    put_batch("/train.bin", 0, 2, 100, 0);
    assert_null(open_data(NULL, "/data_batch_1.bin", "/train.bin", &err));
    assert_non_null(strstr(err.text, "CIFAR-100 has 100 classes, but wanted are 10"));
    refuses("/", "CIFAR-10 and CIFAR-100", "name one");
    remove(strcat(strcpy(path_text[0], tree), "/train.bin"));
    put_batch("/test_batch.bin", 0, 1, 10, 0);
    shk_data_free(opened("/", NULL, NULL, "cifar"));
    assert_true(noted("1 of the 5 training batches are there"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cifar10),
        cmocka_unit_test(test_cifar100),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
