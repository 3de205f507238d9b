// SPDX-License-Identifier: MIT
// The text of a net is read into a tree of items, and written back.
#include "nn/graph/syntax.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool shk_token_is(struct shk_token t, const char *word) {
    return strlen(word) == t.length && !memcmp(t.at, word, t.length);
}

void shk_syntax_place(const struct shk_syntax *s, struct shk_token t, char place[SHK_PLACE]) {
    size_t line = 1, begin = 0, at = (size_t)(t.at - s->text);
    for (size_t i = 0; i < at; i++)
        if (s->text[i] == '\n') {
            line++;
            begin = i + 1;
        }
    char where[24] = "";
    if (strchr(s->text, '\n')) snprintf(where, sizeof where, "line %zu, ", line);
    const int shown = t.length ? (int)strcspn(t.at, "\n#") : 0;
    snprintf(place, SHK_PLACE, shown ? "%scharacter %zu ('%.*s')" : "%scharacter %zu (its end)", where, at - begin + 1,
             shown < 24 ? shown : 24, t.at);
}

// ---- Reading ----

struct reader {
    struct shk_syntax *s;
    const char *at;
    unsigned depth;
    struct shk_error *err;
};

static int fail(struct reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(struct reader *r, const char *format, ...) {
    char why[160], place[SHK_PLACE];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    shk_syntax_place(r->s, (struct shk_token){r->at, *r->at != 0}, place);
    shk_fail(r->err, SHK_BAD_INPUT, "the net's text, %s: %s", place, why);
    return -1;
}

static void skip_blanks(struct reader *r) {
    for (;;) {
        r->at += strspn(r->at, " \t\r\n");
        if (*r->at != '#') return;
        r->at += strcspn(r->at, "\n");
    }
}

static bool take(struct reader *r, char c) {
    skip_blanks(r);
    if (*r->at != c) return false;
    r->at++;
    return true;
}

static struct shk_token take_word(struct reader *r) {
    skip_blanks(r);
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    const struct shk_token t = {r->at, strspn(r->at, letters)};
    r->at += t.length;
    return t;
}

static int new_item(struct reader *r, enum shk_item_kind kind) {
    if (r->s->count == SHK_MAX_ITEMS) return fail(r, "it has more than %d items", SHK_MAX_ITEMS);
    r->s->items[r->s->count] = (struct shk_item){.kind = kind, .first = -1, .next = -1};
    return (int)r->s->count++;
}

static bool read_arguments(struct reader *r, struct shk_item *item) {
    do {
        if (item->argument_count == SHK_MAX_ARGUMENTS)
            return fail(r, "it has more than %d arguments", SHK_MAX_ARGUMENTS) >= 0;
        struct shk_argument a = {.value = take_word(r)};
        if (take(r, '=')) {
            a.key = a.value;
            a.value = take_word(r);
        }
        if (!a.value.length) return fail(r, "a value is expected, as in conv(16,3,stride=2)") >= 0;
        item->arguments[item->argument_count++] = a;
    } while (take(r, ','));
    return take(r, ')') || fail(r, "',' or ')' is expected behind an argument") >= 0;
}

static bool read_list(struct reader *r, int group, const char *ends);

// Branches, each a group.
static bool read_branches(struct reader *r, int item) {
    int last = -1;
    do {
        const int branch = new_item(r, SHK_ITEM_GROUP);
        if (branch < 0) return false;
        r->s->items[branch].word = r->s->items[item].word;
        if (last < 0)
            r->s->items[item].first = branch;
        else
            r->s->items[last].next = branch;
        last = branch;
        if (!read_list(r, branch, "|,)")) return false;
    } while (take(r, '|'));
    if (take(r, ',')) return read_arguments(r, &r->s->items[item]);
    return take(r, ')') || fail(r, "')' is expected behind branches") >= 0;
}

static bool read_count(struct reader *r, struct shk_token digits, size_t *count) {
    *count = 0;
    for (size_t i = 0; i < digits.length; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9' || *count > SHK_MAX_REPEATS)
            return fail(r, "a repeat is a whole number from 1 to %d", SHK_MAX_REPEATS) >= 0;
        *count = *count * 10 + (size_t)(digits.at[i] - '0');
    }
    return (*count >= 1 && *count <= SHK_MAX_REPEATS) ||
           fail(r, "a repeat is a whole number from 1 to %d", SHK_MAX_REPEATS) >= 0;
}

// A group, branches or a layer; its word may have been read.
static int read_thing(struct reader *r, struct shk_token word) {
    const char *const begin = r->at;
    if (!word.length && take(r, '(')) {
        const int group = new_item(r, SHK_ITEM_GROUP);
        if (group < 0) return -1;
        r->s->items[group].word = (struct shk_token){begin, 1};
        if (!read_list(r, group, ")")) return -1;
        return take(r, ')') ? group : fail(r, "')' is expected behind a group");
    }
    if (!word.length) word = take_word(r);
    if (!word.length) return fail(r, "a layer is expected, as conv(16,3) or relu");
    const bool branches = shk_token_is(word, "sum") || shk_token_is(word, "cat");
    const int item = new_item(r, branches ? SHK_ITEM_BRANCHES : SHK_ITEM_LAYER);
    if (item < 0) return -1;
    r->s->items[item].word = word;
    const bool open = take(r, '(');
    if (branches) {
        if (!open) return fail(r, "'(' is expected behind %.3s", word.at);
        return read_branches(r, item) ? item : -1;
    }
    return !open || read_arguments(r, &r->s->items[item]) ? item : -1;
}

static int read_item(struct reader *r) {
    struct shk_token name = {0}, word = take_word(r);
    size_t count = 0;
    if (word.length && take(r, '=')) {
        name = word;
        word = take_word(r);
    }
    if (word.length && take(r, '*')) {
        if (!read_count(r, word, &count)) return -1;
        word.length = 0;
    }
    const int item = read_thing(r, word);
    if (item < 0) return -1;
    r->s->items[item].name = name;
    r->s->items[item].count = count;
    return item;
}

// Up to one of `ends`, or of the text.
static bool read_list(struct reader *r, int group, const char *ends) {
    if (r->depth == SHK_MAX_NESTING) return fail(r, "groups are nested more than %d deep", SHK_MAX_NESTING) >= 0;
    r->depth++;
    int last = -1;
    for (skip_blanks(r); *r->at && !strchr(ends, *r->at); skip_blanks(r)) {
        const int item = read_item(r);
        if (item < 0) return false;
        if (last < 0)
            r->s->items[group].first = item;
        else
            r->s->items[last].next = item;
        last = item;
    }
    r->depth--;
    return last >= 0 || fail(r, "it is empty where layers are expected") >= 0;
}

bool shk_syntax_read(struct shk_syntax *s, const char *text, struct shk_error *err) {
    s->text = text;
    s->count = 0;
    struct reader r = {.s = s, .at = text, .err = err};
    const int all = new_item(&r, SHK_ITEM_GROUP);
    s->items[all].word = (struct shk_token){text, 0};
    return read_list(&r, all, "");
}

// ---- Writing ----

enum { COLUMNS = 80, INDENT = 4 };

struct writer {
    const struct shk_syntax *s;
    char *out;
    size_t at, size;
    bool lines;           // items have lines of their own,
    size_t indent, begin; // of so many blanks; this one begins there
};

static void put(struct writer *w, const char *text, size_t length) {
    if (length && w->at + length < w->size) memcpy(w->out + w->at, text, length);
    w->at += length;
}
static void put_text(struct writer *w, const char *text) { put(w, text, strlen(text)); }
static void put_token(struct writer *w, struct shk_token t) { put(w, t.at, t.length); }

static void put_break(struct writer *w) {
    put_text(w, "\n");
    w->begin = w->at;
    for (size_t i = 0; i < w->indent; i++) put_text(w, " ");
}

static void write_list(struct writer *w, int first);

// `before` comes before the first.
static void write_arguments(struct writer *w, const struct shk_item *item, const char *before) {
    for (unsigned i = 0; i < item->argument_count; i++) {
        const struct shk_argument *a = &item->arguments[i];
        put_text(w, i ? "," : before);
        put_token(w, a->key);
        if (a->key.length) put_text(w, "=");
        put_token(w, a->value);
    }
}

static void write_layer(struct writer *w, const struct shk_item *item) {
    put_token(w, item->word);
    write_arguments(w, item, "(");
    if (item->argument_count) put_text(w, ")");
}

// Of a group the items; or branches, up to the bracket.
static void write_inside(struct writer *w, const struct shk_item *item) {
    if (item->kind == SHK_ITEM_GROUP) {
        write_list(w, item->first);
        return;
    }
    for (int i = item->first; i >= 0; i = w->s->items[i].next) {
        if (i != item->first && w->lines) put_break(w);
        if (i != item->first) put_text(w, w->lines ? "|" : " | ");
        if (i != item->first && w->lines) put_break(w);
        write_list(w, w->s->items[i].first);
    }
    write_arguments(w, item, ",");
}

// Behind its bracket in the line, where that holds it all; else in lines.
static void write_brackets(struct writer *w, const struct shk_item *item) {
    struct writer line = {.s = w->s};
    if (item->kind == SHK_ITEM_BRANCHES) put_token(w, item->word);
    put_text(w, "(");
    write_inside(&line, item);
    const bool broken = w->lines && w->at - w->begin + line.at + 1 > COLUMNS, lines = w->lines;
    w->lines = broken;
    w->indent += INDENT;
    if (broken) put_break(w);
    write_inside(w, item);
    w->indent -= INDENT;
    if (broken) put_break(w);
    w->lines = lines;
    put_text(w, ")");
}

static void write_item(struct writer *w, const struct shk_item *item) {
    put_token(w, item->name);
    if (item->name.length) put_text(w, "=");
    char count[24];
    snprintf(count, sizeof count, "%zu*", item->count);
    if (item->count) put_text(w, count);
    if (item->kind == SHK_ITEM_LAYER)
        write_layer(w, item);
    else
        write_brackets(w, item);
}

static void write_list(struct writer *w, int first) {
    for (int i = first; i >= 0; i = w->s->items[i].next) {
        if (i != first && w->lines) put_break(w);
        if (i != first && !w->lines) put_text(w, " ");
        write_item(w, &w->s->items[i]);
    }
}

size_t shk_syntax_write(const struct shk_syntax *s, enum shk_lines lines, char *out, size_t size) {
    struct writer w = {.s = s, .out = out, .size = size, .lines = lines == SHK_MANY_LINES};
    write_list(&w, s->items[0].first);
    if (w.at < size) out[w.at] = 0;
    return w.at;
}
