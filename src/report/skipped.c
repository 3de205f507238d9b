// SPDX-License-Identifier: MIT
// Writes the list of files that were left out, and compares it.
#include "report/skipped.h"

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A line each, whatever is in the names of files; to be freed.
static char *text_of(const struct shk_names *sentences, size_t *size, struct shk_error *err) {
    char *text = NULL, line[4 * sizeof err->text];
    FILE *out = open_memstream(&text, size);
    for (size_t i = 0; out && i < sentences->count; i++) {
        shk_show(sentences->names[i], strlen(sentences->names[i]), "", line, sizeof line);
        fprintf(out, "%s\n", line);
    }
    if (out && fclose(out) == 0) return text;
    free(text);
    shk_fail(err, SHK_FAILED, "out of memory");
    return NULL;
}

bool skipped_write(const struct folder *f, const struct shk_names *sentences, struct shk_error *err) {
    size_t size;
    if (sentences->count == 0) return true;
    char *text = text_of(sentences, &size, err);
    const bool ok = text && shk_write_file_in(f->held, folder_name(FOLDER_SKIPPED), text, size, err);
    free(text);
    return ok;
}

// Whether a file has just these bytes.
static bool has_bytes(const char *path, int handle, const char *text, size_t size, struct shk_error *err) {
    FILE *file = fdopen(handle, "r");
    char *there = malloc(size + 1);
    const size_t read = file && there ? fread(there, 1, size + 1, file) : 0;
    const bool same = read == size && there && memcmp(there, text, size) == 0;
    if (!file || !there)
        shk_fail(err, SHK_FAILED, "out of memory");
    else if (ferror(file))
        shk_cannot(path, "read", errno, SHK_FAILED, err);
    free(there);
    if (file)
        fclose(file);
    else
        close(handle);
    return same;
}

bool skipped_is(const struct folder *f, const struct shk_names *sentences, struct shk_error *err) {
    size_t size;
    const bool there = folder_has(f, FOLDER_SKIPPED);
    if (!there || sentences->count == 0) return !there && sentences->count == 0;
    char *text = text_of(sentences, &size, err);
    const int handle = text ? folder_open_file(f, FOLDER_SKIPPED, O_RDONLY, err) : -1;
    const bool same = handle >= 0 && has_bytes(f->path[FOLDER_SKIPPED], handle, text, size, err);
    free(text);
    return same;
}
