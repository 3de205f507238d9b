// SPDX-License-Identifier: MIT
// Gathers what each run of a store says about a benchmark, in the order in which the runs were saved.
#include "report/courses.h"

#include "base/error.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double level = 0.05;

static const char *data_of(const struct store_run *r) {
    const char *data = json_string_value(json_object_get(r->results.context, "data"));
    return data ? data : "";
}

// ---- Gathering ----

static bool no_memory(struct shk_error *err) {
    return shk_fail(err, SHK_FAILED, "out of memory for the courses of benchmarks");
}

// At powers of two it grows.
static void *with_room(void *array, size_t count, size_t size) {
    return count & (count - 1) ? array : realloc(array, (count ? 2 * count : 1) * size);
}

static struct course *find(const struct courses *all, const struct store_run *r, const char *name) {
    for (size_t i = all->count; i-- > 0;) {
        struct course *c = &all->course[i];
        if (strcmp(c->name, name) == 0 && strcmp(c->machine, r->machine) == 0 && strcmp(c->data, data_of(r)) == 0)
            return c;
    }
    return NULL;
}

static struct course *add_course(struct courses *all, const struct store_run *r, const char *name) {
    struct course *more = with_room(all->course, all->count, sizeof *more);
    if (!more) return NULL;
    all->course = more;
    more[all->count] =
        (struct course){.machine = r->machine, .name = name, .data = data_of(r), .by_cpu = true, .samples = true};
    return &more[all->count++];
}

static bool add_point(struct courses *all, const struct store_run *r, const struct measured_benchmark *b) {
    struct course *c = find(all, r, b->name);
    if (!c) c = add_course(all, r, b->name);
    struct course_point *more = c ? with_room(c->point, c->count, sizeof *more) : NULL;
    if (!more) return false;
    c->point = more;
    c->point[c->count++] = (struct course_point){.run = r, .of = b};
    c->by_cpu = c->by_cpu && b->by_cpu;
    c->samples = c->samples && b->samples > 0;
    return true;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// All points in the same unit, which the last one may have settled.
static void measure(const struct course *c, struct course_point *p) {
    double time[STATISTICS_MOST];
    const size_t n = p->of->count;
    const double samples = c->samples ? (double)p->of->samples : 1;
    memcpy(time, measured_times(p->of, c->by_cpu), n * sizeof *time);
    p->rate = samples / statistics_median(time, n);
    qsort(time, n, sizeof *time, ascending);
    p->high = samples / time[n / 4];
    p->low = samples / time[n - 1 - n / 4];
}

bool courses_make(const struct store *s, struct courses *out, struct shk_error *err) {
    *out = (struct courses){0};
    bool ok = true;
    for (size_t i = 0; ok && i < s->count; i++)
        for (size_t k = 0; ok && k < s->run[i].results.count; k++)
            ok = add_point(out, &s->run[i], &s->run[i].results.benchmark[k]);
    for (size_t i = 0; ok && i < out->count; i++)
        for (size_t k = 0; k < out->course[i].count; k++) measure(&out->course[i], &out->course[i].point[k]);
    if (ok) return true;
    courses_free(out);
    return no_memory(err);
}

static void free_course(struct course *c) {
    free(c->point);
    free(c->change);
}

void courses_free(struct courses *all) {
    for (size_t i = 0; i < all->count; i++) free_course(&all->course[i]);
    free(all->course);
    *all = (struct courses){0};
}

// ---- Changes ----

static bool find_changes(struct course *c, double of_one) {
    double *rates = calloc(c->count, sizeof *rates);
    c->change = calloc(c->count, sizeof *c->change);
    const bool ok = rates && c->change;
    for (size_t i = 0; ok && i < c->count; i++) rates[i] = c->point[i].rate;
    const size_t count = ok ? changes_find(rates, c->count, of_one, c->change) : c->count + 1;
    free(rates);
    if (count > c->count) return false;
    c->change_count = count;
    return true;
}

bool courses_find_changes(struct courses *all, bool (*keeps)(const struct course *, const void *), const void *what,
                          struct shk_error *err) {
    size_t kept = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (keeps(&all->course[i], what))
            all->course[kept++] = all->course[i];
        else
            free_course(&all->course[i]);
    }
    all->count = kept;
    // Of many courses each has its share; what no number of orders can tell is not asked for.
    const double of_one = fmax(level / (double)(kept ? kept : 1), 2.0 / (CHANGES_ORDERS + 1));
    for (size_t i = 0; i < kept; i++)
        if (!find_changes(&all->course[i], of_one)) return no_memory(err);
    return true;
}

const struct change *course_change_at(const struct course *c, size_t point) {
    for (size_t i = 0; i < c->change_count; i++)
        if (c->change[i].at == point) return &c->change[i];
    return NULL;
}

// ---- News ----

static void add_news(char *out, const char *what) {
    const size_t used = strlen(out);
    snprintf(out + used, COURSE_NEWS - used, "%s%s", used ? ", " : "", what);
}

void course_news(const struct course *c, size_t point, char out[COURSE_NEWS]) {
    static const char *const facts[] = {"version",  "numerics", "compiler", "flags",   "microcode",
                                        "governor", "boost",    "quota",    "num_cpus"};
    *out = 0;
    if (point == 0) return;
    const struct course_point *now = &c->point[point], *then = now - 1;
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        const json_t *a = json_object_get(then->run->results.context, facts[i]),
                     *b = json_object_get(now->run->results.context, facts[i]);
        if (a != b && !json_equal(a, b)) add_news(out, facts[i]);
    }
    if (then->of->hashed && now->of->hashed && then->of->hash != now->of->hash) add_news(out, "weights");
    if (strcmp(then->of->placement, now->of->placement) != 0) add_news(out, "threads' places");
}
