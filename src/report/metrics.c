// SPDX-License-Identifier: MIT
// Lines of metrics are written, and those behind a checkpoint dropped.
#include "report/metrics.h"

#include "base/error.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct metrics {
    char *path;
    int file;
    off_t size; // of the whole lines
};

// ---- Going on ----

enum line { LINE_STAYS, LINE_LATER, LINE_BAD };

// By what we write at a line's beginning and end, without memory of which there may be none. "epoch" counts from 1, and an
// epoch's own line comes after those of its steps.
static enum line line_kind(const char *text, size_t size, struct shk_position at) {
    char begin[64];
    unsigned long long epoch, step;
    snprintf(begin, sizeof begin, "%.*s", (int)(size < sizeof begin ? size : sizeof begin - 1), text);
    int steps = 0, epochs = 0; // where the beginning of such a line ends
    sscanf(begin, "{\"epoch\": %20llu, \"step\": %20llu, \"loss\": %n", &epoch, &step, &steps);
    if (!steps) sscanf(begin, "{\"epoch\": %20llu, \"train_loss\": %n", &epoch, &epochs);
    if ((!steps && !epochs) || text[size - 1] != '}' || epoch < 1) return LINE_BAD;
    if (epoch - 1 < at.epoch) return LINE_STAYS;
    return steps && epoch - 1 == at.epoch && step <= at.step ? LINE_STAYS : LINE_LATER;
}

bool metrics_keep(const char *text, size_t size, struct shk_position at, const char *path, size_t *keep,
                  struct shk_error *err) {
    size_t number = 0, bad = 0;
    bool ended = false;
    *keep = 0;
    for (size_t start = 0; start < size;) {
        const char *end = memchr(text + start, '\n', size - start);
        if (!end) break; // not whole
        const enum line kind = line_kind(text + start, (size_t)(end - text) - start, at);
        number++;
        start = (size_t)(end - text) + 1;
        if (kind == LINE_BAD && !bad) bad = number;
        if (kind == LINE_STAYS && bad)
            return shk_fail(err, SHK_BAD_INPUT, "%.250s, line %zu: not a line of metrics, remove it or the file", path,
                            bad);
        if (kind != LINE_STAYS) ended = true;
        if (!ended) *keep = start;
    }
    return true;
}

static bool fail(const struct metrics *m, const char *what, struct shk_error *err) {
    return shk_fail(err, SHK_FAILED, "%.250s cannot be %s: %s", m->path, what, strerror(errno));
}

// All of the file, to be freed.
static char *read_all(const struct metrics *m, size_t *size, struct shk_error *err) {
    struct stat info;
    if (fstat(m->file, &info) != 0) return fail(m, "read", err), NULL;
    char *text = malloc((size_t)info.st_size + 1);
    if (!text) return shk_fail(err, SHK_FAILED, "out of memory for %.250s", m->path), NULL;
    for (*size = 0; *size < (size_t)info.st_size;) {
        const ssize_t got = pread(m->file, text + *size, (size_t)info.st_size - *size, (off_t)*size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(m, "read", err), free(text), NULL;
        if (got == 0) break;
        *size += (size_t)got;
    }
    return text;
}

static bool go_on(struct metrics *m, struct shk_position at, struct shk_error *err) {
    size_t size, keep;
    char *text = read_all(m, &size, err);
    const bool ok = text && metrics_keep(text, size, at, m->path, &keep, err);
    free(text);
    if (!ok) return false;
    m->size = (off_t)keep;
    if (keep < size && ftruncate(m->file, m->size) != 0) return fail(m, "shortened", err);
    return true;
}

struct metrics *metrics_open(const char *path, struct shk_position at, struct shk_error *err) {
    struct metrics *m = calloc(1, sizeof *m);
    if (m) m->path = strdup(path);
    if (!m || !m->path) {
        shk_fail(err, SHK_FAILED, "out of memory for %.250s", path);
        free(m);
        return NULL;
    }
    do m->file = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    while (m->file < 0 && errno == EINTR);
    if (m->file < 0) fail(m, "opened", err);
    if (m->file >= 0 && go_on(m, at, err)) return m;
    metrics_close(m);
    return NULL;
}

void metrics_close(struct metrics *m) {
    if (!m) return;
    if (m->file >= 0) close(m->file);
    free(m->path);
    free(m);
}

// ---- Lines ----

static bool write_all(int file, const char *text, size_t size) {
    while (size) {
        const ssize_t written = write(file, text, size);
        if (written < 0 && errno != EINTR) return false;
        if (written < 0) continue;
        text += written;
        size -= (size_t)written;
    }
    return true;
}

// Takes over `line`.
static bool append(struct metrics *m, json_t *line, struct shk_error *err) {
    char *text = shk_json_text(line, JSON_PRESERVE_ORDER);
    json_decref(line);
    if (!text) return shk_fail(err, SHK_FAILED, "out of memory for a line of %.250s", m->path);
    const size_t length = strlen(text);
    text[length] = '\n'; // in place of the end
    const bool ok = write_all(m->file, text, length + 1);
    const int why = errno;
    free(text);
    if (ok) {
        m->size += (off_t)length + 1;
        return true;
    }
    // What follows is dropped by the next run at the latest.
    const bool back = ftruncate(m->file, m->size) == 0;
    errno = why;
    return fail(m, back ? "written" : "written, its last line is not whole", err);
}

// JSON knows no infinity and no NaN.
static json_t *number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

bool metrics_step(struct metrics *m, const struct shk_step *s, struct shk_error *err) {
    return append(
        m, json_pack("{s:I, s:I, s:f}", "epoch", (json_int_t)s->epoch, "step", (json_int_t)s->step, "loss", s->loss),
        err);
}

bool metrics_epoch(struct metrics *m, const struct shk_epoch *e, struct shk_error *err) {
    return append(m,
                  json_pack("{s:I, s:f, s:o, s:o, s:b, s:f, s:f}", "epoch", (json_int_t)e->epoch, "train_loss",
                            e->train_loss, "test_loss", number(e->test.loss), "test_accuracy", number(e->test.accuracy),
                            "best", (int)e->best, "seconds", e->train_seconds, "samples_per_second",
                            e->samples_per_second),
                  err);
}

bool metrics_sync(struct metrics *m, struct shk_error *err) {
    int failed;
    do failed = fsync(m->file);
    while (failed && errno == EINTR);
    return !failed || fail(m, "written", err);
}
