// SPDX-License-Identifier: MIT
// Lists the pictures of a data set: files, each with its class and its part.
#ifndef SHK_DATA_PICTURES_FILES_H
#define SHK_DATA_PICTURES_FILES_H

#include "data/cache.h"
#include <stddef.h>
#include <stdint.h>

struct shk_listed_file {
    char *path;
    size_t name; // where in the path its name within the data begins
    uint32_t label;
    enum shk_part part;
};

// What a list leaves out, with counts to be said.
struct shk_left_out {
    size_t hidden; // names that begin with a dot, __MACOSX, Thumbs.db, desktop.ini
    size_t loose;  // files beside the classes' folders
    size_t loops;  // links to a folder that they are in
    size_t others; // what is neither a file nor a folder
};

struct shk_file_list {
    size_t count, room;
    struct shk_listed_file *files;
    struct shk_names classes; // in the order of labels
    struct shk_left_out left_out;
};

// Whether a name is one of the hidden ones.
bool shk_file_is_hidden(const char *name);
// Adds a file; its path is copied.
bool shk_file_list_add(struct shk_file_list *, const char *path, size_t name, size_t label, enum shk_part,
                       struct shk_error *);
// Adds all files of a folder and of those within it, but for hidden ones, which are counted.
bool shk_file_list_add_folder(struct shk_file_list *, const char *path, struct shk_error *);
// By part, then by class, then by the bytes of the name.
void shk_file_list_sort(struct shk_file_list *);
void shk_file_list_free(struct shk_file_list *);
// Sorts names as classes are: by value where all are whole numbers, else by their bytes.
void shk_sort_classes(struct shk_names *);

#endif
