// SPDX-License-Identifier: MIT
// Keys are cut at commas; numbers are whole and have bounds.
#include "nn/graph/keys.h"

#include "base/text.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool shk_key_number(const char *key, const char *text, const char **rest, size_t lo, size_t hi, size_t *out,
                    struct shk_error *err) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || errno || value < lo || value > hi)
        return shk_fail(err, SHK_BAD_INPUT, "model description: %s=%s is not a whole number from %zu to %zu", key, text,
                        lo, hi);
    *out = (size_t)value;
    *rest = end;
    return true;
}

bool shk_key_size(const char *key, const char *text, size_t lo, size_t hi, size_t *out, struct shk_error *err) {
    const char *rest = text;
    if (!shk_key_number(key, text, &rest, lo, hi, out, err)) return false;
    if (*rest)
        return shk_fail(err, SHK_BAD_INPUT, "model description: %s=%s is not a whole number from %zu to %zu", key, text,
                        lo, hi);
    return true;
}

const char *shk_key_hint(const char *typed, const char *const *words, char text[64]) {
    const char *meant = shk_meant(typed, words);
    *text = 0;
    if (meant) snprintf(text, 64, "; did you mean %s?", meant);
    return text;
}

bool shk_keys_read(char *keys, shk_read_key *read, void *into, struct shk_error *err) {
    enum { MOST = 16 }; // more than there are keys
    const char *seen[MOST];
    unsigned count = 0;
    for (char *key; (key = strsep(&keys, ","));) {
        char *value = strchr(key, '=');
        if (!value && count && !strcmp(seen[count - 1], "channels"))
            return shk_fail(err, SHK_BAD_INPUT,
                            "model description: '%s' is not of the form key=value; channels have '-' between, as in "
                            "channels=16-32",
                            key);
        if (!value || !value[1])
            return shk_fail(err, SHK_BAD_INPUT, "model description: '%s' is not of the form key=value", key);
        *value++ = 0;
        for (unsigned i = 0; i < count; i++)
            if (!strcmp(seen[i], key)) return shk_fail(err, SHK_BAD_INPUT, "model description: %s stands twice", key);
        if (!read(key, value, into, err)) return false;
        seen[count++] = key;
    }
    return true;
}
