// SPDX-License-Identifier: MIT
// The JSON of a safetensors header, and nothing else that JSON can say: one object with "__metadata__", an object of
// texts, and one object {"dtype", "shape", "data_offsets"} for each tensor. Read without recursion, into three blocks of
// memory whose sizes the header's length bounds.
#ifndef SHK_FORMATS_HEADER_H
#define SHK_FORMATS_HEADER_H

#include "formats/safetensors.h"

// Fills texts and tensors of *f, both sorted by name, but not where the tensors' numbers are. f->path is set already; the
// caller frees with shk_st_free, also where it fails.
bool shk_header_read(const char *text, size_t length, struct shk_st *f, struct shk_error *);
// Well-formed UTF-8 (RFC 3629).
bool shk_is_utf8(const char *text, size_t length);

#endif
