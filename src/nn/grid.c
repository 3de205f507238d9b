// SPDX-License-Identifier: MIT
// Sines, cosines and powers are computed here by their series in double, from sums, products and fma: a libm's have other bits on
// other machines.
#include "nn/grid.h"

#include <math.h>

// e^x, -10 < x <= 0: the series of x / 16, squared four times.
static double exponential(double x) {
    double sum = 1;
    for (int n = 20; n > 0; n--) sum = 1 + x / 16 * sum / n;
    for (int i = 0; i < 4; i++) sum *= sum;
    return sum;
}

// sin(x + quarters * pi / 2) of 0 <= x < 2^20.
static double sine(double x, unsigned quarters) {
    const double half_pi = 1.5707963267948966, rest = 6.123233995736766e-17; // their sum is pi / 2
    const unsigned turns = (unsigned)(x / half_pi + 0.5), turn = (turns + quarters) % 4, odd = 1 - turn % 2;
    const double r = fma(-(double)turns, rest, fma(-(double)turns, half_pi, x)), square = r * r; // |r| <= pi / 4
    double sum = 1;
    for (unsigned n = 22; n > 0; n -= 2) sum = 1 - square * sum / ((n + odd) * (n + odd - 1));
    sum *= odd ? r : 1;
    return turn < 2 ? sum : -sum;
}

// Column `column` of all tokens that have the coordinate `at`, down or across.
static void spread(const struct shk_grid *g, size_t at, bool down, size_t column, size_t ld, double x, float *tokens) {
    const size_t count = down ? g->w : g->h, first = down ? at * g->w : at, step = down ? 1 : g->w;
    for (size_t i = 0; i < count; i++) tokens[(first + i * step) * ld + column] = (float)x;
}

void shk_grid_positions(const struct shk_grid *g, size_t rows, size_t dim, size_t ld, float *out) {
    const double log_10000 = 9.210340371976184;
    const size_t quarter = dim / 4;
    float *const tokens = out + (rows - g->h * g->w) * ld;
    for (int down = 0; down < 2; down++)
        for (size_t at = 0; at < (down ? g->h : g->w); at++)
            for (size_t i = 0; i < quarter; i++) {
                const double angle = (double)at * exponential(-log_10000 * (double)i / (double)quarter);
                const size_t column = (down ? 2 * quarter : 0) + i;
                spread(g, at, down, column, ld, sine(angle, 0), tokens);
                spread(g, at, down, column + quarter, ld, sine(angle, 1), tokens);
            }
}
