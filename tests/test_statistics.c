// SPDX-License-Identifier: MIT
// Rank statistics against figures of scipy.stats (wilcoxon, mannwhitneyu, exact), and against counting all cases.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "report/statistics.h"
#include <math.h>
#include <string.h>

static void near(double a, double b) {
    if (!(fabs(a - b) < 1e-9)) fail_msg("%.17g, not %.17g", a, b);
}

static void test_pairs(void **state) {
    (void)state;
    const double d[] = {0.31, -0.12, 0.45, 0.27, 0.05, -0.33, 0.61, 0.18, 0.29, 0.02};
    struct shift s;
    assert_true(statistics_of_pairs(d, 10, 0.95, &s));
    near(s.above, 0.052734375);
    near(s.below, 0.9580078125);
    near(s.estimate, 0.17);
    near(s.low, -0.03);
    near(s.high, 0.37);
}

// All signs of five differences, two of them of one size, and one that says nothing.
static void test_ties(void **state) {
    (void)state;
    const double d[] = {1, -2, 3, 3, 0, 5}, ranks[] = {1, 2, 3.5, 3.5, 5};
    struct shift s;
    assert_true(statistics_of_pairs(d, 6, 0.9, &s));
    unsigned above = 0, below = 0;
    for (unsigned signs = 0; signs < 32; signs++) {
        double sum = 0;
        for (unsigned i = 0; i < 5; i++) sum += signs >> i & 1 ? ranks[i] : 0;
        above += sum >= 13;
        below += sum <= 13;
    }
    near(s.above, above / 32.0);
    near(s.below, below / 32.0);
}

static void test_few(void **state) {
    (void)state;
    const double none[] = {0, 0, 0}, some[] = {1, 2, 3, 4};
    struct shift s;
    assert_true(statistics_of_pairs(none, 3, 0.95, &s));
    near(s.above, 1);
    near(s.below, 1);
    near(s.estimate, 0);
    assert_true(statistics_of_pairs(some, 4, 0.95, &s));
    near(s.above, 1 / 16.0);
    near(s.estimate, 2.5);
    assert_true(isinf(s.low) && s.low < 0 && isinf(s.high)); // four pairs can't be sure to 0.95
}

static void test_samples(void **state) {
    (void)state;
    const double a[] = {1.1, 2.3, 0.7, 1.9, 1.4, 2.8}, b[] = {2.2, 3.1, 1.6, 2.9, 3.3};
    struct shift s;
    assert_true(statistics_of_samples(a, 6, b, 5, 0.95, &s));
    near(s.above, 0.04112554112554113);
    near(s.below, 0.9740259740259741);
    near(s.estimate, 0.95);
    // 7 of 462 ways have a U of at most 3, 12 one of at most 4, and 0.025 are 11: so the fourth difference from each end.
    near(s.low, -0.3);
    near(s.high, 2.2);
}

// The share of intervals that hold the true middle is at least the confidence, and not by far.
static void test_coverage(void **state) {
    (void)state;
    uint64_t random = 1;
    unsigned holds = 0, trials = 2000;
    for (unsigned t = 0; t < trials; t++) {
        double d[12];
        for (int i = 0; i < 12; i++) { // uniform over -1 to 3
            random = random * 6364136223846793005u + 1442695040888963407u;
            d[i] = 4 * (double)(random >> 11) * 0x1p-53 - 1;
        }
        struct shift s;
        assert_true(statistics_of_pairs(d, 12, 0.9, &s));
        holds += s.low <= 1 && 1 <= s.high;
    }
    assert_in_range(holds, trials * 88 / 100, trials * 94 / 100);
}

static void test_holm(void **state) {
    (void)state;
    double p[] = {0.04, 0.01, 0.03, 0.005};
    statistics_holm(p, 4);
    near(p[3], 0.02);
    near(p[1], 0.03);
    near(p[2], 0.06);
    near(p[0], 0.06); // not less than one before it
    double high[] = {0.9, 0.8};
    statistics_holm(high, 2);
    near(high[0], 1);
    near(high[1], 1);
}

static void test_median(void **state) {
    (void)state;
    double odd[] = {3, 1, 2}, even[] = {4, 1, 3, 2};
    near(statistics_median(odd, 3), 2);
    near(statistics_median(even, 4), 2.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),   cmocka_unit_test(test_ties),     cmocka_unit_test(test_few),
        cmocka_unit_test(test_samples), cmocka_unit_test(test_coverage), cmocka_unit_test(test_holm),
        cmocka_unit_test(test_median),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
