// SPDX-License-Identifier: MIT
// A writer makes messages of Protocol Buffers (protobuf.dev/programming-guides/encoding), as ONNX files have them, in memory
// that grows.
#ifndef SHK_FORMATS_PROTOBUF_H
#define SHK_FORMATS_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shk_pb {
    unsigned char *bytes;
    size_t size, room;
    bool failed; // there was no memory for something
};
void shk_pb_free(struct shk_pb *);

void shk_pb_whole(struct shk_pb *, unsigned field, uint64_t value);
void shk_pb_real(struct shk_pb *, unsigned field, float value);
void shk_pb_bytes(struct shk_pb *, unsigned field, const void *bytes, size_t size);
void shk_pb_text(struct shk_pb *, unsigned field, const char *text);
// The beginning of a field of `size` bytes that are written elsewhere.
void shk_pb_announce(struct shk_pb *, unsigned field, size_t size);
// A message in a field: what is written between the two belongs to it.
size_t shk_pb_open(struct shk_pb *, unsigned field);
void shk_pb_close(struct shk_pb *, size_t opened);

#endif
