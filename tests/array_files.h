// SPDX-License-Identifier: MIT
// Files of arrays are put together by tests, and the data that they become are checked.
#ifndef TESTS_ARRAY_FILES_H
#define TESTS_ARRAY_FILES_H

#include "open_data.h"

#include <math.h>
#include <stdlib.h>

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
    const int64_t whole = type[1] == 'f' ? 0 : (int64_t)value;
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
static double label(size_t n, size_t y, size_t x, size_t c) {
    (void)y, (void)x, (void)c;
    return (double)(n % CLASSES);
}

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

#endif
