// SPDX-License-Identifier: MIT
// Reads and writes JSON through jansson, whose numbers are those of the caller's locale and rounding mode, and longer than need
// be.
#include "base/json.h"

#include "base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Behind the string that begins at `at`.
static const char *behind_string(const char *at) {
    for (at++; *at != '"'; at++) at += *at == '\\';
    return at + 1;
}

// Writes the real number of `length` characters as briefly as it can be, and still as a real one; returns behind it.
static char *put_real(char *out, const char *number, size_t length) {
    char text[SHK_TEXT];
    double value;
    snprintf(text, sizeof text, "%.*s", (int)length, number);
    shk_read_real(text, &value);
    shk_real_text(value, text);
    return out + sprintf(out, strpbrk(text, ".e") ? "%s" : "%s.0", text);
}

// Copies a text of jansson's. `out` has place for SHK_TEXT characters more for each point and each 'e'.
static void shorten(const char *at, char *out) {
    while (*at) {
        const size_t length = strchr("-0123456789", *at) ? strcspn(at, ",]} \n") : 0; // of a number
        const char *end = *at == '"' ? behind_string(at) : at + (length ? length : 1);
        if (memchr(at, '.', length) || memchr(at, 'e', length))
            out = put_real(out, at, length);
        else
            out = mempcpy(out, at, (size_t)(end - at));
        at = end;
    }
    *out = 0;
}

// Not json_dumps: where memory runs out inside a key, jansson 2.14 leaves out the rest of the key and says nothing. Here it
// writes into memory that is there already.
static char *dump(const json_t *json, size_t flags) {
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

char *shk_json_text(const json_t *json, size_t flags) {
    const struct shk_plain before = shk_plain_enter();
    char *text = dump(json, flags), *shorter = NULL;
    size_t room = 1;
    for (const char *at = text; at && *at; at++) room += *at == '.' || *at == 'e' ? SHK_TEXT : 1;
    if (text && (shorter = malloc(room))) shorten(text, shorter);
    free(text);
    shk_plain_leave(&before);
    return shorter;
}

json_t *shk_json_read(const char *text, size_t length, json_error_t *why) {
    const struct shk_plain before = shk_plain_enter();
    json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, why);
    shk_plain_leave(&before);
    return json;
}

json_t *shk_json_read_file(const char *path, json_error_t *why) {
    const struct shk_plain before = shk_plain_enter();
    json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, why);
    shk_plain_leave(&before);
    return json;
}
