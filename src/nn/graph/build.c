// SPDX-License-Identifier: MIT
// A net's text becomes layers: groups give names, repeats repeat, branches are added up or joined.
#include "nn/graph/build.h"

#include "base/memory.h"
#include "base/text.h"
#include "nn/graph/words.h"
#include <stdio.h>
#include <string.h>

static const size_t max_parameters = 100000000;
enum { MOST_NAME = 40, MOST_WORDS = 40 };

// Where children are named: PREFIX.0, PREFIX.1, ... or by the names that they have.
struct scope {
    char prefix[MOST_NAME + 1]; // with its dot; or empty
    unsigned children;          // so far
};

bool shk_builder_fail(struct shk_builder *b, const char *why) {
    char place[SHK_PLACE];
    shk_syntax_place(b->syntax, b->item->word, place);
    return shk_fail(b->err, SHK_BAD_INPUT, "the net's text, %s: %s", place, why);
}

bool shk_builder_add(struct shk_builder *b, struct shk_layer l) {
    struct shk_error why;
    l.in[0] = b->at;
    if (b->m->param_count == SHK_MAX_PARAMS) return shk_builder_fail(b, "the model has too many parameter tensors");
    const int at = shk_graph_add(&b->m->graph, &l, &why);
    if (at < 0) return shk_builder_fail(b, why.text);
    b->at = at;
    if (b->m->parameters <= max_parameters) return true;
    char much[120];
    snprintf(much, sizeof much, "up to here there are %zu parameters, at most %zu are supported", b->m->parameters,
             max_parameters);
    return shk_builder_fail(b, much);
}

// ---- Names ----

// Of the next child; `repeat` counts it where it has a count.
static bool name_child(struct shk_builder *b, struct scope *scope, size_t repeat, char out[MOST_NAME + 1]) {
    const struct shk_item *item = b->item;
    char name[64] = "";
    if (item->name.length >= sizeof name) return shk_builder_fail(b, "its name is too long");
    int length;
    if (!item->name.length)
        length = snprintf(name, sizeof name, "%s%u", scope->prefix, scope->children);
    else if (item->count)
        length =
            snprintf(name, sizeof name, "%s%.*s.%zu", scope->prefix, (int)item->name.length, item->name.at, repeat);
    else
        length = snprintf(name, sizeof name, "%s%.*s", scope->prefix, (int)item->name.length, item->name.at);
    scope->children++;
    if (length > MOST_NAME) return shk_builder_fail(b, "the names of its groups and its own are too long together");
    memcpy(out, name, (size_t)length + 1);
    return true;
}

// ---- Items ----

static const struct shk_word *find_word(struct shk_token t) {
    for (const struct shk_word *w = shk_words; w->name; w++)
        if (shk_token_is(t, w->name)) return w;
    return NULL;
}

static bool fail_word(struct shk_builder *b) {
    const char *names[MOST_WORDS + 1] = {NULL};
    char why[400] = "no layer is called so; the layers are sum, cat", typed[32] = "";
    size_t at = strlen(why);
    unsigned count = 0;
    for (const struct shk_word *w = shk_words; w->name && count < MOST_WORDS; w++) {
        names[count++] = w->name;
        at += (size_t)snprintf(why + at, sizeof why - at, ", %s", w->name);
    }
    if (b->item->word.length < sizeof typed) memcpy(typed, b->item->word.at, b->item->word.length);
    const char *const meant = shk_meant(typed, names);
    if (meant) snprintf(why, sizeof why, "no layer is called so; did you mean %s?", meant);
    return shk_builder_fail(b, why);
}

static bool build_list(struct shk_builder *b, int first, struct scope *scope);

static bool build_layer(struct shk_builder *b, const char *name) {
    const struct shk_word *word = find_word(b->item->word);
    struct shk_values values;
    if (!word) return fail_word(b);
    return shk_arguments_read(b->syntax, b->item, word->parameters, b->m->shape.classes, &values, b->err) &&
           word->build(b, name, &values);
}

// The first is left out for some samples, by stochastic depth.
static bool add_branches(struct shk_builder *b, const struct shk_item *sum, int one, int other, double drop_path) {
    const struct shk_item *const item = b->item;
    b->item = sum;
    const bool ok = one != other || shk_builder_fail(b, "both of its branches are the value that it reads");
    b->at = one;
    const bool added = ok && shk_builder_drop_path(b, drop_path) &&
                       shk_builder_add(b, (struct shk_layer){.kind = SHK_ADD, .in = {0, other}, .params = {-1, -1}});
    b->item = item;
    return added;
}

static const struct shk_parameter sum_parameters[] = {{"drop_path", SHK_ARGUMENT_SHARE, 0, 0, "0", {NULL}},
                                                      {.key = NULL}};

// Branch after branch is added to the first; one alone to what it reads.
static bool build_sum(struct shk_builder *b, const struct shk_item *sum, struct scope *scope) {
    const int from = b->at;
    int total = -1;
    struct shk_values v;
    if (!shk_arguments_read(b->syntax, sum, sum_parameters, b->m->shape.classes, &v, b->err)) return false;
    for (int i = sum->first; i >= 0; i = b->syntax->items[i].next) {
        b->at = from;
        if (!build_list(b, b->syntax->items[i].first, scope)) return false;
        const bool second = b->syntax->items[sum->first].next == i;
        if (second && !add_branches(b, sum, total, b->at, v.real[0])) return false;
        if (total >= 0 && !second && !add_branches(b, sum, b->at, total, 0)) return false;
        total = b->at;
    }
    return b->syntax->items[sum->first].next >= 0 || add_branches(b, sum, total, from, v.real[0]);
}

static const struct shk_parameter no_parameters[] = {{.key = NULL}};

static bool join(struct shk_builder *b, const struct shk_item *cat, const int *ends, size_t count) {
    b->item = cat;
    b->at = ends[0];
    for (size_t i = 1; i < count; i++) {
        for (size_t k = 0; k < i; k++)
            if (ends[i] == ends[k]) return shk_builder_fail(b, "two of its branches are the value that it reads");
        if (!shk_builder_add(b, (struct shk_layer){.kind = SHK_CONCAT, .in = {0, ends[i]}, .params = {-1, -1}}))
            return false;
    }
    return true;
}

// The channels of branch after branch; of one alone behind those of what it reads.
static bool build_cat(struct shk_builder *b, const struct shk_item *cat, struct scope *scope) {
    const int from = b->at;
    int ends[SHK_MAX_ITEMS];
    size_t count = 0;
    struct shk_values v;
    if (!shk_arguments_read(b->syntax, cat, no_parameters, b->m->shape.classes, &v, b->err)) return false;
    if (b->syntax->items[cat->first].next < 0) ends[count++] = from;
    for (int i = cat->first; i >= 0; i = b->syntax->items[i].next) {
        b->at = from;
        if (!build_list(b, b->syntax->items[i].first, scope)) return false;
        ends[count++] = b->at;
    }
    return join(b, cat, ends, count);
}

static bool build_branches(struct shk_builder *b, const struct shk_item *item, struct scope *scope) {
    return (shk_token_is(item->word, "sum") ? build_sum : build_cat)(b, item, scope);
}

static bool build_once(struct shk_builder *b, const struct shk_item *item, size_t repeat, struct scope *scope) {
    struct scope inner = {.children = 0};
    b->item = item;
    if (item->kind == SHK_ITEM_BRANCHES && !item->name.length) return build_branches(b, item, scope);
    char name[MOST_NAME + 1];
    if (!name_child(b, scope, repeat, name)) return false;
    if (item->kind == SHK_ITEM_LAYER) return build_layer(b, name);
    if (snprintf(inner.prefix, sizeof inner.prefix, "%s.", name) >= (int)sizeof inner.prefix)
        return shk_builder_fail(b, "the names of its groups and its own are too long together");
    return item->kind == SHK_ITEM_BRANCHES ? build_branches(b, item, &inner) : build_list(b, item->first, &inner);
}

static bool build_list(struct shk_builder *b, int first, struct scope *scope) {
    for (int i = first; i >= 0; i = b->syntax->items[i].next) {
        const struct shk_item *item = &b->syntax->items[i];
        const size_t times = item->count ? item->count : 1;
        for (size_t repeat = 0; repeat < times; repeat++)
            if (!build_once(b, item, repeat, scope)) return false;
    }
    return true;
}

// ---- The whole model ----

// How much of a name is that of the module around it, with the dot.
static size_t scope_of(const char *name) {
    const char *const dot = strrchr(name, '.');
    return dot ? (size_t)(dot - name) + 1 : 0;
}

// Moves parameter `from` to the place `to` before it.
static void move_param(struct shk_model *m, int from, int to) {
    const struct shk_param moved = m->params[from];
    memmove(&m->params[to + 1], &m->params[to], (size_t)(from - to) * sizeof moved);
    m->params[to] = moved;
    for (unsigned l = 0; l < m->graph.count; l++)
        for (int k = 0; k < 4; k++) {
            int *const param = k < 2 ? &m->graph.layers[l].params[k] : &m->graph.layers[l].running[k - 2];
            if (*param >= to && *param <= from) *param = *param == from ? to : *param + 1;
        }
}

// PyTorch lists a module's own parameters, as tokens and positions, before those of the modules in it.
static void order_params(struct shk_model *m) {
    for (unsigned l = 0; l < m->graph.count; l++) {
        if (!(shk_layer_flags(m->graph.layers[l].kind) & SHK_EMBEDS)) continue;
        const int from = m->graph.layers[l].params[0];
        const size_t scope = scope_of(m->params[from].name);
        for (int to = 0; to < from; to++) {
            const char *const name = m->params[to].name;
            if (strncmp(name, m->params[from].name, scope) != 0 || scope_of(name) == scope) continue;
            move_param(m, from, to);
            break;
        }
    }
}

static bool names_differ(const struct shk_model *m, struct shk_error *err) {
    for (unsigned i = 0; i < m->param_count; i++)
        for (unsigned j = 0; j < i; j++)
            if (!strcmp(m->params[i].name, m->params[j].name))
                return shk_fail(err, SHK_BAD_INPUT,
                                "the net's text names two tensors %s: give one of their layers another name",
                                m->params[i].name);
    return true;
}

// The first layer with weights makes no input gradient.
static void count_flops(struct shk_model *m) {
    bool first = true;
    for (unsigned i = 0; i < m->graph.count; i++) {
        const double forward = shk_layer_flops(&m->graph, &m->graph.layers[i]);
        if (forward == 0) continue;
        m->forward_flops += forward;
        m->training_flops += (first ? 2 : 3) * forward;
        first = false;
    }
}

static bool check_end(const struct shk_builder *b) {
    const struct shk_extent out = b->m->graph.layers[b->at].out;
    const size_t classes = b->m->shape.classes;
    if (!out.map && out.h == 1 && out.c == classes) return true;
    char what[60];
    snprintf(what, sizeof what, out.map ? "a map of %zux%zux%zu" : "%zu rows of %zu numbers", out.h,
             out.map ? out.w : out.c, out.c);
    if (!out.map && out.h == 1) snprintf(what, sizeof what, "%zu numbers", out.c);
    return shk_fail(b->err, SHK_BAD_INPUT,
                    "the net's text ends with %s, but there are %zu classes: let it end with linear(classes)", what,
                    classes);
}

static bool build_text(struct shk_builder *b, struct shk_syntax *syntax) {
    struct shk_model *m = b->m;
    struct scope top = {.children = 0};
    const struct shk_layer input = {
        .kind = SHK_INPUT, .params = {-1, -1}, .out = {m->shape.height, m->shape.width, m->shape.channels, true}};
    b->syntax = syntax;
    b->at = shk_graph_add(&m->graph, &input, b->err);
    const struct shk_layer loss = {.kind = SHK_CROSS_ENTROPY, .params = {-1, -1}};
    if (b->at < 0 || !build_list(b, syntax->items[0].first, &top) || !check_end(b) || !shk_builder_add(b, loss))
        return false;
    order_params(m);
    count_flops(m);
    return names_differ(m, b->err);
}

// In the words of short forms, whose net's text nobody has typed.
static bool check_short_form(const struct shk_model *m, struct shk_error *err) {
    const struct shk_description *c = &m->config;
    const size_t h = m->shape.height, w = m->shape.width;
    if (c->family == SHK_VIT && (h % c->patch || w % c->patch))
        return shk_fail(err, SHK_BAD_INPUT, "model description: patch=%zu does not divide the image size %zux%zu",
                        c->patch, h, w);
    const size_t tokens = c->family == SHK_VIT ? h / c->patch * (w / c->patch) + !c->mean_pool : 0;
    if (tokens > SHK_MOST_TOKENS)
        return shk_fail(
            err, SHK_BAD_INPUT,
            "model description: patch=%zu makes %zu tokens of an image of %zux%zu, at most %d are supported", c->patch,
            tokens, h, w, SHK_MOST_TOKENS);
    if (c->family == SHK_CNN && (!(h >> c->blocks) || !(w >> c->blocks)))
        return shk_fail(err, SHK_BAD_INPUT,
                        "model description: %u pools shrink an image of %zux%zu to nothing, use fewer channels entries",
                        c->blocks, h, w);
    return true;
}

bool shk_build(struct shk_model *m, const char *net, struct shk_error *err) {
    struct shk_builder b = {.m = m, .err = err};
    if (!check_short_form(m, err)) return false;
    struct shk_syntax *syntax = shk_alloc(1, sizeof *syntax, "a net's text", err);
    if (!syntax) return false;
    const bool ok = shk_syntax_read(syntax, net, err) && build_text(&b, syntax);
    shk_free(syntax);
    return ok;
}
