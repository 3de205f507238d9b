// SPDX-License-Identifier: MIT
// safetensors (github.com/huggingface/safetensors) as shikaku writes and reads it: 8 bytes N, little-endian; N bytes of JSON; the
// tensors' numbers, F32, little-endian, without a gap. The metadata begin with a checksum: XXH3-64 of the whole file in 16
// lower-case hex digits, which count as '0' themselves. Files of other tools have no checksum; their numbers may be F64, F16 or
// BF16, and become F32 in memory.
#ifndef SHK_FORMATS_SAFETENSORS_H
#define SHK_FORMATS_SAFETENSORS_H

#include "base/file.h"
#include <jansson.h>
#include <stdint.h>

enum {
    SHK_ST_LENGTH = 8,           // bytes before the header
    SHK_ST_ALIGNMENT = 64,       // of the data in the file, bytes
    SHK_ST_MAX_HEADER = 1 << 22, // bytes; safetensors allows 10^8, of which jansson would make gigabytes
    SHK_ST_MAX_DIMS = 4,
    SHK_ST_CHECKSUM = SHK_ST_LENGTH + 29, // where its digits begin
};

// ---- Reading ----

enum shk_st_type { SHK_ST_F32, SHK_ST_F64, SHK_ST_F16, SHK_ST_BF16, SHK_ST_I64, SHK_ST_TYPES };

struct shk_st_tensor {
    const char *name; // of a file of other tools without "module." and the like
    enum shk_st_type type;
    size_t dims[SHK_ST_MAX_DIMS];
    unsigned ndim;
    size_t size;         // product of dims
    size_t start, end;   // in the data, bytes
    const float *values; // [size]
    bool taken;          // somebody knows it
};

struct shk_st {
    const char *path;              // for errors
    json_t *header;                // holds all names, keys and values
    struct shk_st_tensor *tensors; // [count], by name
    size_t count;
    bool foreign;     // written by another tool
    float *converted; // all its numbers; NULL: they are where the file's bytes are
};

// Whether a file of `size` bytes begins as safetensors do (shk_file_check).
bool shk_st_check_begin(const char *path, const unsigned char *begin, size_t size, struct shk_error *);
// Checks all of a file in memory; `bytes` is aligned to 64 bytes and outlives *out.
bool shk_st_parse(const char *path, const void *bytes, size_t size, struct shk_st *out, struct shk_error *);
void shk_st_free(struct shk_st *);
const char *shk_st_text(const struct shk_st *, const char *key);            // of the metadata; NULL: none
struct shk_st_tensor *shk_st_find(const struct shk_st *, const char *name); // NULL: there is none
// A tensor of that name and those dimensions, which is taken then.
const struct shk_st_tensor *shk_st_take(struct shk_st *, const char *name, unsigned ndim, const size_t *dims,
                                        struct shk_error *);
const char *shk_st_not_taken(const struct shk_st *); // a tensor's name; NULL: all are taken
// "PATH ...", SHK_BAD_INPUT; bytes that a terminal would obey are replaced.
bool shk_st_fail(const char *path, struct shk_error *, const char *format, ...) __attribute__((format(printf, 3, 4)));
// What the digits of the checksum must be.
void shk_st_checksum(const void *bytes, size_t size, char digits[17]);

// ---- Writing: first what the header holds, then the numbers in the same order ----

struct shk_st_out {
    json_t *header, *metadata;
    bool bad;     // there was no memory to add something
    size_t bytes; // of the data
    struct shk_file_out file;
    void *hash;
};

bool shk_st_out_init(struct shk_st_out *, struct shk_error *);
bool shk_st_add_text(struct shk_st_out *, const char *key, const char *value); // UTF-8; false: no memory
void shk_st_add_tensor(struct shk_st_out *, const char *name, unsigned ndim, const size_t *dims);
// As shk_file_create has it.
bool shk_st_out_begin(struct shk_st_out *, const struct shk_folder *, const char *path, struct shk_error *);
void shk_st_put(struct shk_st_out *, const float *values, size_t n);
bool shk_st_out_finish(struct shk_st_out *, struct shk_error *);
void shk_st_out_abandon(struct shk_st_out *); // at any time, but not after shk_st_out_finish

#endif
