// SPDX-License-Identifier: MIT
// The words of a net's text: each adds a layer, or the layers of a block.
#ifndef SHK_NN_GRAPH_WORDS_H
#define SHK_NN_GRAPH_WORDS_H

#include "nn/graph/arguments.h"
#include "nn/model.h"

struct shk_builder {
    struct shk_model *m;
    struct shk_error *err;
    const struct shk_syntax *syntax;
    const struct shk_item *item; // that is being built
    int at;                      // the layer whose output the next one reads
};

// A layer whose kind, name, parameters and attributes are set; it reads in[0], or what was added last where that is 0. Then it
// is the last one. False, in one sentence with the place, where it cannot be.
bool shk_builder_add(struct shk_builder *, struct shk_layer);
// The same sentence about the item.
bool shk_builder_fail(struct shk_builder *, const char *why);

// Stochastic depth of what was added last, which is a sum's branch; p 0: nothing.
bool shk_builder_drop_path(struct shk_builder *, double p);

enum { SHK_MOST_TOKENS = 4096 }; // of an encoder

struct shk_word {
    const char *name;
    // `name`: of the layer in PyTorch's state_dict.
    bool (*build)(struct shk_builder *, const char *name, const struct shk_values *);
    struct shk_parameter parameters[SHK_MAX_PARAMETERS + 1];
};

// The list, whose last one has no name.
extern const struct shk_word shk_words[];

#endif
