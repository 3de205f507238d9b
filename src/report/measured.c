// SPDX-License-Identifier: MIT
// Checks every field of files of results, and gathers the repetitions of each benchmark.
#include "report/measured.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 64 << 20, MOST_THREADS = 1 << 20, MOST_STEPS = 1 << 30 };

// Where something is wrong: a benchmark of a file.
struct reading {
    const char *place;
    size_t number;    // of the entry, from 1
    const char *name; // NULL: not known yet
    struct measured *out;
    size_t left_out, aggregates;
    struct shk_error *err;
};

static bool fail(const struct reading *r, const char *what) {
    char place[SHK_SHOWN_PATH], name[160] = "";
    if (r->name) snprintf(name, sizeof name, " (%.150s)", r->name);
    return shk_fail(r->err, SHK_BAD_INPUT, "%s: benchmark %zu%s: %s", shk_shown_path(r->place, place), r->number, name,
                    what);
}

// A repetition, of a benchmark whose arrays are not there yet.
struct one {
    struct measured_benchmark of;
    double seconds, cpu_seconds;
};

// ---- Fields ----

// Of an entry; NULL: it is not there, or no text.
static const char *text_of(const json_t *entry, const char *key) {
    return json_string_value(json_object_get(entry, key));
}

// 0: not there, or no number above 0.
static double positive(const json_t *entry, const char *key) {
    const double value = json_number_value(json_object_get(entry, key));
    return value > 0 && isfinite(value) ? value : 0;
}

// Seconds of a unit of time; 0: it is none of Google Benchmark's.
static double unit_of(const json_t *entry) {
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}};
    const char *name = text_of(entry, "time_unit");
    for (size_t i = 0; name && i < sizeof units / sizeof *units; i++)
        if (strcmp(name, units[i].name) == 0) return units[i].seconds;
    return 0;
}

// The number behind "KEY:" in a part of a name between slashes; 0: there is none.
static size_t number_in(const char *name, const char *key) {
    const size_t length = strlen(key);
    for (const char *part = name; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL) {
        if (strncmp(part, key, length) != 0 || part[length] != ':') continue;
        char digits[12];
        uint64_t value;
        snprintf(digits, sizeof digits, "%.*s", (int)strcspn(part + length + 1, "/"), part + length + 1);
        return shk_read_whole(digits, MOST_STEPS, &value) ? (size_t)value : 0;
    }
    return 0;
}

// Threads of a program in bench/ stand in the name: to Google Benchmark, which starts none of them, it is one.
static bool read_threads(const struct reading *r, const json_t *entry, struct measured_benchmark *b) {
    const json_t *field = json_object_get(entry, "threads");
    const json_int_t threads = json_integer_value(field);
    const size_t named = number_in(r->name, "threads");
    if (field && (!json_is_integer(field) || threads < 1 || threads > MOST_THREADS))
        return fail(r, "threads must be a whole number from 1 on");
    b->threads = named && named <= MOST_THREADS ? (unsigned)named : field ? (unsigned)threads : 1;
    return true;
}

static bool read_hash(const struct reading *r, const json_t *entry, struct measured_benchmark *b) {
    const json_t *field = json_object_get(entry, "hash");
    const char *text = json_string_value(field);
    const json_int_t steps = json_integer_value(json_object_get(entry, "hashed_steps"));
    if (!field) return true;
    if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return fail(r, "hash must be 16 hexadecimal digits");
    if (steps < 1 || steps > MOST_STEPS)
        return fail(r, "hashed_steps must say after how many steps the hash was taken");
    b->hashed = true;
    b->hash = strtoull(text, NULL, 16);
    b->hashed_steps = (size_t)steps;
    return true;
}

static bool read_placement(const struct reading *r, const json_t *entry, struct measured_benchmark *b) {
    const json_t *field = json_object_get(entry, "placement");
    const char *text = json_string_value(field);
    if (!field) return true;
    if (!text || strlen(text) >= sizeof b->placement) return fail(r, "placement must be a text of less than 400 bytes");
    snprintf(b->placement, sizeof b->placement, "%s", text);
    return true;
}

// Samples/s of the median step say more than the time of all steps, as one that was held up does not count. Otherwise a step is an
// iteration.
static bool read_times(const struct reading *r, const json_t *entry, struct one *o) {
    const double unit = unit_of(entry), median = positive(entry, "median_samples_per_second"),
                 cpu_rate = positive(entry, "cpu_samples_per_second"),
                 rate = median > 0 ? median : (cpu_rate > 0 ? positive(entry, "items_per_second") : 0);
    if (!(unit > 0)) return fail(r, "time_unit must be ns, us, ms or s");
    o->seconds = unit * positive(entry, "real_time");
    o->cpu_seconds = unit * positive(entry, "cpu_time");
    if (!(o->seconds > 0)) return fail(r, "real_time must be a number above 0");
    if (rate > 0) {
        const size_t batch = number_in(r->name, "batch");
        o->of.samples = batch ? batch : 1;
        o->seconds = (double)o->of.samples / rate;
        o->cpu_seconds = cpu_rate > 0 ? (double)o->of.samples / cpu_rate : 0;
    }
    o->of.by_cpu = o->of.threads == 1 && o->cpu_seconds > 0 && isfinite(o->cpu_seconds);
    return isfinite(o->seconds) && o->seconds > 0 ? true : fail(r, "its time cannot be told in seconds");
}

// ---- Benchmarks ----

static bool read_repetition(const struct reading *r, const json_t *entry, struct one *o) {
    *o = (struct one){0};
    snprintf(o->of.name, sizeof o->of.name, "%s", r->name);
    return read_threads(r, entry, &o->of) && read_hash(r, entry, &o->of) && read_placement(r, entry, &o->of) &&
           read_times(r, entry, o);
}

static bool same(const struct measured_benchmark *a, const struct measured_benchmark *b) {
    return a->hashed == b->hashed && a->hash == b->hash && a->hashed_steps == b->hashed_steps &&
           a->threads == b->threads && a->samples == b->samples && strcmp(a->placement, b->placement) == 0;
}

// Repetitions of one benchmark stand together, as a rule: the last one is looked at first.
static struct measured_benchmark *find(const struct measured *m, const char *name) {
    for (size_t i = m->count; i-- > 0;)
        if (strcmp(m->benchmark[i].name, name) == 0) return &m->benchmark[i];
    return NULL;
}

// The array with room for one more than `count`, at powers of two a greater one; NULL: out of memory, the old one stays.
static void *with_room(void *array, size_t count, size_t size) {
    return count & (count - 1) ? array : realloc(array, (count ? 2 * count : 1) * size);
}

static bool no_memory(const struct reading *r) {
    return shk_fail(r->err, SHK_FAILED, "out of memory for results of benchmarks");
}

static bool add_benchmark(const struct reading *r, const struct measured_benchmark *b) {
    struct measured *m = r->out;
    if (m->count == MEASURED_BENCHMARKS) return fail(r, "the file has more than 4096 benchmarks");
    struct measured_benchmark *more = with_room(m->benchmark, m->count, sizeof *more);
    if (!more) return no_memory(r);
    m->benchmark = more;
    m->benchmark[m->count++] = *b;
    return true;
}

static bool add_times(const struct reading *r, struct measured_benchmark *b, const struct one *o) {
    double *more = with_room(b->seconds, b->count, sizeof *more);
    if (more) b->seconds = more;
    double *more_cpu = more ? with_room(b->cpu_seconds, b->count, sizeof *more_cpu) : NULL;
    if (!more_cpu) return no_memory(r);
    b->cpu_seconds = more_cpu;
    b->seconds[b->count] = o->seconds;
    b->cpu_seconds[b->count++] = o->cpu_seconds;
    b->by_cpu = b->by_cpu && o->of.by_cpu;
    return true;
}

static bool add(const struct reading *r, const struct one *o) {
    struct measured_benchmark *b = find(r->out, o->of.name);
    if (b && !same(b, &o->of)) return fail(r, "its repetitions differ in hash, threads, placement or batch");
    if (b && b->count == STATISTICS_MOST) return fail(r, "it has more than 200 repetitions");
    if (!b && !add_benchmark(r, &o->of)) return false;
    return add_times(r, b ? b : &r->out->benchmark[r->out->count - 1], o);
}

// Google Benchmark goes on where a benchmark fails or skips itself; such a one has no time.
static bool is_left_out(struct reading *r, const json_t *entry) {
    const bool skipped = json_is_true(json_object_get(entry, "skipped"));
    if (!skipped && !json_is_true(json_object_get(entry, "error_occurred"))) return false;
    const char *why = text_of(entry, skipped ? "skip_message" : "error_message");
    char place[SHK_SHOWN_PATH];
    if (r->left_out++ == 0)
        snprintf(r->out->warning, sizeof r->out->warning, "%s: %.200s is left out: it has no time%s%.200s",
                 shk_shown_path(r->place, place), r->name, why ? ", but says: " : "", why ? why : "");
    return true;
}

static bool read_entry(struct reading *r, const json_t *entry) {
    struct one one;
    if (!json_is_object(entry)) return fail(r, "it is no object");
    const char *name = text_of(entry, "name");
    if (!name || !*name || strlen(name) >= sizeof one.of.name) return fail(r, "name must be a text of 1 to 255 bytes");
    r->name = name;
    const json_t *type = json_object_get(entry, "run_type"); // older files have none
    const char *kind = type ? json_string_value(type) : "iteration";
    if (!kind || (strcmp(kind, "iteration") != 0 && strcmp(kind, "aggregate") != 0))
        return fail(r, "run_type must be iteration or aggregate");
    if (is_left_out(r, entry)) return true;
    if (strcmp(kind, "aggregate") == 0) return r->aggregates++, true;
    return read_repetition(r, entry, &one) && add(r, &one);
}

static bool read_entries(struct reading *r, const json_t *entries) {
    const json_t *entry;
    size_t i;
    char place[SHK_SHOWN_PATH];
    json_array_foreach(entries, i, entry) {
        r->number = i + 1;
        r->name = NULL;
        if (!read_entry(r, entry)) return false;
    }
    if (r->left_out > 1) {
        const size_t used = strlen(r->out->warning);
        snprintf(r->out->warning + used, sizeof r->out->warning - used, "; %zu more are left out like it",
                 r->left_out - 1);
    }
    if (r->out->count) return true;
    return shk_fail(r->err, SHK_BAD_INPUT, "%s has no benchmark with a time%s", shk_shown_path(r->place, place),
                    r->aggregates ? ", only aggregates: write it without --benchmark_report_aggregates_only" : "");
}

// ---- The file ----

bool measured_from_json(const json_t *file, const char *place, struct measured *out, struct shk_error *err) {
    json_t *context = json_object_get(file, "context"), *benchmarks = json_object_get(file, "benchmarks");
    struct reading r = {.place = place, .out = out, .err = err};
    char shown[SHK_SHOWN_PATH];
    *out = (struct measured){0};
    if (!json_is_object(context) || !json_is_array(benchmarks))
        return shk_fail(err, SHK_BAD_INPUT,
                        "%s holds no results of benchmarks: it must be an object with \"context\" and \"benchmarks\", "
                        "as 'shikaku bench --json FILE' writes it",
                        shk_shown_path(place, shown));
    out->context = json_incref(context);
    if (read_entries(&r, benchmarks)) return true;
    measured_free(out);
    return false;
}

bool measured_from_text(const char *text, size_t size, const char *path, struct measured *out, struct shk_error *err) {
    json_error_t why;
    char shown[SHK_SHOWN_PATH];
    json_t *file = shk_json_read(text, size, &why);
    *out = (struct measured){0};
    if (!file)
        return shk_fail(err, SHK_BAD_INPUT, "%s, line %d: no JSON: %.150s", shk_shown_path(path, shown), why.line,
                        why.text);
    const bool ok = measured_from_json(file, path, out, err);
    json_decref(file);
    return ok;
}

static bool check_size(const char *path, const unsigned char *begin, size_t size, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    (void)begin;
    return size <= MOST_BYTES || shk_fail(err, SHK_BAD_INPUT, "%s is larger than 64 MiB, the most that results may be",
                                          shk_shown_path(path, shown));
}

bool measured_read(const char *path, struct measured *out, struct shk_error *err) {
    struct shk_bytes bytes;
    *out = (struct measured){0};
    if (!shk_file_read(path, check_size, &bytes, err)) return false;
    const bool ok = measured_from_text((const char *)bytes.data, bytes.size, path, out, err);
    shk_free(bytes.data);
    return ok;
}

void measured_free(struct measured *m) {
    json_decref(m->context);
    for (size_t i = 0; i < m->count; i++) {
        free(m->benchmark[i].seconds);
        free(m->benchmark[i].cpu_seconds);
    }
    free(m->benchmark);
    *m = (struct measured){0};
}

const struct measured_benchmark *measured_find(const struct measured *m, const char *name) { return find(m, name); }

const double *measured_times(const struct measured_benchmark *b, bool by_cpu) {
    return by_cpu && b->by_cpu ? b->cpu_seconds : b->seconds;
}
