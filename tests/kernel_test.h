// SPDX-License-Identifier: MIT
// What the kernel tests share: guarded buffers, reproducible random numbers, comparisons that name the worst element, a
// loop over ISAs.
//
//   float *x = kt_floats(n);      64-byte aligned, filled with poison; reading or writing past round16(n) faults,
//   writing before it is found float *y = kt_floats_any(n);  the same without alignment: its end is exact (for operands
//   whose alignment is "any") kt_free(x);                   checks the guard and releases kt_fill(x, n, -1, 1);
//   uniform; the seed is SHK_TEST_SEED, else 1; KT_MAIN prints it KT_FOR_ISAS(kernels) { kernels->gemm(&args);
//   kt_same_bits("gemm", kernels->isa, got, want, n, row_length); } kt_close("gemm", kernels->isa, got, reference,
//   magnitude, n, row_length, 1e-6);
#ifndef SHK_TESTS_KERNEL_TEST_H
#define SHK_TESTS_KERNEL_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels.h"

#define KT_POISON 0x7fc0deadu // a NaN that no kernel makes
#define KT_FRONT 256          // bytes before the data: the header, then poison

struct kt_header {
    unsigned char *map;
    size_t map_bytes, data_bytes;
};

static inline uint32_t kt_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float kt_poison(void) {
    const uint32_t u = KT_POISON;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

// `bytes` (multiple of 4) that end where an inaccessible page starts.
static inline void *kt_bytes(size_t bytes) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t body = (bytes + KT_FRONT + page - 1) / page * page;
    unsigned char *map = mmap(NULL, body + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + body, page, PROT_NONE) != 0) {
        perror("kernel_test: mmap");
        exit(1);
    }
    unsigned char *data = map + body - bytes;
    const uint32_t poison = KT_POISON;
    for (unsigned char *p = data - KT_FRONT; p < map + body; p += sizeof poison) memcpy(p, &poison, sizeof poison);
    const struct kt_header header = {map, body + page, bytes};
    memcpy(data - KT_FRONT, &header, sizeof header);
    return data;
}

static inline float *kt_floats(size_t n) { return kt_bytes(shk_round16(n) * sizeof(float)); }
static inline float *kt_floats_any(size_t n) { return kt_bytes(n * sizeof(float)); }

static inline void kt_free(void *data) {
    if (!data) return;
    unsigned char *p = data;
    struct kt_header header;
    memcpy(&header, p - KT_FRONT, sizeof header);
    const uint32_t poison = KT_POISON;
    for (unsigned char *g = p - KT_FRONT + sizeof header; g < p; g += sizeof poison)
        if (memcmp(g, &poison, sizeof poison) != 0) fail_msg("written %d bytes before a buffer", (int)(p - g));
    munmap(header.map, header.map_bytes);
}

static inline uint64_t kt_seed(void) {
    const char *text = getenv("SHK_TEST_SEED");
    return text ? strtoull(text, NULL, 0) : 1;
}

// SplitMix64 (Steele et al. 2014).
static inline uint64_t kt_next(void) {
    static uint64_t state;
    static int seeded;
    if (!seeded) {
        state = kt_seed();
        seeded = 1;
    }
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline size_t kt_below(size_t n) { return (size_t)(kt_next() % n); }
static inline float kt_uniform(float lo, float hi) {
    return (float)(lo + ((double)hi - lo) * ((double)(kt_next() >> 11) * 0x1p-53));
}
static inline void kt_fill(float *x, size_t n, float lo, float hi) {
    for (size_t i = 0; i < n; i++) x[i] = kt_uniform(lo, hi);
}
static inline float *kt_random(size_t n, float lo, float hi) {
    float *x = kt_floats(n);
    kt_fill(x, n, lo, hi);
    return x;
}
static inline float *kt_copy(const float *x, size_t n) {
    float *y = kt_floats(n);
    memcpy(y, x, n * sizeof *y);
    return y;
}
// A stride for rows of so many columns.
static inline size_t kt_stride(size_t cols) { return shk_round16(cols) + 16 * kt_below(3); }
// rows x cols random values at stride ld: pad columns 0, poison from there to the next row.
static inline float *kt_matrix(size_t rows, size_t cols, size_t ld, float lo, float hi) {
    float *x = kt_floats(rows * ld);
    for (size_t r = 0; r < rows; r++) {
        memset(x + r * ld, 0, shk_round16(cols) * sizeof *x);
        kt_fill(x + r * ld, cols, lo, hi);
    }
    return x;
}
// Fails where the pad columns of such a matrix are not 0, or what is behind them is no longer poison.
static inline void kt_zero_pads(const float *x, size_t rows, size_t cols, size_t ld) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = cols; c < shk_round16(cols); c++) assert_int_equal(kt_bits(x[r * ld + c]), 0);
        for (size_t c = shk_round16(cols); c < ld; c++) assert_int_equal(kt_bits(x[r * ld + c]), KT_POISON);
    }
}
// Poison again, for a second kernel on the same buffer.
static inline void kt_repoison(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = kt_poison();
}

// Fails unless the bits are equal, poison included (so whatever lies between rows is covered); `row` only names the
// place (0: one row).
static inline void kt_same_bits(const char *what, const char *isa, const float *got, const float *want, size_t n,
                                size_t row) {
    size_t worst = 0, different = 0;
    double most = -1;
    for (size_t i = 0; i < n; i++) {
        if (kt_bits(got[i]) == kt_bits(want[i])) continue;
        double distance = fabs((double)got[i] - want[i]);
        if (isnan(distance)) distance = INFINITY;
        if (distance > most) {
            most = distance;
            worst = i;
        }
        different++;
    }
    if (!different) return;
    if (!row) row = n;
    fail_msg("%s on %s: %zu of %zu differ, worst at row %zu column %zu: %.9g (%08x), want %.9g (%08x)", what, isa,
             different, n, worst / row, worst % row, (double)got[worst], (unsigned)kt_bits(got[worst]),
             (double)want[worst], (unsigned)kt_bits(want[worst]));
}

// The worst error of a whole test, for kt_report.
struct kt_worst {
    double error; // as a share of the magnitude
    size_t place;
    double got, want;
    char what[160];
};
static inline struct kt_worst *kt_worst(void) {
    static struct kt_worst worst = {.error = -1};
    return &worst;
}
static inline void kt_report(void) {
    struct kt_worst *w = kt_worst();
    if (w->error >= 0)
        print_message("worst: %s element %zu: %.9g, want %.9g, error %.3g of the magnitude\n", w->what, w->place,
                      w->got, w->want, w->error);
    w->error = -1;
}

// Fails unless |got - want| <= tolerance * magnitude everywhere (magnitude NULL: 1); NaN and infinity fail. magnitude
// is e.g. sum |a||b|.
static inline void kt_close(const char *what, const char *isa, const float *got, const double *want,
                            const double *magnitude, size_t n, size_t row, double tolerance) {
    size_t worst = 0;
    double most = -1;
    for (size_t i = 0; i < n; i++) {
        const double size = magnitude ? magnitude[i] : 1;
        const double distance = fabs((double)got[i] - want[i]);
        double error = distance == 0 ? 0 : distance / size;
        if (isnan(error)) error = INFINITY;
        if (error > most) {
            most = error;
            worst = i;
        }
    }
    if (n == 0) return;
    struct kt_worst *w = kt_worst();
    if (most > w->error) {
        *w = (struct kt_worst){.error = most, .place = worst, .got = (double)got[worst], .want = want[worst]};
        snprintf(w->what, sizeof w->what, "%.130s on %.8s", what, isa);
    }
    if (!row) row = n;
    if (most > tolerance)
        fail_msg("%s on %s: worst at row %zu column %zu: %.9g, want %.9g, error %.3g of the magnitude, allowed %.3g",
                 what, isa, worst / row, worst % row, (double)got[worst], want[worst], most, tolerance);
}

// The C kernels, the reference of all others.
static inline const struct shk_kernels *kt_reference(void) {
    bool exists;
    return shk_kernels_find("c", &exists);
}

#define KT_FOR_ISAS(kernels)                                                                                           \
    for (size_t kt_isa = 0; kt_isa < 8; kt_isa++)                                                                      \
        for (const struct shk_kernels *kernels = shk_kernels_at(kt_isa); kernels; kernels = NULL)

#define KT_MAIN(...)                                                                                                   \
    int main(void) {                                                                                                   \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                                               \
        print_message("SHK_TEST_SEED=%llu\n", (unsigned long long)kt_seed());                                          \
        return cmocka_run_group_tests(tests, NULL, NULL);                                                              \
    }

#endif
