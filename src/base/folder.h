// SPDX-License-Identifier: MIT
// A folder that is held: files are written into this very one, wherever its path leads by now.
#ifndef SHK_BASE_FOLDER_H
#define SHK_BASE_FOLDER_H

#include <shikaku/shikaku.h>
#include <sys/types.h>

struct shk_folder {
    int handle;
    dev_t device;
    ino_t inode;
    char path[];
};

// The folder whose path are the first `length` characters; NULL: errno says why.
struct shk_folder *shk_folder_hold(const char *path, size_t length);
// The path of a file of that name in it, for sentences; shk_free. NULL: no memory.
char *shk_folder_path(const struct shk_folder *, const char *name, struct shk_error *);
// Makes what has changed in it last; false: errno says why. Not every file system can do so, which is no failure.
bool shk_folder_sync(const struct shk_folder *);

#endif
