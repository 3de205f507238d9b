// SPDX-License-Identifier: MIT
// .npy files from any bytes, as images and as labels.
#include "arrays.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return read_array(shk_npy_open, data, size); }
