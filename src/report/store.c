// SPDX-License-Identifier: MIT
// Runs are read from the store line by line, and added under a lock.
#include "report/store.h"

#include "base/error.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/names.h"
#include "report/folder.h"

#define XXH_INLINE_ALL
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

static const size_t most_bytes = (size_t)256 << 20; // of a file
static const char suffix[] = ".jsonl";

// ---- What a run is ----

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int number_of(const json_t *object, const char *key) {
    return (int)json_integer_value(json_object_get(object, key));
}

// A program of Google Benchmark knows its host and how many CPUs that has.
void store_machine(const json_t *context, char out[STORE_MACHINE]) {
    const char *cpu = text_of(context, "cpu");
    int length = (int)strnlen(cpu, 100);
    while (length > 0 && cpu[length - 1] == ' ') length--;
    if (length)
        snprintf(out, STORE_MACHINE, "%.*s; packages %d, cores %d, CPUs %d", length, cpu,
                 number_of(context, "packages"), number_of(context, "cores"), number_of(context, "cpus"));
    else
        snprintf(out, STORE_MACHINE, "%.100s; CPUs %d", text_of(context, "host_name"), number_of(context, "num_cpus"));
}

bool store_is_name(const char *name) {
    const size_t length = strlen(name);
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._-+/", *c)) return false;
    return length >= 1 && length < STORE_NAME && strcmp(name, "best") != 0 && strcmp(name, "last") != 0;
}

static bool take_text(const struct store_run *r, const json_t *object, const char *key, char *out, size_t size,
                      struct shk_error *err) {
    const char *text = text_of(object, key);
    if (json_object_get(object, key) && !json_is_string(json_object_get(object, key)))
        return shk_fail(err, SHK_BAD_INPUT, "%s: %s must be a text", r->place, key);
    if (strlen(text) >= size)
        return shk_fail(err, SHK_BAD_INPUT, "%s: %s must be shorter than %zu bytes", r->place, key, size);
    snprintf(out, size, "%s", text);
    return true;
}

static bool take_line(const json_t *line, struct store_run *r, struct shk_error *err) {
    const json_t *context = r->results.context;
    store_machine(context, r->machine);
    if (!take_text(r, line, "saved", r->name, sizeof r->name, err) ||
        !take_text(r, context, "date", r->date, sizeof r->date, err) ||
        !take_text(r, context, "commit", r->commit, sizeof r->commit, err) ||
        !take_text(r, context, "version", r->version, sizeof r->version, err))
        return false;
    return !*r->name || store_is_name(r->name) ||
           shk_fail(err, SHK_BAD_INPUT, "%s: '%s' is no name of a run", r->place, r->name);
}

bool store_read_line(const char *text, size_t size, const char *place, struct store_run *out, struct shk_error *err) {
    json_error_t why;
    *out = (struct store_run){0};
    snprintf(out->place, sizeof out->place, "%s", place);
    json_t *line = shk_json_read(text, size, &why);
    if (!line) return shk_fail(err, SHK_BAD_INPUT, "%s: no JSON: %.150s; remove the line", place, why.text);
    const bool ok = measured_from_json(line, place, &out->results, err) && take_line(line, out, err);
    json_decref(line);
    if (!ok) store_free_run(out);
    return ok;
}

void store_free_run(struct store_run *r) { measured_free(&r->results); }

// ---- Files ----

static bool add_run(struct store *s, const struct store_run *run, struct shk_error *err) {
    if (!(s->count & (s->count - 1))) { // at powers of two it grows
        struct store_run *more = realloc(s->run, (s->count ? 2 * s->count : 1) * sizeof *more);
        if (!more) return shk_fail(err, SHK_FAILED, "out of memory for the store of results");
        s->run = more;
    }
    s->run[s->count++] = *run;
    return true;
}

static bool read_line(struct store *s, const char *text, size_t size, const char *path, size_t number,
                      struct shk_error *err) {
    struct store_run run;
    char place[sizeof run.place], shown[SHK_SHOWN_PATH];
    snprintf(place, sizeof place, "%s, line %zu", shk_shown_path(path, shown), number);
    if (!store_read_line(text, size, place, &run, err)) return false;
    if (add_run(s, &run, err)) return true;
    store_free_run(&run);
    return false;
}

// What has no end was not written to its end.
static bool read_lines(struct store *s, const char *text, size_t size, const char *path, struct shk_error *err) {
    size_t number = 1;
    char shown[SHK_SHOWN_PATH];
    for (const char *at = text, *end; at < text + size; at = end + 1, number++) {
        end = memchr(at, '\n', (size_t)(text + size - at));
        if (!end) {
            snprintf(s->warning, sizeof s->warning,
                     "%s, line %zu is not whole and is left out: what saved it was ended before its end",
                     shk_shown_path(path, shown), number);
            return true;
        }
        if (!read_line(s, at, (size_t)(end - at), path, number, err)) return false;
    }
    return true;
}

static bool check_size(const char *path, const unsigned char *begin, size_t size, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    (void)begin;
    return size <= most_bytes ||
           shk_fail(err, SHK_BAD_INPUT, "%s is larger than 256 MiB, the most that is read: move some of its lines away",
                    shk_shown_path(path, shown));
}

static bool read_file(struct store *s, const struct shk_folder *folder, const char *name, struct shk_error *err) {
    struct shk_bytes bytes = {0};
    char *path = shk_folder_path(folder, name, err);
    const bool ok = path && shk_file_read(path, check_size, &bytes, err) &&
                    read_lines(s, (const char *)bytes.data, bytes.size, path, err);
    shk_free(bytes.data);
    shk_free(path);
    return ok;
}

// Where a file system knows no locks, nobody waits. The lock ends with the folder's descriptor.
static void lock(const struct shk_folder *folder, int how) {
    while (flock(shk_folder_handle(folder), how) != 0 && errno == EINTR) {
    }
}

static bool is_store_file(const char *name) {
    const size_t length = strlen(name), end = sizeof suffix - 1;
    return length > end && strcmp(name + length - end, suffix) == 0;
}

static bool read_folder(struct store *s, const struct shk_folder *folder, const char *path, struct shk_error *err) {
    struct shk_names names;
    if (!shk_names_of_folder(path, &names, err)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < names.count; i++)
        if (is_store_file(names.names[i])) ok = read_file(s, folder, names.names[i], err);
    shk_names_free(&names);
    return ok;
}

bool store_read(const char *path, struct store *out, struct shk_error *err) {
    *out = (struct store){0};
    if (!folder_exists(path)) return true;
    struct shk_folder *folder = shk_folder_open(path, err);
    if (!folder) return false;
    lock(folder, LOCK_SH);
    const bool ok = read_folder(out, folder, path, err);
    shk_folder_close(folder);
    if (!ok) store_free(out);
    return ok;
}

void store_free(struct store *s) {
    for (size_t i = 0; i < s->count; i++) store_free_run(&s->run[i]);
    free(s->run);
    *s = (struct store){0};
}

// ---- Adding ----

// A file of the store that is being added to.
struct adding {
    char *path; // for sentences
    struct shk_folder *folder;
    int file;
    off_t size; // of its whole lines
    bool fresh; // it was made here
};

static bool cannot(const struct adding *a, const char *what, struct shk_error *err) {
    return shk_cannot(a->path, what, errno, SHK_FAILED, err);
}

static bool open_file(struct adding *a, const char *name, struct shk_error *err) {
    const int flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    struct stat info;
    a->file = openat(shk_folder_handle(a->folder), name, flags);
    a->fresh = a->file < 0 && errno == ENOENT;
    if (a->fresh) a->file = openat(shk_folder_handle(a->folder), name, flags | O_CREAT | O_EXCL, 0666);
    if (a->file < 0 || fstat(a->file, &info) != 0) return cannot(a, "opened", err);
    if (!S_ISREG(info.st_mode))
        return shk_fail(err, SHK_BAD_INPUT, "%.250s is no regular file, as the store's files must be", a->path);
    a->size = info.st_size;
    return true;
}

// Behind the last line that is whole: what a crash has left is dropped.
static bool find_end(struct adding *a, bool *dropped, struct shk_error *err) {
    char block[4096];
    off_t end = a->size;
    while (end > 0) {
        const size_t size = end < (off_t)sizeof block ? (size_t)end : sizeof block;
        const ssize_t got = pread(a->file, block, size, end - (off_t)size);
        if (got < 0 && errno == EINTR) continue;
        if (got != (ssize_t)size) return cannot(a, "read", err);
        const char *last = memrchr(block, '\n', size);
        end -= (off_t)size;
        if (last) {
            end += last + 1 - block;
            break;
        }
    }
    *dropped = end < a->size;
    if (*dropped && ftruncate(a->file, end) != 0) return cannot(a, "written", err);
    a->size = end;
    return true;
}

static bool sync_file(int file) {
    int failed;
    do failed = fsync(file);
    while (failed && errno == EINTR);
    return !failed;
}

// Where it fails, the file is as it was.
static bool append(const struct adding *a, const char *name, const char *line, struct shk_error *err) {
    if (shk_write_text(a->file, line, strlen(line)) && sync_file(a->file) && shk_folder_sync(a->folder)) return true;
    const int why = errno;
    const bool back =
        a->fresh ? unlinkat(shk_folder_handle(a->folder), name, 0) == 0 : ftruncate(a->file, a->size) == 0;
    errno = why;
    return cannot(a, back ? "written, and is as it was" : "written, and its last line is not whole", err);
}

// "{...}\n", to be freed.
static char *line_of(const json_t *file, const char *name) {
    json_t *line = json_object();
    bool ok = line && (!*name || json_object_set_new(line, "saved", json_string(name)) == 0) &&
              json_object_update(line, (json_t *)(uintptr_t)file) == 0; // which only reads it
    char *text = ok ? shk_json_text(line, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(line);
    char *whole = NULL;
    if (text && asprintf(&whole, "%s\n", text) < 0) whole = NULL;
    free(text);
    return whole;
}

static void name_file(const json_t *context, char out[32]) {
    char machine[STORE_MACHINE];
    store_machine(context, machine);
    snprintf(out, 32, "%016" PRIx64 "%s", (uint64_t)XXH3_64bits(machine, strlen(machine)), suffix);
}

static bool add_line(const char *path, const char *name, const char *line, bool *dropped, struct shk_error *err) {
    struct adding a = {.folder = shk_folder_open(path, err), .file = -1};
    bool ok = a.folder && (a.path = shk_folder_path(a.folder, name, err));
    if (ok) {
        lock(a.folder, LOCK_EX);
        ok = open_file(&a, name, err) && find_end(&a, dropped, err) && append(&a, name, line, err);
    }
    if (a.file >= 0) close(a.file);
    shk_free(a.path);
    shk_folder_close(a.folder);
    return ok;
}

bool store_add(const char *path, const json_t *file, const char *name, bool *dropped, struct shk_error *err) {
    char of_machine[32];
    char *line = line_of(file, name);
    name_file(json_object_get(file, "context"), of_machine);
    const bool ok = line ? folder_make(path, err) && add_line(path, of_machine, line, dropped, err)
                         : shk_fail(err, SHK_FAILED, "out of memory for a run");
    free(line);
    return ok;
}

bool store_prepare(const char *path, struct shk_error *err) {
    char *trial = NULL;
    if (!folder_make(path, err)) return false;
    if (asprintf(&trial, "%s/XXXXXX", path) < 0) return shk_fail(err, SHK_FAILED, "out of memory");
    const int file = mkostemp(trial, O_CLOEXEC);
    const bool ok = file >= 0 || shk_cannot(path, "written", errno, SHK_FAILED, err);
    if (ok) {
        close(file);
        unlink(trial);
    }
    free(trial);
    return ok;
}
