// SPDX-License-Identifier: MIT
// Prints the scores of classes and who is taken for whom.
#include "cli/scores.h"

#include "base/json.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_ROWS = 200, MOST_COLUMNS = 20, MOST_PAIRS = 20 };

// What a class is called, or its number.
static struct cli_text class_name(const struct shk_model *m, size_t label) {
    char number[24];
    snprintf(number, sizeof number, "%zu", label);
    const char *name = shk_model_class(m, label);
    return cli_shown(name ? name : number);
}

static const char *score(double value, char text[16]) {
    snprintf(text, 16, isnan(value) ? "-" : "%.3f", value);
    return text;
}

// Names come last in a line: they have any width.
static void print_classes(const struct shk_evaluation *e, const struct shk_model *m) {
    cli_print("%8s  %9s  %6s  %6s  %s\n", "samples", "precision", "recall", "F1", "class");
    for (size_t c = 0; c < e->classes && c < MOST_ROWS; c++) {
        const struct shk_class_scores *s = &e->of_class[c];
        char precision[16], recall[16], f1[16];
        cli_print("%8zu  %9s  %6s  %6s  %s%s\n", s->samples, score(s->precision, precision), score(s->recall, recall),
                  score(s->f1, f1), class_name(m, c).text, s->samples ? "" : " (no samples)");
    }
    if (e->classes > MOST_ROWS) cli_print("and %zu more classes: --json has all\n", e->classes - MOST_ROWS);
}

static void print_matrix(const struct shk_evaluation *e, const struct shk_model *m) {
    cli_print("confusion: a row for each class, a column for what it was taken for\n");
    for (size_t row = 0; row < e->classes; row++) {
        for (size_t column = 0; column < e->classes; column++)
            cli_print("%6zu", e->confusion[row * e->classes + column]);
        cli_print("  %s\n", class_name(m, row).text);
    }
}

struct pair {
    size_t label, said, count;
};

static int by_count(const void *a, const void *b) {
    const struct pair *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    if (x->label != y->label) return x->label < y->label ? -1 : 1;
    return x->said < y->said ? -1 : x->said > y->said;
}

// Of many classes the most frequent confusions.
static void print_pairs(const struct shk_evaluation *e, const struct shk_model *m) {
    struct pair *pairs = calloc(e->classes * e->classes, sizeof *pairs);
    size_t n = 0;
    if (!pairs) cli_die(CLI_FAILED, "out of memory");
    for (size_t i = 0; i < e->classes * e->classes; i++)
        if (i / e->classes != i % e->classes && e->confusion[i])
            pairs[n++] = (struct pair){i / e->classes, i % e->classes, e->confusion[i]};
    qsort(pairs, n, sizeof *pairs, by_count);
    cli_print("taken for another class most often (--json has all)\n");
    for (size_t i = 0; i < n && i < MOST_PAIRS; i++) {
        cli_print("%6zu  %s for %s\n", pairs[i].count, class_name(m, pairs[i].label).text,
                  class_name(m, pairs[i].said).text);
    }
    free(pairs);
}

void scores_print(const struct shk_evaluation *e, const struct shk_model *m) {
    cli_print("samples: %zu, top-%zu: %.3f, macro precision: %.3f, recall: %.3f, F1: %.3f, micro: %.3f\n", e->samples,
              e->k, e->top_k, e->macro_precision, e->macro_recall, e->macro_f1, e->metrics.accuracy);
    print_classes(e, m);
    if (e->confusion && e->classes <= MOST_COLUMNS)
        print_matrix(e, m);
    else if (e->confusion)
        print_pairs(e, m);
}

// ---- JSON ----

static json_t *class_to_json(const struct shk_class_scores *s, const struct shk_model *m, size_t label) {
    const char *name = shk_model_class(m, label);
    return json_pack("{s:I, s:s?, s:I, s:I, s:I, s:o, s:o, s:o}", "label", (json_int_t)label, "name", name, "samples",
                     (json_int_t)s->samples, "predicted", (json_int_t)s->predicted, "right", (json_int_t)s->right,
                     "precision", shk_json_number(s->precision), "recall", shk_json_number(s->recall), "f1",
                     shk_json_number(s->f1));
}

static json_t *confusion_to_json(const struct shk_evaluation *e) {
    json_t *rows = json_array();
    for (size_t r = 0; rows && r < e->classes; r++) {
        json_t *row = json_array();
        for (size_t c = 0; row && c < e->classes; c++)
            json_array_append_new(row, json_integer((json_int_t)e->confusion[r * e->classes + c]));
        json_array_append_new(rows, row);
    }
    return rows;
}

json_t *scores_to_json(const struct shk_evaluation *e, const struct weights *w) {
    char hash[17];
    snprintf(hash, sizeof hash, "%016" PRIx64, shk_model_hash(w->model));
    json_t *classes = json_array();
    for (size_t c = 0; classes && c < e->classes; c++)
        json_array_append_new(classes, class_to_json(&e->of_class[c], w->model, c));
    json_t *object = json_pack(
        "{s:s, s:s, s:s?, s:s, s:I, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o}", "file", w->path, "model",
        shk_model_description(w->model), "place", w->place, "weights", hash, "samples", (json_int_t)e->samples, "loss",
        shk_json_number(e->metrics.loss), "accuracy", shk_json_number(e->metrics.accuracy), "k", (json_int_t)e->k,
        "top_k", shk_json_number(e->top_k), "macro_precision", shk_json_number(e->macro_precision), "macro_recall",
        shk_json_number(e->macro_recall), "macro_f1", shk_json_number(e->macro_f1), "classes", classes);
    if (object && e->confusion) json_object_set_new(object, "confusion", confusion_to_json(e));
    return object;
}
