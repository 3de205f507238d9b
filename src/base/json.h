// SPDX-License-Identifier: MIT
// Only for what is linked with jansson; the core is not.
#ifndef SHK_BASE_JSON_H
#define SHK_BASE_JSON_H

#include <jansson.h>
#include <stdlib.h>

// The value as text, to be freed; NULL: no memory, or no array or object. Not json_dumps: where memory runs out inside a key,
// jansson 2.14 leaves out the rest of the key and says nothing. Here it writes into memory that is there already.
static inline char *shk_json_text(const json_t *json, size_t flags) {
    const size_t length = json ? json_dumpb(json, NULL, 0, flags) : 0;
    char *text = length ? malloc(length + 1) : NULL;
    if (!text) return NULL;
    if (json_dumpb(json, text, length, flags) != length) {
        free(text);
        return NULL;
    }
    text[length] = 0;
    return text;
}

#endif
