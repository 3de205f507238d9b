// SPDX-License-Identifier: MIT
// The part of a pool's window that lies in the map is found here, along one side.
#ifndef SHK_SIMD_WINDOW_H
#define SHK_SIMD_WINDOW_H

#include <stddef.h>

// Positions from .. to - 1; the first of them is pixel `pixel`.
struct shk_window {
    size_t from, to, pixel;
};

// Of output i, on a side of `side` pixels.
static inline struct shk_window shk_window_at(size_t i, size_t side, size_t window, size_t stride, size_t pad) {
    const size_t begin = i * stride, from = begin < pad ? pad - begin : 0;
    const size_t pixel = begin + from - pad, left = side - pixel;
    return (struct shk_window){from, window - from < left ? window : from + left, pixel};
}

#endif
