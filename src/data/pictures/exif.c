// SPDX-License-Identifier: MIT
// Reads the one tag of EXIF that matters here: how the camera was held.
#include "data/pictures/picture.h"

#include <string.h>

enum { ORIENTATION = 0x0112, SHORT = 3, ENTRY = 12 };

// `bytes` bytes of a number at a place that was checked.
static size_t number(const unsigned char *at, size_t bytes, bool big_endian) {
    size_t value = 0;
    for (size_t i = 0; i < bytes; i++) value = value << 8 | at[big_endian ? i : bytes - 1 - i];
    return value;
}

unsigned shk_exif_orientation(const unsigned char *tiff, size_t size) {
    if (size < 8 || (memcmp(tiff, "II*\0", 4) != 0 && memcmp(tiff, "MM\0*", 4) != 0)) return 0;
    const bool big_endian = tiff[0] == 'M';
    const size_t directory = number(tiff + 4, 4, big_endian);
    if (directory > size - 2) return 0;
    const size_t entries = number(tiff + directory, 2, big_endian);
    for (size_t i = 0, at = directory + 2; i < entries && at + ENTRY <= size; i++, at += ENTRY) {
        if (number(tiff + at, 2, big_endian) != ORIENTATION || number(tiff + at + 2, 2, big_endian) != SHORT) continue;
        const size_t value = number(tiff + at + 8, 2, big_endian);
        return value <= 8 ? (unsigned)value : 0;
    }
    return 0;
}
