// SPDX-License-Identifier: MIT
// Decodes a PNG from any bytes: as they are, and with the checksums of its chunks put right, so that what lies behind these is
// reached.
#include "picture.h"

#include <string.h>
#include <zlib.h>

enum { SIGNATURE = 8, AROUND = 12 }; // bytes of length, type and checksum

static size_t big(const uint8_t *at) { return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3]; }

static void repair(uint8_t *png, size_t size) {
    for (size_t at = SIGNATURE; at + AROUND <= size;) {
        const size_t length = big(png + at);
        if (length > size - at - AROUND) return;
        const uint32_t sum = (uint32_t)crc32(0, png + at + 4, (unsigned)length + 4);
        for (size_t i = 0; i < 4; i++) png[at + 8 + length + i] = (uint8_t)(sum >> (24 - 8 * i));
        at += length + AROUND;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || data[0] != 0x89) return 0;
    decode_picture(data, size);
    uint8_t *repaired = malloc(size);
    must(repaired != NULL);
    memcpy(repaired, data, size);
    repair(repaired, size);
    decode_picture(repaired, size);
    free(repaired);
    return 0;
}
