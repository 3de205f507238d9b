// SPDX-License-Identifier: MIT
// Finds where a series of measurements stepped from one level to another.
#ifndef SHK_REPORT_CHANGES_H
#define SHK_REPORT_CHANGES_H

#include <stdbool.h>
#include <stddef.h>

enum { CHANGES_ORDERS = 19999 }; // random ones that a series is held against: a probability is a multiple of 1 / 20000

struct change {
    size_t at;            // the first value of the new level
    double before, after; // the levels: medians between this change and its neighbours
    double probability;   // that the values lie so by chance
};
// Pettitt's test (1979): the place where ranks before and after differ most, and how many random orders of the same values differ as
// much; a part of a series in which that is less than `level` is cut there, and both parts are looked at in turn. The random orders are
// the same each time. out: [n], in order. Returns how many; n + 1: out of memory.
size_t changes_find(const double *values, size_t n, double level, struct change *out);

#endif
