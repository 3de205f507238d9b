// SPDX-License-Identifier: MIT
// A net is written as a list of items: layers with arguments, groups, repeats, and sums of branches. This reads the text as it
// stands; what the words mean is build.c's affair.
//
//   list  = item { item }                             blanks and line breaks between; # begins a comment
//   item  = [ name "=" ] [ count "*" ] thing
//   thing = word [ "(" arg { "," arg } ")" ]          a layer: conv(16,3,stride=2)
//         | "(" list ")"                              a group
//         | ( "sum" | "cat" ) "(" list { "|" list } { "," arg } ")" branches that read the same value; one alone: with that
//                                                     value itself
//   arg   = [ key "=" ] value
#ifndef SHK_NN_GRAPH_SYNTAX_H
#define SHK_NN_GRAPH_SYNTAX_H

#include "base/error.h"
#include <stddef.h>

// A part of the text.
struct shk_token {
    const char *at;
    size_t length; // 0: it is not there
};
bool shk_token_is(struct shk_token, const char *word);

struct shk_argument {
    struct shk_token key, value;
};

enum { SHK_MAX_ARGUMENTS = 8, SHK_MAX_ITEMS = 512, SHK_MAX_NESTING = 16, SHK_MAX_REPEATS = 1000 };

enum shk_item_kind { SHK_ITEM_LAYER, SHK_ITEM_GROUP, SHK_ITEM_BRANCHES };

struct shk_item {
    enum shk_item_kind kind;
    struct shk_token name, word; // word: where a group begins, too; sum or cat
    size_t count;                // how often; 0: once, and no number was given
    unsigned argument_count;
    struct shk_argument arguments[SHK_MAX_ARGUMENTS];
    int first, next; // the first item in a group, or the first branch, which is a group; the next item; -1: none
};

struct shk_syntax {
    const char *text;
    unsigned count;
    struct shk_item items[SHK_MAX_ITEMS]; // items[0] is the group of all
};

// `text` stays the caller's. False, in one sentence with the place.
bool shk_syntax_read(struct shk_syntax *, const char *text, struct shk_error *);

// "line 2, character 5 ('conv(0')", of a text of one line without the line.
enum { SHK_PLACE = 80 };
void shk_syntax_place(const struct shk_syntax *, struct shk_token, char place[SHK_PLACE]);

// The text without comments: with one blank between items, or with a line for each item, groups that a line does not hold in
// several. Returns its length; where that is `size` or more, it has not been written.
enum shk_lines { SHK_ONE_LINE, SHK_MANY_LINES };
size_t shk_syntax_write(const struct shk_syntax *, enum shk_lines, char *out, size_t size);

#endif
