// SPDX-License-Identifier: MIT
// A CSV of pictures from any bytes: each file on the list has a class that the list knows.
#include "fuzz.h"

#include "data/csv.h"
#include <string.h>

// The first byte says which part is asked for, and whether lines that are wrong are left out.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    const struct shk_data_options o = {.skip_bad = data[0] & 4};
    const struct shk_request r = {.options = &o, .path = "folder/list.csv", .part = (enum shk_part)(data[0] & 3)};
    struct shk_file_list l = {0};
    struct shk_error err = {0};
    char *text = malloc(size);
    must(text != NULL);
    memcpy(text, data + 1, size - 1);
    if (shk_csv_list(&r, text, size - 1, &l, &err))
        must(l.count > 0 && l.classes.count >= 2);
    else
        must(err.code != SHK_OK && err.text[0]);
    for (size_t i = 0; i < l.count; i++) {
        must(l.files[i].label < l.classes.count && l.files[i].part < SHK_PARTS);
        must(l.files[i].name < strlen(l.files[i].path));
    }
    shk_file_list_free(&l);
    free(text);
    return 0;
}
