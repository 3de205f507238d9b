// SPDX-License-Identifier: MIT
// Opens CIFAR-10 and CIFAR-100 in their binary form: records of one label or two, and planes of 32x32 red, green and blue.
#include "base/file.h"
#include "data/arrays/pairs.h"
#include "data/cache.h"
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, RGB = 3, IMAGE = RGB * PLANE, MOST_LABELS = 2 };

// www.cs.toronto.edu/~kriz/cifar.html. The label is the last of a record's: CIFAR-100 has a coarse one before it.
static const struct format {
    const char *name;
    size_t labels, classes;
    const char *names; // the file with the names of classes
} cifar10 = {"CIFAR-10", 1, 10, "batches.meta.txt"}, cifar100 = {"CIFAR-100", 2, 100, "fine_label_names.txt"};

static size_t record_bytes(const struct format *f) { return f->labels + IMAGE; }

// ---- What files are ----

enum { TRAIN_BATCHES = 5 };
static const struct {
    const char *name;
    const struct format *format;
    enum shk_part part;
} known[] = {
    {"data_batch_1.bin", &cifar10, SHK_PART_TRAIN}, {"data_batch_2.bin", &cifar10, SHK_PART_TRAIN},
    {"data_batch_3.bin", &cifar10, SHK_PART_TRAIN}, {"data_batch_4.bin", &cifar10, SHK_PART_TRAIN},
    {"data_batch_5.bin", &cifar10, SHK_PART_TRAIN}, {"test_batch.bin", &cifar10, SHK_PART_TEST},
    {"train.bin", &cifar100, SHK_PART_TRAIN},       {"test.bin", &cifar100, SHK_PART_TEST},
};
enum { KNOWN = sizeof known / sizeof *known };

static const struct format *format_of_name(const char *name) {
    for (size_t i = 0; i < KNOWN; i++)
        if (strcmp(known[i].name, name) == 0) return known[i].format;
    return NULL;
}

// A .bin of another name: by its size, where that fits one of them.
static const struct format *format_of_file(const char *path, const char *name) {
    const size_t length = strlen(name);
    struct stat s;
    if (stat(path, &s) != 0 || !S_ISREG(s.st_mode)) return NULL;
    const struct format *f = format_of_name(name);
    if (f || s.st_size == 0 || length < 4 || strcmp(name + length - 4, ".bin") != 0) return f;
    return (size_t)s.st_size % record_bytes(&cifar10) == 0    ? &cifar10
           : (size_t)s.st_size % record_bytes(&cifar100) == 0 ? &cifar100
                                                              : NULL;
}

static bool is_batch(const char *name) { return format_of_name(name); }

static bool is(const char *path) {
    char folder[SHK_ARRAY_PATH];
    const char *name;
    struct shk_names n = {0};
    if (!shk_is_folder(path)) return shk_array_folder(path, folder, &name, NULL) && format_of_file(path, name);
    const bool is = shk_array_names(path, is_batch, &n, NULL) && n.count > 0;
    shk_names_free(&n);
    return is;
}

// ---- Reading ----

// The files of a part, all of one format.
struct batches {
    const char *folder;
    const struct format *format;
    size_t count;
    const char *names[TRAIN_BATCHES];
};

static bool open_batch(const struct batches *b, size_t batch, struct shk_reader *in, size_t *records,
                       struct shk_error *err) {
    char path[SHK_ARRAY_PATH];
    const size_t bytes = record_bytes(b->format);
    if (!shk_array_path(b->folder, b->names[batch], path, err) || !shk_reader_open(in, path, err)) return false;
    *records = in->size / bytes;
    if (!in->packed && in->size > 0 && in->size % bytes == 0) return true;
    shk_fail(err, SHK_BAD_INPUT, "%s: %" PRIu64 "%s bytes are no whole number of %s's records, %zu bytes each",
             in->name, in->size, in->packed ? " packed" : "", b->format->name, bytes);
    shk_reader_close(in);
    return false;
}

static bool count_records(const struct batches *b, size_t *n, struct shk_error *err) {
    *n = 0;
    for (size_t i = 0; i < b->count; i++) {
        struct shk_reader in;
        size_t records;
        if (!open_batch(b, i, &in, &records, err)) return false;
        shk_reader_close(&in);
        *n += records;
    }
    return true;
}

static bool read_record(const struct format *f, struct shk_reader *in, size_t record, uint8_t *to, uint32_t *label,
                        struct shk_error *err) {
    uint8_t bytes[MOST_LABELS + IMAGE];
    if (!shk_reader_read(in, bytes, record_bytes(f), "a record", err)) return false;
    *label = bytes[f->labels - 1];
    if (*label >= f->classes)
        return shk_fail(err, SHK_BAD_INPUT, "%s: record %zu has the label %u, but %s has %zu classes", in->name, record,
                        *label, f->name, f->classes);
    for (size_t i = 0; i < PLANE; i++)
        for (size_t c = 0; c < RGB; c++) to[i * RGB + c] = bytes[f->labels + c * PLANE + i];
    return true;
}

// The file may have grown or shrunk since it was counted.
static bool read_batches(const struct batches *b, struct shk_dataset *set, struct shk_error *err) {
    size_t at = 0;
    for (size_t i = 0; i < b->count; i++) {
        struct shk_reader in;
        size_t records;
        if (!open_batch(b, i, &in, &records, err)) return false;
        bool ok = records <= set->n - at || shk_fail(err, SHK_BAD_INPUT, "%s grows while it is read", in.name);
        for (size_t k = 0; ok && k < records; k++, at++)
            ok = read_record(b->format, &in, k, set->bytes + at * IMAGE, &set->labels[at], err);
        shk_reader_close(&in);
        if (!ok) return false;
    }
    return at == set->n || shk_fail(err, SHK_BAD_INPUT, "%s shrinks while it is read", b->folder);
}

// ---- Classes ----

static bool add_lines(char *text, struct shk_names *n, struct shk_error *err) {
    for (char *line; (line = strsep(&text, "\r\n"));)
        if (*line && !shk_names_add(n, line, err)) return false;
    return true;
}

// Where the file is not there or not of that many lines, classes have numbers only.
static bool read_names(const struct shk_request *r, const struct batches *b, struct shk_names *n,
                       struct shk_error *err) {
    enum { MOST = 4096 };
    char path[SHK_ARRAY_PATH], text[MOST + 1] = "";
    struct shk_reader in;
    bool ok = shk_array_path(b->folder, b->format->names, path, err);
    if (!ok) return false;
    if (shk_is_file(path) && shk_reader_open(&in, path, err)) {
        const bool fits = in.size <= MOST && shk_reader_read(&in, text, in.packed ? 0 : in.size, "names", err);
        shk_reader_close(&in);
        if (fits && !add_lines(text, n, err)) return false;
    }
    if (n->count == b->format->classes) return true;
    shk_data_note(r->options, "classes have numbers only: %s with %zu names is not beside the data", b->format->names,
                  b->format->classes);
    shk_names_free(n);
    return true;
}

static bool check_classes(const struct shk_request *r, const struct batches *b, const struct shk_names *names,
                          struct shk_error *err) {
    const size_t wanted = r->shape.classes;
    if (wanted && wanted != b->format->classes)
        return shk_fail(err, SHK_BAD_INPUT, "%s has %zu classes, but wanted are %zu", b->format->name,
                        b->format->classes, wanted);
    return !r->names || !names->count || shk_names_equal(r->names, names) ||
           shk_fail(err, SHK_BAD_INPUT, "%s has other classes than are wanted: the first are %.60s and %.60s",
                    b->format->name, names->names[0], r->names->names[0]);
}

// ---- The source ----

// The batches of each part, of one format; without a count: there is no such part.
struct batch_parts {
    struct batches of[SHK_PARTS];
    size_t records[SHK_PARTS];
    struct shk_shape shape;
};

static bool make_part(const struct shk_request *r, struct shk_data *d, enum shk_part part, const struct batch_parts *p,
                      struct shk_room *room, struct shk_error *err) {
    struct shk_names names = {0};
    struct shk_dataset *set = NULL;
    if (read_names(r, &p->of[part], &names, err) && check_classes(r, &p->of[part], &names, err))
        set = shk_room_part(room, p->records[part], &p->shape, true, err);
    const bool ok = set && shk_dataset_set_names(set, &names, err) && read_batches(&p->of[part], set, err);
    shk_names_free(&names);
    if (ok) return shk_part_take(r, d, part, set, err);
    shk_dataset_free(set);
    return false;
}

static bool make(const struct shk_request *r, struct shk_data *d, const void *batches, struct shk_error *err) {
    struct batch_parts p = *(const struct batch_parts *)batches;
    struct shk_room room;
    size_t total = 0;
    for (unsigned part = 0; part < SHK_PARTS; part++) {
        const struct batches *b = &p.of[part];
        if (!b->count) continue;
        p.shape = (struct shk_shape){SIDE, SIDE, RGB, b->format->classes};
        if (!shk_part_fits(&r->shape, &p.shape, b->format->name, err) || !count_records(b, &p.records[part], err) ||
            !shk_room_count(&total, p.records[part], &p.shape, true, err))
            return false;
    }
    if (!shk_room_open(&room, r, total, false, err)) return false;
    bool ok = true;
    for (unsigned part = 0; ok && part < SHK_PARTS; part++)
        ok = !p.of[part].count || make_part(r, d, part, &p, &room, err);
    shk_room_close(&room);
    return ok;
}

static bool read_parts(const struct shk_request *r, struct shk_data *d, const struct batch_parts *p,
                       struct shk_error *err) {
    char path[SHK_ARRAY_PATH];
    struct shk_cache *c = shk_cache_begin(r, d);
    for (unsigned part = 0; part < SHK_PARTS; part++) {
        const struct batches *b = &p->of[part];
        for (size_t i = 0; i < b->count; i++) {
            shk_cache_add(c, &part, sizeof part);
            shk_cache_add_text(c, b->names[i]);
            shk_cache_add_path(c, shk_array_path(b->folder, b->names[i], path, NULL) ? path : b->names[i]);
        }
        // The names of classes need not be there.
        if (b->count && shk_array_path(b->folder, b->format->names, path, NULL) && shk_is_file(path))
            shk_cache_add_path(c, path);
    }
    return shk_cache_load(c, r, d, make, p, err);
}

// The batches of a part that a folder holds.
static struct batches batches_of(const char *folder, enum shk_part part) {
    struct batches b = {.folder = folder};
    char path[SHK_ARRAY_PATH];
    for (size_t i = 0; i < KNOWN; i++) {
        if (known[i].part != part) continue;
        if (!shk_array_path(folder, known[i].name, path, NULL) || !shk_is_file(path)) continue;
        b.format = known[i].format;
        b.names[b.count++] = known[i].name;
    }
    return b;
}

// Only CIFAR-10 or only CIFAR-100.
static bool is_of_one_kind(const char *folder, struct shk_error *err) {
    char path[SHK_ARRAY_PATH], shown[SHK_SHOWN_PATH];
    bool ten = false, hundred = false;
    for (size_t i = 0; i < KNOWN; i++) {
        const bool there = shk_array_path(folder, known[i].name, path, NULL) && shk_is_file(path);
        ten = ten || (there && known[i].format == &cifar10);
        hundred = hundred || (there && known[i].format == &cifar100);
    }
    return !(ten && hundred) || shk_fail(err, SHK_BAD_INPUT, "%s holds files of both CIFAR-10 and CIFAR-100: name one",
                                         shk_shown_path(folder, shown));
}

static bool open_folder(const struct shk_request *r, struct shk_data *d, struct shk_error *err) {
    static const enum shk_part parts[] = {SHK_PART_TRAIN, SHK_PART_TEST};
    char shown[SHK_SHOWN_PATH];
    struct batch_parts p = {0};
    bool any = false;
    if (!is_of_one_kind(r->path, err)) return false;
    for (size_t i = 0; i < 2; i++) {
        const struct batches b = batches_of(r->path, parts[i]);
        if (!b.count || (r->part != SHK_PARTS && r->part != parts[i])) continue;
        if (b.format == &cifar10 && parts[i] == SHK_PART_TRAIN && b.count < TRAIN_BATCHES)
            shk_data_note(r->options, "%zu of the %d training batches are there", b.count, TRAIN_BATCHES);
        p.of[parts[i]] = b;
        any = true;
    }
    return any ? read_parts(r, d, &p, err)
               : shk_fail(err, SHK_BAD_INPUT, "%s holds no CIFAR file of the part that is wanted",
                          shk_shown_path(r->path, shown));
}

static bool open_file(const struct shk_request *r, struct shk_data *d, struct shk_error *err) {
    char folder[SHK_ARRAY_PATH], shown[SHK_SHOWN_PATH];
    struct batch_parts p = {0};
    struct batches *b = &p.of[r->part == SHK_PARTS ? SHK_PART_TRAIN : r->part];
    *b = (struct batches){.folder = folder, .count = 1};
    if (!shk_array_folder(r->path, folder, &b->names[0], err)) return false;
    b->format = format_of_file(r->path, b->names[0]);
    if (!b->format) return shk_fail(err, SHK_BAD_INPUT, "%s has changed", shk_shown_path(r->path, shown));
    return read_parts(r, d, &p, err);
}

static bool open_cifar(const struct shk_request *r, struct shk_data *d, struct shk_error *err) {
    return shk_is_folder(r->path) ? open_folder(r, d, err) : open_file(r, d, err);
}

const struct shk_source_type shk_source_cifar = {
    .name = "cifar", .what = "CIFAR-10 or CIFAR-100 in binary form", .is = is, .open = open_cifar};
