// SPDX-License-Identifier: MIT
// Numbers as metadata has them: text that gives the same number back, in any locale. And what is text.
#ifndef SHK_FORMATS_TEXT_H
#define SHK_FORMATS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHK_TEXT = 40 }; // bytes for any number

void shk_whole_text(uint64_t value, char text[SHK_TEXT]);
void shk_real_text(double value, char text[SHK_TEXT]); // as short as it can be
// The number of a text; false where it is none, or a whole number above `most`.
bool shk_read_whole(const char *text, uint64_t most, uint64_t *out);
bool shk_read_real(const char *text, double *out);

// Well-formed UTF-8 (RFC 3629).
bool shk_is_utf8(const char *text, size_t length);

#endif
