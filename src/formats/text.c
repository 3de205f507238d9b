// SPDX-License-Identifier: MIT
#include "formats/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

void shk_whole_text(uint64_t value, char text[SHK_TEXT]) { snprintf(text, SHK_TEXT, "%" PRIu64, value); }

// The locale decides about the decimal point. "C" is always there and takes no memory.
static locale_t plain_locale(void) { return newlocale(LC_ALL_MASK, "C", (locale_t)0); }

void shk_real_text(double value, char text[SHK_TEXT]) {
    locale_t plain = plain_locale(), saved = uselocale(plain);
    for (int digits = 15; digits <= 17; digits++) { // 17 are enough for any double
        snprintf(text, SHK_TEXT, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    uselocale(saved);
    freelocale(plain);
}

bool shk_read_whole(const char *text, uint64_t most, uint64_t *out) {
    uint64_t value = 0;
    if (!*text || (*text == '0' && text[1])) return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return false;
        unsigned digit = (unsigned)(*text - '0');
        if (value > (UINT64_MAX - digit) / 10) return false;
        value = value * 10 + digit;
    }
    *out = value;
    return value <= most;
}

bool shk_read_real(const char *text, double *out) {
    char *end;
    if (!*text || isspace((unsigned char)*text)) return false;
    locale_t plain = plain_locale(), saved = uselocale(plain);
    *out = strtod(text, &end);
    uselocale(saved);
    freelocale(plain);
    return !*end;
}
