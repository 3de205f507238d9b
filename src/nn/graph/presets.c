// SPDX-License-Identifier: MIT
// A preset's text has its keys in square brackets: [width], or [width*2] or [width/2] for a multiple or a part.
#include "nn/graph/presets.h"

#include "nn/graph/keys.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_KEYS = 5, MOST_WORDS = 2 };

struct key {
    const char *name; // NULL behind the last
    size_t lo, hi;    // of a number
    const char *standard;
    struct {
        const char *word, *text;
    } words[MOST_WORDS]; // what it may be, and what that stands for; or it is a number
};

// Over which samples batches are normalised.
#define OVER                                                                                                           \
    {                                                                                                                  \
        "bn", 0, 0, "batch", {                                                                                         \
            {"batch", "bn"}, { "ghost", "bn(ghost=yes)" }                                                              \
        }                                                                                                              \
    }

// Blocks of two 3x3 convolutions (He et al. 2016); the first of a stage halves the map, with a 1x1 convolution beside it.
#define BLOCK(w) "(sum(conv1=conv(" w ",bias=no) bn1=[bn] relu conv2=conv(" w ",bias=no) bn2=[bn]) relu)"
#define FIRST(w)                                                                                                       \
    "(sum(conv1=conv(" w ",stride=2,bias=no) bn1=[bn] relu conv2=conv(" w ",bias=no) bn2=[bn] | downsample=(conv(" w   \
    ",1,stride=2,bias=no) [bn])) relu)"
#define BLOCK_1 BLOCK("[width]")
#define BLOCK_2 BLOCK("[width*2]")
#define BLOCK_4 BLOCK("[width*4]")
#define BLOCK_8 BLOCK("[width*8]")
#define FIRST_2 FIRST("[width*2]")
#define FIRST_4 FIRST("[width*4]")
#define FIRST_8 FIRST("[width*8]")

// An inverted residual block (Sandler et al. 2018): wide inside, where a depthwise convolution is.
#define INVERTED(wide, step, w)                                                                                        \
    "conv(" wide ",1,bias=no) [bn] hardswish conv(" wide ",3," step ",groups=" wide ",bias=no) [bn] hardswish conv(" w \
    ",1,bias=no) [bn]"
#define NARROW INVERTED("[width*4]", "1", "[width]")
#define WIDEN_2 INVERTED("[width*4]", "2", "[width*2]")
#define WIDE_2 INVERTED("[width*8]", "1", "[width*2]")
#define WIDEN_4 INVERTED("[width*8]", "2", "[width*4]")
#define WIDE_4 INVERTED("[width*16]", "1", "[width*4]")

static const struct net_preset {
    const char *name, *title;
    struct key keys[MOST_KEYS + 1];
    const char *text;
} presets[] = {
    // LeCun et al. 1998, with ReLU and max-pools
    {"lenet5",
     "LeNet-5",
     {{.name = NULL}},
     "conv1=conv(6,5,pad=0) relu max_pool(2) conv2=conv(16,5,pad=0) relu max_pool(2) flatten fc1=linear(120) relu "
     "fc2=linear(84) relu fc3=linear(classes)"},
    {"resnet20",
     "ResNet-20",
     {{"width", 1, 1024, "16", {{NULL, NULL}}}, OVER},
     "conv1=conv([width],bias=no) bn1=[bn] relu layer1=3*" BLOCK_1 " layer2=(" FIRST_2 " 2*" BLOCK_2
     ") layer3=(" FIRST_4 " 2*" BLOCK_4 ") mean fc=linear(classes)"},
    // the names of torchvision
    {"resnet18",
     "ResNet-18",
     {{"stem",
       0,
       0,
       "small",
       {{"small", "conv1=conv([width],bias=no) bn1=[bn] relu"},
        {"large", "conv1=conv([width],7,stride=2,bias=no) bn1=[bn] relu max_pool(3,2,pad=1)"}}},
      {"width", 1, 512, "64", {{NULL, NULL}}},
      OVER},
     "[stem] layer1=2*" BLOCK_1 " layer2=(" FIRST_2 " " BLOCK_2 ") layer3=(" FIRST_4 " " BLOCK_4 ") layer4=(" FIRST_8
     " " BLOCK_8 ") mean fc=linear(classes)"},
    {"mobilenet-tiny",
     "MobileNet-tiny",
     {{"width", 1, 256, "16", {{NULL, NULL}}}, OVER},
     "stem=(conv([width],bias=no) [bn] hardswish) stage1=sum(" NARROW ") stage2=(" WIDEN_2 " sum(" WIDE_2
     ")) stage3=(" WIDEN_4 " 2*sum(" WIDE_4
     ")) head=(conv([width*16],1,bias=no) [bn] hardswish) mean fc=linear(classes)"},
    // Trockman and Kolter 2022
    {"convmixer",
     "ConvMixer",
     {{"dim", 1, 4096, "256", {{NULL, NULL}}},
      {"depth", 1, 64, "8", {{NULL, NULL}}},
      {"kernel", 1, 7, "5", {{NULL, NULL}}},
      {"patch", 1, 16, "2", {{NULL, NULL}}},
      OVER},
     "stem=(conv([dim],[patch],[patch]) gelu [bn]) blocks=[depth]*(sum(conv([dim],[kernel],groups=[dim]) gelu [bn]) "
     "conv([dim],1) gelu [bn]) mean fc=linear(classes)"},
    // CCT-2/3x2 of Hassani et al. 2021, but for the feed-forward part, which is twice as wide as a token
    {"cct",
     "CCT",
     {{"dim", 4, 1024, "128", {{NULL, NULL}}},
      {"depth", 1, SHK_MAX_DEPTH, "2", {{NULL, NULL}}},
      {"heads", 1, 256, "2", {{NULL, NULL}}},
      {"pos", 0, 0, "learned", {{"learned", "pos_embed=positions"}, {"sincos", "positions(sincos)"}}}},
     "tokenizer=(conv1=conv([dim/2],bias=no) relu max_pool(3,2,pad=1) conv2=conv([dim],bias=no) relu "
     "max_pool(3,2,pad=1)) tokens [pos] encoder.layers=[depth]*encoder([heads],[dim*2],norm=pre,act=gelu) norm=ln "
     "attention_pool=seq_pool head=linear(classes)"},
    // ViT-Ti of Touvron et al. 2021, with timm's eps
    {"vit-tiny",
     "ViT-tiny",
     {{"dim", 1, 1024, "192", {{NULL, NULL}}},
      {"depth", 1, SHK_MAX_DEPTH, "12", {{NULL, NULL}}},
      {"heads", 1, 256, "3", {{NULL, NULL}}},
      {"patch", 1, 256, "4", {{NULL, NULL}}}},
     "patch_embed=patch_embed([dim],[patch]) cls_token=cls_token pos_embed=positions "
     "encoder.layers=[depth]*encoder([heads],norm=pre,act=gelu,eps=1e-6) norm=ln(1e-6) cls head=linear(classes)"},
};
enum { PRESETS = sizeof presets / sizeof *presets };

const char *shk_preset_name(size_t i) { return i < PRESETS ? presets[i].name : NULL; }

int shk_preset_find(const char *description) {
    const size_t length = strcspn(description, ":");
    for (int i = 0; i < PRESETS; i++)
        if (strlen(presets[i].name) == length && !memcmp(presets[i].name, description, length)) return i;
    return -1;
}

const char *shk_preset_titled(const char *title) {
    for (int i = 0; i < PRESETS; i++)
        if (!strcmp(title, presets[i].title)) return presets[i].name;
    return shk_preset_find(title) >= 0 ? title : NULL;
}

// ---- Keys ----

struct values {
    const struct net_preset *preset;
    size_t of[MOST_KEYS]; // of a word its number
};

static bool fail_key(const struct net_preset *p, const char *typed, struct shk_error *err) {
    const char *names[MOST_KEYS + 1] = {NULL};
    char list[100] = "", meant[64];
    for (size_t i = 0; p->keys[i].name; i++) {
        names[i] = p->keys[i].name;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s",
                 !i                    ? "; it has "
                 : p->keys[i + 1].name ? ", "
                                       : " and ",
                 names[i]);
    }
    return shk_fail(err, SHK_BAD_INPUT, "model description: %s has no key '%s'%s%s", p->name, typed, list,
                    shk_key_hint(typed, names, meant));
}

static bool read_value(const struct key *k, const char *value, size_t *out, struct shk_error *err) {
    if (!k->words[0].word) return shk_key_size(k->name, value, k->lo, k->hi, out, err);
    for (*out = 0; *out < MOST_WORDS; ++*out)
        if (!strcmp(value, k->words[*out].word)) return true;
    return shk_fail(err, SHK_BAD_INPUT, "model description: %s=%s is not known, use %s=%s or %s=%s", k->name, value,
                    k->name, k->words[0].word, k->name, k->words[1].word);
}

static bool read_key(const char *key, const char *value, void *into, struct shk_error *err) {
    struct values *v = into;
    for (size_t i = 0; v->preset->keys[i].name; i++)
        if (!strcmp(v->preset->keys[i].name, key)) return read_value(&v->preset->keys[i], value, &v->of[i], err);
    return fail_key(v->preset, key, err);
}

// ---- The text ----

static size_t append(char *out, size_t size, size_t at, const char *text, size_t length) {
    if (at + length < size) memcpy(out + at, text, length + 1);
    return at + length;
}

// Where the next text goes; `at` beyond SHK_MAX_NET: there is no room.
static size_t expand(const struct values *v, const char *text, char net[SHK_MAX_NET], size_t at) {
    while (*text) {
        const size_t plain = strcspn(text, "[");
        at = append(net, SHK_MAX_NET, at, text, plain);
        text += plain;
        if (!*text) break;
        size_t i = 0;
        const size_t length = strcspn(++text, "*/]");
        while (strlen(v->preset->keys[i].name) != length || memcmp(v->preset->keys[i].name, text, length) != 0) i++;
        const struct key *key = &v->preset->keys[i];
        char number[24];
        const size_t factor = text[length] == ']' ? 1 : strtoul(text + length + 1, NULL, 10);
        snprintf(number, sizeof number, "%zu", text[length] == '/' ? v->of[i] / factor : v->of[i] * factor);
        at = key->words[0].word ? expand(v, key->words[v->of[i]].text, net, at)
                                : append(net, SHK_MAX_NET, at, number, strlen(number));
        text = strchr(text, ']') + 1;
    }
    return at;
}

static void write_title(const struct values *v, const struct values *standard, char *title, size_t size) {
    size_t at = (size_t)snprintf(title, size, "%s", v->preset->title);
    bool other = false;
    for (size_t i = 0; v->preset->keys[i].name; i++) {
        const struct key *k = &v->preset->keys[i];
        if (v->of[i] == standard->of[i]) continue;
        if (!other) at = (size_t)snprintf(title, size, "%s", v->preset->name);
        at += (size_t)snprintf(title + at, size - at, "%s%s=", other ? "," : ":", k->name);
        at += k->words[0].word ? (size_t)snprintf(title + at, size - at, "%s", k->words[v->of[i]].word)
                               : (size_t)snprintf(title + at, size - at, "%zu", v->of[i]);
        other = true;
    }
}

bool shk_preset_write(int preset, const char *description, char net[SHK_MAX_NET], char *title, size_t size,
                      struct shk_error *err) {
    const char *const keys = strchr(description, ':');
    char copy[400] = "";
    struct values standard = {.preset = &presets[preset]};
    for (size_t i = 0; standard.preset->keys[i].name; i++)
        if (!read_value(&standard.preset->keys[i], standard.preset->keys[i].standard, &standard.of[i], err))
            return false;
    struct values v = standard;
    if (keys && snprintf(copy, sizeof copy, "%s", keys + 1) >= (int)sizeof copy)
        return shk_fail(err, SHK_BAD_INPUT, "the model description is longer than %zu characters", sizeof copy - 1);
    if (keys && !shk_keys_read(copy, read_key, &v, err)) return false;
    write_title(&v, &standard, title, size);
    return expand(&v, v.preset->text, net, 0) < SHK_MAX_NET ||
           shk_fail(err, SHK_BAD_INPUT, "the net's text is longer than %d characters", SHK_MAX_NET - 1);
}
