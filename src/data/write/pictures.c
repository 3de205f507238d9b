// SPDX-License-Identifier: MIT
// Writes samples as PNG files: in folders of classes, or beside a CSV that lists them.
#include "data/pictures/files.h"
#include "data/pictures/picture.h"
#include "data/write/write.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- Files, which are synced all at once at the end ----

static bool cannot_write(const struct shk_writing *w, struct shk_error *err) {
    return shk_cannot(w->path, "written", errno ? errno : EIO, SHK_FAILED, err);
}

static bool write_all(int file, const unsigned char *bytes, size_t size) {
    while (size) {
        const ssize_t n = write(file, bytes, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

static bool write_picture(const struct shk_writing *w, int folder, const char *name, enum shk_part part, size_t sample,
                          struct shk_error *err) {
    const struct shk_shape s = shk_writing_shape(w);
    const struct shk_picture p = {s.height, s.width, s.channels, w->bytes};
    if (!shk_writing_goes_on(w, err) || !shk_writing_bytes(w, part, sample, err) || !shk_png_encode(&p, w->png, err))
        return false;
    const int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file < 0) return cannot_write(w, err);
    errno = 0;
    const bool ok = write_all(file, w->png->bytes, w->png->size) || cannot_write(w, err);
    return close(file) == 0 ? ok : ok && cannot_write(w, err);
}

// Digits that the greatest number needs, so that names sort as samples do.
static int digits_of(const struct shk_dataset *d) { return snprintf(NULL, 0, "%zu", d->n - 1); }

// ---- Folders of classes ----

static bool check_class(const char *name, struct shk_error *err) {
    return (*name && !strchr(name, '/') && !shk_file_is_hidden(name) && strlen(name) <= NAME_MAX) ||
           shk_fail(err, SHK_BAD_INPUT, "class '%.100s' cannot be the name of a folder of pictures: write a CSV", name);
}

static bool make_folder(const struct shk_writing *w, const char *path, struct shk_error *err) {
    return mkdirat(w->fresh->handle, path, 0777) == 0 || cannot_write(w, err);
}

static bool write_part(const struct shk_writing *w, enum shk_part part, struct shk_error *err) {
    const struct shk_dataset *d = w->data->parts[part];
    const int digits = digits_of(d);
    char path[NAME_MAX + 64], number[24];
    if (!make_folder(w, shk_written_parts[part], err)) return false;
    for (size_t c = 0; c < d->shape.classes; c++) {
        snprintf(path, sizeof path, "%s/%s", shk_written_parts[part], shk_writing_class(w, c, number));
        if (!make_folder(w, path, err)) return false;
    }
    for (size_t i = 0; i < d->n; i++) {
        snprintf(path, sizeof path, "%s/%s/%0*zu.png", shk_written_parts[part],
                 shk_writing_class(w, d->labels[i], number), digits, i);
        if (!write_picture(w, w->fresh->handle, path, part, i, err)) return false;
    }
    return true;
}

bool shk_write_folder(const struct shk_writing *w, struct shk_error *err) {
    char number[24];
    for (size_t c = 0; c < shk_writing_shape(w).classes; c++)
        if (!check_class(shk_writing_class(w, c, number), err)) return false;
    for (unsigned part = 0; part < SHK_PARTS; part++)
        if (w->data->parts[part] && !write_part(w, part, err)) return false;
    return true;
}

// ---- A CSV ----

// In quotes where there is anything in it that would end a field (RFC 4180).
static void put_field(struct shk_file_out *f, const char *text) {
    if (!strpbrk(text, ",\"\r\n")) {
        shk_file_put(f, text, strlen(text));
        return;
    }
    shk_file_put(f, "\"", 1);
    for (; *text; text++) shk_file_put(f, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
    shk_file_put(f, "\"", 1);
}

static bool put_part(const struct shk_writing *w, struct shk_file_out *f, enum shk_part part, struct shk_error *err) {
    const struct shk_dataset *d = w->data->parts[part];
    const int digits = digits_of(d);
    char name[64], number[24], end[16];
    snprintf(end, sizeof end, ",%s\n", shk_written_parts[part]);
    for (size_t i = 0; i < d->n; i++) {
        snprintf(name, sizeof name, "%s-%0*zu.png", shk_written_parts[part], digits, i);
        if (!write_picture(w, w->fresh->handle, name, part, i, err)) return false;
        put_field(f, name);
        shk_file_put(f, ",", 1);
        put_field(f, shk_writing_class(w, d->labels[i], number));
        shk_file_put(f, end, strlen(end));
    }
    return true;
}

bool shk_write_csv(const struct shk_writing *w, struct shk_error *err) {
    static const char heading[] = "path,label,split\n";
    struct shk_file_out f;
    if (!shk_writing_knows_classes(w, 0, err) || !shk_writing_create(w, &f, "data.csv", err)) return false;
    shk_file_put(&f, heading, sizeof heading - 1);
    for (unsigned part = 0; part < SHK_PARTS; part++) {
        if (!w->data->parts[part] || put_part(w, &f, part, err)) continue;
        shk_file_abandon(&f);
        return false;
    }
    return shk_file_finish(&f, err);
}
