// SPDX-License-Identifier: MIT
// Reads NumPy's .npy files: ten bytes or twelve, a header in Python's notation, the numbers.
#include "data/arrays/array.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_HEADER = 4096 };
static const unsigned char magic[6] = "\x93NUMPY";

static const struct {
    const char *descr; // behind the byte order
    enum shk_element type;
} types[] = {{"b1", SHK_BOOL}, {"u1", SHK_U8},  {"i1", SHK_I8},  {"u2", SHK_U16}, {"i2", SHK_I16}, {"u4", SHK_U32},
             {"i4", SHK_I32},  {"u8", SHK_U64}, {"i8", SHK_I64}, {"f4", SHK_F32}, {"f8", SHK_F64}};
enum { TYPES = sizeof types / sizeof *types };

static bool damaged(const struct shk_reader *in, struct shk_error *err) {
    return shk_fail(err, SHK_BAD_INPUT,
                    "%s: its .npy header is not understood: wanted is {'descr': '|u1', 'fortran_order': False, "
                    "'shape': (N, H, W)} or the like",
                    in->name);
}

// What stands behind 'key':, without blanks; NULL: the key is not there.
static const char *value_of(const char *header, const char *key) {
    const char *at = strstr(header, key);
    if (!at) return NULL;
    at += strlen(key);
    at += strspn(at, " ");
    if (*at++ != ':') return NULL;
    return at + strspn(at, " ");
}

static bool parse_type(const struct shk_reader *in, struct shk_array *a, const char *value, struct shk_error *err) {
    if (!value || (*value != '\'' && *value != '[')) return damaged(in, err);
    if (value[1] == '|' && value[2] == 'O')
        return shk_fail(err, SHK_BAD_INPUT,
                        "%s: object arrays (pickle) are not read: save an array of numbers, e.g. uint8", in->name);
    for (size_t i = 0; i < TYPES && *value == '\''; i++) {
        if (!value[1] || !strchr("<>|=", value[1]) || strncmp(value + 2, types[i].descr, 2) != 0 || value[4] != '\'')
            continue;
        a->type = types[i].type;
        a->big_endian = value[1] == '>';
        return true;
    }
    return shk_fail(err, SHK_BAD_INPUT,
                    "%s: numbers of the type %.12s are not read: use bool, (u)int8 to (u)int64, float32 or float64",
                    in->name, value);
}

static bool parse_shape(const struct shk_reader *in, struct shk_array *a, const char *value, struct shk_error *err) {
    if (!value || *value++ != '(') return damaged(in, err);
    for (a->dims = 0;; a->dims++) {
        value += strspn(value, " ");
        if (*value == ')') return true;
        if (a->dims == SHK_ARRAY_DIMS || *value < '0' || *value > '9') return damaged(in, err);
        char *end;
        a->dim[a->dims] = strtoull(value, &end, 10); // too large a number is the largest, which no file can hold
        value = end + strspn(end, " ");
        if (*value == ',')
            value++;
        else if (*value != ')')
            return damaged(in, err);
    }
}

static bool parse_header(const struct shk_reader *in, struct shk_array *a, const char *header, struct shk_error *err) {
    const char *order = value_of(header, "'fortran_order'");
    if (!order || (strncmp(order, "True", 4) != 0 && strncmp(order, "False", 5) != 0)) return damaged(in, err);
    a->fortran = *order == 'T';
    return parse_type(in, a, value_of(header, "'descr'"), err) && parse_shape(in, a, value_of(header, "'shape'"), err);
}

static bool read_header(struct shk_reader *in, struct shk_array *a, struct shk_error *err) {
    unsigned char b[12];
    char header[MOST_HEADER + 1];
    if (!shk_reader_read(in, b, 10, "header", err)) return false;
    if (memcmp(b, magic, sizeof magic) != 0)
        return shk_fail(err, SHK_BAD_INPUT, "%s: this is no .npy file: it begins with %02x %02x %02x %02x", in->name,
                        b[0], b[1], b[2], b[3]);
    if (b[6] < 1 || b[6] > 3)
        return shk_fail(err, SHK_BAD_INPUT, "%s: version %u of .npy files is not read: 1 to 3 are", in->name, b[6]);
    size_t length = (size_t)b[9] << 8 | b[8];
    if (b[6] > 1) {
        if (!shk_reader_read(in, b + 10, 2, "header", err)) return false;
        length |= (size_t)b[11] << 24 | (size_t)b[10] << 16;
    }
    if (length > MOST_HEADER) return damaged(in, err);
    if (!shk_reader_read(in, header, length, "header", err)) return false;
    header[length] = 0;
    return parse_header(in, a, header, err);
}

bool shk_npy_parse(struct shk_reader *in, struct shk_array *a, struct shk_error *err) {
    *a = (struct shk_array){0};
    memcpy(a->name, in->name, sizeof a->name);
    if (read_header(in, a, err)) return true;
    shk_reader_close(in);
    return false;
}

bool shk_npy_open(const char *path, struct shk_reader *in, struct shk_array *a, struct shk_error *err) {
    return shk_reader_open(in, path, err) && shk_npy_parse(in, a, err);
}
