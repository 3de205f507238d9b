// SPDX-License-Identifier: MIT
// A folder of CIFAR files from any bytes: records, and the names of the classes.
#include "fuzz.h"

#include "data/dataset.h"
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HUNDRED = 1, TESTS = 2, NAMES = 4 }; // what the first byte asks for
static const char *const files[2][3] = {{"data_batch_1.bin", "test_batch.bin", "batches.meta.txt"},
                                        {"train.bin", "test.bin", "fine_label_names.txt"}};

static char folder[] = "/tmp/fuzz_cifar.XXXXXX";
static int at = -1; // the folder

static void remove_files(void) {
    for (size_t i = 0; i < 6; i++) unlinkat(at, files[i / 3][i % 3], 0);
}

static void leave(void) {
    remove_files();
    rmdir(folder);
}

static void begin(void) {
    if (at >= 0) return;
    must(mkdtemp(folder) != NULL);
    at = open(folder, O_RDONLY | O_DIRECTORY);
    must(at >= 0 && atexit(leave) == 0);
}

static void write_file(const char *name, const uint8_t *data, size_t size) {
    const int file = openat(at, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    must(file >= 0 && write(file, data, size) == (ssize_t)size && close(file) == 0);
}

// Every label has a class, and every class or none a name.
static void check_part(const struct shk_dataset *d, size_t classes) {
    if (!d) return;
    must(d->shape.height == 32 && d->shape.width == 32 && d->shape.channels == 3 && d->shape.classes == classes);
    for (size_t i = 0; i < d->n; i++) must(d->labels[i] < classes);
    must(d->names.count == 0 || d->names.count == classes);
}

// After the first byte: how many bytes of names follow, in two; these; and a file of records.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) return 0;
    const char *const *name = files[data[0] & HUNDRED ? 1 : 0];
    const size_t said = (size_t)data[1] << 8 | data[2], names = said < size - 3 ? said : size - 3;
    struct shk_error err = {0};
    begin();
    remove_files();
    write_file(name[0], data + 3 + names, size - 3 - names);
    if (data[0] & TESTS) write_file(name[1], data + 3 + names, size - 3 - names);
    if (data[0] & NAMES) write_file(name[2], data + 3, names);
    struct shk_data *d = shk_data_open(&(struct shk_data_options){.spec = folder}, NULL, &err);
    for (unsigned part = 0; d && part < SHK_PARTS; part++)
        check_part(shk_data_part(d, part), data[0] & HUNDRED ? 100 : 10);
    if (!d) must(err.code != SHK_OK && err.text[0]);
    shk_data_free(d);
    return 0;
}
