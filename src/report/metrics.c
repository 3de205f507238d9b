// SPDX-License-Identifier: MIT
// Lines of metrics are written, and those behind a checkpoint dropped.
#include "report/metrics.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct metrics {
    const struct folder *folder;
    int file;
    off_t size; // of the whole lines
    char warning[512];
};

static const char *path_of(const struct metrics *m) { return m->folder->path[FOLDER_METRICS]; }

// ---- Going on ----

enum kind { LINE_STAYS, LINE_LATER, LINE_BAD };

struct line {
    enum kind kind;
    uint64_t epoch, step; // from 1; step 0: the epoch's own line, which comes after those of its steps
};

static bool is_value(const json_t *value) { return json_is_number(value) || json_is_null(value); }

static struct line line_of(const json_t *object, struct shk_position at) {
    const json_t *step = json_object_get(object, "step");
    const json_int_t epoch = json_integer_value(json_object_get(object, "epoch")), number = json_integer_value(step);
    if (epoch < 1 || (step && number < 1) || !is_value(json_object_get(object, step ? "loss" : "train_loss")))
        return (struct line){.kind = LINE_BAD};
    struct line line = {LINE_LATER, (uint64_t)epoch, (uint64_t)number};
    const bool inside = step && line.epoch - 1 == at.epoch && line.step <= at.step;
    if (line.epoch - 1 < at.epoch || inside) line.kind = LINE_STAYS;
    return line;
}

// Our own lines parse. So a failure may be one of memory, for which jansson has no name in all cases, and may not come again.
static struct line parse_line(const char *text, size_t size, struct shk_position at) {
    json_error_t why;
    json_t *object = shk_json_read(text, size, &why);
    if (!object) object = shk_json_read(text, size, &why);
    const struct line line = line_of(object, at);
    json_decref(object);
    return line;
}

// How many lines a run has written up to this one; 0: it writes none such.
static uint64_t ordinal(const struct metrics_place *p, const struct line *line) {
    const uint64_t count = (line->epoch - 1) * p->steps + (line->step ? line->step : p->steps);
    if (line->step > p->steps || (line->step && count % p->every)) return 0;
    return count / p->every + line->epoch - (line->step != 0);
}

// The line of that ordinal.
static void name_line(const struct metrics_place *p, uint64_t number, struct metrics_found *f) {
    f->epoch = 1;
    while ((uint64_t)f->epoch * p->steps / p->every + f->epoch < number) f->epoch++;
    const bool own = (uint64_t)f->epoch * p->steps / p->every + f->epoch == number;
    f->step = own ? 0 : (size_t)((number - (f->epoch - 1)) * p->every - (uint64_t)(f->epoch - 1) * p->steps);
}

// Takes a line that stays, after `last` others that a run writes.
static uint64_t count_line(const struct metrics_place *p, const struct line *line, uint64_t last, size_t number,
                           struct metrics_found *f) {
    const uint64_t here = ordinal(p, line);
    if (here <= last) {
        if (!f->odd) f->odd = number;
        return last;
    }
    if (here > last + 1 && !f->lacking) name_line(p, last + 1, f);
    f->lacking += (size_t)(here - last - 1);
    return here;
}

static void count_rest(const struct metrics_place *p, uint64_t last, struct metrics_found *f) {
    f->lines = (size_t)(((uint64_t)p->at.epoch * p->steps + p->at.step) / p->every + p->at.epoch);
    if (f->lines <= last) return;
    if (!f->lacking) name_line(p, last + 1, f);
    f->lacking += (size_t)(f->lines - last);
}

// The beginning of a line that a training was writing when it ended, or the zeros that some file systems leave of it.
static bool is_unfinished(const char *text, size_t size) {
    static const char begin[] = "{\"epoch\": ";
    const size_t length = size < sizeof begin - 1 ? size : sizeof begin - 1;
    if (!*text) return memcmp(text, text + 1, size - 1) == 0;
    return memcmp(text, begin, length) == 0 && !memchr(text, '}', size);
}

static bool fail_line(const char *path, size_t number, const char *what, struct shk_error *err) {
    return shk_fail(err, SHK_BAD_INPUT,
                    "%.250s, line %zu: %s; remove the line, or put the file back as the training wrote it", path,
                    number, what);
}

bool metrics_keep(const char *text, size_t size, const struct metrics_place *p, const char *path,
                  struct metrics_found *f, struct shk_error *err) {
    size_t number = 0;
    uint64_t last = 0;
    bool ended = false;
    *f = (struct metrics_found){0};
    for (size_t start = 0, next; start < size; start = next) {
        const char *end = memchr(text + start, '\n', size - start);
        const size_t length = (end ? (size_t)(end - text) : size) - start;
        const struct line line = parse_line(text + start, length, p->at);
        next = start + length + (end != NULL);
        number++;
        if (line.kind == LINE_BAD && !end && is_unfinished(text + start, length)) break;
        if (line.kind == LINE_BAD) return fail_line(path, number, "not a line of metrics", err);
        if (line.kind == LINE_STAYS && ended)
            return fail_line(path, number, "it comes after lines of later steps", err);
        ended = line.kind == LINE_LATER;
        if (ended) continue;
        last = count_line(p, &line, last, number, f);
        f->keep = next;
    }
    count_rest(p, last, f);
    return true;
}

static bool fail(const struct metrics *m, const char *what, struct shk_error *err) {
    return shk_fail(err, SHK_FAILED, "%.250s cannot be %s: %s", path_of(m), what, strerror(errno));
}

// All of the file, with place for one more byte, to be freed.
static char *read_all(const struct metrics *m, size_t *size, struct shk_error *err) {
    struct stat info;
    if (fstat(m->file, &info) != 0) return fail(m, "read", err), NULL;
    char *text = malloc((size_t)info.st_size + 1);
    if (!text) return shk_fail(err, SHK_FAILED, "out of memory for %.250s", path_of(m)), NULL;
    for (*size = 0; *size < (size_t)info.st_size;) {
        const ssize_t got = pread(m->file, text + *size, (size_t)info.st_size - *size, (off_t)*size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(m, "read", err), free(text), NULL;
        if (got == 0) break;
        *size += (size_t)got;
    }
    return text;
}

static bool open_file(struct metrics *m, struct shk_error *err) {
    if (m->file >= 0) close(m->file);
    m->file = folder_open_file(m->folder, FOLDER_METRICS, O_RDWR | O_APPEND | O_CREAT, err);
    return m->file >= 0;
}

static void warn(struct metrics *m, const struct metrics_found *f) {
    char step[40] = "";
    if (f->step) snprintf(step, sizeof step, ", step %zu", f->step);
    if (f->lacking)
        snprintf(m->warning, sizeof m->warning,
                 "%.250s lacks %zu of the %zu lines up to here, the first of them that of epoch %zu%s", path_of(m),
                 f->lacking, f->lines, f->epoch, step);
    else if (f->odd)
        snprintf(m->warning, sizeof m->warning, "%.250s: line %zu comes twice, out of order, or from another run",
                 path_of(m), f->odd);
}

const char *metrics_warning(const struct metrics *m) { return *m->warning ? m->warning : NULL; }

// The lines that stay, as a new file where they are not all that there is.
static bool keep_lines(struct metrics *m, char *text, size_t size, size_t keep, struct shk_error *err) {
    const bool open_end = keep && text[keep - 1] != '\n', changes = keep < size || open_end;
    if (open_end) text[keep++] = '\n';
    m->size = (off_t)keep;
    return !changes ||
           (shk_write_file_in(m->folder->held, folder_name(FOLDER_METRICS), text, keep, err) && open_file(m, err));
}

static bool go_on(struct metrics *m, const struct metrics_place *place, struct shk_error *err) {
    struct metrics_found found;
    size_t size;
    char *text = read_all(m, &size, err);
    const bool ok =
        text && metrics_keep(text, size, place, path_of(m), &found, err) && keep_lines(m, text, size, found.keep, err);
    if (ok) warn(m, &found);
    free(text);
    return ok;
}

struct metrics *metrics_open(const struct folder *folder, const struct metrics_place *place, struct shk_error *err) {
    struct metrics *m = malloc(sizeof *m);
    if (!m) return shk_fail(err, SHK_FAILED, "out of memory for %.250s", folder->path[FOLDER_METRICS]), NULL;
    *m = (struct metrics){.folder = folder, .file = -1};
    if (open_file(m, err) && go_on(m, place, err)) return m;
    metrics_close(m);
    return NULL;
}

void metrics_close(struct metrics *m) {
    if (!m) return;
    if (m->file >= 0) close(m->file);
    free(m);
}

bool metrics_stand(const struct metrics *m) {
    struct stat own, named;
    if (fstat(m->file, &own) != 0) return false;
    if (fstatat(shk_folder_handle(m->folder->held), folder_name(FOLDER_METRICS), &named, AT_SYMLINK_NOFOLLOW) != 0)
        return errno != ENOENT;
    return own.st_dev == named.st_dev && own.st_ino == named.st_ino;
}

// ---- Lines ----

// Takes over `line`.
static bool append(struct metrics *m, json_t *line, struct shk_error *err) {
    char *text = shk_json_text(line, JSON_PRESERVE_ORDER);
    json_decref(line);
    if (!text) return shk_fail(err, SHK_FAILED, "out of memory for a line of %.250s", path_of(m));
    const size_t length = strlen(text);
    text[length] = '\n'; // in place of the end
    const bool ok = shk_write_text(m->file, text, length + 1);
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

bool metrics_step(struct metrics *m, const struct shk_step *s, struct shk_error *err) {
    return append(m,
                  json_pack("{s:I, s:I, s:o}", "epoch", (json_int_t)s->epoch, "step", (json_int_t)s->step, "loss",
                            shk_json_number(s->loss)),
                  err);
}

bool metrics_epoch(struct metrics *m, const struct shk_epoch *e, const char *choice, struct shk_error *err) {
    char loss[32], accuracy[32];
    snprintf(loss, sizeof loss, "%s_loss", choice);
    snprintf(accuracy, sizeof accuracy, "%s_accuracy", choice);
    return append(m,
                  json_pack("{s:I, s:o, s:o, s:o, s:b, s:o, s:o}", "epoch", (json_int_t)e->epoch, "train_loss",
                            shk_json_number(e->train_loss), loss, shk_json_number(e->test.loss), accuracy,
                            shk_json_number(e->test.accuracy), "best", (int)e->best, "seconds",
                            shk_json_number(e->train_seconds), "samples_per_second",
                            shk_json_number(e->samples_per_second)),
                  err);
}

bool metrics_sync(struct metrics *m, struct shk_error *err) {
    int failed;
    do failed = fsync(m->file);
    while (failed && errno == EINTR);
    return !failed || fail(m, "written", err);
}
