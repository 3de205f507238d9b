// SPDX-License-Identifier: MIT
// A model's description: the text of a net, `net:conv(16,3) relu ...`; a short form, `cnn:channels=16-32,hidden=128` or
// `vit:dim=64,...`, which stands for such a text; or the name of a preset, which is one of these, some with keys of their own.
#ifndef SHK_NN_GRAPH_DESCRIPTION_H
#define SHK_NN_GRAPH_DESCRIPTION_H

#include "nn/graph/graph.h"

enum { SHK_MAX_BLOCKS = 8, SHK_MAX_DEPTH = 64, SHK_MAX_NET = 4000 };

enum shk_family { SHK_CNN, SHK_VIT, SHK_NET };

struct shk_description {
    enum shk_family family;
    // CNN
    unsigned blocks;
    size_t channels[SHK_MAX_BLOCKS];
    size_t hidden; // 0: none
    // ViT
    size_t dim, depth, heads, patch, ff;
    bool mean_pool; // else CLS
    bool pre_norm;
    bool positions;
    enum shk_layer_kind act;
    double dropout;
    char description[SHK_MAX_NET + 8]; // in full, canonical
    char title[200];                   // "TinyCNN"; where it is no preset the description without what has its default
};

bool shk_description_parse(const char *text, struct shk_description *, struct shk_error *);
// The net's text, for which a short form stands.
void shk_description_net(const struct shk_description *, char net[SHK_MAX_NET]);
// The name under which a preset was asked for; NULL where it is none.
const char *shk_description_preset(const struct shk_description *);

#endif
