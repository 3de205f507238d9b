// SPDX-License-Identifier: MIT
// Writes comparisons as a table, as Markdown and as JUnit's XML.
#include "report/verdicts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct verdict_counts verdicts_count(const struct verdicts *v) {
    struct verdict_counts counts = {{0}};
    for (size_t i = 0; i < v->count; i++) counts.of[v->comparison[i].verdict]++;
    return counts;
}

// ---- What all of them say ----

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static double percent(double log_ratio) { return 100 * expm1(log_ratio); }

struct noise_text {
    char text[24];
};
static struct noise_text noise_of(const struct comparison *c) {
    struct noise_text t = {"-"};
    if (c->noise > 0) snprintf(t.text, sizeof t.text, "%.1f%%", percent(c->noise));
    return t;
}

// Control characters are no part of a name here.
static void put(FILE *out, const char *text, const char *special, const char *const *instead) {
    for (; *text; text++) {
        const char *found = strchr(special, *text);
        if (found)
            fputs(instead[found - special], out);
        else
            fputc((unsigned char)*text < ' ' ? '?' : *text, out);
    }
}

static void put_summary(FILE *out, const struct verdicts *v, void put_name(FILE *, const char *)) {
    const struct verdict_counts c = verdicts_count(v);
    put_name(out, last_part(v->new));
    fprintf(out, " is %s: of %zu benchmarks %zu slower by more than %g %%, %zu not slower, %zu too noisy to tell",
            c.of[VERDICT_SLOWER]      ? "slower"
            : c.of[VERDICT_TOO_NOISY] ? "perhaps slower"
                                      : "not slower",
            v->count, c.of[VERDICT_SLOWER], 100 * v->threshold, c.of[VERDICT_NOT_SLOWER], c.of[VERDICT_TOO_NOISY]);
}

typedef void write_verdicts(FILE *, const struct verdicts *);

static char *text_by(write_verdicts *write, const struct verdicts *v) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    write(out, v);
    const bool failed = ferror(out);
    if (fclose(out) == 0 && !failed) return text;
    free(text);
    return NULL;
}

// ---- A table ----

static void put_plain(FILE *out, const char *text) { put(out, text, "", NULL); }

static void write_table(FILE *out, const struct verdicts *v) {
    int width = (int)strlen("benchmark");
    for (size_t i = 0; i < v->count; i++)
        if ((int)strlen(v->name[i]) > width) width = (int)strlen(v->name[i]);
    fprintf(out, "%-*s  %8s  %15s  %6s  %7s  %6s  verdict\n", width, "benchmark", "time", "0.95", "A/A", "p", "pairs");
    for (size_t i = 0; i < v->count; i++) {
        const struct comparison *c = &v->comparison[i];
        fprintf(out, "%-*s  %+7.1f%%  %+6.1f .. %+5.1f  %6s  %7.4f  %6zu  %s\n", width, v->name[i],
                percent(c->shift.estimate), percent(c->shift.low), percent(c->shift.high), noise_of(c).text,
                c->probability, c->rounds, verdict_name(c->verdict));
    }
    put_summary(out, v, put_plain);
    fputc('\n', out);
}

char *verdicts_table(const struct verdicts *v) { return text_by(write_table, v); }

// ---- Markdown ----

static void put_markdown(FILE *out, const char *text) {
    static const char *const instead[] = {"\\|", "&lt;", "&gt;", "&amp;", "\\`", "\\*", "\\_", "\\\\", "\\[", "\\]"};
    put(out, text, "|<>&`*_\\[]", instead);
}

static void write_markdown(FILE *out, const struct verdicts *v) {
    put_summary(out, v, put_markdown);
    fputs("\n\n| benchmark | time | 0.95 | A/A | p | verdict |\n|---|--:|--:|--:|--:|---|\n", out);
    for (size_t i = 0; i < v->count; i++) {
        const struct comparison *c = &v->comparison[i];
        fputs("| ", out);
        put_markdown(out, v->name[i]);
        fprintf(out, " | %+.1f %% | %+.1f .. %+.1f %% | %s | %.4f | %s%s%s |\n", percent(c->shift.estimate),
                percent(c->shift.low), percent(c->shift.high), noise_of(c).text, c->probability,
                c->verdict == VERDICT_SLOWER ? "**" : "", verdict_name(c->verdict),
                c->verdict == VERDICT_SLOWER ? "**" : "");
    }
}

char *verdicts_markdown(const struct verdicts *v) { return text_by(write_markdown, v); }

// ---- JUnit ----

static void put_xml(FILE *out, const char *text) {
    static const char *const instead[] = {"&lt;", "&gt;", "&amp;", "&quot;"};
    put(out, text, "<>&\"", instead);
}

static void write_case(FILE *out, const struct verdicts *v, size_t i) {
    static const char *const element[VERDICTS] = {
        [VERDICT_NOT_SLOWER] = "system-out", [VERDICT_SLOWER] = "failure", [VERDICT_TOO_NOISY] = "skipped"};
    const struct comparison *c = &v->comparison[i];
    const char *name = element[c->verdict];
    char said[160];
    snprintf(said, sizeof said, "%s: %+.1f %%, with 0.95 between %+.1f and %+.1f %%; A/A %s; p %.4f",
             verdict_name(c->verdict), percent(c->shift.estimate), percent(c->shift.low), percent(c->shift.high),
             noise_of(c).text, c->probability);
    fputs("    <testcase classname=\"shikaku.bench\" name=\"", out);
    put_xml(out, v->name[i]);
    if (c->verdict == VERDICT_NOT_SLOWER)
        fprintf(out, "\"><%s>%s</%s></testcase>\n", name, said, name);
    else
        fprintf(out, "\"><%s message=\"%s\"/></testcase>\n", name, said);
}

static void write_junit(FILE *out, const struct verdicts *v) {
    const struct verdict_counts c = verdicts_count(v);
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"", out);
    put_xml(out, last_part(v->new));
    fprintf(out, "\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"%zu\">\n", v->count, c.of[VERDICT_SLOWER],
            c.of[VERDICT_TOO_NOISY]);
    for (size_t i = 0; i < v->count; i++) write_case(out, v, i);
    fputs("  </testsuite>\n</testsuites>\n", out);
}

char *verdicts_junit(const struct verdicts *v) { return text_by(write_junit, v); }
