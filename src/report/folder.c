// SPDX-License-Identifier: MIT
// A run's folder is made, locked and looked at here.
#include "report/folder.h"

#include "base/error.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char *const names[FOLDER_FILES] = {"config.json",   "last.ckpt", "best.safetensors",
                                                "metrics.jsonl", "log.txt",   "skipped.txt"};

static bool fail(const char *path, const char *what, struct shk_error *err) {
    return shk_fail(err, SHK_FAILED, "%.250s cannot be %s: %s", path, what, strerror(errno));
}

static bool sync_folder(int handle) {
    int failed;
    do failed = fsync(handle);
    while (failed && errno == EINTR);
    return !failed || errno == EINVAL || errno == EROFS; // not every file system can do so
}

// The name of a new folder is on the disk before what comes into it. Above a folder that may not be read, it is not.
static bool sync_parent(const char *path, struct shk_error *err) {
    char *copy = strdup(path);
    if (!copy) return shk_fail(err, SHK_FAILED, "out of memory");
    const int handle = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    const bool ok = handle < 0 ? errno == EACCES : sync_folder(handle);
    if (!ok) fail(path, "made", err);
    if (handle >= 0) close(handle);
    return ok;
}

static bool make_one(const char *path, struct shk_error *err) {
    if (mkdir(path, 0777) == 0) return sync_parent(path, err);
    return errno == EEXIST || fail(path, "made", err);
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

// What is left of a file that was being written: NAME.XXXXXXXX.new.
static bool is_half(const char *name, const char *of) {
    const size_t length = strlen(of), all = strlen(name);
    return strncmp(name, of, length) == 0 && name[length] == '.' && all >= length + 4 &&
           strcmp(name + all - 4, ".new") == 0;
}

static bool is_ours(const char *name) {
    for (int i = 0; i < FOLDER_FILES; i++)
        if (strcmp(name, names[i]) == 0 || is_half(name, names[i])) return true;
    return false;
}

// Its names, to be closed, from the first one on.
static DIR *list_names(const struct folder *f) {
    const int handle = openat(shk_folder_handle(f->held), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = handle >= 0 ? fdopendir(handle) : NULL;
    if (!list && handle >= 0) close(handle);
    return list;
}

static bool look(struct folder *f, const char *path, struct shk_error *err) {
    DIR *list = list_names(f);
    if (!list) return fail(path, "read", err);
    bool has_ours = false;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(list));) {
        if (strcmp(entry->d_name, names[FOLDER_CONFIG]) == 0)
            f->holds_run = true;
        else if (is_ours(entry->d_name))
            has_ours = has_ours || !is_half(entry->d_name, names[FOLDER_CONFIG]); // left by one that was killed early
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
    do failed = flock(shk_folder_handle(f->held), LOCK_EX | LOCK_NB);
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
    *f = (struct folder){0};
    if (!*path) return shk_fail(err, SHK_BAD_INPUT, "the name of the run's folder is empty");
    if (make && !folder_make(path, err)) return false;
    f->held = shk_folder_open(path, err);
    if (!f->held) return false;
    if (!set_paths(f, path))
        shk_fail(err, SHK_FAILED, "out of memory");
    else if (lock(f, path, err) && look(f, path, err))
        return true;
    folder_close(f);
    return false;
}

void folder_close(struct folder *f) {
    shk_folder_close(f->held);
    for (int i = 0; i < FOLDER_FILES; i++) free(f->path[i]);
    *f = (struct folder){0};
}

const char *folder_name(enum folder_file file) { return names[file]; }

bool folder_has(const struct folder *f, enum folder_file file) {
    return faccessat(shk_folder_handle(f->held), names[file], F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

// ---- Its files ----

static bool check_regular(const char *path, const struct stat *info, struct shk_error *err) {
    if (S_ISREG(info->st_mode)) return true;
    return shk_fail(err, SHK_BAD_INPUT, "%.250s is %s: a run's files must be regular files, put the file itself there",
                    path,
                    S_ISLNK(info->st_mode)   ? "a symbolic link"
                    : S_ISDIR(info->st_mode) ? "a folder"
                                             : "no regular file");
}

static bool check_file(const struct folder *f, enum folder_file file, bool writes, int handle, struct shk_error *err) {
    struct stat info;
    if (fstat(handle, &info) != 0) return fail(f->path[file], "opened", err);
    if (!check_regular(f->path[file], &info, err)) return false;
    if (!writes || info.st_nlink <= 1) return true;
    return shk_fail(
        err, SHK_BAD_INPUT,
        "%.250s has another name too (a hard link), and a training would change what is there: put a copy in "
        "its place",
        f->path[file]);
}

int folder_open_file(const struct folder *f, enum folder_file file, int flags, struct shk_error *err) {
    int handle;
    do
        handle = openat(shk_folder_handle(f->held), names[file], flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                        0666);
    while (handle < 0 && errno == EINTR);
    if (handle < 0) {
        const bool wrong = errno == ENOENT || errno == ELOOP || errno == ENXIO; // else the machine failed
        shk_fail(err, wrong ? SHK_BAD_INPUT : SHK_FAILED, "%.250s cannot be opened: %s", f->path[file],
                 strerror(errno));
        return -1;
    }
    if (check_file(f, file, flags & O_ACCMODE, handle, err)) return handle;
    close(handle);
    return -1;
}

bool folder_check_files(const struct folder *f, struct shk_error *err) {
    for (int i = 0; i < FOLDER_FILES; i++) {
        struct stat info;
        const bool there = fstatat(shk_folder_handle(f->held), names[i], &info, AT_SYMLINK_NOFOLLOW) == 0;
        if (!there && errno != ENOENT) return fail(f->path[i], "read", err);
        if (there && !check_regular(f->path[i], &info, err)) return false;
    }
    return true;
}

static bool remove_file(const struct folder *f, const char *name, const char *path, struct shk_error *err) {
    return unlinkat(shk_folder_handle(f->held), name, 0) == 0 || errno == ENOENT || fail(path, "removed", err);
}

// Names are gone from the disk before what comes after.
static bool sync_names(const struct folder *f, struct shk_error *err) {
    return sync_folder(shk_folder_handle(f->held)) || fail("the run's folder", "written", err);
}

static bool remove_halves(const struct folder *f, DIR *list, struct shk_error *err) {
    bool ok = true;
    errno = 0;
    for (struct dirent *entry; ok && (entry = readdir(list)); errno = 0)
        for (int i = 0; ok && i < FOLDER_FILES; i++)
            if (is_half(entry->d_name, names[i])) ok = remove_file(f, entry->d_name, f->path[i], err);
    return ok && (errno == 0 || fail("the run's folder", "read", err));
}

bool folder_tidy(const struct folder *f, struct shk_error *err) {
    DIR *list = list_names(f);
    if (!list) return fail("the run's folder", "read", err);
    const bool ok = remove_halves(f, list, err);
    closedir(list);
    return ok;
}

// A run without a checkpoint begins at its beginning.
bool folder_clear(const struct folder *f, struct shk_error *err) {
    static const enum folder_file order[] = {FOLDER_CHECKPOINT, FOLDER_BEST, FOLDER_METRICS, FOLDER_LOG,
                                             FOLDER_SKIPPED};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (!remove_file(f, names[order[i]], f->path[order[i]], err)) return false;
    return sync_names(f, err) && remove_file(f, names[FOLDER_CONFIG], f->path[FOLDER_CONFIG], err);
}

bool folder_has_room(const struct folder *f, double bytes, struct shk_error *err) {
    struct statvfs info;
    if (fstatvfs(shk_folder_handle(f->held), &info) != 0) return true; // unknown: writing will tell
    const double free_bytes = (double)info.f_bavail * (double)info.f_frsize;
    if (free_bytes >= bytes) return true;
    return shk_fail(err, SHK_FAILED, "the disk of the run's folder has %.1f MB left, but the run needs %.1f MB",
                    free_bytes / 1e6, bytes / 1e6);
}
