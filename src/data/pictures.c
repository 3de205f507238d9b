// SPDX-License-Identifier: MIT
// Looks at all pictures first, where their size or channels decide something, and then decodes them.
#include "data/pictures.h"

#include "base/memory.h"
#include "formats/file.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OWN_SIDE = 64, USUAL_SIDE = 32 };

// What is known of each file of the list.
struct seen {
    bool bad;
    struct shk_error why;
    size_t height, width, channels;
};

struct job {
    const struct shk_file_list *list;
    const struct shk_fitting *fitting;
    bool look;
    struct seen *seen;
    uint8_t **to; // where each file's bytes go
    atomic_size_t next;
};

// ---- One file ----

static bool known(const char *path, const unsigned char *begin, size_t size, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    return shk_picture_known(begin, size, shk_shown_path(path, shown), err);
}

static bool take_file(const struct job *j, size_t file, struct shk_error *err) {
    const char *path = j->list->files[file].path;
    char shown[SHK_SHOWN_PATH];
    struct seen *seen = &j->seen[file];
    struct shk_bytes bytes;
    struct shk_picture p = {0};
    if (!shk_file_read(path, known, &bytes, err)) return false;
    const char *name = shk_shown_path(path, shown);
    bool ok = j->look ? shk_picture_look(bytes.data, bytes.size, name, &p, err)
                      : shk_picture_decode(bytes.data, bytes.size, name, j->fitting->background, &p, err) &&
                            shk_picture_fit(&p, j->fitting, j->to[file], err);
    seen->height = p.height;
    seen->width = p.width;
    seen->channels = p.channels;
    shk_picture_free(&p);
    shk_free(bytes.data);
    return ok;
}

static void take_files(void *arg, unsigned worker, unsigned workers) {
    struct job *j = arg;
    (void)worker;
    (void)workers;
    for (size_t file; (file = atomic_fetch_add(&j->next, 1)) < j->list->count;)
        if (!j->seen[file].bad) j->seen[file].bad = !take_file(j, file, &j->seen[file].why);
}

static void run(struct job *j, const struct shk_team *team) {
    atomic_store(&j->next, 0);
    const struct shk_team some = shk_team_for(team, j->list->count);
    some.run(&some, take_files, j);
}

// ---- What they are brought to ----

static void find_out(const struct job *j, struct shk_pictures *p) {
    const struct seen *first = NULL;
    bool alike = true, grey = true;
    for (size_t i = 0; i < j->list->count; i++) {
        const struct seen *s = &j->seen[i];
        if (s->bad) continue;
        if (!first) first = s;
        alike = alike && s->height == first->height && s->width == first->width;
        grey = grey && (s->channels == 1 || j->list->files[i].part != SHK_PART_TRAIN);
    }
    if (!first) return;
    const bool own = alike && first->height <= MOST_OWN_SIDE && first->width <= MOST_OWN_SIDE;
    if (!p->fitting.height) p->fitting.height = own ? first->height : USUAL_SIDE;
    if (!p->fitting.width) p->fitting.width = own ? first->width : USUAL_SIDE;
    if (!p->fitting.channels) p->fitting.channels = grey ? 1 : 3;
    p->alike = alike && first->height == p->fitting.height && first->width == p->fitting.width;
}

// ---- Parts ----

// Of the files that are not bad.
static bool new_parts(struct job *j, struct shk_pictures *p, struct shk_error *err) {
    const struct shk_shape shape = {p->fitting.height, p->fitting.width, p->fitting.channels, j->list->class_count};
    const size_t bytes = shape.height * shape.width * shape.channels;
    size_t counts[SHK_PARTS] = {0};
    for (size_t i = 0; i < j->list->count; i++) counts[j->list->files[i].part] += !j->seen[i].bad;
    for (unsigned part = 0; part < SHK_PARTS; part++)
        if (counts[part] && !(p->parts[part] = shk_dataset_new_bytes(counts[part], &shape, err))) return false;
    memset(counts, 0, sizeof counts);
    for (size_t i = 0; i < j->list->count; i++) {
        const struct shk_listed_file *f = &j->list->files[i];
        if (j->seen[i].bad) continue;
        const size_t place = counts[f->part]++;
        j->to[i] = p->parts[f->part]->bytes + place * bytes;
        p->parts[f->part]->labels[place] = f->label;
    }
    return true;
}

// Closes the gaps that files left which turned out to be bad while they were decoded.
static void close_gaps(const struct job *j, struct shk_pictures *p) {
    size_t kept[SHK_PARTS] = {0};
    for (size_t i = 0; i < j->list->count; i++) {
        if (!j->to[i] || j->seen[i].bad) continue;
        struct shk_dataset *d = p->parts[j->list->files[i].part];
        const size_t bytes = d->room_floats, place = kept[j->list->files[i].part]++;
        memmove(d->bytes + place * bytes, j->to[i], bytes);
        d->labels[place] = j->list->files[i].label;
    }
    for (unsigned part = 0; part < SHK_PARTS; part++) {
        if (!p->parts[part]) continue;
        p->parts[part]->n = kept[part];
        if (kept[part]) continue;
        shk_dataset_free(p->parts[part]);
        p->parts[part] = NULL;
    }
}

static bool gather_bad(const struct job *j, struct shk_pictures *p, struct shk_error *err) {
    p->bad_count = 0;
    for (size_t i = 0; i < j->list->count; i++) p->bad_count += j->seen[i].bad;
    if (p->bad_count == 0) return true;
    p->bad = shk_alloc(p->bad_count, sizeof *p->bad, "a list of bad pictures", err);
    if (!p->bad) return false;
    for (size_t i = 0, n = 0; i < j->list->count; i++)
        if (j->seen[i].bad) p->bad[n++] = (struct shk_bad_picture){i, j->seen[i].why};
    return true;
}

static bool load(struct job *j, const struct shk_team *team, struct shk_pictures *p, struct shk_error *err) {
    if (!p->fitting.height || !p->fitting.width || !p->fitting.channels) {
        j->look = true;
        run(j, team);
        find_out(j, p);
        j->look = false;
    }
    // Where nothing could be found out, all are bad.
    if (p->fitting.height) {
        if (!new_parts(j, p, err)) return false;
        run(j, team);
        close_gaps(j, p);
    }
    return gather_bad(j, p, err) &&
           (p->parts[SHK_PART_TRAIN] || p->parts[SHK_PART_VAL] || p->parts[SHK_PART_TEST] ||
            shk_fail(err, SHK_BAD_INPUT, "none of %zu pictures can be decoded; of the first: %s", j->list->count,
                     p->bad_count ? p->bad[0].why.text : "there is none"));
}

bool shk_pictures_load(const struct shk_file_list *list, const struct shk_fitting *wanted, const struct shk_team *team,
                       struct shk_pictures *p, struct shk_error *err) {
    *p = (struct shk_pictures){.fitting = *wanted};
    struct job j = {.list = list, .fitting = &p->fitting};
    j.seen = shk_alloc(list->count ? list->count : 1, sizeof *j.seen, "a list of pictures", err);
    j.to = shk_alloc(list->count ? list->count : 1, sizeof *j.to, "places of pictures", err);
    bool ok = j.seen && j.to && load(&j, team, p, err);
    shk_free(j.seen);
    shk_free(j.to);
    return ok;
}

void shk_pictures_free(struct shk_pictures *p) {
    shk_free(p->bad);
    p->bad = NULL;
    p->bad_count = 0;
}
