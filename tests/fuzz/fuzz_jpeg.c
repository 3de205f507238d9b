// SPDX-License-Identifier: MIT
// Decodes a JPEG from any bytes, with what EXIF says of its orientation.
#include "picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || data[0] != 0xff) return 0;
    return decode_picture(data, size);
}
