// SPDX-License-Identifier: MIT
// replay DIR: gives each file of a corpus to a fuzz target, without libFuzzer.
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most) {
    (void)data;
    (void)most;
    return size;
}

static int replay(const char *dir, const char *name) {
    enum { MOST = 1 << 20 };
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(MOST);
    size_t size = file && data ? fread(data, 1, MOST, file) : 0;
    int read = file && data && !ferror(file);
    uint8_t *exact = malloc(size ? size : 1); // so that a sanitizer sees the end
    if (read && exact) {
        for (size_t i = 0; i < size; i++) exact[i] = data[i];
        LLVMFuzzerTestOneInput(exact, size);
    } else {
        fprintf(stderr, "%s cannot be read\n", path);
    }
    free(exact);
    free(data);
    if (file) fclose(file);
    return read;
}

int main(int argc, char **argv) {
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    size_t count = 0;
    if (!dir) {
        fprintf(stderr, "usage: replay DIR\n");
        return 2;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        if (!replay(argv[1], entry->d_name)) return 1;
        count++;
    }
    closedir(dir);
    printf("%zu inputs of %s\n", count, argv[1]);
    return count == 0;
}
