// SPDX-License-Identifier: MIT
// Arguments are put in their places here, read, and held against what they may be.
#include "nn/graph/arguments.h"

#include "base/text.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>

bool shk_read_share(const char *text, double *out) {
    static const char digits[] = "0123456789";
    const size_t whole = strspn(text, digits), point = text[whole] == '.',
                 places = strspn(text + whole + point, digits);
    return whole && !text[whole + point + places] && places <= 6 && shk_typed_real(text, out) && *out <= 0.9;
}

struct reading {
    const struct shk_syntax *syntax;
    const struct shk_item *item;
    const struct shk_parameter *parameters;
    size_t classes;
    struct shk_error *err;
};

static bool fail(const struct reading *r, struct shk_token at, const char *why) {
    char place[SHK_PLACE];
    shk_syntax_place(r->syntax, at, place);
    return shk_fail(r->err, SHK_BAD_INPUT, "the net's text, %s: %s", place, why);
}

// ---- What an argument may be ----

static void describe(const struct shk_parameter *p, char out[200]) {
    if (p->type == SHK_ARGUMENT_WHOLE) snprintf(out, 200, "a whole number from %zu to %zu", p->lo, p->hi);
    if (p->type == SHK_ARGUMENT_OUTPUTS) snprintf(out, 200, "a whole number from %zu to %zu, or classes", p->lo, p->hi);
    if (p->type == SHK_ARGUMENT_REAL) snprintf(out, 200, "a number from %zu to %zu", p->lo, p->hi);
    if (p->type == SHK_ARGUMENT_SHARE) snprintf(out, 200, "a probability from 0 to 0.9, with at most six places");
    if (p->type != SHK_ARGUMENT_WORD) return;
    size_t at = 0;
    for (unsigned i = 0; p->words[i]; i++)
        at += (size_t)snprintf(out + at, 200 - at, "%s%s", i ? " or " : "", p->words[i]);
}

static bool read_whole(const struct shk_parameter *p, const char *text, size_t *out) {
    uint64_t value;
    if (!shk_typed_whole(text, &value) || value < p->lo || value > p->hi) return false;
    *out = (size_t)value;
    return true;
}

static bool read_word(const struct shk_parameter *p, const char *text, size_t *out) {
    for (*out = 0; p->words[*out]; ++*out)
        if (!strcmp(text, p->words[*out])) return true;
    return false;
}

static bool read_value(const struct reading *r, unsigned i, const char *text, struct shk_values *v) {
    const struct shk_parameter *p = &r->parameters[i];
    if (!*text) {
        v->whole[i] = SHK_NOT_GIVEN;
        return true;
    }
    if (p->type == SHK_ARGUMENT_OUTPUTS && !strcmp(text, "classes")) {
        v->whole[i] = r->classes;
        return true;
    }
    if (p->type == SHK_ARGUMENT_REAL)
        return shk_typed_real(text, &v->real[i]) && v->real[i] >= (double)p->lo && v->real[i] <= (double)p->hi;
    if (p->type == SHK_ARGUMENT_SHARE) return shk_read_share(text, &v->real[i]);
    return (p->type == SHK_ARGUMENT_WORD ? read_word : read_whole)(p, text, &v->whole[i]);
}

static bool read_given(const struct reading *r, unsigned i, struct shk_token value, struct shk_values *v) {
    char text[32] = "", may_be[200], why[300];
    if (value.length < sizeof text) memcpy(text, value.at, value.length);
    if (*text && read_value(r, i, text, v)) return true;
    describe(&r->parameters[i], may_be);
    snprintf(why, sizeof why, "%s of %.*s must be %s", r->parameters[i].key, (int)r->item->word.length,
             r->item->word.at, may_be);
    return fail(r, value, why);
}

// ---- Their places ----

static bool fail_unknown(const struct reading *r, struct shk_token key) {
    char why[300], typed[32] = "";
    const char *keys[SHK_MAX_PARAMETERS + 1] = {NULL};
    size_t at = (size_t)snprintf(why, sizeof why, "%.*s takes ", (int)r->item->word.length, r->item->word.at);
    for (unsigned i = 0; r->parameters[i].key; i++) {
        keys[i] = r->parameters[i].key;
        at += (size_t)snprintf(why + at, sizeof why - at, "%s%s", i ? ", " : "", keys[i]);
    }
    if (!keys[0]) at += (size_t)snprintf(why + at, sizeof why - at, "no arguments");
    if (key.length < sizeof typed) memcpy(typed, key.at, key.length);
    const char *const meant = shk_meant(typed, keys);
    if (meant) snprintf(why + at, sizeof why - at, "; did you mean %s?", meant);
    return fail(r, key, why);
}

// Which parameter an argument is; -1: none.
static int place_of(const struct reading *r, unsigned argument) {
    const struct shk_token key = r->item->arguments[argument].key;
    for (unsigned i = 0; r->parameters[i].key; i++)
        if (key.length ? shk_token_is(key, r->parameters[i].key) : i == argument) return (int)i;
    return -1;
}

bool shk_arguments_read(const struct shk_syntax *syntax, const struct shk_item *item,
                        const struct shk_parameter *parameters, size_t classes, struct shk_values *values,
                        struct shk_error *err) {
    const struct reading r = {syntax, item, parameters, classes, err};
    bool given[SHK_MAX_PARAMETERS] = {false}, keyed = false;
    for (unsigned i = 0; i < item->argument_count; i++) {
        const struct shk_argument *a = &item->arguments[i];
        const int place = place_of(&r, i);
        if (keyed && !a->key.length) return fail(&r, a->value, "a value without its key stands behind one that has it");
        if (place < 0) return fail_unknown(&r, a->key.length ? a->key : a->value);
        if (given[place]) return fail(&r, a->key, "it is given twice");
        if (!read_given(&r, (unsigned)place, a->value, values)) return false;
        given[place] = true;
        keyed = a->key.length > 0;
    }
    for (unsigned i = 0; parameters[i].key; i++) {
        if (given[i]) continue;
        char why[200];
        snprintf(why, sizeof why, "%.*s lacks its %s", (int)item->word.length, item->word.at, parameters[i].key);
        if (!parameters[i].standard) return fail(&r, item->word, why);
        read_value(&r, i, parameters[i].standard, values);
    }
    return true;
}
