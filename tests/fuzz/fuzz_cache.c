// SPDX-License-Identifier: MIT
// A cache's file from any bytes whose checksum is right: what is believed can be read to its last pixel.
#include "in_file.h"

#include "data/cache_file.h"
#include <string.h>

// The input is a header behind magic number and checksum, and what follows its page.
enum { HEADER = 272, SHORT = HEADER - SHK_CACHE_SUM, KEY = 24, SIZE = 40 };

static void read_all(const struct shk_dataset *d, const struct shk_names *samples) {
    const struct shk_shape shape = shk_dataset_shape(d);
    float *pixels = malloc(shape.height * shape.width * shape.channels * sizeof *pixels);
    must(pixels != NULL && (samples->count == 0 || samples->count == shk_dataset_size(d)));
    for (size_t i = 0; i < shk_dataset_size(d); i++) {
        shk_dataset_pixels(d, i, pixels);
        must(shk_dataset_label(d, i) < shape.classes);
    }
    for (size_t i = 0; i < samples->count; i++) must(strlen(samples->names[i]) < SIZE_MAX);
    free(pixels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct shk_cache_key key = {.newest = INT64_MIN, .path = "pics"};
    static const uint64_t magic = UINT64_C(0x3145484341434b53);
    if (size < SHORT || size > 1 << 20) return 0;
    const size_t all = SHK_CACHE_PAGE + size - SHORT;
    unsigned char *bytes = calloc(all, 1);
    must(bytes != NULL);
    memcpy(bytes + SHK_CACHE_SUM, data, SHORT);
    memcpy(bytes + SHK_CACHE_PAGE, data + SHORT, size - SHORT);
    memcpy(bytes, &magic, sizeof magic);
    memset(bytes + KEY, 0, sizeof key.hash);
    memcpy(bytes + SIZE, &(uint64_t){all}, sizeof(uint64_t));
    memcpy(bytes + sizeof magic, &(uint64_t){shk_cache_sum(bytes, all)}, sizeof(uint64_t));
    struct shk_kept k;
    if (shk_cache_read(in_file(bytes, all), &key, &k)) {
        for (unsigned part = 0; part < SHK_PARTS; part++)
            if (k.parts[part]) read_all(k.parts[part], &k.samples[part]);
        for (size_t i = 0; i < k.said_count; i++) must(strlen(k.said[i].text) < all);
        shk_kept_free(&k);
    }
    free(bytes);
    return 0;
}
