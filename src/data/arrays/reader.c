// SPDX-License-Identifier: MIT
// Reads through zlib, which passes on what is no gzip as it is, and through minizip.
#include "data/arrays/reader.h"

#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <minizip/unzip.h>

// Deflate makes at most 1,032 bytes of one (zlib.net/zlib_tech.html).
enum { MOST_RATIO = 1032, CHUNK = 1 << 20, BUFFER = 128 << 10 };
// What is packed so well is no data set, if it is large: pictures are packed to half or a third, drawn ones to a hundredth.
enum { BOMB_RATIO = 200, BOMB_BYTES = 128 << 20 };

// ---- Files, and gzip ----

static int64_t gz_more(void *file, void *to, uint64_t most) {
    int code, n = gzread(file, to, most < CHUNK ? (unsigned)most : CHUNK);
    if (n >= 0) return n;
    gzerror(file, &code);
    return code == Z_BUF_ERROR ? 0 : -1; // it ends within a block
}

static const char *gz_why(void *file) {
    int code;
    const char *why = gzerror(file, &code);
    return code == Z_ERRNO ? strerror(errno) : *why ? why : "its gzip data is damaged";
}

static void gz_close(void *file) { gzclose(file); }

static bool refuse(const struct shk_reader *in, struct shk_error *err, const char *why) {
    return shk_fail(err, SHK_BAD_INPUT, "%s: %s", in->name, why);
}

static int open_regular(struct shk_reader *in, const char *path, struct shk_error *err) {
    struct stat s;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0 || fstat(file, &s) != 0) {
        refuse(in, err, strerror(errno));
    } else if (!S_ISREG(s.st_mode)) {
        refuse(in, err, "this is no regular file");
    } else {
        in->size = (uint64_t)s.st_size;
        return file;
    }
    if (file >= 0) close(file);
    return -1;
}

bool shk_reader_open(struct shk_reader *in, const char *path, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    *in = (struct shk_reader){.more = gz_more, .why = gz_why, .close = gz_close};
    snprintf(in->name, sizeof in->name, "%s", shk_shown_path(path, shown));
    int file = open_regular(in, path, err);
    if (file < 0) return false;
    in->file = gzdopen(file, "rb");
    if (!in->file) {
        close(file);
        return shk_fail(err, SHK_FAILED, "out of memory for reading a file of data");
    }
    gzbuffer(in->file, BUFFER);
    in->packed = !gzdirect(in->file);
    return true;
}

// ---- Files within a zip ----

// Closing it checks the sum of what was read to the end.
static int64_t zip_more(void *zip, void *to, uint64_t most) {
    const int n = unzReadCurrentFile(zip, to, most < CHUNK ? (unsigned)most : CHUNK);
    if (n != 0) return n;
    return unzCloseCurrentFile(zip) == UNZ_OK ? 0 : -1;
}

static const char *zip_why(void *zip) {
    (void)zip;
    return "its packed data are damaged";
}

static void zip_end(void *zip) { unzCloseCurrentFile(zip); }

bool shk_reader_open_in_zip(struct shk_reader *in, void *zip, const char *zip_path, uint64_t zip_bytes,
                            const char *name, struct shk_error *err) {
    enum { CASES_DIFFER = 1, ENCRYPTED = 1 };
    char shown[SHK_SHOWN_PATH];
    unz_file_info64 info;
    *in = (struct shk_reader){.more = zip_more, .why = zip_why, .close = zip_end};
    snprintf(in->name, sizeof in->name, "%.100s (%.50s)", shk_shown_path(zip_path, shown), name);
    if (unzLocateFile(zip, name, CASES_DIFFER) != UNZ_OK ||
        unzGetCurrentFileInfo64(zip, &info, NULL, 0, NULL, 0, NULL, 0) != UNZ_OK)
        return refuse(in, err, "the zip does not hold what its list says");
    if (info.flag & ENCRYPTED) return refuse(in, err, "it is encrypted");
    in->packed = info.compression_method != 0;
    in->size = info.compressed_size < zip_bytes ? info.compressed_size : zip_bytes; // what a zip says may be a lie
    if (unzOpenCurrentFile(zip) != UNZ_OK)
        return refuse(in, err, "it cannot be unpacked: files in a zip are stored, or packed by deflate");
    in->file = zip;
    return true;
}

// ---- Either ----

// How many bytes came, of at most `bytes`.
static bool read_some(struct shk_reader *in, unsigned char *to, uint64_t bytes, uint64_t *got, struct shk_error *err) {
    *got = 0;
    while (*got < bytes) {
        int64_t n = in->more(in->file, to + *got, bytes - *got);
        if (n < 0) return refuse(in, err, in->why(in->file));
        if (n == 0) return true;
        *got += (uint64_t)n;
        in->at += (uint64_t)n;
    }
    return true;
}

static bool ends_early(const struct shk_reader *in, const char *what, uint64_t wanted, uint64_t there,
                       struct shk_error *err) {
    return shk_fail(err, SHK_BAD_INPUT, "%s: %s early: %" PRIu64 " bytes of %s are wanted, %" PRIu64 " are there",
                    in->name, in->packed ? "its packed data ends" : "it ends", wanted, what, there);
}

bool shk_reader_read(struct shk_reader *in, void *to, uint64_t bytes, const char *what, struct shk_error *err) {
    uint64_t got;
    if (!read_some(in, to, bytes, &got, err)) return false;
    return got == bytes || ends_early(in, what, bytes, got, err);
}

static bool more_follows(const struct shk_reader *in, struct shk_error *err) {
    return refuse(in, err, "more bytes follow than its header says");
}

bool shk_reader_can_hold(const struct shk_reader *in, uint64_t bytes, const char *what, struct shk_error *err) {
    if (!in->packed) {
        const uint64_t left = in->size > in->at ? in->size - in->at : 0;
        return bytes < left ? more_follows(in, err) : bytes == left ? true : ends_early(in, what, bytes, left, err);
    }
    if (bytes / MOST_RATIO > in->size)
        return shk_fail(err, SHK_BAD_INPUT,
                        "%s: its header asks for %" PRIu64 " bytes of %s, more than %" PRIu64 " packed bytes can hold",
                        in->name, bytes, what, in->size);
    return bytes <= BOMB_BYTES || bytes / BOMB_RATIO <= in->size ||
           shk_fail(err, SHK_BAD_INPUT,
                    "%s: %" PRIu64 " bytes of %s in %" PRIu64 " packed bytes look like a trap: unpack them, if not",
                    in->name, bytes, what, in->size);
}

bool shk_reader_at_end(struct shk_reader *in, struct shk_error *err) {
    unsigned char byte;
    uint64_t got;
    if (!read_some(in, &byte, 1, &got, err)) return false;
    return got == 0 || more_follows(in, err);
}

void shk_reader_close(struct shk_reader *in) {
    if (in->file) in->close(in->file);
    in->file = NULL;
}
