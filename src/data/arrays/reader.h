// SPDX-License-Identifier: MIT
// A file of data, or a file within a zip, is read from its beginning on, unpacked where it is gzip, whatever its name says.
#ifndef SHK_DATA_ARRAYS_READER_H
#define SHK_DATA_ARRAYS_READER_H

#include "base/error.h"
#include <stdint.h>

struct shk_reader {
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
bool shk_reader_open(struct shk_reader *, const char *path, struct shk_error *);
// A file within a zip of so many bytes, an unzFile of minizip, by its name there; one at a time.
bool shk_reader_open_in_zip(struct shk_reader *, void *zip, const char *zip_path, uint64_t zip_bytes, const char *name,
                            struct shk_error *);
// Exactly so many bytes; what they are goes into the error where there are fewer.
bool shk_reader_read(struct shk_reader *, void *to, uint64_t bytes, const char *what, struct shk_error *);
// Whether so many bytes can follow, and nothing behind them, before memory is taken for them.
bool shk_reader_can_hold(const struct shk_reader *, uint64_t bytes, const char *what, struct shk_error *);
// Whether nothing follows.
bool shk_reader_at_end(struct shk_reader *, struct shk_error *);
void shk_reader_close(struct shk_reader *);

#endif
