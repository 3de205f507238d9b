// SPDX-License-Identifier: MIT
// The header of a safetensors file is parsed here.
#include "formats/header.h"

#include "base/json.h"
#include "base/memory.h"
#include <string.h>

// ---- Tensors ----

static const struct {
    const char *name;
    size_t bytes; // of a number
} types[SHK_ST_TYPES] = {{"F32", 4}, {"F64", 8}, {"F16", 2}, {"BF16", 2}, {"I64", 8}};

size_t shk_header_bytes(enum shk_st_type type) { return types[type].bytes; }

static bool check_tensor(const char *path, struct shk_st_tensor *t, struct shk_error *err) {
    size_t bytes;
    bool fits = true;
    t->size = 1;
    // A product with a zero may have an intermediate one that does not fit: refused as well, as the reference does.
    for (unsigned i = 0; i < t->ndim; i++) fits = fits && !__builtin_mul_overflow(t->size, t->dims[i], &t->size);
    if (!fits || __builtin_mul_overflow(t->size, types[t->type].bytes, &bytes))
        return shk_st_fail(path, err, "tensor '%.100s': its shape has more numbers than memory can hold", t->name);
    if (t->start > t->end)
        return shk_st_fail(path, err, "tensor '%.100s' begins at byte %zu of the data and ends before, at %zu", t->name,
                           t->start, t->end);
    if (t->end - t->start != bytes)
        return shk_st_fail(path, err, "tensor '%.100s' has %zu bytes, but its shape takes %zu", t->name,
                           t->end - t->start, bytes);
    return true;
}

// A list of at most `most` whole numbers.
static bool read_numbers(const json_t *list, size_t *values, size_t most, unsigned *count) {
    const json_t *value;
    size_t i;
    if (!json_is_array(list) || json_array_size(list) > most) return false;
    json_array_foreach(list, i, value) {
        if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
        values[i] = (size_t)json_integer_value(value);
    }
    *count = (unsigned)json_array_size(list);
    return true;
}

bool shk_header_is_counter(const struct shk_st_tensor *t) {
    static const char end[] = ".num_batches_tracked";
    const size_t length = strlen(t->name), tail = sizeof end - 1;
    return t->type == SHK_ST_I64 && length > tail && strcmp(t->name + length - tail, end) == 0;
}

// Our own files have F32 alone.
static bool read_type(const char *dtype, const struct shk_st *f, struct shk_st_tensor *t, struct shk_error *err) {
    const unsigned known = f->foreign ? SHK_ST_TYPES : 1;
    unsigned type = 0;
    while (type < known && strcmp(types[type].name, dtype) != 0) type++;
    t->type = (enum shk_st_type)type;
    return (type < known && (type != SHK_ST_I64 || shk_header_is_counter(t))) ||
           shk_st_fail(f->path, err, "tensor '%.100s' has numbers of the kind %.20s, but must have %s", t->name, dtype,
                       f->foreign ? "F32, F64, F16 or BF16" : "F32");
}

static bool read_tensor(const json_t *parts, const struct shk_st *f, struct shk_st_tensor *t, struct shk_error *err) {
    const char *path = f->path;
    const char *dtype = json_string_value(json_object_get(parts, "dtype"));
    size_t offsets[2];
    unsigned count;
    if (!dtype || json_object_size(parts) != 3)
        return shk_st_fail(path, err, "tensor '%.100s' must have dtype, shape and data_offsets, and nothing else",
                           t->name);
    if (!read_type(dtype, f, t, err)) return false;
    if (!read_numbers(json_object_get(parts, "shape"), t->dims, SHK_ST_MAX_DIMS, &t->ndim))
        return shk_st_fail(path, err, "tensor '%.100s': its shape must be a list of at most %d whole numbers", t->name,
                           SHK_ST_MAX_DIMS);
    if (!read_numbers(json_object_get(parts, "data_offsets"), offsets, 2, &count) || count != 2)
        return shk_st_fail(path, err, "tensor '%.100s': its data_offsets must be a list of two whole numbers", t->name);
    t->start = offsets[0];
    t->end = offsets[1];
    return check_tensor(path, t, err);
}

// ---- The whole ----

static bool check_metadata(json_t *metadata, const char *path, struct shk_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value)) return shk_st_fail(path, err, "has the metadata '%.100s', which are no text", key);
    }
    return true;
}

static bool read_members(struct shk_st *f, struct shk_error *err) {
    const char *name;
    json_t *member;
    json_object_foreach(f->header, name, member) {
        if (!json_is_object(member))
            return shk_st_fail(f->path, err, "has '%.100s' in its header, which is no object", name);
        if (strcmp(name, "__metadata__") == 0) {
            if (!check_metadata(member, f->path, err)) return false;
        } else {
            struct shk_st_tensor *t = &f->tensors[f->count++];
            t->name = name;
            if (!read_tensor(member, f, t, err)) return false;
        }
    }
    return true;
}

// The header is mostly one of ours by its checksum. So a failure is more likely one of memory, for which jansson has no name of its
// own, and may not come again.
static json_t *parse(const char *text, size_t length, const char *path, struct shk_error *err) {
    json_error_t why;
    for (int attempt = 0; attempt < 2; attempt++) {
        json_t *header = shk_json_read(text, length, &why);
        if (header) return header;
    }
    shk_st_fail(path, err, "has a header that cannot be read: %.100s at byte %d of it; or memory is short", why.text,
                why.position);
    return NULL;
}

bool shk_header_read(const char *text, size_t length, struct shk_st *f, struct shk_error *err) {
    f->header = parse(text, length, f->path, err);
    if (!f->header) return false;
    f->tensors = shk_alloc(json_object_size(f->header) + 1, sizeof *f->tensors, "a file's tensors", err);
    return f->tensors && read_members(f, err);
}
