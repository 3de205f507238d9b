// SPDX-License-Identifier: MIT
// Reads IDX files, as MNIST, Fashion-MNIST and EMNIST come.
#include "data/arrays/array.h"

#include <string.h>

// The third byte of a file.
static const struct {
    unsigned char code;
    enum shk_element type;
} types[] = {{0x08, SHK_U8}, {0x09, SHK_I8}, {0x0b, SHK_I16}, {0x0c, SHK_I32}, {0x0d, SHK_F32}, {0x0e, SHK_F64}};
enum { TYPES = sizeof types / sizeof *types };

static bool type_of(unsigned char code, enum shk_element *type) {
    for (size_t i = 0; i < TYPES; i++) {
        if (types[i].code != code) continue;
        *type = types[i].type;
        return true;
    }
    return false;
}

static bool check_begin(const struct shk_reader *in, const unsigned char b[4], struct shk_error *err) {
    enum shk_element type;
    if (b[0] == 0 && b[1] == 0 && b[3] >= 1 && b[3] <= 4 && type_of(b[2], &type)) return true;
    if (b[2] == 0 && b[3] == 0 && b[0] >= 1 && b[0] <= 4 && type_of(b[1], &type))
        return shk_fail(err, SHK_BAD_INPUT,
                        "%s: this IDX file was written in the wrong byte order (it begins with %02x %02x 00 00); "
                        "its numbers must have the high byte first",
                        in->name, b[0], b[1]);
    return shk_fail(
        err, SHK_BAD_INPUT,
        "%s: this is no IDX file: it begins with %02x %02x %02x %02x, not with 00 00, a type (08 to 0e) and "
        "1 to 4 dimensions",
        in->name, b[0], b[1], b[2], b[3]);
}

static bool read_header(struct shk_reader *in, struct shk_array *a, struct shk_error *err) {
    unsigned char begin[4], sizes[4 * SHK_ARRAY_DIMS];
    if (!shk_reader_read(in, begin, sizeof begin, "header", err) || !check_begin(in, begin, err)) return false;
    type_of(begin[2], &a->type);
    a->big_endian = true;
    a->dims = begin[3];
    if (!shk_reader_read(in, sizes, 4 * a->dims, "header", err)) return false;
    for (unsigned i = 0; i < a->dims; i++)
        a->dim[i] = (size_t)sizes[4 * i] << 24 | (size_t)sizes[4 * i + 1] << 16 | (size_t)sizes[4 * i + 2] << 8 |
                    sizes[4 * i + 3];
    return true;
}

// QMNIST has 8 numbers for each digit, of which the first is the label.
static bool is_qmnist(const struct shk_array *a) {
    enum { COLUMNS = 8 };
    return a->dims == 2 && a->dim[1] == COLUMNS && a->type == SHK_I32;
}

bool shk_idx_open(const char *path, struct shk_reader *in, struct shk_array *a, struct shk_error *err) {
    *a = (struct shk_array){0};
    if (!shk_reader_open(in, path, err)) return false;
    memcpy(a->name, in->name, sizeof a->name);
    if (read_header(in, a, err)) {
        a->first_column = is_qmnist(a);
        return true;
    }
    shk_reader_close(in);
    return false;
}

bool shk_idx_begins(const char *path) {
    struct shk_reader in;
    unsigned char begin[4];
    if (!shk_reader_open(&in, path, NULL)) return false;
    const bool ok = shk_reader_read(&in, begin, sizeof begin, "header", NULL) && check_begin(&in, begin, NULL);
    shk_reader_close(&in);
    return ok;
}
