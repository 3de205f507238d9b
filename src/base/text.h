// SPDX-License-Identifier: MIT
// Numbers as files and people write them, in any locale and rounding mode of the caller's, what is text, and how text of
// others is shown.
#ifndef SHK_BASE_TEXT_H
#define SHK_BASE_TEXT_H

#include <fenv.h>
#include <locale.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHK_TEXT = 40 }; // bytes for any number

void shk_whole_text(uint64_t value, char text[SHK_TEXT]);
// The fewest digits that give the same number back: 0.1, 100, 1e-08, 1e+16, inf, nan.
void shk_real_text(double value, char text[SHK_TEXT]);
// The number of a file's text; false where it is none, or a whole number above `most`.
bool shk_read_whole(const char *text, uint64_t most, uint64_t *out);
bool shk_read_real(const char *text, double *out); // as shk_real_text writes it, or with more digits
// A number as one types it, and nothing else: no space, plus sign, hexadecimal, nan or inf.
bool shk_typed_whole(const char *text, uint64_t *out);
bool shk_typed_real(const char *text, double *out);

// The C locale and our arithmetic for this thread, in which C's functions write and read numbers as files have them.
struct shk_plain {
    fenv_t arithmetic;
    locale_t locale;
};
struct shk_plain shk_plain_enter(void); // what was before
void shk_plain_leave(const struct shk_plain *);

// Well-formed UTF-8 (RFC 3629).
bool shk_is_utf8(const char *text, size_t length);

// The one of `words` (ended by NULL) that was most likely meant, by letters that are wrong, missing, too many or in the wrong
// order; NULL: none is close.
const char *shk_meant(const char *typed, const char *const *words);

// Shows text that others wrote: what could act on a terminal or deceive a reader is written as \x1b or \u202e. That are
// control characters (C0 but those of `stay`, DEL, C1), what separates lines or turns their direction, and bytes that are no
// UTF-8. Fills `out` as far as whole characters fit, with a zero at the end, and returns how many bytes of `text` that were.
enum { SHK_SHOWN = 8 }; // most bytes for one character, with the zero
size_t shk_show(const char *text, size_t length, const char *stay, char *out, size_t size);

#endif
