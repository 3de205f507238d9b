// SPDX-License-Identifier: MIT
// Writes HTML with a drawing in SVG and a table for each course; what comes from files is escaped.
#include "report/page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { WIDTH = 900, HEIGHT = 240, LEFT = 90, RIGHT = 20, TOP = 15, BOTTOM = 35 }; // of a drawing

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
    "'unsafe-inline'\">\n"
    "<link rel=\"icon\" href=\"data:,\">\n<title>Courses of benchmarks</title>\n<style>\n"
    ":root { color-scheme: light dark; --ink: #1b1b1f; --paper: #fff; --faint: #d5d5dc; --line: #1f5fbf; --step: "
    "#b3261e; }\n"
    "@media (prefers-color-scheme: dark) { :root { --ink: #e6e6ea; --paper: #16161a; --faint: #44444c; --line: "
    "#8ab4f8; "
    "--step: #ff8a80; } }\n"
    "body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; "
    "margin: 2rem auto; padding: 0 1rem; }\n"
    "h2 { font-size: 1.1rem; margin: 2.5rem 0 .3rem; overflow-wrap: anywhere; }\n"
    "svg { width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 12px; }\n"
    ".axis { stroke: var(--faint); } .course { fill: none; stroke: var(--line); stroke-width: 1.5; }\n"
    ".spread { stroke: var(--line); stroke-opacity: .45; stroke-width: 3; } .point { fill: var(--line); }\n"
    ".step { stroke: var(--step); stroke-dasharray: 4 3; } .stepped td, .says { color: var(--step); }\n"
    "table { border-collapse: collapse; font-variant-numeric: tabular-nums; }\n"
    "th, td { text-align: left; padding: .1rem .9rem .1rem 0; border-bottom: 1px solid var(--faint); white-space: "
    "nowrap; "
    "} td:last-child { white-space: normal; } .number { text-align: right; }\n"
    "</style>\n</head>\n<body>\n<h1>Courses of benchmarks</h1>\n";

// ---- Text ----

// What means something to HTML is written otherwise, and a control character, which no page may have, as U+FFFD.
static void put_text(FILE *out, const char *text) {
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '&' || c == '<' || c == '>' || c == '"' || c == '\'')
            fprintf(out, "&#%d;", c);
        else if (c < ' ' || c == 127)
            fputs("&#xfffd;", out);
        else
            fputc(c, out);
    }
}

static void put_cell(FILE *out, const char *text) {
    fputs("<td>", out);
    put_text(out, text);
    fputs("</td>", out);
}

// ---- Drawing ----

// The range of rates that a drawing shows.
struct scale {
    size_t count;
    double low, high;
};

static struct scale scale_of(const struct course *c) {
    struct scale s = {c->count, INFINITY, 0};
    for (size_t i = 0; i < c->count; i++) {
        s.low = fmin(s.low, c->point[i].low);
        s.high = fmax(s.high, c->point[i].high);
    }
    const double edge = fmax(0.05 * (s.high - s.low), 0.005 * s.high);
    s.low = fmax(0, s.low - edge);
    s.high += edge;
    return s;
}

static double x_of(const struct scale *s, double point) {
    return s->count > 1 ? LEFT + (WIDTH - LEFT - RIGHT) * point / (double)(s->count - 1) : (WIDTH + LEFT - RIGHT) / 2.0;
}

static double y_of(const struct scale *s, double rate) {
    return TOP + (HEIGHT - TOP - BOTTOM) * (s->high - rate) / (s->high - s->low);
}

static void put_axes(FILE *out, const struct course *c, const struct scale *s) {
    enum { LINES = 4 };
    for (int i = 0; i <= LINES; i++) {
        const double rate = s->low + (s->high - s->low) * i / LINES, y = y_of(s, rate);
        fprintf(out, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, WIDTH - RIGHT, y, y);
        fprintf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.5g</text>\n", LEFT - 8, y + 4, rate);
    }
    fprintf(out, "<text x=\"%d\" y=\"%d\">", LEFT, HEIGHT - 10);
    put_text(out, c->point[0].run->date);
    fprintf(out, "</text><text x=\"%d\" y=\"%d\" text-anchor=\"end\">", WIDTH - RIGHT, HEIGHT - 10);
    put_text(out, c->count > 1 ? c->point[c->count - 1].run->date : "");
    fputs("</text>\n", out);
}

static void put_steps(FILE *out, const struct course *c, const struct scale *s) {
    for (size_t i = 0; i < c->change_count; i++) {
        const struct change *k = &c->change[i];
        const double x = x_of(s, (double)k->at - 0.5);
        fprintf(out, "<line class=\"step\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", x, x, TOP, HEIGHT - BOTTOM);
        fprintf(out, "<text class=\"says\" x=\"%.1f\" y=\"%d\">%+.1f %%</text>\n", x + 4, TOP + 10,
                100 * (k->after / k->before - 1));
    }
}

static void put_points(FILE *out, const struct course *c, const struct scale *s) {
    fputs("<polyline class=\"course\" points=\"", out);
    for (size_t i = 0; i < c->count; i++) fprintf(out, "%.1f,%.1f ", x_of(s, (double)i), y_of(s, c->point[i].rate));
    fputs("\"/>\n", out);
    for (size_t i = 0; i < c->count; i++) {
        const struct course_point *p = &c->point[i];
        const double x = x_of(s, (double)i);
        fprintf(out, "<line class=\"spread\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x, x, y_of(s, p->low),
                y_of(s, p->high));
        fprintf(out, "<circle class=\"point\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>%.6g, ", x, y_of(s, p->rate),
                p->rate);
        put_text(out, p->run->date);
        fputs(", ", out);
        put_text(out, p->run->commit);
        fputs("</title></circle>\n", out);
    }
}

// ---- A course ----

static void put_drawing(FILE *out, const struct course *c) {
    const struct scale s = scale_of(c);
    fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"course\">\n", WIDTH, HEIGHT);
    put_axes(out, c, &s);
    put_steps(out, c, &s);
    put_points(out, c, &s);
    fputs("</svg>\n", out);
}

static void put_row(FILE *out, const struct course *c, size_t i) {
    const struct course_point *p = &c->point[i];
    const struct change *k = course_change_at(c, i);
    char news[COURSE_NEWS];
    course_news(c, i, news);
    fputs(k ? "<tr class=\"stepped\">" : "<tr>", out);
    put_cell(out, p->run->date);
    put_cell(out, p->run->commit);
    put_cell(out, p->run->version);
    fprintf(out, "<td class=\"number\">%.6g</td><td class=\"number\">%.1f %%</td>", p->rate,
            100 * (p->high - p->low) / p->rate);
    put_cell(out, p->run->name);
    fputs("<td>", out);
    if (k)
        fprintf(out, "stepped by %+.1f %% (p %.4f)%s", 100 * (k->after / k->before - 1), k->probability,
                *news ? "; " : "");
    if (*news) fputs("new: ", out);
    put_text(out, news);
    fputs("</td></tr>\n", out);
}

static void put_course(FILE *out, const struct course *c) {
    fputs("<h2>", out);
    put_text(out, c->name);
    fputs("</h2>\n<p>", out);
    put_text(out, c->machine);
    fprintf(out, "; %s/s%s; data: ", c->samples ? "samples" : "steps", c->by_cpu ? " of CPU time" : "");
    put_text(out, c->data);
    fputs("</p>\n", out);
    put_drawing(out, c);
    fprintf(
        out,
        "<details%s><summary>%zu runs, %zu steps</summary>\n<table>\n<tr><th>date</th><th>commit</th><th>version</th>"
        "<th class=\"number\">%s/s</th><th class=\"number\">spread</th><th>name</th><th></th></tr>\n",
        c->change_count ? " open" : "", c->count, c->change_count, c->samples ? "samples" : "steps");
    for (size_t i = 0; i < c->count; i++) put_row(out, c, i);
    fputs("</table></details>\n", out);
}

char *page_of_courses(const struct courses *all) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    fputs(head, out);
    for (size_t i = 0; i < all->count; i++) put_course(out, &all->course[i]);
    fputs("</body>\n</html>\n", out);
    const bool failed = ferror(out) != 0;
    if (fclose(out) == 0 && !failed) return text;
    free(text);
    return NULL;
}
