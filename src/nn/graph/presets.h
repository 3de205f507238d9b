// SPDX-License-Identifier: MIT
// Presets that are texts of nets, some with keys: `resnet18:width=16`.
#ifndef SHK_NN_GRAPH_PRESETS_H
#define SHK_NN_GRAPH_PRESETS_H

#include "nn/graph/description.h"

// The name of preset i; NULL past the last.
const char *shk_preset_name(size_t i);
// Whether a description begins with a preset's name: then this is its number, else -1.
int shk_preset_find(const char *description);
// Writes the net's text for which it stands, and its title: the net's name, or where keys have other values than they have by
// themselves NAME:key=value.
bool shk_preset_write(int preset, const char *description, char net[SHK_MAX_NET], char *title, size_t size,
                      struct shk_error *);
// The name that has this title; NULL: none.
const char *shk_preset_titled(const char *title);

#endif
