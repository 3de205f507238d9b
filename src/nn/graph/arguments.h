// SPDX-License-Identifier: MIT
// A layer's arguments in a net's text are read by a list of what the layer takes.
#ifndef SHK_NN_GRAPH_ARGUMENTS_H
#define SHK_NN_GRAPH_ARGUMENTS_H

#include "nn/graph/syntax.h"

enum shk_argument_type {
    SHK_ARGUMENT_WHOLE,
    SHK_ARGUMENT_OUTPUTS, // a whole number, or the word classes
    SHK_ARGUMENT_SHARE,   // a decimal fraction from 0 to 0.9, with at most six places
    SHK_ARGUMENT_REAL,    // a number from lo to hi, which may have an exponent
    SHK_ARGUMENT_WORD,    // one of some words; its value is the word's place among them
};

// One argument that a layer takes. By position, they come in the list's order.
struct shk_parameter {
    const char *key; // NULL: the list's end
    enum shk_argument_type type;
    size_t lo, hi;        // of numbers
    const char *standard; // what it has where it is not given; NULL: it must be; "": SHK_NOT_GIVEN
    const char *words[4]; // of SHK_ARGUMENT_WORD, NULL behind the last
};

enum { SHK_MAX_PARAMETERS = 8 };
static const size_t SHK_NOT_GIVEN = (size_t)-1;

struct shk_values {
    size_t whole[SHK_MAX_PARAMETERS]; // of a word its place
    double real[SHK_MAX_PARAMETERS];
};

// Reads an item's arguments. False, in one sentence with the place and what would be right.
bool shk_arguments_read(const struct shk_syntax *, const struct shk_item *, const struct shk_parameter *,
                        size_t classes, struct shk_values *, struct shk_error *);

// A decimal fraction from 0 to 0.9 with at most six places.
bool shk_read_share(const char *text, double *out);

#endif
