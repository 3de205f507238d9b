// SPDX-License-Identifier: MIT
// The file in which a cache keeps the parts of a data set: a page with its sizes, images, labels, names, and what was said.
#ifndef SHK_DATA_CACHE_FILE_H
#define SHK_DATA_CACHE_FILE_H

#include "base/file.h"
#include "data/source.h"
#include <stdint.h>

enum { SHK_CACHE_PAGE = 4096, SHK_CACHE_SUM = 16 }; // the checksum is of all bytes from SHK_CACHE_SUM on

// What decides whether a file is believed.
struct shk_cache_key {
    uint64_t hash[2]; // of whatever decides on the data
    int64_t newest;   // ns since 1970, when the youngest file of the data was changed
    const char *path; // of the data, as it was named
};

// A sentence that was said while the data were made.
struct shk_said {
    bool bad; // for on_bad; else for on_note
    char *text;
};

struct shk_kept {
    struct shk_dataset *parts[SHK_PARTS]; // NULL: none was kept
    struct shk_names samples[SHK_PARTS];
    struct shk_pixel_scale scale;
    size_t said_count;
    struct shk_said *said;
    bool names_path; // a sentence names the data, so that they must be named alike
    int64_t begun;   // ns since 1970, before a file of the data was looked at
};

// Maps a file and makes parts of it, which lie in the mapping. False: it is not what is wanted, or not whole.
bool shk_cache_read(const char *path, const struct shk_cache_key *, struct shk_kept *);
// Frees what is in it.
void shk_kept_free(struct shk_kept *);
// Writes all but the images, which are there: `mapped` bytes from the beginning on are mapped at `start`. Failures are the file's.
void shk_cache_write(struct shk_file_out *, const struct shk_cache_key *, const struct shk_kept *,
                     const unsigned char *start, size_t mapped);
uint64_t shk_cache_sum(const unsigned char *bytes, size_t size); // of a whole file

#endif
