// SPDX-License-Identifier: MIT
// Folders are held by their descriptors, and compared with what their paths lead to.
#include "base/folder.h"

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool hold(struct shk_folder *f) {
    struct stat info;
    do f->handle = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (f->handle < 0 && errno == EINTR);
    if (f->handle < 0 || fstat(f->handle, &info) != 0) return false;
    f->device = info.st_dev;
    f->inode = info.st_ino;
    return true;
}

struct shk_folder *shk_folder_hold(const char *path, size_t length) {
    struct shk_folder *f = shk_alloc(1, sizeof *f + length + 1, "a folder", NULL);
    if (!f) {
        errno = ENOMEM;
        return NULL;
    }
    memcpy(f->path, path, length);
    if (hold(f)) return f;
    const int why = errno;
    shk_folder_close(f);
    errno = why;
    return NULL;
}

struct shk_folder *shk_folder_open(const char *path, struct shk_error *err) {
    struct shk_folder *f = shk_folder_hold(path, strlen(path));
    if (!f) shk_cannot(path, "opened as a folder", errno, shk_reading_code(errno), err);
    return f;
}

void shk_folder_close(struct shk_folder *f) {
    if (!f) return;
    if (f->handle >= 0) close(f->handle);
    shk_free(f);
}

int shk_folder_handle(const struct shk_folder *f) { return f->handle; }

// A path that cannot be followed for another reason may lead there again: then writing tells.
bool shk_folder_stands(const struct shk_folder *f) {
    struct stat info;
    if (stat(f->path, &info) != 0) return errno != ENOENT && errno != ENOTDIR;
    return info.st_dev == f->device && info.st_ino == f->inode;
}

char *shk_folder_path(const struct shk_folder *f, const char *name, struct shk_error *err) {
    const size_t length = strlen(f->path), size = length + 1 + strlen(name) + 1;
    char *path = shk_alloc(1, size, "a file's name", err);
    if (path) snprintf(path, size, "%s%s%s", f->path, length && f->path[length - 1] == '/' ? "" : "/", name);
    return path;
}

bool shk_folder_sync(const struct shk_folder *f) {
    int failed;
    do failed = fsync(f->handle);
    while (failed && errno == EINTR);
    return !failed || errno == EINVAL || errno == EROFS;
}
