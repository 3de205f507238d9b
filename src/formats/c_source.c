// SPDX-License-Identifier: MIT
// A model becomes one C99 file that needs nothing: weights, a static arena, a call for each layer, and a self-test.
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "formats/c_code.h"
#include "formats/folded.h"
#include "nn/model.h"
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct source {
    const struct shk_model *m;
    struct shk_file_out file;
    char name[64];                // with which all that others see begins
    int last[SHK_MAX_LAYERS];     // the last layer that reads a layer's value
    size_t place[SHK_MAX_LAYERS]; // of it in the arena, floats
    size_t arena, weights_place;  // all of it; room for the weights of rows
};

static void say(struct source *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct source *s, const char *format, ...) {
    char text[2048];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    shk_file_put(&s->file, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

// ---- The arena ----

static bool is_silent(enum shk_layer_kind kind) {
    return kind == SHK_DROPOUT || kind == SHK_DROP_PATH || kind == SHK_FLATTEN;
}

// The layer whose value is layer i's: maps are [c][h][w], as PyTorch flattens them.
static int source_of(const struct shk_graph *g, int i) {
    while (is_silent(g->layers[i].kind)) i = g->layers[i].in[0];
    return i;
}

static size_t floats_of(const struct shk_layer *l) { return l->out.h * l->out.w * l->out.c; }

static void find_last(struct source *s) {
    const struct shk_graph *g = &s->m->graph;
    for (int i = 0; i < (int)g->count; i++) {
        s->last[i] = i;
        for (int k = 0; k < 2; k++)
            if (g->layers[i].in[k] >= 0) s->last[source_of(g, g->layers[i].in[k])] = i;
    }
}

// The lowest place for so many floats that no value has which is still read at layer i.
static size_t find_place(const struct source *s, int i, size_t floats) {
    const struct shk_graph *g = &s->m->graph;
    size_t place = 0;
    for (int k = 0; k < i; k++) {
        const size_t end = s->place[k] + floats_of(&g->layers[k]);
        if (is_silent(g->layers[k].kind) || s->last[k] < i || place + floats <= s->place[k] || end <= place) continue;
        place = end;
        k = -1; // whether it is free of the others
    }
    return place;
}

static void lay_out(struct source *s) {
    const struct shk_graph *g = &s->m->graph;
    size_t rows = 0;
    find_last(s);
    for (int i = 0; i < (int)g->count; i++) {
        const struct shk_layer *l = &g->layers[i];
        if (is_silent(l->kind)) continue;
        s->place[i] = find_place(s, i, floats_of(l));
        if (s->place[i] + floats_of(l) > s->arena) s->arena = s->place[i] + floats_of(l);
        const bool weighs = l->kind == SHK_ATTENTION || l->kind == SHK_SEQ_POOL;
        if (weighs && g->layers[l->in[0]].out.h > rows) rows = g->layers[l->in[0]].out.h;
    }
    s->weights_place = s->arena;
    s->arena += rows;
}

// ---- Numbers and names ----

// Nine digits give the same number back.
static void say_real(struct source *s, float x) {
    char text[SHK_TEXT];
    snprintf(text, sizeof text, "%.9g", (double)x);
    say(s, "%s%sf", text, strpbrk(text, ".e") ? "" : ".0");
}

static void say_reals(struct source *s, const float *values, size_t n) {
    for (size_t i = 0; i < n; i++) {
        say(s, i % 8 ? " " : "\n    ");
        say_real(s, values[i]);
        say(s, ",");
    }
}

struct identifier {
    char text[80];
};
static struct identifier identifier(const char *name) {
    struct identifier id;
    snprintf(id.text, sizeof id.text, "%s%s", isdigit((unsigned char)*name) ? "m" : "", name);
    for (char *c = id.text; *c; c++)
        if (!isalnum((unsigned char)*c)) *c = '_';
    return id;
}

// The array of a parameter; with its number where another is called so, too.
static struct identifier array_of(const struct source *s, int param) {
    struct identifier id = identifier(s->m->params[param].name);
    for (unsigned i = 0; i < s->m->param_count; i++) {
        if ((int)i == param || strcmp(identifier(s->m->params[i].name).text, id.text) != 0) continue;
        snprintf(id.text + strlen(id.text), sizeof id.text - strlen(id.text), "_%d", param);
        break;
    }
    return id;
}

static void say_weights(struct source *s) {
    enum { CHUNK = 4096 };
    float values[CHUNK];
    for (unsigned i = 0; i < s->m->param_count; i++) {
        const struct shk_param *p = &s->m->params[i];
        say(s, "static const float %s[%zu] = {", array_of(s, (int)i).text, p->size);
        for (size_t at = 0; at < p->size; at += CHUNK) {
            const size_t n = p->size - at < CHUNK ? p->size - at : CHUNK;
            shk_param_gather(p, at, n, s->m->weights, values);
            say_reals(s, values, n);
        }
        say(s, "\n};\n");
    }
}

// Fixed positions, which are no weights but arrays like them.
static bool say_tables(struct source *s, struct shk_error *err) {
    for (unsigned i = 0; i < s->m->graph.count; i++) {
        const struct shk_layer *l = &s->m->graph.layers[i];
        if (l->kind != SHK_FIXED_POSITIONS) continue;
        float *table = shk_alloc(floats_of(l), sizeof *table, "a table of positions", err);
        if (!table) return false;
        shk_grid_positions(&l->grid, l->out.h, l->out.c, l->out.c, table);
        say(s, "static const float fixed_positions_%u[%zu] = {", i, floats_of(l));
        say_reals(s, table, floats_of(l));
        say(s, "\n};\n");
        shk_free(table);
    }
    return true;
}

// The file's name without its folder and ending, as far as it makes an identifier.
static void choose_name(struct source *s, const char *path) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    const int length = dot ? (int)(dot - base) : (int)strlen(base);
    char cut[64];
    snprintf(cut, sizeof cut, "%.*s", length < 56 ? length : 56, base);
    snprintf(s->name, sizeof s->name, "%.63s", identifier(cut).text);
}

static void say_text(struct source *s, const char *text) {
    say(s, "\"");
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < ' ' || c > '~' || c == '"' || c == '\\' || c == '?')
            say(s, "\\%03o", c);
        else
            say(s, "%c", c);
    }
    say(s, "\"");
}

// ---- Layers: each is a call of a function of c_code.h ----

static const unsigned parts[SHK_LAYER_KINDS] = {
    [SHK_CONV] = 1 << SHK_C_CONVOLVE,
    [SHK_GROUPED_CONV] = 1 << SHK_C_CONVOLVE | 1 << SHK_C_CONVOLVE_GROUPS,
    [SHK_MAX_POOL] = 1 << SHK_C_MAX_POOL,
    [SHK_AVG_POOL] = 1 << SHK_C_AVG_POOL,
    [SHK_PATCH_EMBED] = 1 << SHK_C_DOT | 1 << SHK_C_EMBED,
    [SHK_TOKENS] = 1 << SHK_C_TURN,
    [SHK_CLS_TOKEN] = 1 << SHK_C_PREPEND,
    [SHK_POSITIONS] = 1 << SHK_C_ADD,
    [SHK_FIXED_POSITIONS] = 1 << SHK_C_ADD,
    [SHK_LINEAR] = 1 << SHK_C_DOT | 1 << SHK_C_MULTIPLY,
    [SHK_RELU] = 1 << SHK_C_RELU,
    [SHK_GELU] = 1 << SHK_C_SCALE | 1 << SHK_C_GELU,
    [SHK_SILU] = 1 << SHK_C_SCALE | 1 << SHK_C_EXP | 1 << SHK_C_SILU,
    [SHK_HARDSWISH] = 1 << SHK_C_HARDSWISH,
    [SHK_SIGMOID] = 1 << SHK_C_SCALE | 1 << SHK_C_EXP | 1 << SHK_C_SIGMOID,
    [SHK_ADD] = 1 << SHK_C_ADD,
    [SHK_CONCAT] = 1 << SHK_C_JOIN,
    [SHK_SCALE] = 1 << SHK_C_SCALE_MAP,
    [SHK_BATCH_NORM] = 1 << SHK_C_ROOT | 1 << SHK_C_STANDARDISE,
    [SHK_LAYER_NORM] = 1 << SHK_C_ROOT | 1 << SHK_C_NORMALISE,
    [SHK_ATTENTION] = 1 << SHK_C_DOT | 1 << SHK_C_SCALE | 1 << SHK_C_EXP | 1 << SHK_C_ATTEND,
    [SHK_SELECT_CLS] = 1 << SHK_C_FIRST,
    [SHK_MEAN_TOKENS] = 1 << SHK_C_MEAN,
    [SHK_SEQ_POOL] = 1 << SHK_C_DOT | 1 << SHK_C_SCALE | 1 << SHK_C_EXP | 1 << SHK_C_SEQ_POOL,
};

// The mean over the pixels of a map, not over rows.
static bool is_average(const struct shk_graph *g, const struct shk_layer *l) {
    return l->kind == SHK_MEAN_TOKENS && g->layers[l->in[0]].out.map;
}

static bool say_parts(struct source *s, struct shk_error *err) {
    const struct shk_graph *g = &s->m->graph;
    unsigned needed = 0;
    for (unsigned i = 1; i + 1 < g->count; i++) {
        const struct shk_layer *l = &g->layers[i];
        if (!parts[l->kind] && !is_silent(l->kind))
            return shk_fail(err, SHK_BAD_INPUT, "the model's layer %s has no form in C", l->name);
        needed |= is_average(g, l) ? 1 << SHK_C_AVERAGE : parts[l->kind];
    }
    for (unsigned i = 0; i < SHK_C_PARTS; i++)
        if (needed >> i & 1) say(s, "%s\n", shk_c_code[i]);
    return true;
}

// A call's arguments behind the input.
static void say_arguments(struct source *s, const struct shk_layer *l, struct shk_extent in, const char *out) {
    const size_t n = floats_of(l);
    switch (l->kind) {
    case SHK_CONV:
    case SHK_GROUPED_CONV:
        say(s, "%zu, %zu, %zu, %s, %zu, %zu, %zu, %zu, %zu, %zu", in.c, in.h, in.w, out, l->out.c, l->out.h, l->out.w,
            l->conv.kernel, l->conv.stride, l->conv.pad);
        if (l->kind == SHK_GROUPED_CONV) say(s, ", %zu", l->conv.groups);
        break;
    case SHK_MAX_POOL:
    case SHK_AVG_POOL:
        say(s, "%zu, %zu, %zu, %s, %zu, %zu, %zu, %zu, %zu", in.c, in.h, in.w, out, l->out.h, l->out.w, l->pool.window,
            l->pool.stride, l->pool.pad);
        break;
    case SHK_PATCH_EMBED:
        say(s, "%zu, %zu, %zu, %s, %zu, %zu", in.c, in.h, in.w, out, l->out.c, l->patch_embed.patch);
        break;
    case SHK_CLS_TOKEN:
        say(s, "%zu, %s, %zu", in.h * in.c, out, in.c);
        break;
    case SHK_LINEAR:
        say(s, "%zu, %zu, %s, %zu", in.h, in.c, out, l->out.c);
        break;
    case SHK_BATCH_NORM:
        say(s, "%zu, %zu, %s, ", in.c, in.h * in.w, out);
        say_real(s, (float)l->batch_norm.eps);
        break;
    case SHK_LAYER_NORM:
        say(s, "%zu, %zu, %s, ", in.h, in.c, out);
        say_real(s, (float)l->layer_norm.eps);
        break;
    case SHK_SCALE:
    case SHK_MEAN_TOKENS:
    case SHK_TOKENS:
        say(s, "%zu, %zu, %s", in.map ? in.c : in.h, in.map ? in.h * in.w : in.c, out);
        break;
    case SHK_CONCAT:
        say(s, "%zu, %zu, %zu, %s", in.map ? 1 : in.h, in.c * (in.map ? in.h * in.w : 1),
            (l->out.c - in.c) * (in.map ? in.h * in.w : 1), out);
        break;
    case SHK_SEQ_POOL:
        say(s, "%zu, %zu, %s, arena + %zu", in.h, in.c, out, s->weights_place);
        break;
    case SHK_ATTENTION:
        say(s, "%zu, %zu, %zu, %s, arena + %zu, ", in.h, l->attention.heads, l->out.c / l->attention.heads, out,
            s->weights_place);
        say_real(s, (float)(1 / sqrt((double)(l->out.c / l->attention.heads))));
        break;
    default:
        say(s, "%zu, %s", n, out);
    }
}

static const char *called(enum shk_layer_kind kind) {
    static const char *const names[SHK_LAYER_KINDS] = {[SHK_CONV] = "convolve",
                                                       [SHK_GROUPED_CONV] = "convolve_groups",
                                                       [SHK_MAX_POOL] = "max_pool",
                                                       [SHK_AVG_POOL] = "avg_pool",
                                                       [SHK_PATCH_EMBED] = "embed",
                                                       [SHK_TOKENS] = "turn",
                                                       [SHK_CLS_TOKEN] = "prepend",
                                                       [SHK_POSITIONS] = "add",
                                                       [SHK_FIXED_POSITIONS] = "add",
                                                       [SHK_LINEAR] = "multiply",
                                                       [SHK_RELU] = "relu",
                                                       [SHK_GELU] = "gelu",
                                                       [SHK_SILU] = "silu",
                                                       [SHK_HARDSWISH] = "hardswish",
                                                       [SHK_SIGMOID] = "sigmoid",
                                                       [SHK_SCALE] = "scale_map",
                                                       [SHK_ADD] = "add",
                                                       [SHK_CONCAT] = "join",
                                                       [SHK_BATCH_NORM] = "standardise",
                                                       [SHK_LAYER_NORM] = "normalise",
                                                       [SHK_ATTENTION] = "attend",
                                                       [SHK_SELECT_CLS] = "first",
                                                       [SHK_MEAN_TOKENS] = "mean",
                                                       [SHK_SEQ_POOL] = "pool_rows"};
    return names[kind];
}

static void say_call(struct source *s, int i) {
    const struct shk_graph *g = &s->m->graph;
    const struct shk_layer *l = &g->layers[i];
    const int in = source_of(g, l->in[0]), logits = source_of(g, g->layers[g->count - 1].in[0]);
    char out[48] = "logits";
    if (i != logits) snprintf(out, sizeof out, "arena + %zu", s->place[i]);
    say(s, "    %s(arena + %zu, ", is_average(g, l) ? "average" : called(l->kind), s->place[in]);
    if (l->in[1] >= 0) say(s, "arena + %zu, ", s->place[source_of(g, l->in[1])]);
    if (l->kind == SHK_FIXED_POSITIONS) say(s, "fixed_positions_%d, ", i);
    if (l->kind == SHK_POSITIONS) say(s, "%s, ", array_of(s, l->params[0]).text);
    say_arguments(s, l, g->layers[l->in[0]].out, out);
    for (int k = 0; k < 2; k++)
        if (l->params[k] >= 0 && l->kind != SHK_POSITIONS) say(s, ", %s", array_of(s, l->params[k]).text);
    if ((l->kind == SHK_CONV || l->kind == SHK_GROUPED_CONV) && l->params[1] < 0) say(s, ", 0");
    for (int k = 0; k < 2 && l->kind == SHK_BATCH_NORM; k++) say(s, ", %s", array_of(s, l->running[k]).text);
    say(s, "); /* %s */\n", l->name);
}

// ---- The file ----

static void say_head(struct source *s) {
    const struct shk_shape *shape = &s->m->shape;
    const char *n = s->name;
    say(s, "/* %s (", s->m->config.title);
    shk_file_put(&s->file, s->m->config.description, strlen(s->m->config.description));
    say(s, ") as plain C99, written by shikaku " SHK_VERSION ". It needs no library and no allocation.\n");
    say(s, " * Weights: %zu numbers, constant. Arena: %zu bytes, static: one call at a time.\n", s->m->parameters,
        s->arena * sizeof(float));
    say(s, " * -ffp-contract=off gives the same bits with every compiler and machine.\n *\n");
    say(s,
        " * Pixels are [height][width][channels], rows from the top, 0 to 1 (bytes: 0 to 255); the normalisation is\n"
        " * done here. Logits are [classes]; the greatest is the answer. The self-test returns 0 where all is well. "
        "*/\n");
    say(s, "#include <stdint.h>\n\n");
    say(s, "enum { %s_height = %zu, %s_width = %zu, %s_channels = %zu, %s_classes = %zu };\n", n, shape->height, n,
        shape->width, n, shape->channels, n, shape->classes);
    say(s, "void %s_predict(const float *pixels, float *logits);\n", n);
    say(s, "void %s_predict_bytes(const unsigned char *pixels, float *logits);\n", n);
    say(s, "int %s_self_test(void);\n", n);
    if (s->m->input.names.count == 0) return;
    say(s, "extern const char *const %s_class_names[%zu];\nconst char *const %s_class_names[%zu] = {\n", n,
        shape->classes, n, shape->classes);
    for (size_t i = 0; i < shape->classes; i++) {
        say(s, "    ");
        say_text(s, s->m->input.names.names[i]);
        say(s, ",\n");
    }
    say(s, "};\n");
}

// Pixels go into the arena as [channels][height][width]; pixel i of PIXELS, which has this type, is the expression.
static void say_entrance(struct source *s, const char *head, const char *pixel, const char *tail) {
    say(s, "%s {\n    int i;\n", head);
    say(s, "    for (i = 0; i < %zu; i++) take(i, %s);\n%s}\n", floats_of(&s->m->graph.layers[0]), pixel, tail);
}

static void say_take(struct source *s) {
    const struct shk_preprocessing *p = &s->m->input.prepared;
    const size_t c = s->m->shape.channels;
    if (p->normalised) {
        say(s, "static const float pixel_mean[%zu] = {", c);
        say_reals(s, p->mean, c);
        say(s, "\n};\nstatic const float pixel_deviation[%zu] = {", c);
        say_reals(s, p->deviation, c);
        say(s, "\n};\n");
    }
    say(s, "static void take(int i, float pixel) {\n");
    if (p->normalised) say(s, "    pixel = (pixel - pixel_mean[i %% %zu]) / pixel_deviation[i %% %zu];\n", c, c);
    say(s, "    arena[%zu + i %% %zu * %zu + i / %zu] = pixel;\n}\n\n", s->place[0], c,
        s->m->shape.height * s->m->shape.width, c);
}

static void say_network(struct source *s) {
    const struct shk_graph *g = &s->m->graph;
    say(s, "static float arena[%zu]; /* %zu bytes */\n\n", s->arena, s->arena * sizeof(float));
    say_take(s);
    say(s, "static void compute(float *logits) {\n");
    for (int i = 1; i + 1 < (int)g->count; i++)
        if (!is_silent(g->layers[i].kind)) say_call(s, i);
    say(s, "}\n\n");
    char head[160];
    snprintf(head, sizeof head, "void %s_predict(const float *pixels, float *logits)", s->name);
    say_entrance(s, head, "pixels[i]", "    compute(logits);\n");
    snprintf(head, sizeof head, "\nvoid %s_predict_bytes(const unsigned char *pixels, float *logits)", s->name);
    say_entrance(s, head, "(float)pixels[i] / 255.0f", "    compute(logits);\n");
}

// ---- The self-test: bytes of a fixed pattern, and the logits that the library has for them ----

static unsigned pattern(size_t i) { return (unsigned)((i * 151 + i / 7 * 31) % 256); }

static bool compute_logits(const struct shk_model *m, const struct shk_runtime *runtime, float *logits,
                           struct shk_error *err) {
    const struct shk_preprocessing *p = &m->input.prepared;
    const size_t n = floats_of(&m->graph.layers[0]), channels = m->shape.channels;
    float *pixels = shk_alloc(n, sizeof *pixels, "an image", err);
    struct shk_predictor *predictor = pixels ? shk_predictor_create(m, runtime, err) : NULL;
    for (size_t i = 0; predictor && i < n; i++) {
        const float x = (float)pattern(i) / 255.0f;
        pixels[i] = p->normalised ? (x - p->mean[i % channels]) / p->deviation[i % channels] : x;
    }
    if (predictor) shk_predictor_run(predictor, pixels, logits);
    const bool ok = predictor;
    shk_predictor_free(predictor);
    shk_free(pixels);
    return ok;
}

static void say_self_test(struct source *s, const float *logits) {
    const size_t classes = s->m->shape.classes;
    char head[160];
    snprintf(head, sizeof head, "static void take_pattern(void)");
    say(s, "\n");
    say_entrance(s, head, "(float)((i * 151L + i / 7 * 31L) % 256) / 255.0f", "");
    say(s, "\nint %s_self_test(void) {\n    static const float wanted[%zu] = {", s->name, classes);
    say_reals(s, logits, classes);
    say(s,
        "\n    };\n    float logits[%zu];\n    int i, wrong = 0;\n    take_pattern();\n    compute(logits);\n"
        "    for (i = 0; i < %zu; i++) {\n"
        "        const float x = wanted[i], most = 1e-4f * (1.0f + (x < 0.0f ? -x : x)), d = logits[i] - x;\n"
        "        if (!(d <= most && d >= -most)) wrong = 1;\n    }\n    return wrong;\n}\n",
        classes, classes);
}

static bool write_source(struct source *s, const float *logits, const char *path, struct shk_error *err) {
    if (!shk_file_create(&s->file, NULL, path, err)) return false;
    say_head(s);
    say(s, "\n");
    say_weights(s);
    const bool tables = say_tables(s, err);
    say(s, "\n");
    if (!tables || !say_parts(s, err)) {
        shk_file_abandon(&s->file);
        return false;
    }
    say_network(s);
    say_self_test(s, logits);
    return shk_file_finish(&s->file, err);
}

bool shk_model_export_c(const struct shk_model *m, const struct shk_runtime *runtime, const char *path,
                        struct shk_error *err) {
    struct shk_model *folded = shk_model_trainable(m, err) ? shk_folded_create(m, err) : NULL;
    struct source *s = folded ? shk_alloc(1, sizeof *s, "a source file", err) : NULL;
    float *logits = s ? shk_alloc(m->shape.classes, sizeof *logits, "logits", err) : NULL;
    bool ok = logits && compute_logits(m, runtime, logits, err);
    if (ok) {
        const struct shk_plain before = shk_plain_enter();
        s->m = folded;
        choose_name(s, path);
        lay_out(s);
        ok = write_source(s, logits, path, err);
        shk_plain_leave(&before);
    }
    shk_free(logits);
    shk_free(s);
    shk_folded_free(folded);
    return ok;
}
