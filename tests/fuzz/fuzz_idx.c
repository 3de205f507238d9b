// SPDX-License-Identifier: MIT
// IDX files from any bytes, plain or gzip, as images and as labels.
#include "arrays.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return read_array(shk_idx_open, data, size); }
