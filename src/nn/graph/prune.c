// SPDX-License-Identifier: MIT
// The rewriting goes backward once, to find which rows of each layer are read, and forward once, to write the new graph.
#include "nn/graph/prune.h"

#include <string.h>

enum rows { NONE, CLS, ALL };

struct pruning {
    const struct shk_graph *from;
    struct shk_graph *to;
    enum rows read[SHK_MAX_LAYERS];                      // by whom there is, of each layer
    int moved[SHK_MAX_LAYERS], selected[SHK_MAX_LAYERS]; // where each is in `to`, and its row 0 alone; -1
};

static bool is_rowwise(const struct shk_layer *l) { return shk_layer_flags(l->kind) & SHK_ROWWISE; }

static void read_rows(struct pruning *p, int layer, enum rows rows) {
    if (layer >= 0 && rows > p->read[layer]) p->read[layer] = rows;
}

// Which rows layer i reads of its inputs, after all that read it.
static void find_read(struct pruning *p, int i) {
    const struct shk_layer *l = &p->from->layers[i];
    if (i + 1 == (int)p->from->count) p->read[i] = ALL;
    if (p->read[i] == CLS && !is_rowwise(l) && l->kind != SHK_ATTENTION) p->read[i] = ALL;
    const enum rows rows = l->kind == SHK_SELECT_CLS ? CLS : is_rowwise(l) ? p->read[i] : ALL;
    for (int k = 0; k < 2; k++) read_rows(p, l->in[k], rows);
}

// Whether a layer that is computed whole is also asked for its row 0 alone.
static bool is_selected(const struct pruning *p, int i) {
    for (unsigned c = (unsigned)i + 1; c < p->from->count; c++) {
        const struct shk_layer *l = &p->from->layers[c];
        const bool reads = l->in[0] == i || l->in[1] == i;
        if (reads && (l->kind == SHK_SELECT_CLS || (is_rowwise(l) && p->read[c] == CLS))) return true;
    }
    return false;
}

static int input_of(const struct pruning *p, int i, int in) {
    if (in < 0) return -1;
    const bool row0 = is_rowwise(&p->from->layers[i]) && p->read[i] == CLS && p->read[in] == ALL;
    return row0 ? p->selected[in] : p->moved[in];
}

static bool move(struct pruning *p, int i, struct shk_error *err) {
    struct shk_layer l = p->from->layers[i];
    if (l.kind == SHK_SELECT_CLS) {
        p->selected[i] = p->moved[i] = p->read[l.in[0]] == CLS ? p->moved[l.in[0]] : p->selected[l.in[0]];
        return true;
    }
    for (int k = 0; k < 2; k++) l.in[k] = input_of(p, i, l.in[k]);
    if (l.kind == SHK_ATTENTION && p->read[i] == CLS) l.attention.cls_alone = true;
    p->moved[i] = shk_graph_add(p->to, &l, err);
    if (p->moved[i] < 0) return false;
    if (!l.out.map && l.out.h == 1) p->selected[i] = p->moved[i]; // a row is its own row 0
    if (p->read[i] != ALL || p->selected[i] >= 0 || !is_selected(p, i)) return true;
    const struct shk_layer select = {.kind = SHK_SELECT_CLS, .in = {p->moved[i]}, .params = {-1, -1}};
    p->selected[i] = shk_graph_add(p->to, &select, err);
    return p->selected[i] >= 0;
}

bool shk_graph_prune(const struct shk_graph *from, struct shk_graph *to, struct shk_error *err) {
    struct pruning p = {.from = from, .to = to};
    memset(p.selected, 0xff, sizeof p.selected);
    to->count = to->draws = 0;
    for (int i = (int)from->count; i-- > 0;) find_read(&p, i);
    for (int i = 0; i < (int)from->count; i++) {
        if (p.read[i] == NONE)
            return shk_fail(err, SHK_BAD_INPUT, "the model's layer %s is read by no other", from->layers[i].name);
        if (!move(&p, i, err)) return false;
    }
    return true;
}
