// SPDX-License-Identifier: MIT
// Makes Google Benchmark's JSON of results.
#include "report/results.h"

#include "base/json.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- Figures ----

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The value below which `part` of n sorted values lie.
static double quantile(const double *sorted, size_t n, double part) {
    const double at = part * (double)(n - 1);
    const size_t low = (size_t)at, high = low + 1 < n ? low + 1 : low;
    return sorted[low] + (at - (double)low) * (sorted[high] - sorted[low]);
}

static double median(double *values, size_t n) {
    qsort(values, n, sizeof *values, ascending);
    return quantile(values, n, 0.5);
}

bool repetition_of(const struct shk_bench_step *steps, size_t n, struct repetition *out) {
    double *values = calloc(3 * n, sizeof *values);
    if (!values) return false;
    *out = (struct repetition){.steps = n};
    for (size_t i = 0; i < n; i++) {
        out->samples += steps[i].samples;
        out->seconds += steps[i].seconds;
        values[i] = (double)steps[i].samples / steps[i].seconds;
        values[n + i] = (double)steps[i].samples / steps[i].cpu_seconds;
        values[2 * n + i] = steps[i].peak;
    }
    out->rate = median(values, n);
    out->cpu_rate = median(values + n, n);
    out->peak = median(values + 2 * n, n);
    free(values);
    return true;
}

struct figure result_figure(const struct result *r, double (*get)(const struct repetition *)) {
    double *values = calloc(r->count + 1, sizeof *values);
    struct figure f = {0, 0};
    if (!values) return f;
    for (size_t i = 0; i < r->count; i++) values[i] = get(&r->repetition[i]);
    qsort(values, r->count, sizeof *values, ascending);
    if (r->count) f.median = quantile(values, r->count, 0.5);
    if (f.median > 0) f.spread = (quantile(values, r->count, 0.75) - quantile(values, r->count, 0.25)) / f.median;
    free(values);
    return f;
}

double repetition_rate(const struct repetition *r) { return r->rate; }
double repetition_cpu_rate(const struct repetition *r) { return r->cpu_rate; }
double repetition_peak(const struct repetition *r) { return r->peak; }
double repetition_cycles(const struct repetition *r) { return r->counts.cycles / (double)r->samples; }
double repetition_instructions(const struct repetition *r) { return r->counts.instructions / (double)r->samples; }
double repetition_cache_misses(const struct repetition *r) { return r->counts.cache_misses / (double)r->samples; }
double repetition_counted_share(const struct repetition *r) { return r->counts.share; }

// ---- JSON ----

double result_samples(const struct result *r, const struct repetition *p) {
    return r->is_kernel ? 1 : (double)p->samples / (double)p->steps;
}

// What Google Benchmark's tools read: times in ms of a step, in us of a call.
static json_t *entry(const struct result *r, const char *suffix, const struct repetition *p) {
    char name[sizeof r->name + 16];
    const double unit = (r->is_kernel ? 1e6 : 1e3) * result_samples(r, p);
    snprintf(name, sizeof name, "%s%s", r->name, suffix);
    return json_pack("{s:s, s:s, s:i, s:i, s:o, s:o, s:s, s:o, s:o}", "name", name, "run_name", r->name, "repetitions",
                     (int)r->count, "threads", (int)r->threads, "real_time", shk_json_number(unit / p->rate),
                     "cpu_time", shk_json_number(unit / (r->threads == 1 ? p->cpu_rate : p->rate)), "time_unit",
                     r->is_kernel ? "us" : "ms", "items_per_second", shk_json_number(p->rate), "cpu_samples_per_second",
                     shk_json_number(p->cpu_rate));
}

static json_t *counters(const struct result *r, const struct repetition *p) {
    const double flops = r->flops_done * p->rate;
    json_t *object = json_pack("{s:o}", "peak_gflops", shk_json_number(p->peak * 1e-9));
    bool ok = object;
    if (!r->is_kernel)
        ok = ok && json_object_set_new(object, "mflop", shk_json_number(r->flops * 1e-6)) == 0 &&
             json_object_set_new(object, "of_peak_done", shk_json_number(flops / p->peak)) == 0;
    if (r->is_kernel && r->flops > 0)
        ok = ok && json_object_set_new(object, "GFLOP/s", shk_json_number(flops * 1e-9)) == 0 &&
             json_object_set_new(object, "of_peak", shk_json_number(flops / p->peak)) == 0;
    if (r->bytes > 0) ok = ok && json_object_set_new(object, "GB/s", shk_json_number(r->bytes * p->rate * 1e-9)) == 0;
    if (ok) return object;
    json_decref(object);
    return NULL;
}

// Takes over all of them.
static bool append_merged(json_t *array, json_t *object, json_t *more, json_t *still_more) {
    const bool ok = object && more && still_more && json_object_update(object, more) == 0 &&
                    json_object_update(object, still_more) == 0;
    json_decref(more);
    json_decref(still_more);
    if (!ok) json_decref(object);
    return ok && json_array_append_new(array, object) == 0;
}

// Takes what has been counted into a repetition's object.
static bool add_counts(json_t *object, const struct repetition *p) {
    if (!(p->counts.share > 0)) return true;
    json_t *counts =
        json_pack("{s:o, s:o, s:o, s:o}", "cycles_per_sample", shk_json_number(repetition_cycles(p)),
                  "instructions_per_sample", shk_json_number(repetition_instructions(p)), "cache_misses_per_sample",
                  shk_json_number(repetition_cache_misses(p)), "counted_share", shk_json_number(p->counts.share));
    const bool ok = counts && json_object_update(object, counts) == 0;
    json_decref(counts);
    return ok;
}

static bool add_repetition(json_t *array, const struct result *r, size_t family, size_t i) {
    const struct repetition *p = &r->repetition[i];
    char hash[17];
    snprintf(hash, sizeof hash, "%016" PRIx64, r->hash);
    json_t *more = json_pack("{s:s, s:I, s:i, s:I, s:I, s:s, s:I, s:s, s:s}", "run_type", "iteration", "family_index",
                             (json_int_t)family, "per_family_instance_index", 0, "repetition_index", (json_int_t)i,
                             "iterations", (json_int_t)(r->is_kernel ? p->samples : p->steps), "hash", hash,
                             "hashed_steps", (json_int_t)r->hashed, "isa", r->isa, "placement", r->placement);
    if (more && !add_counts(more, p)) {
        json_decref(more);
        more = NULL;
    }
    return append_merged(array, entry(r, "", p), counters(r, p), more);
}

static bool add_aggregate(json_t *array, const struct result *r, size_t family) {
    struct repetition middle = r->repetition[0];
    middle.rate = result_figure(r, repetition_rate).median;
    middle.cpu_rate = result_figure(r, repetition_cpu_rate).median;
    middle.peak = result_figure(r, repetition_peak).median;
    json_t *more = json_pack("{s:s, s:s, s:s, s:I, s:i, s:i}", "run_type", "aggregate", "aggregate_name", "median",
                             "aggregate_unit", "time", "family_index", (json_int_t)family, "per_family_instance_index",
                             0, "iterations", (int)r->count);
    return append_merged(array, entry(r, "_median", &middle), counters(r, &middle), more);
}

json_t *results_to_json(json_t *context, const struct result *results, size_t count) {
    json_t *array = json_array();
    bool ok = array && context;
    for (size_t i = 0; ok && i < count; i++) {
        for (size_t k = 0; ok && k < results[i].count; k++) ok = add_repetition(array, &results[i], i, k);
        if (ok && results[i].count > 1) ok = add_aggregate(array, &results[i], i);
    }
    json_t *file = ok ? json_pack("{s:O, s:O}", "context", context, "benchmarks", array) : NULL;
    json_decref(context);
    json_decref(array);
    return file;
}
