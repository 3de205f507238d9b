// SPDX-License-Identifier: MIT
// SquareDataset, pixel by pixel and as a distribution; copied data sets; the shuffle.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/dataset.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GRID = 3, CLASSES = 9 };

// What an image shows.
struct seen {
    bool inverted;
    size_t top, left;
};

static struct shk_dataset *make(struct shk_squares_options o) {
    struct shk_error err;
    struct shk_dataset *d = shk_dataset_squares(&o, &err);
    if (!d) fail_msg("%s", err.text);
    return d;
}

// Finds the square, and checks that every pixel is 0 or 1 and that the square alone differs from the background.
static struct seen look(const float *image, size_t size, size_t square) {
    size_t ones = 0, last = size * size - 1;
    for (size_t i = 0; i <= last; i++) {
        assert_true(image[i] == 0.0f || image[i] == 1.0f);
        ones += image[i] == 1.0f;
    }
    struct seen s = {.inverted = ones != square * square};
    if (s.inverted) assert_int_equal(ones, size * size - square * square);
    float mark = s.inverted ? 0.0f : 1.0f;
    size_t first = 0;
    while (image[first] != mark) first++;
    s.top = first / size;
    s.left = first % size;
    assert_true(s.top + square <= size && s.left + square <= size);
    for (size_t y = s.top; y < s.top + square; y++)
        for (size_t x = s.left; x < s.left + square; x++) assert_true(image[y * size + x] == mark);
    return s;
}

// Pearson's statistic of equally likely cells lies within `sigmas` standard deviations of its mean.
static void check_uniform(const char *what, const size_t *counts, size_t cells, size_t n) {
    double expected = (double)n / (double)cells, sum = 0, degrees = (double)cells - 1;
    for (size_t i = 0; i < cells; i++)
        sum += ((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
    double sigmas = (sum - degrees) / sqrt(2 * degrees);
    printf("%s: chi-square %.1f, %zu cells, %.1f sigmas\n", what, sum, cells, sigmas);
    assert_true(fabs(sigmas) < 4);
}

// Every image is what its label says; class x offset x inversion is uniform over all that is possible.
static void check_squares(size_t n, size_t size, size_t square, uint32_t stream) {
    struct shk_dataset *d = make((struct shk_squares_options){
        .n = n, .size = size, .square = square, .invert = 0.5, .seed = 7, .stream = stream});
    size_t cell = size / GRID, free_pixels = cell - square + 1, places = free_pixels * free_pixels;
    size_t *joint = calloc(CLASSES * places * 2, sizeof *joint), *rows = calloc(free_pixels, sizeof *rows);
    size_t *columns = calloc(free_pixels, sizeof *columns), classes[CLASSES] = {0}, inverted[2] = {0};
    for (size_t i = 0; i < n; i++) {
        struct seen s = look(shk_dataset_image(d, i), size, square);
        uint32_t label = shk_dataset_label(d, i);
        assert_in_range(label, 0, CLASSES - 1);
        assert_int_equal(s.top / cell * GRID + s.left / cell, label);
        size_t y = s.top % cell, x = s.left % cell;
        assert_true(y < free_pixels && x < free_pixels); // inside the cell
        rows[y]++;
        columns[x]++;
        classes[label]++;
        inverted[s.inverted]++;
        joint[(label * places + y * free_pixels + x) * 2 + s.inverted]++;
    }
    check_uniform("classes", classes, CLASSES, n);
    check_uniform("inverted", inverted, 2, n);
    if (free_pixels > 1) check_uniform("rows", rows, free_pixels, n);
    if (free_pixels > 1) check_uniform("columns", columns, free_pixels, n);
    check_uniform("class x place x inverted", joint, CLASSES * places * 2, n);
    free(joint);
    free(rows);
    free(columns);
    shk_dataset_free(d);
}

static void test_default_squares(void **state) {
    (void)state;
    check_squares(20000, 32, 6, 0);
    check_squares(20000, 32, 6, 1);
}

static void test_other_squares(void **state) {
    (void)state;
    check_squares(5000, 8, 1, 0);    // cells of 2 pixels, 2 left over
    check_squares(5000, 9, 3, 0);    // no freedom
    check_squares(2000, 256, 85, 0); // the largest
    check_squares(10000, 25, 5, 3);
}

static void test_defaults(void **state) {
    (void)state;
    struct shk_dataset *d = make((struct shk_squares_options){.n = 200, .invert = -1, .seed = 3});
    struct shk_dataset *e =
        make((struct shk_squares_options){.n = 200, .size = 32, .square = 6, .invert = 0.5, .seed = 3});
    struct shk_shape shape = shk_dataset_shape(d);
    assert_int_equal(shk_dataset_size(d), 200);
    assert_true(shape.height == 32 && shape.width == 32 && shape.channels == 1 && shape.classes == CLASSES);
    assert_memory_equal(shk_dataset_image(d, 0), shk_dataset_image(e, 0), 200 * 32 * 32 * sizeof(float));
    shk_dataset_free(d);
    shk_dataset_free(e);
}

static void test_inversion(void **state) {
    (void)state;
    struct shk_squares_options o = {.n = 300, .size = 12, .square = 2, .seed = 1};
    for (int always = 0; always < 2; always++) {
        o.invert = always;
        struct shk_dataset *d = make(o);
        for (size_t i = 0; i < o.n; i++) assert_int_equal(look(shk_dataset_image(d, i), 12, 2).inverted, always);
        shk_dataset_free(d);
    }
}

// How many of the first n images agree.
static size_t same_images(const struct shk_dataset *a, const struct shk_dataset *b, size_t n) {
    struct shk_shape s = shk_dataset_shape(a);
    size_t same = 0;
    for (size_t i = 0; i < n; i++)
        same += shk_dataset_label(a, i) == shk_dataset_label(b, i) &&
                !memcmp(shk_dataset_image(a, i), shk_dataset_image(b, i), s.height * s.width * sizeof(float));
    return same;
}

// 450 different images are possible, so that some of 500 agree by chance.
static void test_streams(void **state) {
    (void)state;
    struct shk_squares_options o = {.n = 500, .invert = 0.5, .seed = 1};
    struct shk_dataset *base = make(o), *again = make(o);
    o.n = 800;
    struct shk_dataset *longer = make(o);
    o.n = 500;
    o.stream = 1;
    struct shk_dataset *test = make(o);
    o.stream = 0;
    o.seed = 2;
    struct shk_dataset *seed = make(o);
    o.seed = 1 + ((uint64_t)1 << 32);
    struct shk_dataset *high_seed = make(o);
    assert_int_equal(same_images(base, again, 500), 500);
    assert_int_equal(same_images(base, longer, 500), 500);
    assert_true(same_images(base, test, 500) < 10);
    assert_true(same_images(base, seed, 500) < 10);
    assert_true(same_images(base, high_seed, 500) < 10);
    struct shk_dataset *all[] = {base, again, longer, test, seed, high_seed};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) shk_dataset_free(all[i]);
}

static void test_bad_squares(void **state) {
    (void)state;
    const struct {
        struct shk_squares_options options;
        const char *says;
    } bad[] = {
        {{.n = 0}, "0 samples"},
        {{.n = 10000001}, "10000001 samples"},
        {{.n = SIZE_MAX}, "samples"},
        {{.n = 10, .size = 7, .square = 1}, "7x7"},
        {{.n = 10, .size = 257}, "257x257"},
        {{.n = 10, .size = SIZE_MAX}, "image size"},
        {{.n = 10, .square = 11}, "11 pixels"},
        {{.n = 10, .size = 8}, "6 pixels"},
        {{.n = 10, .square = SIZE_MAX}, "pixels"},
        {{.n = 10, .invert = 1.001}, "invert"},
        {{.n = 10, .invert = INFINITY}, "invert"},
        {{.n = 10, .invert = NAN}, "invert"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct shk_error err = {0};
        assert_null(shk_dataset_squares(&bad[i].options, &err));
        assert_int_equal(err.code, SHK_BAD_INPUT);
        if (!strstr(err.text, bad[i].says)) fail_msg("'%s' does not say '%s'", err.text, bad[i].says);
        assert_null(shk_dataset_squares(&bad[i].options, NULL));
    }
}

static void test_copy(void **state) {
    (void)state;
    enum { N = 3, PIXELS = 8 * 9 * 2 };
    struct shk_shape shape = {8, 9, 2, 4};
    float images[N * PIXELS];
    uint32_t labels[N] = {3, 0, 2};
    struct shk_error err;
    for (size_t i = 0; i < N * PIXELS; i++) images[i] = (float)i;
    struct shk_dataset *d = shk_dataset_copy(images, labels, N, &shape, &err);
    assert_non_null(d);
    images[PIXELS] = -1; // a copy does not see it
    labels[1] = 1;
    for (size_t i = 0; i < PIXELS; i++) assert_true(shk_dataset_image(d, 1)[i] == (float)(PIXELS + i));
    assert_int_equal(shk_dataset_label(d, 0), 3);
    assert_int_equal(shk_dataset_label(d, 1), 0);
    shk_dataset_free(d);
    labels[2] = 4;
    assert_null(shk_dataset_copy(images, labels, N, &shape, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    assert_non_null(strstr(err.text, "label 2 is 4"));
}

// Floats are normalised where they are fetched: what is held, and the hash of it, stay as they were.
static void test_normalised_floats(void **state) {
    (void)state;
    enum { N = 3, PIXELS = 8 * 8 * 2 };
    struct shk_shape shape = {8, 8, 2, 4};
    float images[N * PIXELS], mean[2], deviation[2], room[PIXELS];
    const uint32_t labels[N] = {3, 0, 2};
    for (size_t i = 0; i < N * PIXELS; i++) images[i] = (float)(i % 7) + (float)(i % 2) * 100;
    struct shk_dataset *d = shk_dataset_copy(images, labels, N, &shape, NULL);
    assert_non_null(d);
    const uint64_t hash = shk_dataset_hash(d);
    shk_dataset_statistics(d, mean, deviation);
    shk_dataset_normalise(d, mean, deviation);
    assert_true(shk_dataset_hash(d) == hash);
    for (size_t n = 0; n < N; n++) {
        shk_dataset_pixels(d, n, room);
        for (size_t i = 0; i < PIXELS; i++)
            assert_true(room[i] == (images[n * PIXELS + i] - mean[i % 2]) / deviation[i % 2]);
    }
    shk_dataset_free(d);
}

// Samples that are picked lie where they lay, and have the hash of a copy.
static void test_pick(void **state) {
    (void)state;
    enum { N = 4, PIXELS = 8 * 8 };
    struct shk_shape shape = {8, 8, 1, 4};
    uint8_t images[N * PIXELS];
    const uint32_t labels[N] = {3, 0, 2, 1}, places[] = {3, 1, 2}, again[] = {2, 0};
    for (size_t i = 0; i < N * PIXELS; i++) images[i] = (uint8_t)(i * i % 251);
    struct shk_dataset *all = shk_dataset_copy_bytes(images, labels, N, &shape, NULL);
    struct shk_dataset *some = shk_dataset_pick(all, places, 3, NULL);
    struct shk_dataset *two = shk_dataset_pick(some, again, 2, NULL); // samples 2 and 3
    assert_true(all && some && two);
    assert_ptr_equal(some->bytes, all->bytes);
    shk_dataset_free(all);
    shk_dataset_free(some);
    struct shk_dataset *copy = shk_dataset_copy_bytes(images + 2 * PIXELS, labels + 2, 2, &shape, NULL);
    assert_true(shk_dataset_hash(two) == shk_dataset_hash(copy));
    float a[PIXELS], b[PIXELS], mean[2], deviation[2];
    shk_dataset_statistics(two, mean, deviation);
    shk_dataset_statistics(copy, mean + 1, deviation + 1);
    assert_true(mean[0] == mean[1] && deviation[0] == deviation[1]);
    for (size_t i = 0; i < 2; i++) {
        shk_dataset_pixels(two, i, a);
        shk_dataset_pixels(copy, i, b);
        assert_memory_equal(a, b, sizeof a);
    }
    shk_dataset_free(two);
    shk_dataset_free(copy);
}

// The hash tells sets apart in whatever a training depends on.
static void test_hash(void **state) {
    (void)state;
    enum { N = 6, PIXELS = 8 * 12 };
    static const struct shk_shape shape = {8, 12, 1, 3}, turned = {12, 8, 1, 3}, more = {8, 12, 1, 4};
    float images[N * PIXELS];
    uint32_t labels[N];
    for (size_t i = 0; i < N * PIXELS; i++) images[i] = (float)(i % 7);
    for (uint32_t i = 0; i < N; i++) labels[i] = i % 3;
    uint64_t hash[7];
    for (int i = 0; i < 7; i++) {
        if (i == 5) images[N * PIXELS - 1] += 1;
        if (i == 6) labels[0] = 2;
        const struct shk_shape *s = i == 2 ? &turned : i == 3 ? &more : &shape;
        struct shk_dataset *d = shk_dataset_copy(images, labels, i == 4 ? N - 1 : N, s, NULL);
        assert_non_null(d);
        hash[i] = shk_dataset_hash(d);
        shk_dataset_free(d);
        for (int j = 0; j < i; j++) assert_true((hash[i] == hash[j]) == (i == 1 && j == 0));
    }
}

static void test_bad_shapes(void **state) {
    (void)state;
    const struct shk_shape bad[] = {{7, 8, 1, 2}, {8, 7, 1, 2}, {257, 8, 1, 2}, {8, 257, 1, 2},   {0, 0, 0, 0},
                                    {8, 8, 0, 2}, {8, 8, 5, 2}, {8, 8, 1, 1},   {8, 8, 1, 65537}, {8, 8, 1, 0}};
    float image[8 * 8 * 5] = {0};
    uint32_t label = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct shk_error err = {0};
        assert_null(shk_dataset_copy(image, &label, 1, &bad[i], &err));
        assert_int_equal(err.code, SHK_BAD_INPUT);
    }
    struct shk_error err = {0};
    assert_null(shk_dataset_copy(image, &label, 0, &(struct shk_shape){8, 8, 1, 2}, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
}

static void check_permutation(const uint32_t *order, size_t n) {
    bool *used = calloc(n, sizeof *used);
    for (size_t i = 0; i < n; i++) {
        assert_true(order[i] < n);
        assert_false(used[order[i]]);
        used[order[i]] = true;
    }
    free(used);
}

static size_t agree(const uint32_t *a, const uint32_t *b, size_t n) {
    size_t same = 0;
    for (size_t i = 0; i < n; i++) same += a[i] == b[i];
    return same;
}

static void test_shuffle(void **state) {
    (void)state;
    enum { N = 1000 };
    uint32_t base[N], other[N];
    shk_shuffle(base, N, 1, 0);
    shk_shuffle(other, N, 1, 0);
    assert_int_equal(agree(base, other, N), N);
    check_permutation(base, N);
    const struct {
        uint64_t seed;
        uint32_t epoch;
    } others[] = {{1, 1}, {1, 2}, {2, 0}, {1 + ((uint64_t)1 << 32), 0}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        shk_shuffle(other, N, others[i].seed, others[i].epoch);
        check_permutation(other, N);
        assert_true(agree(base, other, N) < 10); // 1 on average
    }
    for (size_t n = 1; n < 70; n++) {
        shk_shuffle(other, n, 5, 0);
        check_permutation(other, n);
    }
}

// All orders of four are equally likely.
static void test_shuffle_uniform(void **state) {
    (void)state;
    size_t counts[256] = {0}, orders[24], found = 0, n = 24000;
    for (uint32_t epoch = 0; epoch < n; epoch++) {
        uint32_t o[4];
        shk_shuffle(o, 4, 9, epoch);
        counts[o[0] << 6 | o[1] << 4 | o[2] << 2 | o[3]]++;
    }
    for (size_t i = 0; i < 256; i++)
        if (counts[i] && found < 24) orders[found++] = counts[i];
    assert_int_equal(found, 24);
    check_uniform("orders of four", orders, 24, n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_squares),
        cmocka_unit_test(test_other_squares),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_inversion),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_bad_squares),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_normalised_floats),
        cmocka_unit_test(test_pick),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_bad_shapes),
        cmocka_unit_test(test_shuffle),
        cmocka_unit_test(test_shuffle_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
