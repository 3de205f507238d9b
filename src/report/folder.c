// SPDX-License-Identifier: MIT
// A run's folder is made, locked and looked at here.
#include "report/folder.h"

#include "base/error.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char *const names[FOLDER_FILES] = {"config.json", "last.ckpt", "best.safetensors", "metrics.jsonl",
                                                "log.txt"};

static bool fail(const char *path, const char *what, struct shk_error *err) {
    return shk_fail(err, SHK_FAILED, "%.250s cannot be %s: %s", path, what, strerror(errno));
}

static bool make_one(const char *path, struct shk_error *err) {
    return mkdir(path, 0777) == 0 || errno == EEXIST || fail(path, "made", err);
}

bool folder_make(const char *path, struct shk_error *err) {
    char *copy = strdup(path);
    bool ok = copy || shk_fail(err, SHK_FAILED, "out of memory");
    for (char *slash = copy; ok && *copy && (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        ok = make_one(copy, err);
        *slash = '/';
    }
    free(copy);
    return ok && make_one(path, err);
}

bool folder_exists(const char *path) { return *path && access(path, F_OK) == 0; }

static bool is_ours(const char *name) {
    for (int i = 0; i < FOLDER_FILES; i++) {
        const size_t length = strlen(names[i]);
        if (strncmp(name, names[i], length) == 0 && (!name[length] || strcmp(name + length, ".new") == 0)) return true;
    }
    return false;
}

static bool look(struct folder *f, const char *path, struct shk_error *err) {
    DIR *list = opendir(path);
    if (!list) return fail(path, "read", err);
    bool has_ours = false;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(list));) {
        if (strcmp(entry->d_name, names[FOLDER_CONFIG]) == 0)
            f->holds_run = true;
        else if (is_ours(entry->d_name))
            has_ours = has_ours || strcmp(entry->d_name, "config.json.new") != 0; // left by one that was killed early
        else if (entry->d_name[0] != '.')
            f->holds_others = true;
    }
    if (!f->holds_run && has_ours) f->holds_others = true; // whose they are is not known
    const bool ok = errno == 0 || fail(path, "read", err);
    closedir(list);
    return ok;
}

static bool lock(const struct folder *f, const char *path, struct shk_error *err) {
    int failed;
    do failed = flock(f->handle, LOCK_EX | LOCK_NB);
    while (failed && errno == EINTR);
    if (failed && errno == EWOULDBLOCK)
        return shk_fail(err, SHK_BAD_INPUT, "%.250s is in use: another training is at work in it", path);
    return true; // a file system without locks: then nobody watches
}

static bool set_paths(struct folder *f, const char *path) {
    const size_t length = strlen(path);
    for (int i = 0; i < FOLDER_FILES; i++) {
        const char *slash = length && path[length - 1] == '/' ? "" : "/";
        if (asprintf(&f->path[i], "%s%s%s", path, slash, names[i]) >= 0) continue;
        f->path[i] = NULL;
        return false;
    }
    return true;
}

bool folder_open(struct folder *f, const char *path, bool make, struct shk_error *err) {
    *f = (struct folder){.handle = -1};
    if (!*path) return shk_fail(err, SHK_BAD_INPUT, "the name of the run's folder is empty");
    if (make && !folder_make(path, err)) return false;
    do f->handle = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (f->handle < 0 && errno == EINTR);
    if (f->handle < 0) return shk_fail(err, SHK_BAD_INPUT, "%.250s is not a run's folder: %s", path, strerror(errno));
    if (!set_paths(f, path))
        shk_fail(err, SHK_FAILED, "out of memory");
    else if (lock(f, path, err) && look(f, path, err))
        return true;
    folder_close(f);
    return false;
}

void folder_close(struct folder *f) {
    if (f->handle >= 0) close(f->handle);
    for (int i = 0; i < FOLDER_FILES; i++) free(f->path[i]);
    *f = (struct folder){.handle = -1};
}

const char *folder_name(enum folder_file file) { return names[file]; }

bool folder_has(const struct folder *f, enum folder_file file) { return access(f->path[file], F_OK) == 0; }

static bool remove_file(const char *path, struct shk_error *err) {
    return unlink(path) == 0 || errno == ENOENT || fail(path, "removed", err);
}

// Names are gone from the disk before what comes after.
static bool sync_names(const struct folder *f, struct shk_error *err) {
    int failed;
    do failed = fsync(f->handle);
    while (failed && errno == EINTR);
    return !failed || errno == EINVAL || errno == EROFS || fail("the run's folder", "written", err);
}

bool folder_tidy(const struct folder *f, struct shk_error *err) {
    for (int i = 0; i < FOLDER_FILES; i++) {
        char *half;
        if (asprintf(&half, "%s.new", f->path[i]) < 0) return shk_fail(err, SHK_FAILED, "out of memory");
        const bool ok = remove_file(half, err);
        free(half);
        if (!ok) return false;
    }
    return true;
}

// A run without a checkpoint begins at its beginning.
bool folder_clear(const struct folder *f, struct shk_error *err) {
    static const enum folder_file order[] = {FOLDER_CHECKPOINT, FOLDER_BEST, FOLDER_METRICS, FOLDER_LOG};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (!remove_file(f->path[order[i]], err)) return false;
    return sync_names(f, err) && remove_file(f->path[FOLDER_CONFIG], err);
}

bool folder_has_room(const struct folder *f, double bytes, struct shk_error *err) {
    struct statvfs info;
    if (fstatvfs(f->handle, &info) != 0) return true; // unknown: writing will tell
    const double free_bytes = (double)info.f_bavail * (double)info.f_frsize;
    if (free_bytes >= bytes) return true;
    return shk_fail(err, SHK_FAILED, "the disk of the run's folder has %.1f MB left, but the run needs %.1f MB",
                    free_bytes / 1e6, bytes / 1e6);
}
