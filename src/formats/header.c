// SPDX-License-Identifier: MIT
#include "formats/header.h"

#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

// The shortest member of the metadata, "":"", and the shortest tensor, "":{"dtype":"","shape":[],"data_offsets":[0,0]}
enum { LEAST_TEXT = 5, LEAST_TENSOR = 47 }; // bytes

// ---- UTF-8 ----

// Bytes of the well-formed character at `text`, or 0.
static size_t character(const unsigned char *text, size_t left) {
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000}; // that needs so many bytes
    unsigned char first = text[0];
    size_t length = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
    if (length < 2 || length > left) return length > left ? 0 : length;
    unsigned value = first & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (text[i] >> 6 != 2) return 0;
        value = value << 6 | (text[i] & 0x3fu);
    }
    bool surrogate = value >= 0xd800 && value <= 0xdfff;
    return value < least[length] || value > 0x10ffff || surrogate ? 0 : length;
}

bool shk_is_utf8(const char *text, size_t length) {
    for (size_t at = 0, step; at < length; at += step) {
        step = character((const unsigned char *)text + at, length - at);
        if (!step) return false;
    }
    return true;
}

static char *put_character(char *out, unsigned value) {
    if (value < 0x80) {
        *out++ = (char)value;
        return out;
    }
    unsigned length = value < 0x800 ? 2 : value < 0x10000 ? 3 : 4;
    *out++ = (char)(0xf00u >> length | value >> 6 * (length - 1));
    for (unsigned i = length - 1; i-- > 0;) *out++ = (char)(0x80 | (value >> 6 * i & 0x3f));
    return out;
}

// ---- Pieces ----

struct reader {
    const char *begin, *at, *end;
    char *strings; // where the next one goes: each takes fewer bytes than in the header, with its end
    struct shk_st *f;
    struct shk_error *err;
};

static bool fail(const struct reader *r, const char *what) {
    return shk_st_fail(r->f->path, r->err, "has a header that is not that of a safetensors file: %s at byte %zu", what,
                       (size_t)(r->at - r->begin) + SHK_ST_LENGTH);
}

static void skip_space(struct reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}

// The next piece of the text, if it is this one.
static bool take(struct reader *r, char c) {
    skip_space(r);
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}

static bool need(struct reader *r, char c, const char *what) { return take(r, c) || fail(r, what); }

// Whether another member of an object or a list comes. After the first, there is a comma before it. *ok is false where
// neither that nor the end comes.
static bool another(struct reader *r, size_t before, char close, bool *ok) {
    if (take(r, close)) return false;
    *ok = before == 0 || need(r, ',', "neither a comma nor the end");
    return *ok;
}

static bool hex4(struct reader *r, unsigned *value) {
    *value = 0;
    for (unsigned i = 0; i < 4; i++, r->at++) {
        char c = r->at < r->end ? *r->at : 0;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                                : 16;
        if (digit == 16) return false;
        *value = *value << 4 | digit;
    }
    return true;
}

// What \uXXXX stands for, or two of them; U+0000 would end our strings.
static bool read_unicode(struct reader *r, unsigned *value) {
    unsigned low;
    if (!hex4(r, value) || *value == 0) return false;
    if (*value < 0xd800 || *value > 0xdfff) return true;
    if (*value > 0xdbff || r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u') return false;
    r->at += 2;
    if (!hex4(r, &low) || low < 0xdc00 || low > 0xdfff) return false;
    *value = 0x10000 + ((*value - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

// Behind a backslash.
static bool read_escape(struct reader *r) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    unsigned value;
    char c = r->at < r->end ? *r->at++ : 0;
    const char *name = c ? strchr(names, c) : NULL;
    if (name) {
        *r->strings++ = values[name - names];
        return true;
    }
    if (c != 'u' || !read_unicode(r, &value)) return fail(r, "a character that cannot be read");
    r->strings = put_character(r->strings, value);
    return true;
}

// NULL: there is none.
static const char *read_string(struct reader *r) {
    char *string = r->strings;
    if (!need(r, '"', "no text")) return NULL;
    while (r->at < r->end && *r->at != '"') {
        if ((unsigned char)*r->at < ' ') return fail(r, "a control character"), NULL;
        if (*r->at != '\\') {
            *r->strings++ = *r->at++;
        } else {
            r->at++;
            if (!read_escape(r)) return NULL;
        }
    }
    if (!need(r, '"', "a text without an end")) return NULL;
    *r->strings++ = 0;
    return string;
}

// "key": and the key.
static const char *read_key(struct reader *r) {
    const char *key = read_string(r);
    return key && need(r, ':', "no colon") ? key : NULL;
}

static bool read_number(struct reader *r, size_t *value) {
    skip_space(r);
    const char *digits = r->at;
    *value = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
        if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, *r->at - '0', value))
            return fail(r, "a number that is too large");
    bool fraction = r->at < r->end && (*r->at == '.' || *r->at == 'e' || *r->at == 'E');
    bool whole = r->at > digits && (*digits != '0' || r->at == digits + 1) && !fraction;
    return whole || fail(r, "no whole number");
}

// A list of at most `most` numbers.
static bool read_numbers(struct reader *r, size_t *values, unsigned most, unsigned *count, const char *what) {
    bool ok = true;
    *count = 0;
    if (!need(r, '[', "no list of numbers")) return false;
    while (another(r, *count, ']', &ok)) {
        if (*count == most) return fail(r, what);
        if (!read_number(r, &values[(*count)++])) return false;
    }
    return ok;
}

// ---- Tensors ----

static bool check_tensor(struct reader *r, struct shk_st_tensor *t) {
    const char *path = r->f->path;
    size_t bytes;
    bool fits = true;
    t->size = 1;
    // A product with a zero may have an intermediate one that does not fit: refused as well, as the reference does.
    for (unsigned i = 0; i < t->ndim; i++) fits = fits && !__builtin_mul_overflow(t->size, t->dims[i], &t->size);
    if (!fits || __builtin_mul_overflow(t->size, sizeof(float), &bytes))
        return shk_st_fail(path, r->err, "tensor '%.100s': its shape has more numbers than memory can hold", t->name);
    if (t->start > t->end)
        return shk_st_fail(path, r->err, "tensor '%.100s' begins at byte %zu of the data and ends before, at %zu",
                           t->name, t->start, t->end);
    if (t->end - t->start != bytes)
        return shk_st_fail(path, r->err, "tensor '%.100s' has %zu bytes, but its shape takes %zu", t->name,
                           t->end - t->start, bytes);
    return true;
}

enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };

static unsigned part_of(const char *key) {
    return !strcmp(key, "dtype") ? DTYPE : !strcmp(key, "shape") ? SHAPE : !strcmp(key, "data_offsets") ? OFFSETS : 0;
}

static bool read_dtype(struct reader *r, const struct shk_st_tensor *t) {
    const char *dtype = read_string(r);
    if (!dtype || !strcmp(dtype, "F32")) return dtype;
    return shk_st_fail(r->f->path, r->err, "tensor '%.100s' has numbers of the kind %.20s, but shikaku reads F32 alone",
                       t->name, dtype);
}

static bool read_offsets(struct reader *r, struct shk_st_tensor *t) {
    size_t offsets[2];
    unsigned count;
    if (!read_numbers(r, offsets, 2, &count, "a third offset")) return false;
    if (count < 2) return fail(r, "fewer than two offsets");
    t->start = offsets[0];
    t->end = offsets[1];
    return true;
}

static bool read_tensor(struct reader *r, struct shk_st_tensor *t) {
    unsigned seen = 0;
    bool ok = true;
    if (!need(r, '{', "no object")) return false;
    while (another(r, seen, '}', &ok)) {
        const char *key = read_key(r);
        if (!key) return false;
        unsigned part = part_of(key);
        if (!part || seen & part)
            return shk_st_fail(r->f->path, r->err, "tensor '%.100s' has %s '%.40s'", t->name,
                               part ? "twice its" : "the unknown part", key);
        seen |= part;
        if (part == DTYPE && !read_dtype(r, t)) return false;
        if (part == SHAPE && !read_numbers(r, t->dims, SHK_ST_MAX_DIMS, &t->ndim, "more than 4 dimensions"))
            return false;
        if (part == OFFSETS && !read_offsets(r, t)) return false;
    }
    if (!ok) return false;
    if (seen == (DTYPE | SHAPE | OFFSETS)) return check_tensor(r, t);
    return shk_st_fail(r->f->path, r->err, "tensor '%.100s' must have dtype, shape and data_offsets", t->name);
}

// ---- The whole ----

static bool read_metadata(struct reader *r) {
    bool ok = true;
    if (!need(r, '{', "metadata that are no object")) return false;
    while (another(r, r->f->text_count, '}', &ok)) {
        struct shk_st_text *t = &r->f->texts[r->f->text_count++];
        t->key = read_key(r);
        t->value = t->key ? read_string(r) : NULL;
        if (!t->value) return false;
    }
    return ok;
}

static bool read_members(struct reader *r) {
    bool ok = true, has_metadata = false;
    if (!need(r, '{', "no object")) return false;
    for (size_t members = 0; another(r, members, '}', &ok); members++) {
        const char *name = read_key(r);
        if (!name) return false;
        if (!strcmp(name, "__metadata__")) {
            if (has_metadata) return fail(r, "a second __metadata__");
            has_metadata = true;
            if (!read_metadata(r)) return false;
        } else {
            struct shk_st_tensor *t = &r->f->tensors[r->f->count++];
            t->name = name;
            if (!read_tensor(r, t)) return false;
        }
    }
    skip_space(r);
    return ok && (r->at == r->end || fail(r, "more behind the end"));
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const struct shk_st_text *)a)->key, ((const struct shk_st_text *)b)->key);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct shk_st_tensor *)a)->name, ((const struct shk_st_tensor *)b)->name);
}

static bool twice(const struct shk_st *f, const char *what, const char *name, struct shk_error *err) {
    return shk_st_fail(f->path, err, "has the %s '%.100s' twice", what, name);
}

static bool sort(struct shk_st *f, struct shk_error *err) {
    qsort(f->texts, f->text_count, sizeof *f->texts, by_key);
    qsort(f->tensors, f->count, sizeof *f->tensors, by_name);
    for (size_t i = 1; i < f->text_count; i++)
        if (!by_key(&f->texts[i - 1], &f->texts[i])) return twice(f, "metadata", f->texts[i].key, err);
    for (size_t i = 1; i < f->count; i++)
        if (!by_name(&f->tensors[i - 1], &f->tensors[i])) return twice(f, "tensor", f->tensors[i].name, err);
    return true;
}

bool shk_header_read(const char *text, size_t length, struct shk_st *f, struct shk_error *err) {
    struct reader r = {.begin = text, .at = text, .end = text + length, .f = f, .err = err};
    if (!shk_is_utf8(text, length)) return shk_st_fail(f->path, err, "has a header that is not UTF-8");
    f->strings = shk_alloc(length, 1, "a file's header", err);
    // One more than fit: the last one may be found to be cut off.
    f->texts = shk_alloc(length / LEAST_TEXT + 1, sizeof *f->texts, "a file's metadata", err);
    f->tensors = shk_alloc(length / LEAST_TENSOR + 1, sizeof *f->tensors, "a file's tensors", err);
    if (!f->strings || !f->texts || !f->tensors) return false;
    r.strings = f->strings;
    return read_members(&r) && sort(f, err);
}
