// SPDX-License-Identifier: MIT
// These tests show text of others: nothing of it acts on a terminal or passes for another line; and guess what was meant.
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text, *shown;
} cases[] = {
    {"", ""},
    {"plain, with 'marks' and \\n", "plain, with 'marks' and \\n"},
    {"a\nb\tc\r\x1b[2J\x7f", "a\\x0ab\\x09c\\x0d\\x1b[2J\\x7f"},
    {"\xc2\x9b"
     "31m\xc2\xa0|",
     "\\x9b31m\xc2\xa0|"}, // a C1 control, and a space that is none
    {"\xe5\x9b\x9b\xe8\xa7\x92 \xf0\x9f\x8e\x93", "\xe5\x9b\x9b\xe8\xa7\x92 \xf0\x9f\x8e\x93"}, // words stay
    {"\xe2\x80\xaegpj.\xe2\x81\xa6x\xe2\x81\xa9\xd8\x9c\xe2\x80\x8f\xe2\x80\xa8",
     "\\u202egpj.\\u2066x\\u2069\\u061c\\u200f\\u2028"},                              // direction, lines
    {"\xff\xc0\xaf\xed\xa0\x80\xe5\x9b", "\\xff\\xc0\\xaf\\xed\\xa0\\x80\\xe5\\x9b"}, // no UTF-8
};
enum { CASES = sizeof cases / sizeof *cases };

static void test_show(void **state) {
    (void)state;
    char out[200];
    for (size_t i = 0; i < CASES; i++) {
        const size_t length = strlen(cases[i].text);
        assert_int_equal(shk_show(cases[i].text, length, "", out, sizeof out), length);
        assert_string_equal(out, cases[i].shown);
        assert_int_equal(shk_show(out, strlen(out), "", out, sizeof out),
                         strlen(cases[i].shown)); // what is shown stays
        assert_string_equal(out, cases[i].shown);
    }
    assert_int_equal(shk_show("a\0b", 3, "", out, sizeof out), 3);
    assert_string_equal(out, "a\\x00b");
    assert_int_equal(shk_show("a\nb\t\r", 5, "\n\t", out, sizeof out), 5);
    assert_string_equal(out, "a\nb\t\\x0d");
}

// In pieces of any size the same comes out, and whole characters.
static void test_pieces(void **state) {
    (void)state;
    for (size_t i = 0; i < CASES; i++)
        for (size_t size = SHK_SHOWN; size < 20; size++) {
            char all[200] = "", *piece = malloc(size);
            for (size_t at = 0, length = strlen(cases[i].text); at < length;) {
                const size_t taken = shk_show(cases[i].text + at, length - at, "", piece, size);
                assert_true(taken > 0 && strlen(piece) < size && shk_is_utf8(piece, strlen(piece)));
                strcat(all, piece);
                at += taken;
            }
            assert_string_equal(all, cases[i].shown);
            free(piece);
        }
}

static void test_meant(void **state) {
    (void)state;
    static const char *const words[] = {"train", "tune", "topo", "eval", "compare", NULL};
    static const char *const typed[][2] = {{"trian", "train"},
                                           {"tran", "train"},
                                           {"ttrain", "train"},
                                           {"tpo", "topo"},
                                           {"evla", "eval"},
                                           {"comapre", "compare"},
                                           {"x", NULL},
                                           {"", NULL},
                                           {"predict", NULL},
                                           {"train", "train"},
                                           {"a-word-that-is-longer-than-any-name", NULL}};
    for (size_t i = 0; i < sizeof typed / sizeof *typed; i++) {
        const char *meant = shk_meant(typed[i][0], words);
        if (typed[i][1])
            assert_string_equal(meant ? meant : "", typed[i][1]);
        else
            assert_null(meant);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_meant), cmocka_unit_test(test_show),
                                       cmocka_unit_test(test_pieces)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
