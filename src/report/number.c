// SPDX-License-Identifier: MIT
#include "report/number.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool number_whole(const char *text, uint64_t *value) {
    char *end = NULL;
    errno = 0;
    *value = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    return end && !*end && !errno;
}

bool number_real(const char *text, double *value) {
    char *end = NULL;
    errno = 0;
    const bool plain = *text && *text != '+' && strspn(text, "0123456789.eE+-") == strlen(text);
    *value = plain ? strtod(text, &end) : 0;
    return end && end != text && !*end && !errno && isfinite(*value);
}
