// SPDX-License-Identifier: MIT
// Lists the pictures of a data set: files, each with its class and its part.
#ifndef SHK_DATA_FILES_H
#define SHK_DATA_FILES_H

#include "base/error.h"
#include "data/source.h"
#include <stddef.h>
#include <stdint.h>

struct shk_listed_file {
    char *path;
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
    struct shk_listed_file *files; // by part, then by class, then by the bytes of the path
    size_t class_count;
    char **classes; // names: by value where all are whole numbers, else by their bytes
    struct shk_left_out left_out;
};

// A folder that has train/, and perhaps val/ (valid/, validation/) and test/, of folders of classes; or folders of classes
// alone, all of them for training. Folders within a class belong to it. Links are followed.
bool shk_folder_list(const char *path, struct shk_file_list *, struct shk_error *);
// A text of lines "path,label" or "path,label,split" (RFC 4180; split: train, val or test), paths relative to the file's
// folder; a first line of those words is a heading.
bool shk_csv_list(const char *path, struct shk_file_list *, struct shk_error *);
void shk_file_list_free(struct shk_file_list *);

// ---- Parts ----

// Adds a file; its path is copied. The label is one of `classes`.
bool shk_file_list_add(struct shk_file_list *, const char *path, size_t label, enum shk_part, struct shk_error *);
// Whether names are sorted as classes are: below, at or above 0.
int shk_compare_classes(const char *a, const char *b, bool numbers);

#endif
