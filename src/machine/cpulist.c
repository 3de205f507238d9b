// SPDX-License-Identifier: MIT
// Lists of CPUs, such as 0-3,8, are read and printed here.
#include "machine/cpulist.h"

#include <stdio.h>
#include <string.h>

// A number without sign or space; *text moves behind it.
static bool read_number(const char **text, unsigned *out) {
    const char *at = *text;
    unsigned value = 0;
    while (*at >= '0' && *at <= '9' && value <= SHK_MAX_CPU_NUMBER) value = value * 10 + (unsigned)(*at++ - '0');
    if (at == *text || value > SHK_MAX_CPU_NUMBER) return false;
    *text = at;
    *out = value;
    return true;
}

static bool contains(const unsigned *list, unsigned count, unsigned value) {
    for (unsigned i = 0; i < count; i++)
        if (list[i] == value) return true;
    return false;
}

bool shk_cpulist_parse(const char *text, unsigned *out, unsigned most, unsigned *count) {
    *count = 0;
    for (;; text++) {
        unsigned first, last;
        if (!read_number(&text, &first)) return false;
        last = first;
        if (*text == '-') {
            text++;
            if (!read_number(&text, &last) || last < first) return false;
        }
        for (unsigned cpu = first; cpu <= last; cpu++) {
            if (*count == most || contains(out, *count, cpu)) return false;
            out[(*count)++] = cpu;
        }
        if (!*text) return true;
        if (*text != ',') return false;
    }
}

void shk_cpulist_format(const unsigned *cpus, unsigned count, char *out, size_t size) {
    size_t used = 0;
    out[0] = 0;
    for (unsigned i = 0; i < count;) {
        unsigned end = i + 1;
        while (end < count && cpus[end] == cpus[end - 1] + 1) end++;
        char piece[32];
        const char *comma = i ? "," : "";
        if (end - i > 1)
            snprintf(piece, sizeof piece, "%s%u-%u", comma, cpus[i], cpus[end - 1]);
        else
            snprintf(piece, sizeof piece, "%s%u", comma, cpus[i]);
        size_t length = strlen(piece);
        if (used + length + sizeof ",..." > size) {
            snprintf(out + used, size - used, ",...");
            return;
        }
        memcpy(out + used, piece, length + 1);
        used += length;
        i = end;
    }
}
