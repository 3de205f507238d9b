// SPDX-License-Identifier: MIT
// Writes and reads numbers in the C locale and our arithmetic, whatever the caller's are, looks for bytes that are no UTF-8, and
// shows text of others.
#include "base/text.h"

#include "base/fpenv.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void shk_whole_text(uint64_t value, char text[SHK_TEXT]) { snprintf(text, SHK_TEXT, "%" PRIu64, value); }

// The locale decides about the decimal point, the arithmetic about the last digit. "C" is always there and takes no memory.
struct shk_plain shk_plain_enter(void) {
    const fenv_t arithmetic = shk_fpenv_enter();
    return (struct shk_plain){arithmetic, uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0))};
}

void shk_plain_leave(const struct shk_plain *before) {
    freelocale(uselocale(before->locale));
    shk_fpenv_leave(&before->arithmetic);
}

// Whether so many digits, rounded that way, give the value back.
static bool prints(double value, int digits, int rounding, char text[SHK_TEXT]) {
    fesetround(rounding);
    snprintf(text, SHK_TEXT, "%.*e", digits - 1, value);
    fesetround(FE_TONEAREST);
    return strtod(text, NULL) == value;
}

void shk_real_text(double value, char text[SHK_TEXT]) {
    const struct shk_plain before = shk_plain_enter();
    const int away = value < 0 ? FE_DOWNWARD : FE_UPWARD; // from 0, where a power of two has twice as much room
    int digits = 1;                                       // 17 are enough for any double
    while (!prints(value, digits, FE_TONEAREST, text) && !prints(value, digits, away, text) && digits < 17) digits++;
    const char *e = isfinite(value) ? strchr(text, 'e') : NULL;
    const long exponent = e ? strtol(e + 1, NULL, 10) : LONG_MAX;
    if (exponent >= -6 && exponent < 16) { // without one; powers of two are exact there
        const int places = digits - 1 - (int)exponent;
        snprintf(text, SHK_TEXT, "%.*f", places > 0 ? places : 0, value);
    }
    shk_plain_leave(&before);
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

// All of the text must be one number in decimal digits. It does not fit where a double is too large, small or coarse for it.
static bool read_decimal(const char *text, double *out, bool *fits) {
    char *end = NULL;
    const struct shk_plain before = shk_plain_enter();
    errno = 0;
    *out = *text && strspn(text, "0123456789.eE+-") == strlen(text) ? strtod(text, &end) : 0;
    *fits = errno == 0; // here: entering and leaving may change it
    shk_plain_leave(&before);
    return end && end != text && !*end;
}

bool shk_read_real(const char *text, double *out) {
    const bool minus = *text == '-';
    bool fits;
    *out = strcmp(text + minus, "inf") == 0 ? INFINITY : NAN;
    if (minus) *out = -*out;
    return isinf(*out) || strcmp(text + minus, "nan") == 0 || read_decimal(text, out, &fits);
}

bool shk_typed_whole(const char *text, uint64_t *out) {
    char *end = NULL;
    errno = 0;
    *out = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    return end && !*end && !errno;
}

bool shk_typed_real(const char *text, double *out) {
    bool fits;
    return *text != '+' && read_decimal(text, out, &fits) && fits;
}

// Bytes of the well-formed character at `text`, or 0; *code is its number.
static size_t character(const unsigned char *text, size_t left, unsigned *code) {
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000}; // that needs so many bytes
    unsigned char first = text[0];
    size_t length = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
    *code = first;
    if (length < 2 || length > left) return length > left ? 0 : length;
    unsigned value = first & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (text[i] >> 6 != 2) return 0;
        value = value << 6 | (text[i] & 0x3fu);
    }
    *code = value;
    bool surrogate = value >= 0xd800 && value <= 0xdfff;
    return value < least[length] || value > 0x10ffff || surrogate ? 0 : length;
}

bool shk_is_utf8(const char *text, size_t length) {
    unsigned code;
    for (size_t at = 0, step; at < length; at += step) {
        step = character((const unsigned char *)text + at, length - at, &code);
        if (!step) return false;
    }
    return true;
}

// Beyond the control characters: marks and embeddings of direction, separators of lines and paragraphs.
static bool deceives(unsigned code) {
    return code == 0x61c || code == 0x200e || code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

size_t shk_show(const char *text, size_t length, const char *stay, char *out, size_t size) {
    size_t at = 0, used = 0;
    while (at < length) {
        const unsigned char *here = (const unsigned char *)text + at;
        char shown[SHK_SHOWN];
        unsigned code;
        size_t step = character(here, length - at, &code);
        const bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
        if (step == 1 && (!control || (code && strchr(stay, (int)code))))
            snprintf(shown, sizeof shown, "%c", text[at]);
        else if (!step)
            snprintf(shown, sizeof shown, "\\x%02x", *here);
        else if (control || deceives(code))
            snprintf(shown, sizeof shown, code < 0x100 ? "\\x%02x" : "\\u%04x", code);
        else
            snprintf(shown, sizeof shown, "%.*s", (int)step, text + at);
        const size_t more = strlen(shown);
        if (used + more >= size) break;
        memcpy(out + used, shown, more);
        used += more;
        at += step ? step : 1;
    }
    out[used] = 0;
    return at;
}

enum { MOST_LETTERS = 32 };

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

// How many letters to change, take away, add, or exchange with their neighbour.
static size_t distance(const char *a, const char *b) {
    size_t before[MOST_LETTERS + 1] = {0}, last[MOST_LETTERS + 1], row[MOST_LETTERS + 1];
    const size_t height = strlen(a), width = strlen(b);
    if (height > MOST_LETTERS || width > MOST_LETTERS) return SIZE_MAX;
    for (size_t j = 0; j <= width; j++) last[j] = j;
    for (size_t i = 1; i <= height; i++) {
        row[0] = i;
        for (size_t j = 1; j <= width; j++) {
            row[j] = least(least(last[j], row[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        memcpy(before, last, sizeof before);
        memcpy(last, row, sizeof last);
    }
    return last[width];
}

const char *shk_meant(const char *typed, const char *const *words) {
    size_t nearest = 1 + strlen(typed) / 4;
    const char *meant = NULL;
    for (; *words; words++) {
        const size_t d = distance(typed, *words);
        if (d > nearest || d >= strlen(*words) || (meant && d == nearest)) continue;
        nearest = d;
        meant = *words;
    }
    return meant;
}
