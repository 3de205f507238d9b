// SPDX-License-Identifier: MIT
// Files are read whole, and written whole or not at all.
#include "formats/file.h"

#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <shikaku/shikaku.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 1 << 18 }; // bytes

const char *shk_shown_path(const char *path, char out[SHK_SHOWN_PATH]) {
    size_t length = strlen(path);
    if (length < SHK_SHOWN_PATH) return path;
    snprintf(out, SHK_SHOWN_PATH, "...%s", path + length - (SHK_SHOWN_PATH - sizeof "..."));
    return out;
}

static bool cannot(const char *path, const char *what, int why, enum shk_code code, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    return shk_fail(err, code, "%s cannot be %s: %s", shk_shown_path(path, shown), what, strerror(why));
}

static bool not_regular(const char *path, const char *what, enum shk_code code, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    return shk_fail(err, code, "%s cannot be %s: it is no regular file", shk_shown_path(path, shown), what);
}

// ---- Writing ----

static int open_retrying(const char *path, int flags) {
    int fd;
    do fd = open(path, flags | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static int fsync_retrying(int fd) {
    int result;
    do result = fsync(fd);
    while (result && errno == EINTR);
    return result;
}

static int rename_retrying(const char *from, const char *to) {
    int result;
    do result = rename(from, to);
    while (result && errno == EINTR);
    return result;
}

// Linux has closed a descriptor even where close says EINTR.
static int close_once(int fd) { return close(fd) && errno != EINTR ? -1 : 0; }

// The folder that a path lies in. `folder` has place for the path and one more byte.
static void folder_of(const char *path, char *folder) {
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (!slash || length == 0) {
        strcpy(folder, slash ? "/" : ".");
        return;
    }
    memcpy(folder, path, length);
    folder[length] = 0;
}

static void keep_failure(struct shk_file_out *f) {
    if (!f->why) f->why = errno;
}

// What stands there must be a file, or a link to one or to nothing, which is replaced: never a device.
static bool may_replace(const char *path, struct shk_error *err) {
    struct stat s;
    if (stat(path, &s) || S_ISREG(s.st_mode)) return true;
    if (S_ISDIR(s.st_mode)) return cannot(path, "written", EISDIR, SHK_FAILED, err);
    return not_regular(path, "written", SHK_FAILED, err);
}

static void release(struct shk_file_out *f) {
    if (f->file >= 0) close(f->file);
    if (f->folder >= 0) close(f->folder);
    shk_free(f->path);
    shk_free(f->fresh);
    shk_free(f->buffer);
    *f = (struct shk_file_out){.file = -1, .folder = -1};
}

bool shk_file_create(struct shk_file_out *f, const char *path, struct shk_error *err) {
    *f = (struct shk_file_out){.file = -1, .folder = -1};
    if (!may_replace(path, err)) return false;
    size_t size = strlen(path) + sizeof ".new";
    f->path = shk_alloc(size, 1, "a file's name", err);
    f->fresh = shk_alloc(size, 1, "a file's name", err);
    f->buffer = shk_alloc(BUFFER, 1, "a file's buffer", err);
    if (!f->path || !f->fresh || !f->buffer) {
        release(f);
        return false;
    }
    folder_of(path, f->path);
    f->folder = open_retrying(f->path, O_RDONLY | O_DIRECTORY);
    snprintf(f->path, size, "%s", path);
    snprintf(f->fresh, size, "%s.new", path);
    if (f->folder < 0 && errno == ENOENT) {
        char shown[SHK_SHOWN_PATH];
        shk_fail(err, SHK_FAILED, "%s cannot be written: its folder is not there, make it first",
                 shk_shown_path(path, shown));
    } else if (f->folder < 0) {
        cannot(path, "written", errno, SHK_FAILED, err);
    } else {
        // What a killed process has left goes, and a link there, hard or not, does not lead elsewhere.
        unlink(f->fresh);
        f->file = open_retrying(f->fresh, O_WRONLY | O_CREAT | O_EXCL);
        if (f->file >= 0) return true;
        cannot(f->fresh, "written", errno, SHK_FAILED, err);
    }
    release(f);
    return false;
}

static void write_all(struct shk_file_out *f, const unsigned char *bytes, size_t size) {
    while (size && !f->why) {
        ssize_t n = write(f->file, bytes, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            if (n == 0) errno = EIO;
            keep_failure(f);
        } else {
            bytes += n;
            size -= (size_t)n;
        }
    }
}

static void flush(struct shk_file_out *f) {
    write_all(f, f->buffer, f->used);
    f->used = 0;
}

void shk_file_put(struct shk_file_out *f, const void *bytes, size_t size) {
    if (size > BUFFER - f->used) flush(f);
    if (size > BUFFER) write_all(f, bytes, size);
    if (size > BUFFER || size == 0) return; // of nothing, there may be no address
    memcpy(f->buffer + f->used, bytes, size);
    f->used += size;
}

void shk_file_patch(struct shk_file_out *f, size_t offset, const void *bytes, size_t size) {
    flush(f);
    const unsigned char *from = bytes;
    while (size && !f->why) {
        ssize_t n = pwrite(f->file, from, size, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            if (n == 0) errno = EIO;
            keep_failure(f);
        } else {
            from += n;
            offset += (size_t)n;
            size -= (size_t)n;
        }
    }
}

bool shk_file_finish(struct shk_file_out *f, struct shk_error *err) {
    flush(f);
    if (!f->why && fsync_retrying(f->file)) keep_failure(f);
    if (close_once(f->file)) keep_failure(f);
    f->file = -1;
    if (!f->why && rename_retrying(f->fresh, f->path)) keep_failure(f);
    if (f->why) unlink(f->fresh);
    // Not every file system can bring a folder to the disk.
    if (!f->why && fsync_retrying(f->folder) && errno != EINVAL) keep_failure(f);
    bool ok = !f->why || cannot(f->path, "written", f->why, SHK_FAILED, err);
    release(f);
    return ok;
}

void shk_file_abandon(struct shk_file_out *f) {
    if (f->file >= 0) unlink(f->fresh);
    release(f);
}

bool shk_write_file(const char *path, const void *bytes, size_t size, struct shk_error *err) {
    struct shk_file_out f;
    if (!shk_file_create(&f, path, err)) return false;
    shk_file_put(&f, bytes, size);
    return shk_file_finish(&f, err);
}

// ---- Reading ----

// The caller named a file that is not there or not his; all else is the machine's failure.
static enum shk_code code_of(int why) {
    return why == EIO || why == ENOMEM || why == EMFILE || why == ENFILE ? SHK_FAILED : SHK_BAD_INPUT;
}

static bool read_part(int fd, const char *path, unsigned char *data, size_t size, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    for (size_t at = 0; at < size;) {
        ssize_t n = pread(fd, data + at, size - at, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return cannot(path, "read", errno, SHK_FAILED, err);
        if (n == 0)
            return shk_fail(err, SHK_FAILED, "%s became shorter while it was read", shk_shown_path(path, shown));
        at += (size_t)n;
    }
    return true;
}

static bool read_open(int fd, const char *path, shk_file_check *check, struct shk_bytes *b, struct shk_error *err) {
    struct stat s;
    unsigned char begin[SHK_FILE_BEGIN];
    char shown[SHK_SHOWN_PATH];
    if (fstat(fd, &s)) return cannot(path, "read", errno, SHK_FAILED, err);
    if (S_ISDIR(s.st_mode)) return cannot(path, "read", EISDIR, SHK_BAD_INPUT, err);
    if (!S_ISREG(s.st_mode)) return not_regular(path, "read", SHK_BAD_INPUT, err);
    if (s.st_size < 0 || (uintmax_t)s.st_size > PTRDIFF_MAX) return cannot(path, "read", EFBIG, SHK_FAILED, err);
    b->size = (size_t)s.st_size;
    if (!read_part(fd, path, begin, b->size < sizeof begin ? b->size : sizeof begin, err) ||
        !check(path, begin, b->size, err))
        return false;
    b->data = shk_alloc(b->size, 1, shk_shown_path(path, shown), err);
    if (!b->data) return false;
    if (read_part(fd, path, b->data, b->size, err)) return true;
    shk_free(b->data);
    return false;
}

bool shk_file_read(const char *path, shk_file_check *check, struct shk_bytes *b, struct shk_error *err) {
    *b = (struct shk_bytes){0};
    int fd = open_retrying(path, O_RDONLY | O_NONBLOCK | O_NOCTTY); // a FIFO without a writer would block
    if (fd < 0) return cannot(path, "read", errno, code_of(errno), err);
    bool ok = read_open(fd, path, check, b, err);
    if (!ok) b->data = NULL;
    close(fd);
    return ok;
}
