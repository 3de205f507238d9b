// SPDX-License-Identifier: MIT
// Looks data up by what they are made of, has them made where they are not kept, and keeps the folder of the cache in bounds.
#include "data/cache.h"

#include "base/available.h"
#include "base/memory.h"
#include "data/cache_file.h"
#include "data/pictures/picture.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

// What all files of a cache may take; the one that was written last stays in any case.
static const uint64_t most_kept = UINT64_C(16) << 30;

enum { PATH = 4096, NAME = 32, SUFFIX = 4 }; // a file is called by the 32 digits of its key, and ".set"
static const char suffix[] = ".set";

struct shk_cache {
    XXH3_state_t state;
    const struct shk_data_options *asked;
    struct shk_data_options options; // of those who load: what is said is kept here, too
    struct shk_cache_key key;
    bool blind; // a file could not be looked at
    char path[PATH];
    struct shk_file_out file;
    struct shk_pixels *pixels; // what is mapped of it; NULL: nothing is being kept
    struct shk_kept kept;
    size_t said_room;
    bool forgets; // there was no memory for a sentence
};

// ---- The key ----

struct shk_file_mark shk_file_mark_of(const struct stat *s) {
    return (struct shk_file_mark){(uint64_t)s->st_size, (uint64_t)s->st_ino,
                                  s->st_mtim.tv_sec * INT64_C(1000000000) + s->st_mtim.tv_nsec,
                                  s->st_ctim.tv_sec * INT64_C(1000000000) + s->st_ctim.tv_nsec};
}

void shk_cache_add(struct shk_cache *c, const void *bytes, size_t size) {
    if (c) XXH3_128bits_update(&c->state, bytes, size);
}

void shk_cache_add_text(struct shk_cache *c, const char *text) { shk_cache_add(c, text, strlen(text) + 1); }

void shk_cache_add_file(struct shk_cache *c, const struct shk_file_mark *m) {
    if (!c) return;
    c->blind = c->blind || !m;
    if (!m) return;
    shk_cache_add(c, m, sizeof *m);
    if (m->modified > c->key.newest) c->key.newest = m->modified;
    if (m->changed > c->key.newest) c->key.newest = m->changed;
}

void shk_cache_add_path(struct shk_cache *c, const char *path) {
    struct stat s;
    if (!c) return;
    const struct shk_file_mark mark = stat(path, &s) == 0 ? shk_file_mark_of(&s) : (struct shk_file_mark){0};
    shk_cache_add_file(c, &mark);
}

static void add_request(struct shk_cache *c, const struct shk_request *r, const struct shk_data *d) {
    const struct {
        uint64_t part, height, width, channels, classes, fit, background, skip_bad, known, type, by_255, named;
        double most;
    } asked = {r->part,          r->shape.height, r->shape.width,         r->shape.channels,
               r->shape.classes, r->prepared.fit, r->prepared.background, r->options->skip_bad,
               d->scale.known,   d->scale.type,   d->scale.by_255,        r->names ? r->names->count : 0,
               d->scale.most};
    shk_cache_add(c, &asked, sizeof asked);
    for (size_t i = 0; i < asked.named; i++) shk_cache_add_text(c, r->names->names[i]);
    shk_cache_add_text(c, shk_png_version());
    shk_cache_add_text(c, shk_jpeg_version());
}

struct shk_cache *shk_cache_begin(const struct shk_request *r, const struct shk_data *d) {
    struct shk_cache *c = r->options->cache ? shk_alloc(1, sizeof *c, "a cache", NULL) : NULL;
    if (!c) return NULL;
    c->asked = r->options;
    c->key = (struct shk_cache_key){.newest = INT64_MIN, .path = r->path};
    c->kept.begun = r->begun;
    c->file.file = -1;
    XXH3_128bits_reset(&c->state);
    shk_cache_add_text(c, d->source->name);
    add_request(c, r, d);
    return c;
}

static bool end_key(struct shk_cache *c) {
    const XXH128_hash_t hash = XXH3_128bits_digest(&c->state);
    c->key.hash[0] = hash.high64;
    c->key.hash[1] = hash.low64;
    return !c->blind && snprintf(c->path, sizeof c->path, "%s/%016" PRIx64 "%016" PRIx64 "%s", c->asked->cache,
                                 c->key.hash[0], c->key.hash[1], suffix) < PATH;
}

// ---- What was kept ----

static void say_again(const struct shk_data_options *o, const struct shk_kept *k) {
    for (size_t i = 0; i < k->said_count; i++)
        if (k->said[i].bad)
            shk_data_bad(o, k->said[i].text);
        else
            shk_data_note(o, "%s", k->said[i].text);
}

static bool look_up(const struct shk_cache *c, const struct shk_request *r, struct shk_data *d) {
    struct shk_kept k;
    if (!shk_cache_read(c->path, &c->key, &k)) return false;
    say_again(c->asked, &k);
    for (unsigned i = 0; i < SHK_PARTS; i++) {
        if (!k.parts[i]) continue;
        k.parts[i]->prepared = r->prepared;
        d->parts[i] = k.parts[i];
        d->samples[i] = k.samples[i];
        k.parts[i] = NULL;
        k.samples[i] = (struct shk_names){0};
    }
    d->scale = k.scale;
    shk_kept_free(&k);
    shk_data_note(c->asked, "the images were decoded before, and come from the cache in %s", c->asked->cache);
    return true;
}

// ---- What is said while data are made ----

static const char *last_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void keep_sentence(struct shk_cache *c, const char *sentence, bool bad) {
    struct shk_kept *k = &c->kept;
    if (k->said_count == c->said_room) {
        const size_t room = c->said_room ? 2 * c->said_room : 16;
        struct shk_said *said = shk_alloc(room, sizeof *said, "sentences", NULL);
        if (said && k->said_count) memcpy(said, k->said, k->said_count * sizeof *said);
        c->forgets = c->forgets || !said;
        if (!said) return;
        shk_free(k->said);
        k->said = said;
        c->said_room = room;
    }
    char *copy = strdup(sentence);
    c->forgets = c->forgets || !copy;
    if (copy) k->said[k->said_count++] = (struct shk_said){bad, copy};
    k->names_path = k->names_path || bad || strstr(sentence, last_name(c->key.path));
}

static void on_note(const char *sentence, void *user) {
    struct shk_cache *c = user;
    keep_sentence(c, sentence, false);
    shk_data_note(c->asked, "%s", sentence);
}

static void on_bad(const char *sentence, void *user) {
    struct shk_cache *c = user;
    keep_sentence(c, sentence, true);
    shk_data_bad(c->asked, sentence);
}

static void on_progress(size_t done, size_t all, void *user) {
    struct shk_cache *c = user;
    if (c->asked->on_progress) c->asked->on_progress(done, all, c->asked->user);
}

// ---- The folder ----

static void make_folders(const char *path) {
    char part[PATH];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = part; *slash && (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        mkdir(part, 0700); // where it cannot be made, the file in it cannot
        *slash = '/';
    }
    mkdir(part, 0700);
}

// A file that is being written is locked by its writer; another one was left by a writer that was killed.
static void remove_if_left(int folder, const char *name) {
    const int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0) return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) unlinkat(folder, name, 0);
    close(fd);
}

static bool is_ours(const char *name, const char *ending) {
    return strspn(name, "0123456789abcdef") == NAME && strncmp(name + NAME, suffix, SUFFIX) == 0 &&
           (*ending ? strlen(name) > NAME + SUFFIX + 4 && strcmp(name + strlen(name) - 4, ending) == 0
                    : name[NAME + SUFFIX] == 0);
}

struct oldest {
    char name[NAME + SUFFIX + 1];
    int64_t used;
    uint64_t all; // bytes of all files
};

// But for the file of the key.
static struct oldest find_oldest(int folder, DIR *list, const char *but) {
    struct oldest o = {.used = INT64_MAX};
    struct stat s;
    rewinddir(list);
    for (struct dirent *entry; (entry = readdir(list));) {
        if (is_ours(entry->d_name, ".new")) remove_if_left(folder, entry->d_name);
        if (!is_ours(entry->d_name, "") || fstatat(folder, entry->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0) continue;
        o.all += (uint64_t)s.st_size;
        const int64_t used = shk_file_mark_of(&s).modified;
        if (used >= o.used || strcmp(entry->d_name, but) == 0) continue;
        o.used = used;
        memcpy(o.name, entry->d_name, sizeof o.name);
    }
    return o;
}

// Files of which nobody has made use for longest go first. A process that has mapped one still has it.
static void bound_folder(const char *path, const char *but) {
    DIR *list = opendir(path);
    if (!list) return;
    for (;;) {
        const struct oldest o = find_oldest(dirfd(list), list, but);
        if (o.all <= most_kept || !*o.name || unlinkat(dirfd(list), o.name, 0) != 0) break;
    }
    closedir(list);
}

// ---- Making and keeping ----

static void say_not_kept(const struct shk_cache *c, const struct shk_error *why) {
    shk_data_note(c->asked, "decoded images are not kept for the next time: %s", why->text);
}

// False: it was said why not.
static bool open_file(struct shk_cache *c, size_t bytes) {
    struct shk_error why = {0};
    make_folders(c->asked->cache);
    bound_folder(c->asked->cache, "");
    if (!shk_file_create(&c->file, NULL, c->path, &why)) return say_not_kept(c, &why), false;
    flock(c->file.file, LOCK_EX | LOCK_NB); // without it, another process may take it for a dead one's
    void *map = shk_file_map(&c->file, bytes);
    c->pixels = map ? shk_pixels_new(map, bytes, &why) : NULL;
    if (c->pixels) return true;
    if (!map) shk_cannot(c->path, "written", c->file.why, SHK_FAILED, &why);
    shk_file_abandon(&c->file);
    return say_not_kept(c, &why), false;
}

static void forget_file(struct shk_cache *c) {
    shk_file_abandon(&c->file);
    shk_pixels_leave(c->pixels);
    c->pixels = NULL;
}

static void close_file(struct shk_cache *c, struct shk_data *d, const bool *made) {
    struct shk_error why = {0};
    for (unsigned i = 0; i < SHK_PARTS; i++) {
        if (!made[i]) continue;
        c->kept.parts[i] = d->parts[i];
        c->kept.samples[i] = d->samples[i];
    }
    c->kept.scale = d->scale;
    if (c->forgets) c->file.why = ENOMEM;
    shk_cache_write(&c->file, &c->key, &c->kept, c->pixels->start, c->pixels->mapped);
    if (shk_file_finish(&c->file, &why))
        bound_folder(c->asked->cache, last_name(c->path));
    else
        say_not_kept(c, &why);
    mprotect(c->pixels->start, c->pixels->mapped, PROT_READ); // it is the file's for good
    memset(c->kept.parts, 0, sizeof c->kept.parts);
    memset(c->kept.samples, 0, sizeof c->kept.samples);
}

static bool make(struct shk_cache *c, const struct shk_request *r, struct shk_data *d, shk_load *load, const void *what,
                 struct shk_error *err) {
    struct shk_request own = *r;
    bool made[SHK_PARTS];
    c->options = *r->options;
    c->options.on_note = on_note;
    c->options.on_bad = on_bad;
    c->options.on_progress = on_progress;
    c->options.user = c;
    own.options = &c->options;
    own.cache = c;
    for (unsigned i = 0; i < SHK_PARTS; i++) made[i] = !d->parts[i];
    const bool ok = load(&own, d, what, err);
    for (unsigned i = 0; i < SHK_PARTS; i++) made[i] = made[i] && d->parts[i];
    if (ok && c->pixels) close_file(c, d, made);
    if (c->pixels) forget_file(c);
    return ok;
}

bool shk_cache_load(struct shk_cache *c, const struct shk_request *r, struct shk_data *d, shk_load *load,
                    const void *what, struct shk_error *err) {
    if (!c || !end_key(c)) {
        shk_free(c);
        return load(r, d, what, err);
    }
    const bool ok = look_up(c, r, d) || make(c, r, d, load, what, err);
    shk_kept_free(&c->kept);
    shk_free(c);
    return ok;
}

// ---- Room for images ----

enum { ALIGNMENT = 64 };

static size_t rounded(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

bool shk_room_count(size_t *total, size_t n, const struct shk_shape *shape, bool bytes, struct shk_error *err) {
    size_t size;
    if (!shk_dataset_bytes(n, shape, bytes, &size, err)) return false;
    return (size <= SIZE_MAX - 2 * SHK_CACHE_PAGE - *total && (*total += rounded(size, ALIGNMENT))) ||
           shk_fail(err, SHK_FAILED, "out of memory: the images are more than can be addressed");
}

static bool in_memory(struct shk_room *m, const struct shk_request *r, size_t total, struct shk_error *err) {
    struct shk_error why;
    m->at = shk_alloc(total, 1, "images", &why);
    if (!m->at)
        return shk_fail(err, why.code, "%s%s", why.text,
                        r->cache ? "" : "; with a cache of decoded images, they need no memory");
    m->pixels = shk_pixels_new(m->at, 0, err);
    return m->pixels;
}

static bool in_file(struct shk_room *m, const struct shk_request *r, size_t total) {
    if (!r->cache) return false;
    if (r->cache->pixels) forget_file(r->cache); // what was made there was not what is wanted
    if (!open_file(r->cache, SHK_CACHE_PAGE + rounded(total, SHK_CACHE_PAGE))) return false;
    m->pixels = r->cache->pixels;
    m->pixels->users++;
    m->at = (unsigned char *)m->pixels->start + SHK_CACHE_PAGE;
    return true;
}

bool shk_room_open(struct shk_room *m, const struct shk_request *r, size_t total, bool dear, struct shk_error *err) {
    uint64_t available;
    *m = (struct shk_room){0};
    const bool small = shk_memory_available("", &available) && total > available;
    return ((dear || small) && in_file(m, r, total)) || in_memory(m, r, total, err);
}

struct shk_dataset *shk_room_part(struct shk_room *m, size_t n, const struct shk_shape *shape, bool bytes,
                                  struct shk_error *err) {
    size_t size = 0;
    if (!shk_room_count(&size, n, shape, bytes, err)) return NULL;
    struct shk_dataset *d = shk_dataset_over(m->pixels, m->at, bytes, n, shape, err);
    m->at += size;
    return d;
}

void shk_room_close(struct shk_room *m) { shk_pixels_leave(m->pixels); }
