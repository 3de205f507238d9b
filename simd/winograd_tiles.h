// SPDX-License-Identifier: MIT
// Tiles of a map without a border are found and transformed here.
#ifndef SHK_SIMD_WINOGRAD_TILES_H
#define SHK_SIMD_WINOGRAD_TILES_H

#include "winograd_parts.h"

struct map_tiles {
    const float *map;   // [h][w][ld] of each sample
    const float *zeros; // [6][ld]: what lies above and below the map
    size_t h, w, ld, sample;
};
struct map_tile {
    size_t sample, ty, tx;
};

// Zeros for six pixels.
SHK_INLINE const float *clear_row(float *row, size_t ld) {
    for (size_t i = 0; i < 6 * ld; i += 16) vf_store(row + i, vf_zero());
    return row;
}

// The next tile of all samples, row-major.
SHK_INLINE void next_tile(const struct map_tiles *m, struct map_tile *t) {
    if (4 * ++t->tx < m->w) return;
    t->tx = 0;
    if (4 * ++t->ty < m->h) return;
    t->ty = 0;
    t->sample++;
}

// B^T of the columns of the 6x6 pixels around a tile, PV_LANES channels: t [column][6].
SHK_INLINE void transform_columns(const struct map_tiles *m, const struct map_tile *at, size_t channel, pv *t) {
    const float *rows[6];
    const size_t ld = m->ld, left = 4 * at->tx;
    SHK_UNROLL
    for (size_t y = 0; y < 6; y++) {
        const size_t row = 4 * at->ty + y; // one less is the pixel's
        const bool inside = row >= 1 && row <= m->h;
        rows[y] = inside ? m->map + at->sample * m->sample + ((row - 1) * m->w + left) * ld + channel
                         : m->zeros + ld + channel;
    }
    SHK_UNROLL
    for (size_t x = 0; x < 6; x++) {
        if (left + x < 1 || left + x > m->w) {
            SHK_UNROLL
            for (int y = 0; y < 6; y++) t[6 * x + y] = pv_zero();
            continue;
        }
        pv d[6];
        SHK_UNROLL
        for (int y = 0; y < 6; y++) d[y] = pv_load(rows[y] + (ptrdiff_t)(x * ld) - (ptrdiff_t)ld);
        transform_six(d, t + 6 * x);
    }
}

// 16 channels of a tile, transformed to [36] at v_step.
SHK_INLINE void transform_map_tile(const struct map_tiles *m, const struct map_tile *at, size_t channel, float *v,
                                   size_t v_step) {
    for (size_t l = 0; l < 16; l += PV_LANES) {
        pv t[36];
        transform_columns(m, at, channel + l, t);
        transform_rows(t, v + l, v_step);
    }
}

#endif
