// SPDX-License-Identifier: MIT
// Decodes a fuzz input as a picture, and brings it to another size.
#ifndef SHK_FUZZ_PICTURE_H
#define SHK_FUZZ_PICTURE_H

#include "fuzz.h"

#include "data/pictures/fit.h"

enum { FUZZED_PIXELS = 1 << 16 }; // larger ones are looked at only, as they take long

static inline void must_explain(const struct shk_error *err) { must(err->code != SHK_OK && err->text[0]); }

static inline void fit(const struct shk_picture *p, enum shk_fit how) {
    uint8_t pixels[9 * 17 * 3];
    const struct shk_fitting f = {.fit = how, .height = 9, .width = 17, .channels = how % 2 ? 1 : 3, .background = 255};
    struct shk_error err = {0};
    if (!shk_picture_fit(p, &f, pixels, &err)) must_explain(&err);
}

// What is seen in the header is what is decoded.
static inline int decode_picture(const uint8_t *data, size_t size) {
    struct shk_picture seen, p;
    struct shk_error err = {0};
    if (!shk_picture_look(data, size, "input", &seen, &err)) {
        must_explain(&err);
        return 0;
    }
    must(seen.height > 0 && seen.width > 0 && (seen.channels == 1 || seen.channels == 3));
    if (seen.height * seen.width > FUZZED_PIXELS) return 0;
    if (!shk_picture_decode(data, size, "input", 128, &p, &err)) {
        must_explain(&err);
        return 0;
    }
    must(p.height == seen.height && p.width == seen.width && p.channels == seen.channels);
    for (int how = 0; how <= SHK_FIT_LETTERBOX; how++) fit(&p, (enum shk_fit)how);
    shk_picture_free(&p);
    return 0;
}

#endif
