// SPDX-License-Identifier: MIT
// A file of data, or a file within a zip, is read from its beginning on, unpacked where it is gzip, whatever its name says.
#ifndef SHK_DATA_INPUT_H
#define SHK_DATA_INPUT_H

#include "base/error.h"
#include <stdint.h>

struct zip;

struct shk_input {
    char name[160]; // of the file, for sentences
    void *file;
    int64_t (*more)(void *file, void *to,
                    uint64_t most); // how many bytes came; 0: the end; below: *why says what is wrong
    const char *(*why)(void *file);
    void (*close)(void *file);
    bool packed;
    uint64_t size; // in the file, packed or not
    uint64_t at;   // bytes that were read, unpacked
};

// A regular file.
bool shk_input_open(struct shk_input *, const char *path, struct shk_error *);
// A file within a zip, which libzip has opened, by its name there.
bool shk_input_open_in_zip(struct shk_input *, struct zip *, const char *zip_path, const char *name,
                           struct shk_error *);
// Exactly so many bytes; what they are goes into the error where there are fewer.
bool shk_input_read(struct shk_input *, void *to, uint64_t bytes, const char *what, struct shk_error *);
// Whether so many bytes can follow, before memory is taken for them.
bool shk_input_can_hold(const struct shk_input *, uint64_t bytes, const char *what, struct shk_error *);
// Whether nothing follows.
bool shk_input_at_end(struct shk_input *, struct shk_error *);
void shk_input_close(struct shk_input *);

#endif
