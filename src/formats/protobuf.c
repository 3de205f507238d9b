// SPDX-License-Identifier: MIT
// Fields are written here: a tag, and a number, or a length and bytes.
#include "formats/protobuf.h"

#include <stdlib.h>
#include <string.h>

enum { NUMBER = 0, LENGTH = 2, FOUR_BYTES = 5 }; // wire types
enum { MAX_VARINT = 10 };                        // bytes

static void put(struct shk_pb *b, const void *bytes, size_t size) {
    if (size > b->room - b->size) {
        const size_t room = 2 * (b->room + size);
        unsigned char *grown = realloc(b->bytes, room);
        b->failed = b->failed || !grown;
        if (!grown) return;
        b->bytes = grown;
        b->room = room;
    }
    if (size == 0) return; // of nothing, there may be no address
    memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
}

// Seven bits a byte, the lowest first; the eighth says that more follow.
static size_t encode(uint64_t value, unsigned char out[MAX_VARINT]) {
    size_t n = 0;
    for (; value >= 128; value >>= 7) out[n++] = (unsigned char)(value | 128);
    out[n++] = (unsigned char)value;
    return n;
}

static void put_varint(struct shk_pb *b, uint64_t value) {
    unsigned char bytes[MAX_VARINT];
    put(b, bytes, encode(value, bytes));
}

static void put_tag(struct shk_pb *b, unsigned field, unsigned type) { put_varint(b, field << 3 | type); }

void shk_pb_free(struct shk_pb *b) {
    free(b->bytes);
    *b = (struct shk_pb){0};
}

void shk_pb_whole(struct shk_pb *b, unsigned field, uint64_t value) {
    put_tag(b, field, NUMBER);
    put_varint(b, value);
}

void shk_pb_real(struct shk_pb *b, unsigned field, float value) {
    put_tag(b, field, FOUR_BYTES);
    put(b, &value, sizeof value);
}

void shk_pb_announce(struct shk_pb *b, unsigned field, size_t size) {
    put_tag(b, field, LENGTH);
    put_varint(b, size);
}

void shk_pb_bytes(struct shk_pb *b, unsigned field, const void *bytes, size_t size) {
    shk_pb_announce(b, field, size);
    put(b, bytes, size);
}

void shk_pb_text(struct shk_pb *b, unsigned field, const char *text) { shk_pb_bytes(b, field, text, strlen(text)); }

size_t shk_pb_open(struct shk_pb *b, unsigned field) {
    put_tag(b, field, LENGTH);
    return b->size;
}

// The length goes in front of what is there, which moves for it.
void shk_pb_close(struct shk_pb *b, size_t opened) {
    unsigned char length[MAX_VARINT];
    if (b->failed) return;
    const size_t size = b->size - opened, n = encode(size, length);
    put(b, length, n);
    if (b->failed) return;
    memmove(b->bytes + opened + n, b->bytes + opened, size);
    memcpy(b->bytes + opened, length, n);
}
