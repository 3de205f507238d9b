// SPDX-License-Identifier: MIT
// The JSON of a safetensors header: one object with "__metadata__", an object of texts, and one object {"dtype", "shape",
// "data_offsets"} for each tensor.
#ifndef SHK_FORMATS_HEADER_H
#define SHK_FORMATS_HEADER_H

#include "formats/safetensors.h"

// Fills header and tensors of *f, but not where the tensors' numbers are. f->path is set already; the caller frees with
// shk_st_free, also where it fails.
bool shk_header_read(const char *text, size_t length, struct shk_st *f, struct shk_error *);

size_t shk_header_bytes(enum shk_st_type); // of a number
// Whether it counts the batches of a batch normalisation, as PyTorch does.
bool shk_header_is_counter(const struct shk_st_tensor *);

#endif
