// SPDX-License-Identifier: MIT
// A map flattened is the same numbers, seen as one row: no op is made for it.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

static struct shk_view one_row(struct shk_view v) {
    if (v.buffer < 0) return v;
    return (struct shk_view){v.buffer, v.offset, 1, v.rows * v.cols, v.rows * v.cols};
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (l->kind != SHK_FLATTEN || shk_graph_consumer(f->graph, l->in[0]) < 0) return false;
    const struct shk_value in = *shk_input_of(f);
    const struct shk_extent map = shk_layer_at(f, l->in[0])->out;
    if (!map.map || in.axis.count != 1 || !shk_is_dense(&in.value)) return false;
    f->values[f->at] =
        (struct shk_value){one_row(in.value), one_row(in.grad), shk_flat_axis(map, in.value.ld), in.op, false};
    shk_takes(f, f->at);
    return true;
}

const struct shk_op_type shk_op_flatten = {.name = "flatten", .size = sizeof(struct shk_op), .match = match};
