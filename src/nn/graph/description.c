// SPDX-License-Identifier: MIT
// A description is read key by key, and written out in full.
#include "nn/graph/description.h"

#include "base/memory.h"
#include "base/text.h"
#include "nn/graph/arguments.h"
#include "nn/graph/keys.h"
#include "nn/graph/presets.h"
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const struct {
    const char *name, *title, *description;
} presets[] = {
    // the first of each family has what is left out
    {"tinycnn", "TinyCNN", "cnn:channels=16-32,hidden=128"},
    {"tinyvit", "TinyViT",
     "vit:dim=64,depth=2,heads=4,patch=4,ff=256,pool=cls,norm=post,pos=learned,dropout=0.1,act=relu"},
    {"tinyvit-pre", "TinyViT-pre",
     "vit:dim=64,depth=2,heads=4,patch=4,ff=256,pool=cls,norm=pre,pos=learned,dropout=0,act=gelu"},
    {"tinyvit-nopos", "TinyViT-nopos",
     "vit:dim=64,depth=2,heads=4,patch=4,ff=256,pool=cls,norm=post,pos=none,dropout=0.1,act=relu"},
};
enum { PRESETS = sizeof presets / sizeof *presets };

static bool read_channels(const char *text, struct shk_description *c, struct shk_error *err) {
    const char *rest = text;
    for (c->blocks = 0;; rest++) {
        if (c->blocks == SHK_MAX_BLOCKS)
            return shk_fail(err, SHK_BAD_INPUT, "model description: channels=%s has more than %d entries", text,
                            SHK_MAX_BLOCKS);
        if (!shk_key_number("channels", rest, &rest, 1, 4096, &c->channels[c->blocks++], err)) return false;
        if (!*rest) return true;
        if (*rest != '-')
            return shk_fail(err, SHK_BAD_INPUT, "model description: channels=%s is not a list like 16-32", text);
    }
}

static bool read_choice(const char *key, const char *text, const char *no, const char *yes, bool *out,
                        struct shk_error *err) {
    *out = strcmp(text, yes) == 0;
    if (*out || strcmp(text, no) == 0) return true;
    return shk_fail(err, SHK_BAD_INPUT, "model description: %s=%s is not known, use %s=%s or %s=%s", key, text, key,
                    yes, key, no);
}

static bool read_dropout(const char *text, double *out, struct shk_error *err) {
    return shk_read_share(text, out) ||
           shk_fail(err, SHK_BAD_INPUT,
                    "model description: dropout=%s is not a probability from 0 to 0.9, with at most six places", text);
}

// A layer of layers.def that may stand between two linear ones.
static bool read_activation(const char *text, enum shk_layer_kind *out, struct shk_error *err) {
    char known[100] = "";
    for (int kind = 0; kind < SHK_LAYER_KINDS; kind++) {
        if (!(shk_layer_flags(kind) & SHK_ACTIVATION)) continue;
        const char *name = shk_layer_name(kind);
        *out = kind;
        if (!strcmp(name, text)) return true;
        snprintf(known + strlen(known), sizeof known - strlen(known), "%sact=%s", *known ? " or " : "", name);
    }
    return shk_fail(err, SHK_BAD_INPUT, "model description: act=%s is not known, use %s", text, known);
}

static bool read_cnn_key(const char *key, const char *value, void *into, struct shk_error *err) {
    struct shk_description *c = into;
    if (!strcmp(key, "channels")) return read_channels(value, c, err);
    if (!strcmp(key, "hidden")) return shk_key_size(key, value, 0, 65536, &c->hidden, err);
    char text[64];
    return shk_fail(err, SHK_BAD_INPUT, "model description: cnn has no key '%s', its keys are channels and hidden%s",
                    key, shk_key_hint(key, (const char *const[]){"channels", "hidden", NULL}, text));
}

static bool read_vit_key(const char *key, const char *value, void *into, struct shk_error *err) {
    struct shk_description *c = into;
    if (!strcmp(key, "dim")) return shk_key_size(key, value, 1, 4096, &c->dim, err);
    if (!strcmp(key, "depth")) return shk_key_size(key, value, 1, SHK_MAX_DEPTH, &c->depth, err);
    if (!strcmp(key, "heads")) return shk_key_size(key, value, 1, 256, &c->heads, err);
    if (!strcmp(key, "patch")) return shk_key_size(key, value, 1, 256, &c->patch, err);
    if (!strcmp(key, "ff")) return shk_key_size(key, value, 1, 65536, &c->ff, err);
    if (!strcmp(key, "pool")) return read_choice(key, value, "cls", "mean", &c->mean_pool, err);
    if (!strcmp(key, "norm")) return read_choice(key, value, "post", "pre", &c->pre_norm, err);
    if (!strcmp(key, "pos")) return read_choice(key, value, "none", "learned", &c->positions, err);
    if (!strcmp(key, "act")) return read_activation(value, &c->act, err);
    if (!strcmp(key, "dropout")) return read_dropout(value, &c->dropout, err);
    static const char *const keys[] = {"dim",  "depth", "heads", "patch",   "ff", "pool",
                                       "norm", "pos",   "act",   "dropout", NULL};
    char text[64];
    return shk_fail(err, SHK_BAD_INPUT,
                    "model description: vit has no key '%s', its keys are dim, depth, heads, patch, ff, pool, norm, "
                    "pos, dropout and act%s",
                    key, shk_key_hint(key, keys, text));
}

// ---- What a short form stands for ----

static void describe_cnn(struct shk_description *c) {
    size_t at = (size_t)snprintf(c->description, sizeof c->description, "cnn:channels=");
    for (unsigned i = 0; i < c->blocks; i++)
        at += (size_t)snprintf(c->description + at, sizeof c->description - at, "%s%zu", i ? "-" : "", c->channels[i]);
    snprintf(c->description + at, sizeof c->description - at, ",hidden=%zu", c->hidden);
}

static void write_cnn(const struct shk_description *c, char net[SHK_MAX_NET]) {
    size_t at = 0;
    for (unsigned i = 0; i < c->blocks; i++)
        at +=
            (size_t)snprintf(net + at, SHK_MAX_NET - at, "conv%u=conv(%zu,3) relu max_pool(2) ", i + 1, c->channels[i]);
    if (c->hidden)
        snprintf(net + at, SHK_MAX_NET - at, "flatten fc1=linear(%zu) relu fc2=linear(classes)", c->hidden);
    else
        snprintf(net + at, SHK_MAX_NET - at, "flatten fc1=linear(classes)");
}

static void describe_vit(struct shk_description *c) {
    char dropout[SHK_TEXT];
    shk_real_text(c->dropout, dropout); // of six places, as it is read
    snprintf(c->description, sizeof c->description,
             "vit:dim=%zu,depth=%zu,heads=%zu,patch=%zu,ff=%zu,pool=%s,norm=%s,pos=%s,dropout=%s,act=%s", c->dim,
             c->depth, c->heads, c->patch, c->ff, c->mean_pool ? "mean" : "cls", c->pre_norm ? "pre" : "post",
             c->positions ? "learned" : "none", dropout, shk_layer_name(c->act));
}

static void write_vit(const struct shk_description *c, char net[SHK_MAX_NET]) {
    char dropout[SHK_TEXT];
    shk_real_text(c->dropout, dropout);
    snprintf(net, SHK_MAX_NET,
             "patch_embed=patch_embed(%zu,%zu)%s%s encoder.layers=%zu*encoder(%zu,%zu,norm=%s,act=%s,dropout=%s)%s %s "
             "head=linear(classes)",
             c->dim, c->patch, c->mean_pool ? "" : " cls_token=cls_token", c->positions ? " pos_embed=positions" : "",
             c->depth, c->heads, c->ff, c->pre_norm ? "pre" : "post", shk_layer_name(c->act), dropout,
             c->pre_norm ? " norm=ln" : "", c->mean_pool ? "mean" : "cls");
}

void shk_description_net(const struct shk_description *c, char net[SHK_MAX_NET]) {
    if (c->family == SHK_CNN) write_cnn(c, net);
    if (c->family == SHK_VIT) write_vit(c, net);
    if (c->family == SHK_NET) snprintf(net, SHK_MAX_NET, "%s", c->description + 4);
}

// ---- Titles ----

// The description without the keys that have the values of `standard`, a description too; ff follows from dim.
static void shorten(struct shk_description *c, const char *standard) {
    char keys[300], *rest = keys, comma = ':';
    snprintf(keys, sizeof keys, "%s", c->description + 4);
    size_t at = (size_t)snprintf(c->title, sizeof c->title, "%.3s", c->description);
    for (char *key; (key = strsep(&rest, ","));) {
        const char *same = strstr(standard, key);
        const size_t length = strlen(key);
        if (same && (same[-1] == ':' || same[-1] == ',') && (!same[length] || same[length] == ',')) continue;
        if (!strncmp(key, "ff=", 3) && c->ff == 4 * c->dim) continue;
        at += (size_t)snprintf(c->title + at, sizeof c->title - at, "%c%s", comma, key);
        comma = ',';
    }
}

static void title_net(struct shk_description *c) {
    enum { MOST_TITLE = 60 };
    if (strlen(c->description) <= MOST_TITLE)
        snprintf(c->title, sizeof c->title, "%.*s", MOST_TITLE, c->description);
    else // two that begin alike are told apart
        snprintf(c->title, sizeof c->title, "%.*s...%08x", MOST_TITLE - 11, c->description,
                 (unsigned)XXH3_64bits(c->description, strlen(c->description)));
}

// ---- Reading ----

// A net's text is written everywhere in one line, though it may have come in several.
static bool read_net(const char *text, struct shk_description *c, struct shk_error *err) {
    struct shk_syntax *syntax = shk_alloc(1, sizeof *syntax, "a net's text", err);
    if (!syntax) return false;
    c->family = SHK_NET;
    memcpy(c->description, "net:", 4);
    const bool ok = shk_syntax_read(syntax, text, err) &&
                    (shk_syntax_write(syntax, SHK_ONE_LINE, c->description + 4, SHK_MAX_NET) < SHK_MAX_NET ||
                     shk_fail(err, SHK_BAD_INPUT, "the net's text is longer than %d characters", SHK_MAX_NET - 1));
    shk_free(syntax);
    if (ok && !*c->title) title_net(c);
    return ok;
}

static bool fail_unknown(const char *text, struct shk_error *err) {
    enum { MOST = 32 }; // more than there are
    const char *names[MOST] = {NULL};
    char more[64], known[200] = "";
    size_t count = 0;
    if (*text && !text[strspn(text, "0123456789-")])
        return shk_fail(err, SHK_BAD_INPUT, "unknown model '%s': channels have '-' between, as in cnn:channels=16-32",
                        text);
    for (size_t i = 0; i < PRESETS; i++) names[count++] = presets[i].name;
    for (size_t i = 0; shk_preset_name(i); i++) names[count++] = shk_preset_name(i);
    for (size_t i = 0; i < count; i++) snprintf(known + strlen(known), sizeof known - strlen(known), "%s, ", names[i]);
    for (size_t i = 0; i < 3; i++) names[count++] = (const char *const[]){"cnn", "vit", "net"}[i];
    return shk_fail(err, SHK_BAD_INPUT, "unknown model '%s': use %scnn:..., vit:... or net:...%s", text, known,
                    shk_key_hint(text, names, more));
}

static const char *find_preset(const char *text, struct shk_description *c) {
    for (unsigned i = 0; i < PRESETS; i++) {
        if (strcmp(text, presets[i].name) != 0) continue;
        snprintf(c->title, sizeof c->title, "%s", presets[i].title);
        return presets[i].description;
    }
    return text;
}

const char *shk_description_preset(const struct shk_description *c) {
    for (unsigned i = 0; i < PRESETS; i++)
        if (!strcmp(c->title, presets[i].title)) return presets[i].name;
    return shk_preset_titled(c->title);
}

static bool read_preset(int preset, const char *text, struct shk_description *c, struct shk_error *err) {
    char *net = shk_alloc(1, SHK_MAX_NET, "a net's text", err);
    const bool ok = net && shk_preset_write(preset, text, net, c->title, sizeof c->title, err) && read_net(net, c, err);
    shk_free(net);
    return ok;
}

static bool read_form(const char *text, const char *form, struct shk_description *c, struct shk_error *err) {
    char copy[400];
    if (snprintf(copy, sizeof copy, "%s", form) >= (int)sizeof copy)
        return shk_fail(err, SHK_BAD_INPUT, "the model description is longer than %zu characters", sizeof copy - 1);
    const bool cnn = !strncmp(copy, "cnn", 3), vit = !strncmp(copy, "vit", 3);
    if ((!cnn && !vit) || (copy[3] && copy[3] != ':')) return fail_unknown(text, err);
    c->family = cnn ? SHK_CNN : SHK_VIT;
    if (copy[3] && !shk_keys_read(copy + 4, cnn ? read_cnn_key : read_vit_key, c, err)) return false;
    if (vit && c->dim % c->heads)
        return shk_fail(err, SHK_BAD_INPUT, "model description: heads=%zu does not divide dim=%zu", c->heads, c->dim);
    if (!c->ff) c->ff = 4 * c->dim;
    (cnn ? describe_cnn : describe_vit)(c);
    if (!*c->title) shorten(c, presets[cnn ? 0 : 1].description);
    return true;
}

bool shk_description_parse(const char *text, struct shk_description *c, struct shk_error *err) {
    *c = (struct shk_description){.blocks = 2,
                                  .channels = {16, 32},
                                  .hidden = 128,
                                  .dim = 64,
                                  .depth = 2,
                                  .heads = 4,
                                  .patch = 4,
                                  .positions = true,
                                  .act = SHK_RELU,
                                  .dropout = 0.1};
    const int preset = shk_preset_find(text);
    if (preset >= 0) return read_preset(preset, text, c, err);
    const char *const form = find_preset(text, c);
    if (strncmp(form, "net:", 4) != 0) return read_form(text, form, c, err);
    return read_net(form + 4, c, err);
}
