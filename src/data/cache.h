// SPDX-License-Identifier: MIT
// Keeps decoded images and labels in a file that is mapped, so that what was decoded once need not be again and may be larger than memory.
#ifndef SHK_DATA_CACHE_H
#define SHK_DATA_CACHE_H

#include "data/source.h"
#include <stdint.h>
#include <sys/stat.h>

// What says that a file is the one that was read: as git's index does, its size, its times and its inode.
struct shk_file_mark {
    uint64_t size, inode;
    int64_t modified, changed; // ns since 1970
};
struct shk_file_mark shk_file_mark_of(const struct stat *);

// ---- What is looked up ----

// A lookup, of whatever decides on the data: what the request says, then what is added. NULL: no cache is wanted, or there is no
// memory for one; each of these functions takes that.
struct shk_cache *shk_cache_begin(const struct shk_request *, const struct shk_data *);
void shk_cache_add(struct shk_cache *, const void *bytes, size_t size);
void shk_cache_add_text(struct shk_cache *, const char *);
// NULL: the file cannot be looked at, and nothing is looked up.
void shk_cache_add_file(struct shk_cache *, const struct shk_file_mark *);
// What is not there is looked up as that.
void shk_cache_add_path(struct shk_cache *, const char *path);

// Makes the parts of what was kept, and says again what was said; or by `load`, and keeps them where they got room in the cache.
typedef bool shk_load(const struct shk_request *, struct shk_data *, const void *what, struct shk_error *);
// Ends the lookup.
bool shk_cache_load(struct shk_cache *, const struct shk_request *, struct shk_data *, shk_load *load, const void *what,
                    struct shk_error *);

// ---- Room for images ----

// The images of all parts that a source makes, one behind the other: in the cache's file, or in memory.
struct shk_room {
    struct shk_pixels *pixels;
    unsigned char *at; // where the next part's begin
};
// Adds to *total what so many images of a checked shape take there.
bool shk_room_count(size_t *total, size_t n, const struct shk_shape *, bool bytes, struct shk_error *);
// total: what all parts take that will be asked for. dear: it takes long to make them, so that they are to be kept. Others are, too, where memory is too small for them.
bool shk_room_open(struct shk_room *, const struct shk_request *, size_t total, bool dear, struct shk_error *);
struct shk_dataset *shk_room_part(struct shk_room *, size_t n, const struct shk_shape *, bool bytes,
                                  struct shk_error *);
void shk_room_close(struct shk_room *);

#endif
