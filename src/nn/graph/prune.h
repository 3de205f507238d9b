// SPDX-License-Identifier: MIT
// Pruning rewrites a graph so that what nobody reads is not computed.
#ifndef SHK_NN_GRAPH_PRUNE_H
#define SHK_NN_GRAPH_PRUNE_H

#include "nn/graph/graph.h"

// Moves the selection of CLS towards the input: for a layer f that works row by row select(f(x)) = f(select(x)), and
// attention computes one query. What draws random numbers keeps its number. Writes *out, which the input must not be.
bool shk_graph_prune(const struct shk_graph *, struct shk_graph *out, struct shk_error *);

#endif
