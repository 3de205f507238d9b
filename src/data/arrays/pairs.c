// SPDX-License-Identifier: MIT
// Knows what people call arrays of images and labels.
#include "data/arrays/pairs.h"

#include "base/file.h"
#include "base/memory.h"
#include "data/cache.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

// ---- Names ----

enum kind { NEITHER, IMAGES, LABELS };
enum { NOT_SAID = SHK_PARTS, NAMED_PARTS };

struct meaning {
    enum kind kind;
    unsigned part;  // or NOT_SAID
    char rest[256]; // all other words
};

static const struct {
    const char *word;
    enum kind kind; // NEITHER: it says a part, or nothing
    unsigned part;
} words[] = {
    {"x", IMAGES, NOT_SAID},
    {"images", IMAGES, NOT_SAID},
    {"image", IMAGES, NOT_SAID},
    {"imgs", IMAGES, NOT_SAID},
    {"data", IMAGES, NOT_SAID},
    {"y", LABELS, NOT_SAID},
    {"labels", LABELS, NOT_SAID},
    {"label", LABELS, NOT_SAID},
    {"targets", LABELS, NOT_SAID},
    {"target", LABELS, NOT_SAID},
    {"train", NEITHER, SHK_PART_TRAIN},
    {"training", NEITHER, SHK_PART_TRAIN},
    {"val", NEITHER, SHK_PART_VAL},
    {"valid", NEITHER, SHK_PART_VAL},
    {"validation", NEITHER, SHK_PART_VAL},
    {"test", NEITHER, SHK_PART_TEST},
    {"t10k", NEITHER, SHK_PART_TEST},
    // How files are held.
    {"gz", NEITHER, NOT_SAID},
    {"npy", NEITHER, NOT_SAID},
    {"idx1", NEITHER, NOT_SAID},
    {"idx2", NEITHER, NOT_SAID},
    {"idx3", NEITHER, NOT_SAID},
    {"idx4", NEITHER, NOT_SAID},
    {"ubyte", NEITHER, NOT_SAID},
    {"int", NEITHER, NOT_SAID},
};
enum { WORDS = sizeof words / sizeof *words };

// labels say more than data: data_labels are labels.
static void take_word(struct meaning *m, const char *word) {
    for (size_t i = 0; i < WORDS; i++) {
        if (strcmp(words[i].word, word) != 0) continue;
        if (words[i].kind > m->kind) m->kind = words[i].kind;
        if (words[i].part != NOT_SAID) m->part = words[i].part;
        return;
    }
    const size_t used = strlen(m->rest), length = strlen(word);
    if (used + length + 2 > sizeof m->rest) return; // of a name that is longer than a file's can be
    memcpy(m->rest + used, word, length);
    memcpy(m->rest + used + length, " ", 2);
}

static struct meaning meaning_of(const char *name) {
    struct meaning m = {.part = NOT_SAID};
    char word[sizeof m.rest];
    for (const char *at = name; *at;) {
        size_t length = 0;
        for (; isalnum((unsigned char)*at); at++)
            if (length < sizeof word - 1) word[length++] = (char)tolower((unsigned char)*at);
        word[length] = 0;
        if (length) take_word(&m, word);
        while (*at && !isalnum((unsigned char)*at)) at++;
    }
    return m;
}

bool shk_array_is_images(const char *name) { return meaning_of(name).kind == IMAGES; }

static bool too_long(const char *path, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    return shk_fail(err, SHK_BAD_INPUT, "%s: this path is longer than %d bytes", shk_shown_path(path, shown),
                    SHK_ARRAY_PATH - 1);
}

bool shk_array_folder(const char *path, char folder[SHK_ARRAY_PATH], const char **name, struct shk_error *err) {
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    const int length = slash ? (int)(slash - path) + (slash == path) : 1;
    return snprintf(folder, SHK_ARRAY_PATH, "%.*s", length, slash ? path : ".") < SHK_ARRAY_PATH || too_long(path, err);
}

bool shk_array_path(const char *folder, const char *name, char path[SHK_ARRAY_PATH], struct shk_error *err) {
    const size_t length = strlen(folder);
    const char *slash = length && folder[length - 1] == '/' ? "" : "/";
    return snprintf(path, SHK_ARRAY_PATH, "%s%s%s", folder, slash, name) < SHK_ARRAY_PATH || too_long(folder, err);
}

bool shk_array_names(const char *folder, bool (*is)(const char *name), struct shk_names *n, struct shk_error *err) {
    struct shk_names all;
    *n = (struct shk_names){0};
    if (!shk_names_of_folder(folder, &all, err)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < all.count; i++)
        if (all.names[i][0] != '.' && (!is || is(all.names[i]))) ok = shk_names_add(n, all.names[i], err);
    shk_names_free(&all);
    if (!ok) shk_names_free(n);
    return ok;
}

// ---- Pairs ----

struct pair {
    const char *images, *labels;
};

// Two of the same meaning differ in how they are held: the first one is read.
static bool find_images(const struct shk_request *r, const struct shk_array_place *p, unsigned part, struct pair *pair,
                        struct shk_error *err) {
    struct meaning first = {0};
    char shown[SHK_SHOWN_PATH];
    for (size_t i = 0; i < p->names.count; i++) {
        const struct meaning m = meaning_of(p->names.names[i]);
        if (m.kind != IMAGES || m.part != part || (p->only && strcmp(p->only, p->names.names[i]) != 0)) continue;
        if (pair->images && strcmp(m.rest, first.rest) != 0)
            return shk_fail(err, SHK_BAD_INPUT,
                            "%s holds more than one set, %.60s and %.60s: leave one of them there, or name the file",
                            shk_shown_path(p->path, shown), pair->images, p->names.names[i]);
        if (pair->images) {
            shk_data_note(r->options, "%.60s is left out, since %.60s is there", p->names.names[i], pair->images);
            continue;
        }
        first = m;
        pair->images = p->names.names[i];
    }
    return true;
}

static bool find_pair(const struct shk_request *r, const struct shk_array_place *p, unsigned part, struct pair *pair,
                      struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    *pair = (struct pair){0};
    if (!find_images(r, p, part, pair, err)) return false;
    if (!pair->images) return true;
    const struct meaning images = meaning_of(pair->images);
    for (size_t i = 0; i < p->names.count && !pair->labels; i++) {
        const struct meaning m = meaning_of(p->names.names[i]);
        if (m.kind == LABELS && m.part == part && strcmp(m.rest, images.rest) == 0) pair->labels = p->names.names[i];
    }
    return pair->labels || shk_fail(err, SHK_BAD_INPUT, "%s: there are no labels beside %.80s: wanted are %s",
                                    shk_shown_path(p->path, shown), pair->images, p->wanted);
}

static bool find_pairs(const struct shk_request *r, const struct shk_array_place *p, struct pair pairs[NAMED_PARTS],
                       struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    bool any = false;
    for (unsigned part = 0; part < NAMED_PARTS; part++) {
        pairs[part] = (struct pair){0};
        if (part == NOT_SAID && any) break;
        if (!find_pair(r, p, part, &pairs[part], err)) return false;
        any = any || pairs[part].images;
    }
    if (any) return true;
    if (p->only)
        return shk_fail(err, SHK_BAD_INPUT, "%s/%.80s: this file is not called as images are: wanted are %s",
                        shk_shown_path(p->path, shown), p->only, p->wanted);
    return shk_fail(err, SHK_BAD_INPUT, "%s: nothing in it is called as images are: wanted are %s",
                    shk_shown_path(p->path, shown), p->wanted);
}

// ---- Parts ----

static const char *const part_names[] = {"train", "val", "test"};

bool shk_part_fits(const struct shk_shape *wanted, const struct shk_shape *s, const char *name, struct shk_error *err) {
    struct shk_shape w = *wanted;
    if (!w.height) w.height = s->height;
    if (!w.width) w.width = s->width;
    if (!w.channels) w.channels = s->channels;
    return (s->height == w.height && s->width == w.width && s->channels == w.channels) ||
           shk_fail(err, SHK_BAD_INPUT,
                    "%s holds images of %zux%zux%zu, but wanted are %zux%zux%zu (height, width, channels): images of "
                    "arrays are taken as they are",
                    name, s->height, s->width, s->channels, w.height, w.width, w.channels);
}

static bool say_empty_classes(const struct shk_request *r, enum shk_part part, const struct shk_dataset *d,
                              struct shk_error *err) {
    bool *has = shk_alloc(d->shape.classes, sizeof *has, "classes", err);
    size_t empty = 0, first = 0;
    if (!has) return false;
    for (size_t i = 0; i < d->n; i++) has[d->labels[i]] = true;
    for (size_t c = d->shape.classes; c-- > 0;)
        if (!has[c]) empty++, first = c;
    shk_free(has);
    if (empty)
        shk_data_note(r->options, "%zu of %zu classes ha%s no sample in %s: %zu%s", empty, d->shape.classes,
                      empty == 1 ? "s" : "ve", part_names[part], first, empty == 1 ? "" : ", ...");
    return true;
}

bool shk_part_take(const struct shk_request *r, struct shk_data *d, enum shk_part part, struct shk_dataset *set,
                   struct shk_error *err) {
    const bool ok = (!r->names || shk_dataset_set_names(set, r->names, err)) && say_empty_classes(r, part, set, err);
    if (!ok) {
        shk_dataset_free(set);
        return false;
    }
    set->prepared = r->prepared;
    d->parts[part] = set;
    return true;
}

// A part as its headers and its labels have it.
struct found {
    const struct pair *pair;
    struct shk_array array; // of images
    struct shk_images images;
    struct shk_shape shape;
    uint32_t *labels;
};

// The pairs of a place, by the parts that they become; without images: there is none.
struct pairs {
    const struct shk_array_place *place;
    struct pair of[SHK_PARTS];
};

static bool look_at_images(const struct pairs *p, struct found *f, struct shk_pixel_scale *scale,
                           struct shk_error *err) {
    struct shk_reader in;
    if (!p->place->open(p->place, f->pair->images, &in, &f->array, err)) return false;
    const bool ok = shk_images_look(&in, &f->array, scale, &f->images, err);
    shk_reader_close(&in);
    return ok;
}

static bool look_at_labels(const struct pairs *p, struct found *f, size_t *classes, struct shk_error *err) {
    struct shk_reader in;
    struct shk_array a;
    if (!p->place->open(p->place, f->pair->labels, &in, &a, err)) return false;
    f->labels = shk_labels_read(&in, &a, &f->array, classes, err);
    shk_reader_close(&in);
    return f->labels;
}

// What the first part is, the others must be, too.
static bool look(const struct shk_request *r, const struct pairs *p, struct found *f, struct shk_pixel_scale *scale,
                 struct shk_shape *wanted, size_t *total, struct shk_error *err) {
    struct shk_error why = {0};
    size_t classes = wanted->classes;
    if (!look_at_images(p, f, scale, err) || !look_at_labels(p, f, &classes, err)) return false;
    f->shape = (struct shk_shape){f->images.height, f->images.width, f->images.channels, classes < 2 ? 2 : classes};
    if (!shk_part_fits(wanted, &f->shape, f->array.name, err)) return false;
    if (!shk_room_count(total, f->images.n, &f->shape, f->images.bytes, &why))
        return shk_fail(err, why.code, "%s: %s", f->array.name, why.text);
    if (f->images.is_divided)
        shk_data_note(r->options, "%s: %s values of up to 255 are divided by 255", f->array.name,
                      shk_element_name(f->array.type));
    *wanted = f->shape;
    return true;
}

static bool fill(const struct pairs *p, const struct found *f, struct shk_dataset *set, struct shk_error *err) {
    struct shk_reader in;
    struct shk_array a;
    memcpy(set->labels, f->labels, set->n * sizeof *set->labels);
    if (!p->place->open(p->place, f->pair->images, &in, &a, err)) return false;
    const bool same = a.type == f->array.type && a.dims == f->array.dims && a.fortran == f->array.fortran &&
                      memcmp(a.dim, f->array.dim, sizeof a.dim) == 0;
    const bool ok = same ? shk_images_read(&in, &a, &f->images, set, err)
                         : shk_fail(err, SHK_BAD_INPUT, "%s was changed while it was read", a.name);
    shk_reader_close(&in);
    return ok;
}

static bool make_part(const struct shk_request *r, struct shk_data *d, enum shk_part part, const struct pairs *p,
                      const struct found *f, struct shk_room *room, struct shk_error *err) {
    struct shk_dataset *set = shk_room_part(room, f->images.n, &f->shape, f->images.bytes, err);
    if (set && fill(p, f, set, err)) return shk_part_take(r, d, part, set, err);
    shk_dataset_free(set);
    return false;
}

// What is small is read as fast as it would be found in a cache.
enum { DEAR_BYTES = 1 << 20 };

static bool make_parts(const struct shk_request *r, struct shk_data *d, const struct pairs *p, struct found *found,
                       struct shk_error *err) {
    struct shk_shape wanted = r->shape;
    struct shk_room room;
    size_t total = 0;
    bool dear = false;
    for (unsigned part = 0; part < SHK_PARTS; part++) {
        if (!p->of[part].images) continue;
        found[part].pair = &p->of[part];
        if (!look(r, p, &found[part], &d->scale, &wanted, &total, err)) return false;
        dear = dear || found[part].images.dear;
    }
    if (!shk_room_open(&room, r, total, dear && total >= DEAR_BYTES, err)) return false;
    bool ok = true;
    for (unsigned part = 0; ok && part < SHK_PARTS; part++)
        ok = !found[part].pair || make_part(r, d, part, p, &found[part], &room, err);
    shk_room_close(&room);
    return ok;
}

static bool make(const struct shk_request *r, struct shk_data *d, const void *pairs, struct shk_error *err) {
    struct found found[SHK_PARTS] = {0};
    const bool ok = make_parts(r, d, pairs, found, err);
    for (unsigned part = 0; part < SHK_PARTS; part++) shk_free(found[part].labels);
    return ok;
}

// What is in a zip is what the zip is.
static void look_up_file(struct shk_cache *c, const struct shk_array_place *p, const char *name) {
    char path[SHK_ARRAY_PATH];
    shk_cache_add_text(c, name);
    if (p->zip)
        shk_cache_add_path(c, p->path);
    else if (shk_array_path(p->path, name, path, NULL))
        shk_cache_add_path(c, path);
    else
        shk_cache_add_file(c, NULL);
}

static bool read_pairs(const struct shk_request *r, const struct pairs *p, struct shk_data *d, struct shk_error *err) {
    struct shk_cache *c = shk_cache_begin(r, d);
    for (unsigned part = 0; part < SHK_PARTS; part++) {
        if (!p->of[part].images) continue;
        shk_cache_add(c, &part, sizeof part);
        look_up_file(c, p->place, p->of[part].images);
        look_up_file(c, p->place, p->of[part].labels);
    }
    return shk_cache_load(c, r, d, make, p, err);
}

// The pair of the part that is asked for, or the only one.
static bool read_one(const struct shk_request *r, const struct shk_array_place *p, const struct pair *pairs,
                     struct shk_data *d, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    const struct pair *only = NULL;
    size_t count = 0;
    for (unsigned part = 0; part < NAMED_PARTS; part++)
        if (pairs[part].images) count++, only = &pairs[part];
    if (pairs[r->part].images) only = &pairs[r->part];
    if (count > 1 && only != &pairs[r->part])
        return shk_fail(err, SHK_BAD_INPUT, "%s holds several parts, but none for %s", shk_shown_path(p->path, shown),
                        part_names[r->part]);
    if (count > 1)
        shk_data_note(r->options, "of %s %s alone is read", shk_shown_path(p->path, shown), part_names[r->part]);
    struct pairs one = {.place = p};
    one.of[r->part] = *only;
    return read_pairs(r, &one, d, err);
}

// Arrays without a place: neither images nor labels that go with them.
static void say_left_out(const struct shk_request *r, const struct shk_array_place *p) {
    size_t count = 0, first = 0;
    for (size_t i = p->names.count; i-- > 0;)
        if (meaning_of(p->names.names[i]).kind == NEITHER) count++, first = i;
    if (count)
        shk_data_note(r->options, "%zu array%s neither images nor labels by %s left out: %.80s%s", count,
                      count == 1 ? " is" : "s are", count == 1 ? "its name and is" : "their names and are",
                      p->names.names[first], count == 1 ? "" : ", ...");
}

bool shk_parts_of_arrays(const struct shk_request *r, const struct shk_array_place *p, struct shk_data *d,
                         struct shk_error *err) {
    struct pair pairs[NAMED_PARTS];
    struct pairs all = {.place = p};
    if (!find_pairs(r, p, pairs, err)) return false;
    if (!p->only) say_left_out(r, p);
    if (r->part != SHK_PARTS) return read_one(r, p, pairs, d, err);
    memcpy(all.of, pairs, sizeof all.of);
    if (pairs[NOT_SAID].images) all.of[SHK_PART_TRAIN] = pairs[NOT_SAID];
    return read_pairs(r, &all, d, err);
}
