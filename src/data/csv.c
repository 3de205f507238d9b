// SPDX-License-Identifier: MIT
// Reads a CSV (RFC 4180) of path,label[,split] and has the pictures loaded that it lists.
#include "data/csv.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "data/arrays/pairs.h"
#include "data/pictures/load.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_CLASSES = 65536, MOST_ROWS = 10000000 };

// ---- Records ----

bool shk_csv_begin(struct shk_csv *c, const char *name, char *text, size_t size, struct shk_error *err) {
    static const char mark[3] = "\xef\xbb\xbf"; // of UTF-8, as spreadsheets write it
    const size_t skip = size >= sizeof mark && memcmp(text, mark, sizeof mark) == 0 ? sizeof mark : 0;
    *c = (struct shk_csv){.name = name, .at = text + skip, .end = text + size, .next = 1};
    text[size] = 0;
    return !memchr(text, 0, size) ||
           shk_fail(err, SHK_BAD_INPUT, "%s: this is no text in UTF-8: it holds a byte of 0", name);
}

static bool wrong(const struct shk_csv *c, const char *what, struct shk_error *err) {
    return shk_fail(err, SHK_BAD_INPUT, "%s, line %zu: %s", c->name, c->line, what);
}

static bool ends_line(const struct shk_csv *c) { return c->at == c->end || *c->at == '\n' || *c->at == '\r'; }

// Between quotes commas and ends of lines are text, and "" is one quote. The text moves up over the quotes.
static bool take_quoted(struct shk_csv *c, struct shk_error *err) {
    char *to = c->at++;
    c->field[c->fields++] = to;
    for (;; c->at++) {
        if (c->at == c->end) return wrong(c, "a quote is opened and not closed", err);
        if (*c->at == '"' && *++c->at != '"') break;
        if (*c->at == '\n') c->next++;
        *to++ = *c->at;
    }
    *to = 0;
    return ends_line(c) || *c->at == ',' || wrong(c, "a comma must follow a quote that is closed", err);
}

static bool take_bare(struct shk_csv *c, struct shk_error *err) {
    c->field[c->fields++] = c->at;
    for (; !ends_line(c) && *c->at != ','; c->at++)
        if (*c->at == '"')
            return wrong(c, "a quote stands within a field: put the field in quotes, and write \"\"", err);
    return true;
}

static bool take_fields(struct shk_csv *c, struct shk_error *err) {
    for (;;) {
        if (c->fields == SHK_CSV_FIELDS) return wrong(c, "it has more than the fields path,label,split", err);
        if (!(*c->at == '"' ? take_quoted : take_bare)(c, err)) return false;
        if (*c->at != ',') return true;
        *c->at++ = 0;
    }
}

bool shk_csv_take(struct shk_csv *c, struct shk_error *err) {
    c->line = c->next++;
    c->fields = 0;
    bool ok = take_fields(c, err);
    if (ok && *c->at == '\r') *c->at++ = 0;
    if (ok && c->at < c->end && *c->at != '\n') ok = wrong(c, "it must end in LF or CR LF", err);
    while (c->at < c->end && *c->at != '\n') c->at++;
    if (c->at < c->end) *c->at++ = 0;
    return ok;
}

// ---- Rows ----

struct row {
    const char *path, *class;
    size_t line;
    enum shk_part part;
};

struct table {
    const struct shk_request *request;
    const char *name;
    size_t column[SHK_CSV_FIELDS]; // where path, label and split stand
    size_t count, room;
    struct row *rows;
    size_t wrong, others; // lines; others are of parts that are not asked for
    struct shk_error first;
};

static const char *const path_words[] = {"path", "file", "filename", "image", NULL};
static const char *const label_words[] = {"label", "class", NULL};
static const char *const split_words[] = {"split", NULL};
static const char *const *const headings[SHK_CSV_FIELDS] = {path_words, label_words, split_words};

static size_t heading_of(const char *field) {
    for (size_t i = 0; i < SHK_CSV_FIELDS; i++)
        for (size_t k = 0; headings[i][k]; k++)
            if (strcasecmp(headings[i][k], field) == 0) return i;
    return SHK_CSV_FIELDS;
}

// Whether a record is a heading, which says in what order columns stand.
static bool take_heading(struct table *t, const struct shk_csv *c) {
    size_t column[SHK_CSV_FIELDS] = {SHK_CSV_FIELDS, SHK_CSV_FIELDS, SHK_CSV_FIELDS};
    for (size_t i = 0; i < c->fields; i++) {
        const size_t what = heading_of(c->field[i]);
        if (what == SHK_CSV_FIELDS || column[what] != SHK_CSV_FIELDS) return false;
        column[what] = i;
    }
    if (column[0] == SHK_CSV_FIELDS || column[1] == SHK_CSV_FIELDS) return false;
    memcpy(t->column, column, sizeof column);
    return true;
}

static bool part_of(const char *word, enum shk_part *part) {
    static const struct {
        const char *word;
        enum shk_part part;
    } parts[] = {{"train", SHK_PART_TRAIN},
                 {"val", SHK_PART_VAL},
                 {"valid", SHK_PART_VAL},
                 {"validation", SHK_PART_VAL},
                 {"test", SHK_PART_TEST}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strcasecmp(parts[i].word, word) == 0) return *part = parts[i].part, true;
    return false;
}

static const char *field_of(const struct table *t, const struct shk_csv *c, size_t what) {
    return t->column[what] < c->fields ? c->field[t->column[what]] : "";
}

static bool read_row(const struct table *t, const struct shk_csv *c, struct row *row, struct shk_error *err) {
    const char *split = field_of(t, c, 2);
    *row = (struct row){field_of(t, c, 0), field_of(t, c, 1), c->line, SHK_PARTS};
    if (c->fields < 2) return wrong(c, "it has one field, but wanted are path,label", err);
    if (!*row->path) return wrong(c, "its path is empty", err);
    if (!*row->class) return wrong(c, "its label is empty", err);
    if (!shk_is_utf8(row->class, strlen(row->class))) return wrong(c, "its label is no UTF-8", err);
    return !*split || part_of(split, &row->part) ||
           shk_fail(err, SHK_BAD_INPUT, "%s, line %zu: its split is '%.40s', but wanted is train, val or test", c->name,
                    c->line, split);
}

static bool add_row(struct table *t, struct row row, struct shk_error *err) {
    const enum shk_part asked = t->request->part;
    if (row.part == SHK_PARTS) row.part = asked == SHK_PARTS ? SHK_PART_TRAIN : asked;
    if (asked != SHK_PARTS && row.part != asked) return ++t->others, true;
    if (t->count == MOST_ROWS)
        return shk_fail(err, SHK_BAD_INPUT, "%s: more than %d pictures are not supported", t->name, MOST_ROWS);
    if (t->count == t->room) {
        const size_t room = t->room ? 2 * t->room : 256;
        struct row *rows = realloc(t->rows, room * sizeof *rows);
        if (!rows) return shk_fail(err, SHK_FAILED, "out of memory for the lines of a CSV");
        t->rows = rows;
        t->room = room;
    }
    t->rows[t->count++] = row;
    return true;
}

// All lines: those that are wrong are said each.
static bool read_rows(struct table *t, struct shk_csv *c, struct shk_error *err) {
    bool first = true;
    while (shk_csv_more(c)) {
        struct shk_error why = {0};
        struct row row;
        bool ok = shk_csv_take(c, &why);
        if (ok && c->fields == 1 && !*c->field[0]) continue; // an empty line
        if (ok && first && take_heading(t, c)) {
            first = false;
            continue;
        }
        first = false;
        ok = ok && read_row(t, c, &row, &why);
        if (ok && !add_row(t, row, err)) return false;
        if (ok) continue;
        if (t->wrong++ == 0) t->first = why;
        shk_data_bad(t->request->options, why.text);
    }
    return true;
}

static bool check_rows(const struct table *t, struct shk_error *err) {
    const struct shk_data_options *o = t->request->options;
    if (t->others) shk_data_note(o, "%zu lines of other parts are left out", t->others);
    if (t->wrong && t->count && o->skip_bad)
        return shk_data_note(o, "%zu lines are wrong and are left out", t->wrong), true;
    if (t->wrong)
        return shk_fail(err, SHK_BAD_INPUT, "%zu line%s wrong: the first: %.300s", t->wrong,
                        t->wrong == 1 ? " is" : "s are", t->first.text);
    return t->count || shk_fail(err, SHK_BAD_INPUT, "%s: it lists no picture: wanted are lines of path,label", t->name);
}

// ---- Classes ----

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

// What the lines of training say, or of the part that is there alone.
static bool find_classes(const struct table *t, struct shk_names *classes, struct shk_error *err) {
    const char **all = shk_alloc(t->count, sizeof *all, "classes", err);
    size_t n = 0, trains = 0;
    if (!all) return false;
    for (size_t i = 0; i < t->count; i++) trains += t->rows[i].part == SHK_PART_TRAIN;
    for (size_t i = 0; i < t->count; i++)
        if (!trains || t->rows[i].part == SHK_PART_TRAIN) all[n++] = t->rows[i].class;
    qsort(all, n, sizeof *all, by_bytes);
    bool ok = true;
    for (size_t i = 0; ok && i < n && classes->count <= MOST_CLASSES; i++)
        if (i == 0 || strcmp(all[i], all[i - 1]) != 0) ok = shk_names_add(classes, all[i], err);
    shk_free(all);
    shk_sort_classes(classes);
    return ok;
}

static bool check_classes(const struct table *t, const struct shk_names *classes, struct shk_error *err) {
    const size_t wanted = t->request->shape.classes;
    if (classes->count < 2 || classes->count > MOST_CLASSES)
        return shk_fail(err, SHK_BAD_INPUT,
                        "%s has %s class%s in its second column, but wanted are 2 to %d: are its lines path,label?",
                        t->name, classes->count < 2 ? "one" : "too many", classes->count < 2 ? "" : "es", MOST_CLASSES);
    return !wanted || wanted == classes->count ||
           shk_fail(err, SHK_BAD_INPUT, "%s has %zu classes, but wanted are %zu", t->name, classes->count, wanted);
}

struct known_class {
    const char *name;
    size_t label;
};

static int by_class(const void *a, const void *b) {
    return strcmp(((const struct known_class *)a)->name, ((const struct known_class *)b)->name);
}

static bool no_class(const struct table *t, const struct row *row, struct shk_error *err) {
    return shk_fail(err, SHK_BAD_INPUT, "%s, line %zu: it has a class '%.100s', which training has not", t->name,
                    row->line, row->class);
}

static bool add_files(const struct table *t, struct shk_file_list *l, const struct known_class *known, size_t classes,
                      struct shk_error *err) {
    char folder[SHK_ARRAY_PATH], path[SHK_ARRAY_PATH];
    const char *name;
    if (!shk_array_folder(t->request->path, folder, &name, err)) return false;
    for (size_t i = 0; i < t->count; i++) {
        const struct row *row = &t->rows[i];
        const struct known_class *k =
            bsearch(&(struct known_class){row->class, 0}, known, classes, sizeof *known, by_class);
        if (!k) return no_class(t, row, err);
        const bool absolute = *row->path == '/';
        if (!absolute && !shk_array_path(folder, row->path, path, err)) return false;
        const char *whole = absolute ? row->path : path;
        if (!shk_file_list_add(l, whole, strlen(whole) - strlen(row->path), k->label, row->part, err)) return false;
    }
    return true;
}

static bool list_rows(const struct table *t, struct shk_file_list *l, struct shk_error *err) {
    const struct shk_names *c = &l->classes;
    if (t->request->names ? !shk_names_copy(&l->classes, t->request->names, err)
                          : !find_classes(t, &l->classes, err) || !check_classes(t, c, err))
        return false;
    struct known_class *known = shk_alloc(c->count, sizeof *known, "classes", err);
    if (!known) return false;
    for (size_t i = 0; i < c->count; i++) known[i] = (struct known_class){c->names[i], i};
    qsort(known, c->count, sizeof *known, by_class);
    const bool ok = add_files(t, l, known, c->count, err);
    shk_free(known);
    return ok;
}

bool shk_csv_list(const struct shk_request *r, char *text, size_t size, struct shk_file_list *l,
                  struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    struct table t = {.request = r, .name = shk_shown_path(r->path, shown), .column = {0, 1, 2}};
    struct shk_csv c;
    const bool ok = shk_csv_begin(&c, t.name, text, size, err) && read_rows(&t, &c, err) && check_rows(&t, err) &&
                    list_rows(&t, l, err);
    free(t.rows);
    return ok;
}

// ---- The source ----

static bool any_text(const char *path, const unsigned char *begin, size_t size, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    (void)begin;
    return size > 0 || shk_fail(err, SHK_BAD_INPUT, "%s: this file is empty", shk_shown_path(path, shown));
}

// A file whose name ends in .csv, or that begins with a heading.
static bool is(const char *path) {
    const size_t length = strlen(path);
    struct shk_reader in;
    struct shk_csv c;
    struct table t = {0};
    char begin[SHK_FILE_BEGIN + 1];
    if (!shk_is_file(path)) return false;
    if (length >= 4 && strcasecmp(path + length - 4, ".csv") == 0) return true;
    if (!shk_reader_open(&in, path, NULL)) return false;
    const size_t size = in.packed || in.size > SHK_FILE_BEGIN ? SHK_FILE_BEGIN : (size_t)in.size;
    const bool read = !in.packed && shk_reader_read(&in, begin, size, "a heading", NULL);
    shk_reader_close(&in);
    return read && shk_csv_begin(&c, path, begin, size, NULL) && shk_csv_take(&c, NULL) && take_heading(&t, &c);
}

static bool open_csv(const struct shk_request *r, struct shk_data *d, struct shk_error *err) {
    struct shk_file_list l = {0};
    struct shk_bytes bytes;
    if (!shk_file_read(r->path, any_text, &bytes, err)) return false;
    char *text = shk_alloc(bytes.size + 1, 1, "a CSV", err);
    if (text) memcpy(text, bytes.data, bytes.size);
    const bool ok = text && shk_csv_list(r, text, bytes.size, &l, err) && shk_pictures_load(r, &l, d, err);
    shk_file_list_free(&l);
    shk_free(bytes.data);
    shk_free(text);
    return ok;
}

const struct shk_source_type shk_source_csv = {
    .name = "csv", .what = "a CSV of path,label[,split]", .is = is, .open = open_csv};
