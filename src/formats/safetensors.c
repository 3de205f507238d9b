// SPDX-License-Identifier: MIT
// Tensors are checked and taken from a file of bytes, and a file is made of them.
#include "formats/safetensors.h"

#include "base/json.h"
#include "base/memory.h"
#include "formats/foreign.h"
#include "formats/header.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files and memory have the same order of bytes");

static const char begin[] = "{\"__metadata__\":{\"checksum\":\"", zeros[] = "0000000000000000";
enum { LENGTH = SHK_ST_LENGTH, DIGITS = sizeof zeros - 1 }; // bytes
_Static_assert(LENGTH + sizeof begin - 1 == SHK_ST_CHECKSUM, "the checksum comes first");

bool shk_st_fail(const char *path, struct shk_error *err, const char *format, ...) {
    struct shk_error local;
    char shown[SHK_SHOWN_PATH];
    va_list args;
    va_start(args, format);
    vsnprintf(local.text, sizeof local.text, format, args);
    va_end(args);
    for (char *c = local.text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127) *c = '?';
    return shk_fail(err, SHK_BAD_INPUT, "%s %s", shk_shown_path(path, shown), local.text);
}

// ---- Checksum ----

static void hex(uint64_t value, char digits[17]) { snprintf(digits, 17, "%016llx", (unsigned long long)value); }

void shk_st_checksum(const void *bytes, size_t size, char digits[17]) {
    const unsigned char *b = bytes;
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, b, SHK_ST_CHECKSUM);
    XXH3_64bits_update(&state, zeros, DIGITS);
    XXH3_64bits_update(&state, b + SHK_ST_CHECKSUM + DIGITS, size - SHK_ST_CHECKSUM - DIGITS);
    hex(XXH3_64bits_digest(&state), digits);
}

// ---- Reading ----

static uint64_t read_length(const unsigned char *bytes) {
    uint64_t length = 0;
    for (unsigned i = 0; i < LENGTH; i++) length |= (uint64_t)bytes[i] << 8 * i;
    return length;
}

bool shk_st_check_begin(const char *path, const unsigned char *bytes, size_t size, struct shk_error *err) {
    if (size < LENGTH + 2)
        return shk_st_fail(path, err, "has %zu bytes, too few for a safetensors file: it is cut off, or another file",
                           size);
    uint64_t length = read_length(bytes);
    if (bytes[LENGTH] != '{' || length > SHK_ST_MAX_HEADER)
        return shk_st_fail(path, err,
                           "is no safetensors file: it does not begin with the length of a header of at "
                           "most %d bytes and the header's '{'",
                           SHK_ST_MAX_HEADER);
    if (length > size - LENGTH)
        return shk_st_fail(path, err,
                           "ends inside its header: it has %zu bytes, but the header alone ends at byte %llu", size,
                           (unsigned long long)length + LENGTH);
    return true;
}

// Only shikaku's files begin with a checksum.
static bool has_checksum(const unsigned char *bytes) {
    return read_length(bytes) >= sizeof begin - 1 + DIGITS && memcmp(bytes + LENGTH, begin, sizeof begin - 1) == 0;
}

// The checksum, and where the data begin.
static bool check_frame(const char *path, const unsigned char *bytes, size_t size, struct shk_error *err) {
    uint64_t length = read_length(bytes);
    char digits[17];
    shk_st_checksum(bytes, size, digits);
    if (memcmp(bytes + SHK_ST_CHECKSUM, digits, DIGITS) != 0)
        return shk_st_fail(path, err,
                           "is damaged: its checksum is %.16s, but that of its %zu bytes is %s; use another copy",
                           (const char *)bytes + SHK_ST_CHECKSUM, size, digits);
    if ((length + LENGTH) % SHK_ST_ALIGNMENT)
        return shk_st_fail(path, err, "has data that begin at byte %llu, but it must be a multiple of %d",
                           (unsigned long long)length + LENGTH, SHK_ST_ALIGNMENT);
    return true;
}

static int by_place(const void *a, const void *b) {
    const struct shk_st_tensor *x = a, *y = b;
    if (x->start != y->start) return x->start < y->start ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct shk_st_tensor *)a)->name, ((const struct shk_st_tensor *)b)->name);
}

// The tensors lie one behind the other, from the start of the data to the end of the file.
static bool place_values(struct shk_st *f, const unsigned char *data, size_t data_size, struct shk_error *err) {
    size_t end = 0;
    for (size_t i = 0; i < f->count; i++) {
        struct shk_st_tensor *t = &f->tensors[i];
        if (t->end > data_size)
            return shk_st_fail(f->path, err, "tensor '%.100s' ends at byte %zu of the data, which end at byte %zu",
                               t->name, t->end, data_size);
        if (t->start != end)
            return shk_st_fail(f->path, err, "tensor '%.100s' begins at byte %zu of the data, but must at byte %zu",
                               t->name, t->start, end);
        if (!f->foreign) t->values = (const float *)(const void *)(data + end);
        end = t->end;
    }
    if (end != data_size)
        return shk_st_fail(f->path, err, "has %zu bytes of data, but its tensors take %zu", data_size, end);
    return true;
}

// The tensors by place, then by name again.
static bool read_data(struct shk_st *f, const unsigned char *data, size_t data_size, struct shk_error *err) {
    qsort(f->tensors, f->count, sizeof *f->tensors, by_place);
    if (!place_values(f, data, data_size, err)) return false;
    qsort(f->tensors, f->count, sizeof *f->tensors, by_name);
    return true;
}

bool shk_st_parse(const char *path, const void *bytes, size_t size, struct shk_st *out, struct shk_error *err) {
    const unsigned char *b = bytes;
    *out = (struct shk_st){.path = path};
    if (!shk_st_check_begin(path, b, size, err)) return false;
    out->foreign = !has_checksum(b);
    if (!out->foreign && !check_frame(path, b, size, err)) return false;
    size_t length = (size_t)read_length(b), at = LENGTH + length;
    if (shk_header_read((const char *)b + LENGTH, length, out, err) && read_data(out, b + at, size - at, err) &&
        (!out->foreign || shk_st_take_over(out, b + at, err)))
        return true;
    shk_st_free(out);
    return false;
}

void shk_st_free(struct shk_st *f) {
    json_decref(f->header);
    shk_free(f->tensors);
    shk_free(f->converted);
    *f = (struct shk_st){0};
}

const char *shk_st_text(const struct shk_st *f, const char *key) {
    return json_string_value(json_object_get(json_object_get(f->header, "__metadata__"), key));
}

struct shk_st_tensor *shk_st_find(const struct shk_st *f, const char *name) {
    const struct shk_st_tensor wanted = {.name = name};
    return bsearch(&wanted, f->tensors, f->count, sizeof wanted, by_name);
}

// "[16, 1, 3, 3]"
static const char *dims_text(unsigned ndim, const size_t *dims, char text[100]) {
    int at = snprintf(text, 100, "[");
    for (unsigned i = 0; i < ndim; i++) at += snprintf(text + at, 100 - (size_t)at, "%s%zu", i ? ", " : "", dims[i]);
    snprintf(text + at, 100 - (size_t)at, "]");
    return text;
}

const struct shk_st_tensor *shk_st_take(struct shk_st *f, const char *name, unsigned ndim, const size_t *dims,
                                        struct shk_error *err) {
    struct shk_st_tensor *t = shk_st_find(f, name);
    char has[100], wanted[100];
    if (!t) {
        shk_st_fail(f->path, err, "lacks the tensor '%s'", name);
        return NULL;
    }
    if (t->ndim != ndim || memcmp(t->dims, dims, ndim * sizeof *dims) != 0) {
        shk_st_fail(f->path, err, "tensor '%s' has the shape %s, but must have %s", name,
                    dims_text(t->ndim, t->dims, has), dims_text(ndim, dims, wanted));
        return NULL;
    }
    t->taken = true;
    return t;
}

const char *shk_st_not_taken(const struct shk_st *f) {
    for (size_t i = 0; i < f->count; i++)
        if (!f->tensors[i].taken) return f->tensors[i].name;
    return NULL;
}

// ---- Writing ----

bool shk_st_out_init(struct shk_st_out *o, struct shk_error *err) {
    *o = (struct shk_st_out){.file = {.file = -1}};
    o->header = json_object();
    o->metadata = json_object();
    o->hash = shk_alloc(1, sizeof(XXH3_state_t), "a checksum", err);
    if (!o->hash || json_object_set(o->header, "__metadata__", o->metadata) || !shk_st_add_text(o, "checksum", zeros) ||
        !shk_st_add_text(o, "format", "pt")) {
        shk_st_out_abandon(o);
        return shk_fail(err, SHK_FAILED, "out of memory for a file's header");
    }
    XXH3_64bits_reset(o->hash);
    return true;
}

bool shk_st_add_text(struct shk_st_out *o, const char *key, const char *value) {
    bool added = json_object_set_new(o->metadata, key, json_string(value)) == 0;
    o->bad = o->bad || !added;
    return added;
}

void shk_st_add_tensor(struct shk_st_out *o, const char *name, unsigned ndim, const size_t *dims) {
    json_t *shape = json_array();
    size_t size = 1;
    for (unsigned i = 0; i < ndim; i++) {
        size *= dims[i];
        o->bad = json_array_append_new(shape, json_integer((json_int_t)dims[i])) || o->bad;
    }
    json_int_t start = (json_int_t)o->bytes;
    o->bytes += size * sizeof(float);
    json_t *tensor =
        json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32", "shape", shape, "data_offsets", start, (json_int_t)o->bytes);
    o->bad = !tensor || json_object_set_new(o->header, name, tensor) || o->bad;
}

static void put_bytes(struct shk_st_out *o, const void *bytes, size_t size) {
    XXH3_64bits_update(o->hash, bytes, size);
    shk_file_put(&o->file, bytes, size);
}

static void put_header(struct shk_st_out *o, const char *text, size_t length, size_t padded) {
    unsigned char bytes[LENGTH], spaces[SHK_ST_ALIGNMENT];
    for (unsigned i = 0; i < LENGTH; i++) bytes[i] = (unsigned char)((uint64_t)padded >> 8 * i);
    memset(spaces, ' ', sizeof spaces);
    put_bytes(o, bytes, LENGTH);
    put_bytes(o, text, length);
    put_bytes(o, spaces, padded - length);
}

bool shk_st_out_begin(struct shk_st_out *o, const struct shk_folder *folder, const char *path, struct shk_error *err) {
    char *text = o->bad ? NULL : shk_json_text(o->header, JSON_COMPACT), shown[SHK_SHOWN_PATH];
    if (!text || strncmp(text, begin, sizeof begin - 1) != 0) {
        free(text);
        return shk_fail(err, SHK_FAILED, "out of memory for the header of %s", shk_shown_path(path, shown));
    }
    size_t length = strlen(text);
    size_t padded = (length + LENGTH + SHK_ST_ALIGNMENT - 1) / SHK_ST_ALIGNMENT * SHK_ST_ALIGNMENT - LENGTH;
    bool ok =
        padded <= SHK_ST_MAX_HEADER
            ? shk_file_create(&o->file, folder, path, err)
            : shk_fail(err, SHK_BAD_INPUT, "%s would have a header of %zu bytes, but it may have %d: shorten the notes",
                       shk_shown_path(path, shown), padded, SHK_ST_MAX_HEADER);
    if (ok) put_header(o, text, length, padded);
    free(text);
    return ok;
}

void shk_st_put(struct shk_st_out *o, const float *values, size_t n) { put_bytes(o, values, n * sizeof *values); }

bool shk_st_out_finish(struct shk_st_out *o, struct shk_error *err) {
    char digits[17];
    hex(XXH3_64bits_digest(o->hash), digits);
    shk_file_patch(&o->file, SHK_ST_CHECKSUM, digits, DIGITS);
    bool ok = shk_file_finish(&o->file, err);
    shk_st_out_abandon(o);
    return ok;
}

void shk_st_out_abandon(struct shk_st_out *o) {
    shk_file_abandon(&o->file);
    json_decref(o->header);
    json_decref(o->metadata);
    shk_free(o->hash);
    *o = (struct shk_st_out){.file = {.file = -1}};
}
