// SPDX-License-Identifier: MIT
// A .npz from any bytes, opened as data: what is wrong with it ends in a sentence.
#include "in_file.h"

#include <shikaku/shikaku.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4 || data[0] != 'P' || data[1] != 'K') return 0;
    struct shk_error err = {0};
    const struct shk_data_options o = {.spec = in_file(data, size)};
    struct shk_data *d = shk_data_open(&o, NULL, &err);
    if (!d) must_explain(&err);
    for (unsigned part = 0; d && part < SHK_PARTS; part++) {
        const struct shk_dataset *set = shk_data_part(d, (enum shk_part)part);
        if (set) must(shk_dataset_size(set) > 0);
    }
    shk_data_free(d);
    return 0;
}
