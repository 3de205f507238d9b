// SPDX-License-Identifier: MIT
// The positions of a grid as sines and cosines, which nobody learns: those of the masked autoencoders of He et al. (2022).
#ifndef SHK_NN_GRID_H
#define SHK_NN_GRID_H

#include <stdbool.h>
#include <stddef.h>

struct shk_grid {
    size_t h, w; // tokens of the grid, row by row
};

// Rows of `ld` floats, of which the first `dim` (a multiple of 4) are written. The last h * w of `rows` rows are the grid's, those
// before are left as they are. With q = dim / 4, f(i) = 10000^(-i / q), i < q, the row of (y, x) has sin(x f(i)), cos(x f(i)),
// sin(y f(i)), cos(y f(i)): each rounded once from a double whose error is below 1e-11, and the same on every machine.
void shk_grid_positions(const struct shk_grid *, size_t rows, size_t dim, size_t ld, float *out);

#endif
