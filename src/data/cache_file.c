// SPDX-License-Identifier: MIT
// Writes and reads a cache's file; nothing in it is believed before its checksum and all its sizes are right.
#include "data/cache_file.h"

#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

// A number that a machine of the other byte order reads otherwise. What is decoded in another way, or held in another way, gets
// another version.
static const uint64_t magic = UINT64_C(0x3145484341434b53); // "SKCACHE1"
enum { VERSION = 1 };
// A file system may round the times of files down to so many ns (FAT); what was changed so late may change again unseen.
static const int64_t granularity = 2000000000;

struct head {
    uint64_t magic, sum;
    uint64_t version, key[2];
    uint64_t size, tail; // of the file; where what follows the images begins
    int64_t begun;
    uint64_t names_path;
    struct {
        uint64_t known, type, by_255;
        double most;
    } scale;
    struct {
        uint64_t n, height, width, channels, classes;
        uint64_t bytes;  // of a pixel: 1 or 4
        uint64_t images; // where they begin
    } parts[SHK_PARTS];
};
_Static_assert(sizeof(struct head) <= SHK_CACHE_PAGE, "a page");

uint64_t shk_cache_sum(const unsigned char *bytes, size_t size) {
    return XXH3_64bits(bytes + SHK_CACHE_SUM, size - SHK_CACHE_SUM);
}

// ---- Writing ----

// What follows the images.
struct tail {
    unsigned char *bytes;
    size_t size, room;
    bool failed;
};

static void put(struct tail *t, const void *bytes, size_t size) {
    if (t->size + size > t->room && !t->failed) {
        const size_t room = 2 * t->room + size;
        unsigned char *grown = realloc(t->bytes, room);
        t->failed = !grown;
        if (grown) t->bytes = grown, t->room = room;
    }
    if (t->failed || size == 0) return;
    memcpy(t->bytes + t->size, bytes, size);
    t->size += size;
}

static void put_count(struct tail *t, uint64_t count) { put(t, &count, sizeof count); }
static void put_text(struct tail *t, const char *text) { put(t, text, strlen(text) + 1); }

static void put_names(struct tail *t, const struct shk_names *n) {
    put_count(t, n->count);
    for (size_t i = 0; i < n->count; i++) put_text(t, n->names[i]);
}

static void put_tail(struct tail *t, const char *path, const struct shk_kept *k) {
    for (unsigned i = 0; i < SHK_PARTS; i++) {
        if (!k->parts[i]) continue;
        put(t, k->parts[i]->labels, k->parts[i]->n * sizeof *k->parts[i]->labels);
        put_names(t, &k->parts[i]->names);
        put_names(t, &k->samples[i]);
    }
    put_text(t, path);
    put_count(t, k->said_count);
    for (size_t i = 0; i < k->said_count; i++) {
        put(t, k->said[i].bad ? "b" : "n", 1);
        put_text(t, k->said[i].text);
    }
}

static struct head head_of(const struct shk_cache_key *key, const struct shk_kept *k, const unsigned char *start) {
    struct head h = {.magic = magic, .version = VERSION, .begun = k->begun, .names_path = k->names_path};
    memcpy(h.key, key->hash, sizeof h.key);
    h.scale.known = k->scale.known;
    h.scale.type = k->scale.type;
    h.scale.by_255 = k->scale.by_255;
    h.scale.most = k->scale.most;
    for (unsigned i = 0; i < SHK_PARTS; i++) {
        const struct shk_dataset *d = k->parts[i];
        if (!d) continue;
        const struct shk_shape *s = &d->shape;
        const unsigned char *images = d->bytes ? d->bytes : (unsigned char *)d->images;
        h.parts[i].n = d->n;
        h.parts[i].height = s->height;
        h.parts[i].width = s->width;
        h.parts[i].channels = s->channels;
        h.parts[i].classes = s->classes;
        h.parts[i].bytes = d->bytes ? 1 : sizeof(float);
        h.parts[i].images = (uint64_t)(images - start);
    }
    return h;
}

void shk_cache_write(struct shk_file_out *f, const struct shk_cache_key *key, const struct shk_kept *k,
                     const unsigned char *start, size_t mapped) {
    static const unsigned char zeros[SHK_CACHE_PAGE];
    struct tail t = {0};
    XXH3_state_t state;
    struct head h = head_of(key, k, start);
    put_tail(&t, key->path, k);
    h.tail = mapped;
    h.size = mapped + t.size;
    if (t.failed) f->why = ENOMEM;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, (unsigned char *)&h + SHK_CACHE_SUM, sizeof h - SHK_CACHE_SUM);
    XXH3_64bits_update(&state, zeros, SHK_CACHE_PAGE - sizeof h);
    XXH3_64bits_update(&state, start + SHK_CACHE_PAGE, mapped - SHK_CACHE_PAGE);
    XXH3_64bits_update(&state, t.bytes, t.size);
    h.sum = XXH3_64bits_digest(&state);
    shk_file_patch(f, mapped, t.bytes, t.size);
    shk_file_patch(f, 0, &h, sizeof h);
    free(t.bytes);
}

// ---- Reading ----

struct cursor {
    const unsigned char *at, *end;
};

static bool take(struct cursor *c, void *to, uint64_t size) {
    if (size > (uint64_t)(c->end - c->at)) return false;
    memcpy(to, c->at, size);
    c->at += size;
    return true;
}

static const char *take_text(struct cursor *c) {
    const unsigned char *end = memchr(c->at, 0, (size_t)(c->end - c->at)), *text = c->at;
    if (end) c->at = end + 1;
    return end ? (const char *)text : NULL;
}

// As many as there must be, or none.
static bool take_names(struct cursor *c, struct shk_names *n, uint64_t must) {
    uint64_t count;
    if (!take(c, &count, sizeof count) || (count != 0 && count != must)) return false;
    for (uint64_t i = 0; i < count; i++) {
        const char *name = take_text(c);
        if (!name || !shk_names_add(n, name, NULL)) return false;
    }
    return true;
}

// A file, mapped.
struct image {
    struct shk_pixels *pixels;
    unsigned char *start;
    struct head head;
    struct cursor tail;
};

static bool part_fits(const struct image *m, unsigned part, struct shk_shape *shape) {
    const uint64_t begin = m->head.parts[part].images, n = m->head.parts[part].n, size = m->head.parts[part].bytes;
    uint64_t bytes = size;
    *shape = (struct shk_shape){m->head.parts[part].height, m->head.parts[part].width, m->head.parts[part].channels,
                                m->head.parts[part].classes};
    return (size == 1 || size == sizeof(float)) && begin >= SHK_CACHE_PAGE && begin <= m->head.tail &&
           begin % sizeof(float) == 0 && !__builtin_mul_overflow(bytes, n, &bytes) &&
           !__builtin_mul_overflow(bytes, shape->height, &bytes) &&
           !__builtin_mul_overflow(bytes, shape->width, &bytes) &&
           !__builtin_mul_overflow(bytes, shape->channels, &bytes) && bytes <= m->head.tail - begin;
}

static bool take_part(struct image *m, unsigned part, struct shk_kept *k) {
    const uint64_t n = m->head.parts[part].n;
    struct shk_shape shape;
    if (n == 0) return true;
    if (!part_fits(m, part, &shape)) return false;
    struct shk_dataset *d = shk_dataset_over(m->pixels, m->start + m->head.parts[part].images,
                                             m->head.parts[part].bytes == 1, n, &shape, NULL);
    k->parts[part] = d;
    if (!d || !take(&m->tail, d->labels, n * sizeof *d->labels) || !take_names(&m->tail, &d->names, shape.classes) ||
        !take_names(&m->tail, &k->samples[part], n))
        return false;
    for (size_t i = 0; i < n; i++)
        if (d->labels[i] >= shape.classes) return false;
    return true;
}

static bool take_said(struct cursor *c, struct shk_kept *k) {
    uint64_t count;
    char kind;
    if (!take(c, &count, sizeof count) || count > (uint64_t)(c->end - c->at)) return false;
    k->said = shk_alloc(count, sizeof *k->said, "sentences", NULL);
    for (; k->said && k->said_count < count; k->said_count++) {
        const char *text = take(c, &kind, 1) ? take_text(c) : NULL;
        char *copy = text ? strdup(text) : NULL;
        if (!copy) return false;
        k->said[k->said_count] = (struct shk_said){kind == 'b', copy};
    }
    return k->said && c->at == c->end;
}

static bool take_all(struct image *m, const char *path, struct shk_kept *k) {
    bool ok = true;
    k->begun = m->head.begun;
    k->names_path = m->head.names_path;
    k->scale.known = m->head.scale.known;
    k->scale.type = (unsigned)m->head.scale.type;
    k->scale.by_255 = m->head.scale.by_255;
    k->scale.most = m->head.scale.most;
    for (unsigned i = 0; ok && i < SHK_PARTS; i++) ok = take_part(m, i, k);
    const char *named = ok ? take_text(&m->tail) : NULL;
    return named && (!k->names_path || strcmp(named, path) == 0) && take_said(&m->tail, k);
}

static bool is_wanted(const struct head *h, const struct shk_cache_key *key, uint64_t size) {
    return h->magic == magic && h->version == VERSION && memcmp(h->key, key->hash, sizeof h->key) == 0 &&
           h->size == size && h->tail >= SHK_CACHE_PAGE && h->tail <= size && h->begun >= INT64_MIN + granularity &&
           key->newest < h->begun - granularity;
}

static bool map_file(int fd, const struct shk_cache_key *key, struct image *m) {
    struct stat s;
    if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode) || s.st_size < SHK_CACHE_PAGE) return false;
    const size_t size = (size_t)s.st_size;
    if (pread(fd, &m->head, sizeof m->head, 0) != (ssize_t)sizeof m->head || !is_wanted(&m->head, key, size))
        return false;
    m->start = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (m->start == MAP_FAILED) return false;
    m->pixels = shk_pixels_new(m->start, size, NULL);
    m->tail = (struct cursor){m->start + m->head.tail, m->start + size};
    return m->pixels;
}

bool shk_cache_read(const char *path, const struct shk_cache_key *key, struct shk_kept *k) {
    const struct timespec now[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
    struct image m = {0};
    *k = (struct shk_kept){0};
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return false;
    const bool ok = map_file(fd, key, &m) && shk_cache_sum(m.start, (size_t)m.head.size) == m.head.sum &&
                    take_all(&m, key->path, k);
    if (ok) futimens(fd, now); // that it was of use: a wish
    close(fd);
    shk_pixels_leave(m.pixels);
    if (!ok) shk_kept_free(k);
    return ok;
}

void shk_kept_free(struct shk_kept *k) {
    for (unsigned i = 0; i < SHK_PARTS; i++) {
        shk_dataset_free(k->parts[i]);
        shk_names_free(&k->samples[i]);
    }
    for (size_t i = 0; i < k->said_count; i++) free(k->said[i].text);
    shk_free(k->said);
    *k = (struct shk_kept){0};
}
