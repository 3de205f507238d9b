// SPDX-License-Identifier: MIT
// Files are read whole, and written whole or not at all.
#include "base/file.h"

#include "base/folder.h"
#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 18 }; // bytes

const char *shk_shown_path(const char *path, char out[SHK_SHOWN_PATH]) {
    size_t length = strlen(path);
    if (length < SHK_SHOWN_PATH) return path;
    snprintf(out, SHK_SHOWN_PATH, "...%s", path + length - (SHK_SHOWN_PATH - sizeof "..."));
    return out;
}

bool shk_is_folder(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

bool shk_is_file(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

bool shk_cannot(const char *path, const char *what, int why, enum shk_code code, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    return shk_fail(err, code, "%s cannot be %s: %s", shk_shown_path(path, shown), what, strerror(why));
}

static bool not_regular(const char *path, const char *what, enum shk_code code, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    return shk_fail(err, code, "%s cannot be %s: it is no regular file", shk_shown_path(path, shown), what);
}

static bool cannot_write(const char *path, const char *why, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    return shk_fail(err, SHK_FAILED, "%s cannot be written: %s", shk_shown_path(path, shown), why);
}

// ---- Writing ----

static int open_retrying(int folder, const char *name, int flags) {
    int fd;
    do fd = openat(folder, name, flags | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static int fsync_retrying(int fd) {
    int result;
    do result = fsync(fd);
    while (result && errno == EINTR);
    return result;
}

static int rename_retrying(int folder, const char *from, const char *to) {
    int result;
    do result = renameat(folder, from, folder, to);
    while (result && errno == EINTR);
    return result;
}

// Linux has closed a descriptor even where close says EINTR.
static int close_once(int fd) { return close(fd) && errno != EINTR ? -1 : 0; }

static void keep_failure(struct shk_file_out *f) {
    if (!f->why) f->why = errno;
}

// The folder that a path lies in.
static struct shk_folder *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return shk_folder_hold(".", 1);
    return shk_folder_hold(path, slash == path ? 1 : (size_t)(slash - path));
}

static bool choose_folder(struct shk_file_out *f, const struct shk_folder *folder, struct shk_error *err) {
    if (!folder) f->own = folder_of(f->path);
    f->folder = folder ? folder : f->own;
    if (f->folder) return true;
    return cannot_write(f->path, errno == ENOENT ? "its folder is not there, make it first" : strerror(errno), err);
}

// What stands there must be a file, or a link to one or to nothing, which is replaced: never a device.
static bool may_replace(const struct shk_file_out *f, struct shk_error *err) {
    struct stat s;
    if (fstatat(f->folder->handle, *f->name ? f->name : ".", &s, 0) || S_ISREG(s.st_mode)) return true;
    if (S_ISDIR(s.st_mode)) return shk_cannot(f->path, "written", EISDIR, SHK_FAILED, err);
    return not_regular(f->path, "written", SHK_FAILED, err);
}

// Two that write the same file at the same time have two names: the time and the process choose the first one that is tried.
// What stands there, a link as well, is somebody else's.
static bool open_fresh(struct shk_file_out *f, struct shk_error *err) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    unsigned number = (unsigned)now.tv_nsec * 4u ^ (unsigned)now.tv_sec ^ (unsigned)getpid() << 16;
    do {
        snprintf(f->fresh, sizeof f->fresh, "%.200s.%08x.new", f->name, number++);
        f->file = open_retrying(f->folder->handle, f->fresh, O_RDWR | O_CREAT | O_EXCL);
    } while (f->file < 0 && errno == EEXIST);
    return f->file >= 0 || shk_cannot(f->path, "written", errno, SHK_FAILED, err);
}

static void release(struct shk_file_out *f) {
    if (f->file >= 0) close(f->file);
    shk_folder_close(f->own);
    shk_free(f->path);
    shk_free(f->buffer);
    *f = (struct shk_file_out){.file = -1};
}

bool shk_file_create(struct shk_file_out *f, const struct shk_folder *folder, const char *path, struct shk_error *err) {
    const size_t size = strlen(path) + 1;
    *f = (struct shk_file_out){.file = -1};
    f->path = shk_alloc(size, 1, "a file's name", err);
    f->buffer = shk_alloc(BUFFER, 1, "a file's buffer", err);
    if (f->path && f->buffer) {
        memcpy(f->path, path, size);
        const char *slash = strrchr(f->path, '/');
        f->name = slash ? slash + 1 : f->path;
        if (choose_folder(f, folder, err) && may_replace(f, err) && open_fresh(f, err)) return true;
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

void *shk_file_map(struct shk_file_out *f, size_t bytes) {
    if (f->why) return NULL;
    do f->why = posix_fallocate(f->file, 0, (off_t)bytes);
    while (f->why == EINTR);
    void *map = f->why ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, f->file, 0);
    if (map != MAP_FAILED) return map;
    keep_failure(f);
    return NULL;
}

// To the disk, and then into its place, if that is still the one that was meant.
static void place(struct shk_file_out *f) {
    if (!f->why && fsync_retrying(f->file)) keep_failure(f);
    if (close_once(f->file)) keep_failure(f);
    f->file = -1;
    f->gone = !f->why && f->own && !shk_folder_stands(f->own);
    if (!f->why && !f->gone && rename_retrying(f->folder->handle, f->fresh, f->name)) keep_failure(f);
    if (f->why || f->gone)
        unlinkat(f->folder->handle, f->fresh, 0);
    else if (!shk_folder_sync(f->folder))
        keep_failure(f);
}

bool shk_file_finish(struct shk_file_out *f, struct shk_error *err) {
    flush(f);
    place(f);
    bool ok = !f->why && !f->gone;
    if (f->gone)
        cannot_write(f->path, "its folder was moved or removed meanwhile", err);
    else if (f->why)
        shk_cannot(f->path, "written", f->why, SHK_FAILED, err);
    release(f);
    return ok;
}

void shk_file_abandon(struct shk_file_out *f) {
    if (f->file >= 0) unlinkat(f->folder->handle, f->fresh, 0);
    release(f);
}

static bool write_file(const struct shk_folder *folder, const char *path, const void *bytes, size_t size,
                       struct shk_error *err) {
    struct shk_file_out f;
    if (!shk_file_create(&f, folder, path, err)) return false;
    shk_file_put(&f, bytes, size);
    return shk_file_finish(&f, err);
}

bool shk_write_file(const char *path, const void *bytes, size_t size, struct shk_error *err) {
    return write_file(NULL, path, bytes, size, err);
}

bool shk_write_file_in(const struct shk_folder *folder, const char *name, const void *bytes, size_t size,
                       struct shk_error *err) {
    char *path = shk_folder_path(folder, name, err);
    const bool ok = path && write_file(folder, path, bytes, size, err);
    shk_free(path);
    return ok;
}

bool shk_write_text(int file, const char *text, size_t size) {
    while (size) {
        const ssize_t written = write(file, text, size);
        if (written < 0 && errno != EINTR) return false;
        if (written < 0) continue;
        text += written;
        size -= (size_t)written;
    }
    return true;
}

// ---- Reading ----

enum shk_code shk_reading_code(int why) {
    return why == EIO || why == ENOMEM || why == EMFILE || why == ENFILE ? SHK_FAILED : SHK_BAD_INPUT;
}

// From the byte `at` on.
static bool read_part(int fd, const char *path, unsigned char *data, size_t at, size_t size, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    while (at < size) {
        ssize_t n = pread(fd, data + at, size - at, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return shk_cannot(path, "read", errno, SHK_FAILED, err);
        if (n == 0)
            return shk_fail(err, SHK_FAILED, "%s became shorter while it was read", shk_shown_path(path, shown));
        at += (size_t)n;
    }
    return true;
}

// A small file is read at once, and takes its memory when its first bytes were checked.
enum { AT_ONCE = 8192 }; // bytes

static bool read_open(int fd, const char *path, shk_file_check *check, struct shk_bytes *b, struct shk_error *err) {
    struct stat s;
    unsigned char begin[AT_ONCE];
    char shown[SHK_SHOWN_PATH];
    if (fstat(fd, &s)) return shk_cannot(path, "read", errno, SHK_FAILED, err);
    if (S_ISDIR(s.st_mode)) return shk_cannot(path, "read", EISDIR, SHK_BAD_INPUT, err);
    if (!S_ISREG(s.st_mode)) return not_regular(path, "read", SHK_BAD_INPUT, err);
    if (s.st_size < 0 || (uintmax_t)s.st_size > PTRDIFF_MAX) return shk_cannot(path, "read", EFBIG, SHK_FAILED, err);
    b->size = (size_t)s.st_size;
    const size_t first = b->size < sizeof begin ? b->size : sizeof begin;
    if (!read_part(fd, path, begin, 0, first, err) || !check(path, begin, b->size, err)) return false;
    b->data = shk_alloc(b->size, 1, shk_shown_path(path, shown), err);
    if (!b->data) return false;
    if (b->size > first) shk_populate(b->data, b->size);
    memcpy(b->data, begin, first);
    if (read_part(fd, path, b->data, first, b->size, err)) return true;
    shk_free(b->data);
    return false;
}

bool shk_file_read(const char *path, shk_file_check *check, struct shk_bytes *b, struct shk_error *err) {
    *b = (struct shk_bytes){0};
    int fd = open_retrying(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY); // a FIFO without a writer would block
    if (fd < 0) return shk_cannot(path, "read", errno, shk_reading_code(errno), err);
    bool ok = read_open(fd, path, check, b, err);
    if (!ok) b->data = NULL;
    close(fd);
    return ok;
}

bool shk_file_read_stream(int fd, const char *name, size_t most, struct shk_bytes *b, struct shk_error *err) {
    enum { FIRST = 1 << 16 };
    size_t room = 0;
    *b = (struct shk_bytes){0};
    for (;;) {
        if (b->size == room) {
            room = room ? 2 * room : FIRST;
            unsigned char *data = shk_alloc(room, 1, name, err);
            if (data && b->size) memcpy(data, b->data, b->size);
            shk_free(b->data);
            b->data = data;
            if (!data) return false;
        }
        const ssize_t n = read(fd, b->data + b->size, room - b->size);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) return true;
        if (n > 0 && (b->size += (size_t)n) <= most) continue;
        shk_free(b->data);
        b->data = NULL;
        if (n < 0) return shk_cannot(name, "read", errno, SHK_FAILED, err);
        return shk_fail(err, SHK_BAD_INPUT, "%s holds more than %zu bytes", name, most);
    }
}
