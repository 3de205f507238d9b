// SPDX-License-Identifier: MIT
// Guesses by the first picture to what all are brought, decodes them, and once more where another one shows that it was wrong.
#include "data/pictures/load.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "data/pictures/fit.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LEAST_OWN_SIDE = 8, MOST_OWN_SIDE = 64, USUAL_SIDE = 32 }; // models take 8 pixels and more

// What is known of each file of the list.
struct seen {
    char *why; // it is bad; NULL: it is not, as far as is known
    size_t height, width, channels;
};

struct job {
    const struct shk_file_list *list;
    const struct shk_team *team;            // NULL: the calling thread alone
    const struct shk_data_options *options; // whose on_progress hears of it; NULL: nobody does
    struct shk_fitting fitting;
    bool is_guess;               // the fitting is the first picture's,
    bool any_size, any_channels; // and there must be no picture of another size, or of colours in training
    atomic_bool differs;         // there is one: of the others, headers are enough
    struct seen *seen;
    uint8_t **to;         // where each file's bytes go
    bool made[SHK_PARTS]; // of this list; others are there from before
    atomic_size_t next;
};

// ---- One file ----

static bool known(const char *path, const unsigned char *begin, size_t size, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    return shk_picture_known(begin, size, shk_shown_path(path, shown), err);
}

enum { MOST_STREAM = 1 << 28 };

// "-" is standard input.
static bool read_picture(const char *path, struct shk_bytes *bytes, struct shk_error *err) {
    if (strcmp(path, "-") != 0) return shk_file_read(path, known, bytes, err);
    if (!shk_file_read_stream(STDIN_FILENO, "standard input", MOST_STREAM, bytes, err)) return false;
    if (shk_picture_known(bytes->data, bytes->size, "standard input", err)) return true;
    shk_free(bytes->data);
    return false;
}

// Whether a picture shows that the guess was wrong.
static bool is_unlike(const struct job *j, size_t file) {
    const struct seen *s = &j->seen[file];
    if (!j->is_guess) return false;
    return (!j->any_size && (s->height != j->fitting.height || s->width != j->fitting.width)) ||
           (!j->any_channels && s->channels != 1 && j->list->files[file].part == SHK_PART_TRAIN);
}

static bool take_file(struct job *j, size_t file, struct shk_error *err) {
    const char *path = j->list->files[file].path;
    char shown[SHK_SHOWN_PATH];
    struct seen *seen = &j->seen[file];
    struct shk_bytes bytes;
    struct shk_picture p = {0};
    if (!read_picture(path, &bytes, err)) return false;
    const char *name = shk_shown_path(path, shown);
    const bool look = j->is_guess && atomic_load_explicit(&j->differs, memory_order_relaxed);
    bool ok = look ? shk_picture_look(bytes.data, bytes.size, name, &p, err)
                   : shk_picture_decode(bytes.data, bytes.size, name, j->fitting.background, &p, err);
    seen->height = p.height;
    seen->width = p.width;
    seen->channels = p.channels;
    if (ok && is_unlike(j, file))
        atomic_store_explicit(&j->differs, true, memory_order_relaxed);
    else if (ok && !look)
        ok = shk_picture_fit(&p, &j->fitting, j->to[file], err);
    shk_picture_free(&p);
    shk_free(bytes.data);
    return ok;
}

enum { STEP = 16 }; // files between two looks at how far it is

// Only the calling thread, which is worker 0, may say something.
static void take_files(void *arg, unsigned worker, unsigned workers) {
    struct job *j = arg;
    const struct shk_data_options *o = j->options;
    size_t mine = 0;
    (void)workers;
    for (size_t file; (file = atomic_fetch_add(&j->next, 1)) < j->list->count;) {
        struct shk_error why;
        if (!j->seen[file].why && !take_file(j, file, &why)) j->seen[file].why = strdup(why.text);
        if (worker == 0 && o && o->on_progress && ++mine % STEP == 0) o->on_progress(file, j->list->count, o->user);
    }
}

static void run(struct job *j) {
    atomic_store(&j->next, 0);
    if (!j->team || j->list->count == 1) {
        take_files(j, 0, 1);
        return;
    }
    const struct shk_team some = shk_team_for(j->team, j->list->count);
    some.run(&some, take_files, j);
}

// ---- What they are brought to ----

struct found {
    size_t height, width; // of the first picture that is not bad; 0: there is none
    bool alike, grey;
};

static struct found find_out(const struct job *j) {
    struct found f = {.alike = true, .grey = true};
    for (size_t i = 0; i < j->list->count; i++) {
        const struct seen *s = &j->seen[i];
        if (s->why) continue;
        if (!f.height) f.height = s->height;
        if (!f.width) f.width = s->width;
        f.alike = f.alike && s->height == f.height && s->width == f.width;
        f.grey = f.grey && (s->channels == 1 || j->list->files[i].part != SHK_PART_TRAIN);
    }
    return f;
}

static const char *const fit_names[] = {"stretched", "cropped to the middle", "letterboxed"};

static bool is_own_side(size_t side) { return side >= LEAST_OWN_SIDE && side <= MOST_OWN_SIDE; }
static bool fits_as_it_is(const struct found *f) { return is_own_side(f->height) && is_own_side(f->width); }

// The request's, or what the pictures suggest.
static struct shk_fitting fitting_of(const struct shk_request *r, const struct found *f) {
    const struct shk_shape *wanted = &r->shape;
    const bool own = f->alike && fits_as_it_is(f);
    return (struct shk_fitting){.fit = r->prepared.fit,
                                .height = wanted->height ? wanted->height
                                          : own          ? f->height
                                                         : USUAL_SIDE,
                                .width = wanted->width ? wanted->width
                                         : own         ? f->width
                                                       : USUAL_SIDE,
                                .channels = wanted->channels ? wanted->channels
                                            : f->grey        ? 1
                                                             : 3,
                                .background = (uint8_t)r->prepared.background};
}

static void say_fitting(const struct job *j, const struct shk_request *r, const struct found *f) {
    if (f->alike && f->height == j->fitting.height && f->width == j->fitting.width) return;
    char size[64] = "of several sizes";
    if (f->alike) snprintf(size, sizeof size, "of %zux%zu pixels", f->height, f->width);
    shk_data_note(r->options, "pictures %s are %s to %zux%zu%s", size, fit_names[j->fitting.fit], j->fitting.height,
                  j->fitting.width, r->shape.height ? "" : " (choose with --size and --fit)");
}

// ---- Parts ----

// Of the files that are not bad.
static bool new_parts(struct job *j, const struct shk_request *r, struct shk_data *d, struct shk_error *err) {
    const struct shk_fitting *f = &j->fitting;
    const struct shk_shape shape = {f->height, f->width, f->channels, j->list->classes.count};
    const size_t bytes = shape.height * shape.width * shape.channels;
    size_t counts[SHK_PARTS] = {0}, total = 0;
    struct shk_room room;
    for (size_t i = 0; i < j->list->count; i++) counts[j->list->files[i].part] += !j->seen[i].why;
    for (unsigned part = 0; part < SHK_PARTS; part++)
        if (counts[part] && !shk_room_count(&total, counts[part], &shape, true, err)) return false;
    if (!shk_room_open(&room, r, total, true, err)) return false;
    bool ok = true;
    for (unsigned part = 0; ok && part < SHK_PARTS; part++) {
        if (!counts[part]) continue;
        struct shk_dataset *set = d->parts[part] = shk_room_part(&room, counts[part], &shape, true, err);
        j->made[part] = true;
        ok = set && shk_dataset_set_names(set, &j->list->classes, err);
        if (ok) set->prepared = r->prepared;
    }
    shk_room_close(&room);
    if (!ok) return false;
    memset(counts, 0, sizeof counts);
    for (size_t i = 0; i < j->list->count; i++)
        if (!j->seen[i].why)
            j->to[i] = d->parts[j->list->files[i].part]->bytes + counts[j->list->files[i].part]++ * bytes;
    return true;
}

// Closes the gaps that files left which turned out to be bad while they were decoded; gives labels and names.
static bool close_gaps(const struct job *j, struct shk_data *d, struct shk_error *err) {
    size_t kept[SHK_PARTS] = {0};
    for (size_t i = 0; i < j->list->count; i++) {
        const struct shk_listed_file *f = &j->list->files[i];
        if (!j->to[i] || j->seen[i].why) continue;
        struct shk_dataset *part = d->parts[f->part];
        const size_t bytes = part->room_floats, place = kept[f->part]++;
        if (part->bytes + place * bytes != j->to[i]) memcpy(part->bytes + place * bytes, j->to[i], bytes);
        part->labels[place] = f->label;
        if (!shk_names_add(&d->samples[f->part], f->path + f->name, err)) return false;
    }
    for (unsigned part = 0; part < SHK_PARTS; part++) {
        if (!j->made[part]) continue;
        d->parts[part]->n = kept[part];
        if (kept[part]) continue;
        shk_dataset_free(d->parts[part]);
        d->parts[part] = NULL;
    }
    return true;
}

// ---- What is said ----

static void say_left_out(const struct shk_data_options *o, const struct shk_left_out *l) {
    const struct {
        size_t count;
        const char *one, *many;
    } rows[] = {
        {l->hidden, "hidden file is", "hidden files are"},
        {l->loose, "file beside the classes' folders is", "files beside the classes' folders are"},
        {l->loops, "link that leads back to a folder above is", "links that lead back to a folder above are"},
        {l->others, "thing that is neither file nor folder is", "things that are neither files nor folders are"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].count)
            shk_data_note(o, "%zu %s left out", rows[i].count, rows[i].count == 1 ? rows[i].one : rows[i].many);
}

// Classes without a picture, by part.
static bool say_empty_classes(const struct job *j, const struct shk_data *d, struct shk_error *err) {
    static const char *const names[SHK_PARTS] = {"train", "val", "test"};
    const size_t classes = j->list->classes.count;
    size_t *count = shk_alloc(classes, sizeof *count, "counts of classes", err);
    for (unsigned part = 0; count && part < SHK_PARTS; part++) {
        memset(count, 0, classes * sizeof *count);
        if (!j->made[part] || !d->parts[part]) continue;
        for (size_t i = 0; i < d->parts[part]->n; i++) count[d->parts[part]->labels[i]]++;
        for (size_t c = 0; c < classes; c++)
            if (!count[c])
                shk_data_note(j->options, "class '%.100s' has no picture in %s", j->list->classes.names[c],
                              names[part]);
    }
    shk_free(count);
    return count;
}

// All of them, in the order of the list.
static bool say_bad(const struct job *j, struct shk_error *err) {
    const char *first = NULL;
    size_t bad = 0;
    for (size_t i = 0; i < j->list->count; i++) {
        if (!j->seen[i].why) continue;
        if (bad++ == 0) first = j->seen[i].why;
        shk_data_bad(j->options, j->seen[i].why);
    }
    if (bad == 0) return true;
    if (bad == j->list->count)
        return shk_fail(err, SHK_BAD_INPUT, "none of %zu pictures can be read; the first: %.250s", bad, first);
    if (j->options->skip_bad) {
        shk_data_note(j->options, "%zu of %zu pictures cannot be read and are left out", bad, j->list->count);
        return true;
    }
    return shk_fail(
        err, SHK_BAD_INPUT,
        "%zu of %zu pictures cannot be read: mend or remove them, or go on without them by --skip-bad; the first: "
        "%.200s",
        bad, j->list->count, first);
}

// ---- All of it ----

// The first one that is not bad.
static struct found look_at_first(struct job *j) {
    struct found f = {0};
    j->is_guess = true;
    atomic_store(&j->differs, true); // a look is enough
    for (size_t i = 0; !f.height && i < j->list->count; i++) {
        struct shk_error why;
        if (!take_file(j, i, &why))
            j->seen[i].why = strdup(why.text);
        else
            f = (struct found){j->seen[i].height, j->seen[i].width, true,
                               j->seen[i].channels == 1 || j->list->files[i].part != SHK_PART_TRAIN};
    }
    return f;
}

static void free_parts(struct job *j, struct shk_data *d) {
    for (unsigned part = 0; part < SHK_PARTS; part++) {
        if (!j->made[part]) continue;
        shk_dataset_free(d->parts[part]);
        d->parts[part] = NULL;
        j->made[part] = false;
    }
}

// What is known of all pictures after a pass decides; where that is not what the pass was made for, there is another one. The
// second pass decodes all, so that a third one is the last.
static bool decode_all(struct job *j, const struct shk_request *r, struct shk_data *d, struct shk_error *err) {
    struct found found = look_at_first(j);
    if (!found.height) return true;
    j->any_size =
        r->shape.height || !fits_as_it_is(&found) || (found.height == USUAL_SIDE && found.width == USUAL_SIDE);
    j->any_channels = r->shape.channels || !found.grey;
    for (bool again = true; again && found.height; j->is_guess = false) {
        j->fitting = fitting_of(r, &found);
        atomic_store(&j->differs, false);
        free_parts(j, d);
        if (!new_parts(j, r, d, err)) return false;
        run(j);
        found = find_out(j);
        const struct shk_fitting f = fitting_of(r, &found);
        again = atomic_load(&j->differs) || f.height != j->fitting.height || f.width != j->fitting.width ||
                f.channels != j->fitting.channels;
    }
    if (found.height) say_fitting(j, r, &found);
    if (r->options->on_progress) r->options->on_progress(j->list->count, j->list->count, r->options->user);
    return true;
}

static bool load(struct job *j, const struct shk_request *r, struct shk_data *d, struct shk_error *err) {
    return decode_all(j, r, d, err) && say_bad(j, err) && close_gaps(j, d, err) && say_empty_classes(j, d, err);
}

static bool begin(struct job *j, struct shk_error *err) {
    j->seen = shk_alloc(j->list->count, sizeof *j->seen, "a list of pictures", err);
    j->to = shk_alloc(j->list->count, sizeof *j->to, "places of pictures", err);
    return j->seen && j->to;
}

static void end(struct job *j) {
    for (size_t i = 0; j->seen && i < j->list->count; i++) free(j->seen[i].why);
    shk_free(j->seen);
    shk_free(j->to);
}

static bool make(const struct shk_request *r, struct shk_data *d, const void *list, struct shk_error *err) {
    struct job j = {.list = list, .team = r->team, .options = r->options};
    const bool ok = begin(&j, err) && load(&j, r, d, err);
    end(&j);
    return ok;
}

// Of whatever decides on the pictures: the files, and what becomes of each.
static void look_up(struct shk_cache *c, const struct shk_file_list *list) {
    for (size_t i = 0; c && i < list->classes.count; i++) shk_cache_add_text(c, list->classes.names[i]);
    for (size_t i = 0; c && i < list->count; i++) {
        const struct shk_listed_file *f = &list->files[i];
        const uint32_t place[] = {f->label, f->part};
        shk_cache_add(c, place, sizeof place);
        shk_cache_add_text(c, f->path + f->name);
        shk_cache_add_path(c, f->path);
    }
}

bool shk_pictures_load(const struct shk_request *r, const struct shk_file_list *list, struct shk_data *d,
                       struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    say_left_out(r->options, &list->left_out);
    if (list->count == 0)
        return shk_fail(err, SHK_BAD_INPUT, "%s: there is no picture in it", shk_shown_path(r->path, shown));
    for (size_t c = 0; c < list->classes.count; c++)
        if (!shk_is_utf8(list->classes.names[c], strlen(list->classes.names[c])))
            return shk_fail(err, SHK_BAD_INPUT, "%s: the name of class %zu, '%.60s', is not UTF-8: rename it",
                            shk_shown_path(r->path, shown), c, list->classes.names[c]);
    struct shk_cache *c = shk_cache_begin(r, d);
    look_up(c, list);
    return shk_cache_load(c, r, d, make, list, err);
}

bool shk_pictures_decode(const struct shk_file_list *list, const struct shk_fitting *fitting,
                         const struct shk_team *team, uint8_t *to, char **why, struct shk_error *err) {
    struct job j = {.list = list, .team = team, .fitting = *fitting};
    const bool ok = begin(&j, err);
    if (ok) {
        for (size_t i = 0; i < list->count; i++)
            j.to[i] = to + i * fitting->height * fitting->width * fitting->channels;
        run(&j);
        for (size_t i = 0; i < list->count; i++) {
            why[i] = j.seen[i].why;
            j.seen[i].why = NULL;
        }
    }
    end(&j);
    return ok;
}
