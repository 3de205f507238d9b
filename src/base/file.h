// SPDX-License-Identifier: MIT
// Files as a whole: written whole or not at all, and read whole.
#ifndef SHK_BASE_FILE_H
#define SHK_BASE_FILE_H

#include "base/error.h"
#include <shikaku/shikaku.h>
#include <stddef.h>

// A file that is being written beside its place, under a name that no other one has. Failures are kept until the end.
struct shk_file_out {
    char *path;                      // for sentences
    const char *name;                // in the folder: the end of the path
    char fresh[256];                 // the name while it is written
    const struct shk_folder *folder; // where it is written
    struct shk_folder *own;          // the same one where it is held for this file alone; NULL: it is the caller's
    int file;                        // a descriptor
    int why;                         // errno of the first failure; 0: none
    bool gone;                       // the own folder's path leads elsewhere
    unsigned char *buffer;
    size_t used; // bytes in the buffer
};

// Of the last part of the path in a folder that is held, or, where that is NULL, in the one that the path names.
bool shk_file_create(struct shk_file_out *, const struct shk_folder *, const char *path, struct shk_error *);
void shk_file_put(struct shk_file_out *, const void *bytes, size_t size);
// Overwrites what was put at `offset`.
void shk_file_patch(struct shk_file_out *, size_t offset, const void *bytes, size_t size);
// Makes the file of a new one so many bytes long and maps them, to be written there; the disk's room is taken at once, so that a
// write cannot find it full. munmap. NULL: the failure is kept.
void *shk_file_map(struct shk_file_out *, size_t bytes);
// To the disk and into its place. Where anything failed, what was written is gone and the place as it was; but for the very
// last step, which makes the new name last: where that fails, the new file is in place. A folder that was moved or removed
// meanwhile is a failure, unless it is the caller's.
bool shk_file_finish(struct shk_file_out *, struct shk_error *);
// As if it had never been begun.
void shk_file_abandon(struct shk_file_out *);

// All of a text behind what was written last to a descriptor; false: errno says why, and a part of it may be there.
bool shk_write_text(int file, const char *text, size_t size);

struct shk_bytes {
    unsigned char *data; // aligned to 64 bytes; shk_free
    size_t size;
};
// Looks at the first bytes of a file, as many as SHK_FILE_BEGIN where it has so many, before memory is taken for all.
enum { SHK_FILE_BEGIN = 64 };
typedef bool shk_file_check(const char *path, const unsigned char *begin, size_t size, struct shk_error *);
// A regular file, all of it.
bool shk_file_read(const char *path, shk_file_check *, struct shk_bytes *, struct shk_error *);
// What comes from a descriptor that need not be a file, at most so many bytes; name: for sentences.
bool shk_file_read_stream(int fd, const char *name, size_t most, struct shk_bytes *, struct shk_error *);

// Whether a path leads to a folder, or to a regular file.
bool shk_is_folder(const char *path);
bool shk_is_file(const char *path);

// A path as a sentence has it: the end of a long one, so that there is room for what is wrong.
enum { SHK_SHOWN_PATH = 160 };
const char *shk_shown_path(const char *path, char out[SHK_SHOWN_PATH]);
// "PATH cannot be WHAT: WHY", false. `why` is an errno.
bool shk_cannot(const char *path, const char *what, int why, enum shk_code, struct shk_error *);
// Whose fault it is that something cannot be opened for reading: the caller named what is not there or not his, or the machine
// failed.
enum shk_code shk_reading_code(int why);

#endif
