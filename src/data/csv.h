// SPDX-License-Identifier: MIT
// The records of a CSV, and the list of pictures that they make.
#ifndef SHK_DATA_CSV_H
#define SHK_DATA_CSV_H

#include "data/pictures/files.h"

enum { SHK_CSV_FIELDS = 3 };
// A text that is taken apart in place.
struct shk_csv {
    const char *name; // of the file, for sentences
    char *at, *end;
    size_t line; // of the record that was taken last, from 1 on
    size_t next; // of the one that follows
    size_t fields;
    char *field[SHK_CSV_FIELDS];
};

// text: of size + 1 bytes, of which the last is overwritten.
bool shk_csv_begin(struct shk_csv *, const char *name, char *text, size_t size, struct shk_error *);
static inline bool shk_csv_more(const struct shk_csv *c) { return c->at < c->end; }
// The next record. What is wrong with it is said with its line; the one after it can be taken all the same.
bool shk_csv_take(struct shk_csv *, struct shk_error *);

// Lists the pictures of a text; r->path is the file's, in whose folder they lie.
bool shk_csv_list(const struct shk_request *r, char *text, size_t size, struct shk_file_list *, struct shk_error *);

#endif
