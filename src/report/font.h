// SPDX-License-Identifier: MIT
// Letters of 5 x 7 dots, for words in pictures: ASCII, and a question mark for anything else.
#ifndef SHK_REPORT_FONT_H
#define SHK_REPORT_FONT_H

#include <stdint.h>

enum { FONT_WIDTH = 5, FONT_HEIGHT = 7 };
// [FONT_HEIGHT] rows, the leftmost dot is the bit of 16.
const uint8_t *font_glyph(char letter);

#endif
