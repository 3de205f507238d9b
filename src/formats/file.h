// SPDX-License-Identifier: MIT
// Files as a whole: written whole or not at all, and read whole.
#ifndef SHK_FORMATS_FILE_H
#define SHK_FORMATS_FILE_H

#include "base/error.h"
#include <stddef.h>

// A file that is being written as PATH.new. Failures are kept until the end.
struct shk_file_out {
    char *path, *fresh; // PATH, PATH.new
    int file, folder;   // descriptors
    int why;            // errno of the first failure; 0: none
    unsigned char *buffer;
    size_t used; // bytes in the buffer
};

bool shk_file_create(struct shk_file_out *, const char *path, struct shk_error *);
void shk_file_put(struct shk_file_out *, const void *bytes, size_t size);
// Overwrites what was put at `offset`.
void shk_file_patch(struct shk_file_out *, size_t offset, const void *bytes, size_t size);
// To the disk and into its place. Where anything failed, PATH.new is gone and PATH as it was; but for the very last step, which
// makes the new name last: where that fails, PATH is the new file.
bool shk_file_finish(struct shk_file_out *, struct shk_error *);
// As if it had never been begun.
void shk_file_abandon(struct shk_file_out *);

struct shk_bytes {
    unsigned char *data; // aligned to 64 bytes; shk_free
    size_t size;
};
// Looks at the first bytes of a file, as many as SHK_FILE_BEGIN where it has so many, before memory is taken for all.
enum { SHK_FILE_BEGIN = 64 };
typedef bool shk_file_check(const char *path, const unsigned char *begin, size_t size, struct shk_error *);
// A regular file, all of it.
bool shk_file_read(const char *path, shk_file_check *, struct shk_bytes *, struct shk_error *);

// A path as a sentence has it: the end of a long one, so that there is room for what is wrong.
enum { SHK_SHOWN_PATH = 160 };
const char *shk_shown_path(const char *path, char out[SHK_SHOWN_PATH]);

#endif
