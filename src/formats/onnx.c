// SPDX-License-Identifier: MIT
// A model becomes an ONNX file (github.com/onnx/onnx, onnx.proto): operators of opset 17 for its layers, with a batch of any
// size. Weights have PyTorch's names and layouts; linear layers on rows of tokens transpose theirs.
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "formats/folded.h"
#include "formats/input.h"
#include "formats/protobuf.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IR_VERSION = 8, OPSET = 17 };
// Numbers of fields and kinds in onnx.proto.
enum { MODEL_IR = 1, MODEL_PRODUCER, MODEL_PRODUCER_VERSION, MODEL_GRAPH = 7, MODEL_OPSET, MODEL_METADATA = 14 };
enum { GRAPH_NODE = 1, GRAPH_NAME, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT };
enum { NODE_INPUT = 1, NODE_OUTPUT, NODE_NAME, NODE_OP, NODE_ATTRIBUTE };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_REAL, ATTRIBUTE_WHOLE, ATTRIBUTE_WHOLES = 8, ATTRIBUTE_KIND = 20 };
enum { KIND_REAL = 1, KIND_WHOLE, KIND_WHOLES = 7 };
enum { TENSOR_DIM = 1, TENSOR_TYPE, TENSOR_NAME = 8, TENSOR_BYTES };
enum { TYPE_FLOAT = 1, TYPE_INT64 = 7 };
enum { OPSET_VERSION = 2, ENTRY_KEY = 1, ENTRY_VALUE };
enum { VALUE_NAME = 1, VALUE_TYPE, TYPE_TENSOR = 1, TENSOR_TYPE_ELEMENT = 1, TENSOR_TYPE_SHAPE };
enum { SHAPE_DIM = 1, DIM_VALUE = 1, DIM_NAME };

// ---- Nodes ----

struct onnx {
    const struct shk_model *m;
    struct shk_pb graph;  // all of it but the weights
    int layer;            // at hand
    char in[80], out[80]; // its values
};

enum { MAX_WHOLES = 4 };
struct attribute {
    const char *name; // NULL: the last one's next
    unsigned kind, count;
    int64_t wholes[MAX_WHOLES];
    float real;
};
#define NONE                                                                                                           \
    (const struct attribute[]) {                                                                                       \
        { 0 }                                                                                                          \
    }

static struct attribute whole(const char *name, int64_t value) {
    return (struct attribute){name, KIND_WHOLE, 1, {value}, 0};
}

static void put_attribute(struct shk_pb *b, const struct attribute *a) {
    const size_t opened = shk_pb_open(b, NODE_ATTRIBUTE);
    shk_pb_text(b, ATTRIBUTE_NAME, a->name);
    if (a->kind == KIND_REAL) shk_pb_real(b, ATTRIBUTE_REAL, a->real);
    for (unsigned i = 0; i < a->count; i++)
        shk_pb_whole(b, a->kind == KIND_WHOLE ? ATTRIBUTE_WHOLE : ATTRIBUTE_WHOLES, (uint64_t)a->wholes[i]);
    shk_pb_whole(b, ATTRIBUTE_KIND, a->kind);
    shk_pb_close(b, opened);
}

// `inputs` ends with NULL; the node has its output's name.
static void node(struct onnx *o, const char *op, const char *const *inputs, const char *output,
                 const struct attribute *attributes) {
    struct shk_pb *b = &o->graph;
    const size_t opened = shk_pb_open(b, GRAPH_NODE);
    for (; *inputs; inputs++) shk_pb_text(b, NODE_INPUT, *inputs);
    shk_pb_text(b, NODE_OUTPUT, output);
    shk_pb_text(b, NODE_NAME, output);
    shk_pb_text(b, NODE_OP, op);
    for (; attributes->name; attributes++) put_attribute(b, attributes);
    shk_pb_close(b, opened);
}
#define INPUTS(...)                                                                                                    \
    (const char *const[]) { __VA_ARGS__, NULL }

// A value inside a layer.
struct value {
    char name[100];
};
static struct value part(const struct onnx *o, const char *what) {
    struct value v;
    snprintf(v.name, sizeof v.name, "%s.%s", o->out, what);
    return v;
}

// ---- Constants ----

static void constant(struct onnx *o, const char *name, unsigned type, unsigned ndim, const size_t *dims,
                     const void *bytes, size_t size) {
    struct shk_pb *b = &o->graph;
    const size_t opened = shk_pb_open(b, GRAPH_INITIALIZER);
    for (unsigned i = 0; i < ndim; i++) shk_pb_whole(b, TENSOR_DIM, dims[i]);
    shk_pb_whole(b, TENSOR_TYPE, type);
    shk_pb_text(b, TENSOR_NAME, name);
    shk_pb_bytes(b, TENSOR_BYTES, bytes, size);
    shk_pb_close(b, opened);
}

static struct value scalar(struct onnx *o, const char *what, double number) {
    const struct value v = part(o, what);
    const float x = (float)number;
    constant(o, v.name, TYPE_FLOAT, 0, NULL, &x, sizeof x);
    return v;
}

static struct value wholes(struct onnx *o, const char *what, size_t n, const int64_t *numbers) {
    const struct value v = part(o, what);
    constant(o, v.name, TYPE_INT64, 1, &n, numbers, n * sizeof *numbers);
    return v;
}

static const char *weight(const struct onnx *o, unsigned i) {
    return o->m->params[o->m->graph.layers[o->layer].params[i]].name;
}

// ---- Layers: each reads o->in and makes o->out ----

typedef void write_layer(struct onnx *, const struct shk_layer *);

static void write_conv(struct onnx *o, const struct shk_layer *l) {
    const int64_t k = (int64_t)l->conv.kernel, s = (int64_t)l->conv.stride, p = (int64_t)l->conv.pad;
    const struct attribute attributes[] = {{"kernel_shape", KIND_WHOLES, 2, {k, k}, 0},
                                           {"strides", KIND_WHOLES, 2, {s, s}, 0},
                                           {"pads", KIND_WHOLES, 4, {p, p, p, p}, 0},
                                           whole("group", l->kind == SHK_CONV ? 1 : (int64_t)l->conv.groups),
                                           {0}};
    if (l->params[1] < 0)
        node(o, "Conv", INPUTS(o->in, weight(o, 0)), o->out, attributes);
    else
        node(o, "Conv", INPUTS(o->in, weight(o, 0), weight(o, 1)), o->out, attributes);
}

static void write_max_pool(struct onnx *o, const struct shk_layer *l) {
    const int64_t w = (int64_t)l->pool.window, s = (int64_t)l->pool.stride, p = (int64_t)l->pool.pad;
    const struct attribute attributes[] = {{"kernel_shape", KIND_WHOLES, 2, {w, w}, 0},
                                           {"strides", KIND_WHOLES, 2, {s, s}, 0},
                                           {"pads", KIND_WHOLES, 4, {p, p, p, p}, 0},
                                           {0}};
    node(o, "MaxPool", INPUTS(o->in), o->out, attributes);
}

static void write_avg_pool(struct onnx *o, const struct shk_layer *l) {
    const int64_t w = (int64_t)l->pool.window, s = (int64_t)l->pool.stride, p = (int64_t)l->pool.pad;
    const struct attribute attributes[] = {{"kernel_shape", KIND_WHOLES, 2, {w, w}, 0},
                                           {"strides", KIND_WHOLES, 2, {s, s}, 0},
                                           {"pads", KIND_WHOLES, 4, {p, p, p, p}, 0},
                                           whole("count_include_pad", 1),
                                           {0}};
    node(o, "AveragePool", INPUTS(o->in), o->out, attributes);
}

static void write_flatten(struct onnx *o, const struct shk_layer *l) {
    (void)l;
    node(o, "Flatten", INPUTS(o->in), o->out, (const struct attribute[]){whole("axis", 1), {0}});
}

// A map [c][h][w] becomes rows [h * w][c].
static void write_rows(struct onnx *o, const struct shk_layer *l, const char *map) {
    const int64_t rows[] = {0, (int64_t)l->out.c, -1};
    const struct value flat = part(o, "flat"), shape = wholes(o, "shape", 3, rows);
    node(o, "Reshape", INPUTS(map, shape.name), flat.name, NONE);
    node(o, "Transpose", INPUTS(flat.name), o->out,
         (const struct attribute[]){{"perm", KIND_WHOLES, 3, {0, 2, 1}, 0}, {0}});
}

static void write_tokens(struct onnx *o, const struct shk_layer *l) { write_rows(o, l, o->in); }

static void write_patch_embed(struct onnx *o, const struct shk_layer *l) {
    const int64_t k = (int64_t)l->patch_embed.patch;
    const struct value map = part(o, "map");
    const struct attribute attributes[] = {
        {"kernel_shape", KIND_WHOLES, 2, {k, k}, 0}, {"strides", KIND_WHOLES, 2, {k, k}, 0}, {0}};
    node(o, "Conv", INPUTS(o->in, weight(o, 0), weight(o, 1)), map.name, attributes);
    write_rows(o, l, map.name);
}

// The token is repeated for as many samples as there are.
static void write_cls_token(struct onnx *o, const struct shk_layer *l) {
    const int64_t one_row[] = {1, (int64_t)l->out.c};
    const struct value batch = part(o, "batch"), row = wholes(o, "row", 2, one_row), shape = part(o, "shape"),
                       tokens = part(o, "tokens");
    node(o, "Shape", INPUTS(o->in), batch.name, (const struct attribute[]){whole("start", 0), whole("end", 1), {0}});
    node(o, "Concat", INPUTS(batch.name, row.name), shape.name, (const struct attribute[]){whole("axis", 0), {0}});
    node(o, "Expand", INPUTS(weight(o, 0), shape.name), tokens.name, NONE);
    node(o, "Concat", INPUTS(tokens.name, o->in), o->out, (const struct attribute[]){whole("axis", 1), {0}});
}

static void write_positions(struct onnx *o, const struct shk_layer *l) {
    (void)l;
    node(o, "Add", INPUTS(o->in, weight(o, 0)), o->out, NONE);
}

static void write_fixed_positions(struct onnx *o, const struct shk_layer *l) {
    const size_t rows = l->out.h, dim = l->out.c, dims[] = {1, rows, dim};
    const struct value table = part(o, "table");
    float *numbers = calloc(rows * dim, sizeof *numbers);
    o->graph.failed = o->graph.failed || !numbers;
    if (!numbers) return;
    shk_grid_positions(&l->grid, rows, dim, dim, numbers);
    constant(o, table.name, TYPE_FLOAT, 3, dims, numbers, rows * dim * sizeof *numbers);
    node(o, "Add", INPUTS(o->in, table.name), o->out, NONE);
    free(numbers);
}

// Whether a layer's values are [batch][c], not [batch][h][c].
static bool is_vector(const struct shk_graph *g, int layer) {
    const enum shk_layer_kind kind = g->layers[layer].kind;
    if (kind == SHK_FLATTEN || kind == SHK_SELECT_CLS || kind == SHK_MEAN_TOKENS || kind == SHK_SEQ_POOL) return true;
    return (shk_layer_flags(kind) & SHK_ROWWISE) && is_vector(g, g->layers[layer].in[0]);
}

// A weight [out][in][1][1] becomes [out][in].
static const char *matrix(struct onnx *o, struct value *flat) {
    if (o->m->params[o->m->graph.layers[o->layer].params[0]].ndim == 2) return weight(o, 0);
    *flat = part(o, "matrix");
    node(o, "Flatten", INPUTS(weight(o, 0)), flat->name, (const struct attribute[]){whole("axis", 1), {0}});
    return flat->name;
}

static void write_linear(struct onnx *o, const struct shk_layer *l) {
    if (is_vector(&o->m->graph, l->in[0])) {
        struct value flat;
        node(o, "Gemm", INPUTS(o->in, matrix(o, &flat), weight(o, 1)), o->out,
             (const struct attribute[]){whole("transB", 1), {0}});
        return;
    }
    const struct value transposed = part(o, "weight"), product = part(o, "product");
    node(o, "Transpose", INPUTS(weight(o, 0)), transposed.name,
         (const struct attribute[]){{"perm", KIND_WHOLES, 2, {1, 0}, 0}, {0}});
    node(o, "MatMul", INPUTS(o->in, transposed.name), product.name, NONE);
    node(o, "Add", INPUTS(product.name, weight(o, 1)), o->out, NONE);
}

static void write_relu(struct onnx *o, const struct shk_layer *l) {
    (void)l;
    node(o, "Relu", INPUTS(o->in), o->out, NONE);
}

// x * (1 + erf(x / sqrt(2))) * 1/2
static void write_gelu(struct onnx *o, const struct shk_layer *l) {
    (void)l;
    const struct value root = scalar(o, "root_of_two", sqrt(2)), one = scalar(o, "one", 1),
                       half = scalar(o, "half", 0.5), scaled = part(o, "scaled"), erf = part(o, "erf"),
                       sum = part(o, "sum"), twice = part(o, "twice");
    node(o, "Div", INPUTS(o->in, root.name), scaled.name, NONE);
    node(o, "Erf", INPUTS(scaled.name), erf.name, NONE);
    node(o, "Add", INPUTS(erf.name, one.name), sum.name, NONE);
    node(o, "Mul", INPUTS(o->in, sum.name), twice.name, NONE);
    node(o, "Mul", INPUTS(twice.name, half.name), o->out, NONE);
}

static void write_silu(struct onnx *o, const struct shk_layer *l) {
    (void)l;
    const struct value sigmoid = part(o, "sigmoid");
    node(o, "Sigmoid", INPUTS(o->in), sigmoid.name, NONE);
    node(o, "Mul", INPUTS(o->in, sigmoid.name), o->out, NONE);
}

static void write_hardswish(struct onnx *o, const struct shk_layer *l) {
    (void)l;
    node(o, "HardSwish", INPUTS(o->in), o->out, NONE);
}

static void write_sigmoid(struct onnx *o, const struct shk_layer *l) {
    (void)l;
    node(o, "Sigmoid", INPUTS(o->in), o->out, NONE);
}

static const char *value_of(const struct onnx *, int layer, char name[80]);

// The row [batch][c] becomes [batch][c][1][1].
static void write_scale(struct onnx *o, const struct shk_layer *l) {
    char other[80];
    const int64_t pixel[] = {0, (int64_t)l->out.c, 1, 1};
    const struct value shape = wholes(o, "shape", 4, pixel), factor = part(o, "factor");
    node(o, "Reshape", INPUTS(value_of(o, l->in[1], other), shape.name), factor.name, NONE);
    node(o, "Mul", INPUTS(o->in, factor.name), o->out, NONE);
}

static void write_add(struct onnx *o, const struct shk_layer *l) {
    char other[80];
    node(o, "Add", INPUTS(o->in, value_of(o, l->in[1], other)), o->out, NONE);
}

// Channels are the second dimension of maps and rows, and the last of tokens.
static void write_concat(struct onnx *o, const struct shk_layer *l) {
    char other[80];
    node(o, "Concat", INPUTS(o->in, value_of(o, l->in[1], other)), o->out,
         (const struct attribute[]){whole("axis", l->out.map ? 1 : -1), {0}});
}

static void write_batch_norm(struct onnx *o, const struct shk_layer *l) {
    const struct shk_param *p = o->m->params;
    const struct attribute attributes[] = {{"epsilon", KIND_REAL, 0, {0}, (float)l->batch_norm.eps}, {0}};
    node(o, "BatchNormalization",
         INPUTS(o->in, weight(o, 0), weight(o, 1), p[l->running[0]].name, p[l->running[1]].name), o->out, attributes);
}

static void write_layer_norm(struct onnx *o, const struct shk_layer *l) {
    const float eps = (float)l->layer_norm.eps;
    const struct attribute attributes[] = {whole("axis", -1), {"epsilon", KIND_REAL, 0, {0}, eps}, {0}};
    node(o, "LayerNormalization", INPUTS(o->in, weight(o, 0), weight(o, 1)), o->out, attributes);
}

// Rows [tokens][heads * n] become [heads][tokens][n], or [heads][n][tokens].
static struct value split_heads(struct onnx *o, const struct value *rows, const struct value *shape, bool turned) {
    struct value apart, heads;
    snprintf(apart.name, sizeof apart.name, "%.85s.apart", rows->name);
    snprintf(heads.name, sizeof heads.name, "%.85s.heads", rows->name);
    const struct attribute perm = {"perm", KIND_WHOLES, 4, {0, 2, turned ? 3 : 1, turned ? 1 : 3}, 0};
    node(o, "Reshape", INPUTS(rows->name, shape->name), apart.name, NONE);
    node(o, "Transpose", INPUTS(apart.name), heads.name, (const struct attribute[]){perm, {0}});
    return heads;
}

static void put_split(struct onnx *o, const struct value parts[3]) {
    struct shk_pb *b = &o->graph;
    const size_t opened = shk_pb_open(b, GRAPH_NODE);
    const struct attribute axis = whole("axis", 2);
    shk_pb_text(b, NODE_INPUT, o->in);
    for (unsigned i = 0; i < 3; i++) shk_pb_text(b, NODE_OUTPUT, parts[i].name);
    shk_pb_text(b, NODE_NAME, parts[0].name);
    shk_pb_text(b, NODE_OP, "Split");
    put_attribute(b, &axis);
    shk_pb_close(b, opened);
}

static void write_attention(struct onnx *o, const struct shk_layer *l) {
    const size_t heads = l->attention.heads, n = l->out.c / heads;
    const struct value parts[3] = {part(o, "q"), part(o, "k"), part(o, "v")};
    const int64_t apart[] = {0, 0, (int64_t)heads, (int64_t)n}, together[] = {0, 0, (int64_t)l->out.c};
    const struct value shape = wholes(o, "shape", 4, apart), rows = wholes(o, "rows", 3, together),
                       scale = scalar(o, "scale", 1 / sqrt((double)n)), scaled = part(o, "scaled"),
                       scores = part(o, "scores"), weights = part(o, "weights"), sums = part(o, "sums"),
                       joined = part(o, "joined");
    put_split(o, parts);
    const struct value q = split_heads(o, &parts[0], &shape, false), k = split_heads(o, &parts[1], &shape, true),
                       v = split_heads(o, &parts[2], &shape, false);
    node(o, "Mul", INPUTS(q.name, scale.name), scaled.name, NONE);
    node(o, "MatMul", INPUTS(scaled.name, k.name), scores.name, NONE);
    node(o, "Softmax", INPUTS(scores.name), weights.name, (const struct attribute[]){whole("axis", -1), {0}});
    node(o, "MatMul", INPUTS(weights.name, v.name), sums.name, NONE);
    node(o, "Transpose", INPUTS(sums.name), joined.name,
         (const struct attribute[]){{"perm", KIND_WHOLES, 4, {0, 2, 1, 3}, 0}, {0}});
    node(o, "Reshape", INPUTS(joined.name, rows.name), o->out, NONE);
}

static void write_select_cls(struct onnx *o, const struct shk_layer *l) {
    (void)l;
    const int64_t first = 0;
    const struct value index = part(o, "index");
    constant(o, index.name, TYPE_INT64, 0, NULL, &first, sizeof first);
    node(o, "Gather", INPUTS(o->in, index.name), o->out, (const struct attribute[]){whole("axis", 1), {0}});
}

static void write_mean_tokens(struct onnx *o, const struct shk_layer *l) {
    if (o->m->graph.layers[l->in[0]].out.map) {
        const struct value map = part(o, "map");
        node(o, "GlobalAveragePool", INPUTS(o->in), map.name, NONE);
        node(o, "Flatten", INPUTS(map.name), o->out, (const struct attribute[]){whole("axis", 1), {0}});
        return;
    }
    const struct attribute attributes[] = {{"axes", KIND_WHOLES, 1, {1}, 0}, whole("keepdims", 0), {0}};
    node(o, "ReduceMean", INPUTS(o->in), o->out, attributes);
}

// Scores [tokens][1] become shares [1][tokens], whose product with the tokens is [1][c].
static void write_seq_pool(struct onnx *o, const struct shk_layer *l) {
    const int64_t row[] = {0, (int64_t)l->out.c};
    const struct value query = part(o, "query"), scores = part(o, "scores"), turned = part(o, "turned"),
                       shares = part(o, "shares"), sum = part(o, "sum"), shape = wholes(o, "shape", 2, row);
    node(o, "Transpose", INPUTS(weight(o, 0)), query.name,
         (const struct attribute[]){{"perm", KIND_WHOLES, 2, {1, 0}, 0}, {0}});
    node(o, "MatMul", INPUTS(o->in, query.name), scores.name, NONE);
    const struct value with_bias = part(o, "with_bias");
    node(o, "Add", INPUTS(scores.name, weight(o, 1)), with_bias.name, NONE);
    node(o, "Transpose", INPUTS(with_bias.name), turned.name,
         (const struct attribute[]){{"perm", KIND_WHOLES, 3, {0, 2, 1}, 0}, {0}});
    node(o, "Softmax", INPUTS(turned.name), shares.name, (const struct attribute[]){whole("axis", -1), {0}});
    node(o, "MatMul", INPUTS(shares.name, o->in), sum.name, NONE);
    node(o, "Reshape", INPUTS(sum.name, shape.name), o->out, NONE);
}

// Pixels 0 .. 1 become what the model was trained on.
static void write_input(struct onnx *o, const struct shk_layer *l) {
    const struct shk_preprocessing *p = &o->m->input.prepared;
    const size_t dims[] = {1, l->out.c, 1, 1}, size = l->out.c * sizeof(float);
    if (!p->normalised) return;
    constant(o, "mean", TYPE_FLOAT, 4, dims, p->mean, size);
    constant(o, "std", TYPE_FLOAT, 4, dims, p->deviation, size);
    node(o, "Sub", INPUTS("pixels", "mean"), "centred", NONE);
    node(o, "Div", INPUTS("centred", "std"), o->out, NONE);
}

// Layers without a row make no node: what drops nothing after the training, and the loss.
static write_layer *const writers[SHK_LAYER_KINDS] = {
    [SHK_INPUT] = write_input,
    [SHK_CONV] = write_conv,
    [SHK_GROUPED_CONV] = write_conv,
    [SHK_MAX_POOL] = write_max_pool,
    [SHK_AVG_POOL] = write_avg_pool,
    [SHK_FLATTEN] = write_flatten,
    [SHK_TOKENS] = write_tokens,
    [SHK_PATCH_EMBED] = write_patch_embed,
    [SHK_CLS_TOKEN] = write_cls_token,
    [SHK_POSITIONS] = write_positions,
    [SHK_FIXED_POSITIONS] = write_fixed_positions,
    [SHK_LINEAR] = write_linear,
    [SHK_RELU] = write_relu,
    [SHK_GELU] = write_gelu,
    [SHK_SILU] = write_silu,
    [SHK_HARDSWISH] = write_hardswish,
    [SHK_SIGMOID] = write_sigmoid,
    [SHK_SCALE] = write_scale,
    [SHK_ADD] = write_add,
    [SHK_CONCAT] = write_concat,
    [SHK_BATCH_NORM] = write_batch_norm,
    [SHK_LAYER_NORM] = write_layer_norm,
    [SHK_ATTENTION] = write_attention,
    [SHK_SELECT_CLS] = write_select_cls,
    [SHK_MEAN_TOKENS] = write_mean_tokens,
    [SHK_SEQ_POOL] = write_seq_pool,
};
static bool drops(enum shk_layer_kind kind) { return kind == SHK_DROPOUT || kind == SHK_DROP_PATH; }
static bool is_left_out(enum shk_layer_kind kind) { return drops(kind) || kind == SHK_CROSS_ENTROPY; }

// The layer whose value is layer i's.
static int source_of(const struct shk_graph *g, int i) {
    while (drops(g->layers[i].kind)) i = g->layers[i].in[0];
    return i;
}

static const char *value_of(const struct onnx *o, int layer, char name[80]) {
    const struct shk_graph *g = &o->m->graph;
    const int i = source_of(g, layer), last = (int)g->count - 1; // the loss
    if (i == 0)
        snprintf(name, 80, "%s", o->m->input.prepared.normalised ? "normalised" : "pixels");
    else if (i == source_of(g, g->layers[last].in[0]))
        snprintf(name, 80, "logits");
    else
        snprintf(name, 80, "%s_%d", g->layers[i].name, i);
    return name;
}

static bool write_layers(struct onnx *o, struct shk_error *err) {
    const struct shk_graph *g = &o->m->graph;
    for (o->layer = 0; o->layer < (int)g->count; o->layer++) {
        const struct shk_layer *l = &g->layers[o->layer];
        if (is_left_out(l->kind)) continue;
        if (!writers[l->kind]) return shk_fail(err, SHK_BAD_INPUT, "the model's layer %s has no form in ONNX", l->name);
        value_of(o, o->layer, o->out);
        if (l->in[0] >= 0) value_of(o, l->in[0], o->in);
        writers[l->kind](o, l);
    }
    return true;
}

// ---- The graph's ends, and what is said of it ----

// "batch" and the dims behind it.
static void put_end(struct shk_pb *b, unsigned field, const char *name, unsigned ndim, const size_t *dims) {
    const size_t value = shk_pb_open(b, field);
    shk_pb_text(b, VALUE_NAME, name);
    const size_t type = shk_pb_open(b, VALUE_TYPE), tensor = shk_pb_open(b, TYPE_TENSOR);
    shk_pb_whole(b, TENSOR_TYPE_ELEMENT, TYPE_FLOAT);
    const size_t shape = shk_pb_open(b, TENSOR_TYPE_SHAPE);
    for (unsigned i = 0; i <= ndim; i++) {
        const size_t dim = shk_pb_open(b, SHAPE_DIM);
        if (i == 0)
            shk_pb_text(b, DIM_NAME, "batch");
        else
            shk_pb_whole(b, DIM_VALUE, dims[i - 1]);
        shk_pb_close(b, dim);
    }
    shk_pb_close(b, shape);
    shk_pb_close(b, tensor);
    shk_pb_close(b, type);
    shk_pb_close(b, value);
}

static void put_entry(struct shk_pb *b, const char *key, const char *value) {
    const size_t opened = shk_pb_open(b, MODEL_METADATA);
    shk_pb_text(b, ENTRY_KEY, key);
    shk_pb_text(b, ENTRY_VALUE, value);
    shk_pb_close(b, opened);
}

// {0: "a", 1: "b"}; NULL: no memory.
static char *dictionary_of(const struct shk_names *names) {
    char *all = NULL;
    size_t size = 0;
    for (size_t i = 0; i < names->count; i++) {
        const struct shk_names one = {1, 1, &names->names[i]};
        char *text = shk_names_text(&one); // ["a"]
        const size_t room = text ? size + strlen(text) + SHK_TEXT : 0;
        char *grown = text ? realloc(all, room) : NULL;
        if (!grown) {
            free(text);
            free(all);
            return NULL;
        }
        all = grown;
        text[strlen(text) - 1] = 0;
        size += (size_t)snprintf(all + size, room - size, "%s%zu: %s%s", i ? ", " : "{", i, text + 1,
                                 i + 1 == names->count ? "}" : "");
        free(text);
    }
    return all;
}

// As our own files have them, and as a dictionary of Python, which is where many programs look.
static void put_names(struct shk_pb *b, const struct shk_names *names) {
    char *list = shk_names_text(names), *dictionary = dictionary_of(names);
    b->failed = b->failed || !list || !dictionary;
    if (list && dictionary) {
        put_entry(b, "class_names", list);
        put_entry(b, "names", dictionary);
    }
    free(list);
    free(dictionary);
}

static void put_metadata(struct shk_pb *b, const struct shk_model *m) {
    char size[2 * SHK_TEXT], number[SHK_TEXT];
    snprintf(size, sizeof size, "%zux%zu", m->shape.height, m->shape.width);
    put_entry(b, "model", m->config.description);
    put_entry(b, "size", size);
    shk_whole_text(m->shape.channels, number);
    put_entry(b, "channels", number);
    put_entry(b, "fit", shk_fit_name(m->input.prepared.fit));
    shk_whole_text(m->input.prepared.background, number);
    put_entry(b, "background", number);
    if (m->input.names.count) put_names(b, &m->input.names);
}

static void put_head(struct shk_pb *b, const struct shk_model *m) {
    shk_pb_whole(b, MODEL_IR, IR_VERSION);
    shk_pb_text(b, MODEL_PRODUCER, "shikaku");
    shk_pb_text(b, MODEL_PRODUCER_VERSION, SHK_VERSION);
    const size_t opened = shk_pb_open(b, MODEL_OPSET);
    shk_pb_whole(b, OPSET_VERSION, OPSET);
    shk_pb_close(b, opened);
    put_metadata(b, m);
}

static bool write_graph(struct onnx *o, struct shk_error *err) {
    const struct shk_shape *s = &o->m->shape;
    shk_pb_text(&o->graph, GRAPH_NAME, o->m->config.title);
    put_end(&o->graph, GRAPH_INPUT, "pixels", 3, (const size_t[]){s->channels, s->height, s->width});
    put_end(&o->graph, GRAPH_OUTPUT, "logits", 1, &s->classes);
    return write_layers(o, err);
}

// ---- Weights: straight into the file, with all lengths known before ----

// The field of a weight up to its numbers: the outer tag and length, and the tensor's first fields.
struct heads {
    struct shk_pb outer, inner;
};

static bool heads_make(struct heads *h, const struct shk_param *p, struct shk_error *err) {
    const size_t bytes = p->size * sizeof(float);
    *h = (struct heads){0};
    for (unsigned i = 0; i < p->ndim; i++) shk_pb_whole(&h->inner, TENSOR_DIM, p->dims[i]);
    shk_pb_whole(&h->inner, TENSOR_TYPE, TYPE_FLOAT);
    shk_pb_text(&h->inner, TENSOR_NAME, p->name);
    shk_pb_announce(&h->inner, TENSOR_BYTES, bytes);
    shk_pb_announce(&h->outer, GRAPH_INITIALIZER, h->inner.size + bytes);
    return !(h->inner.failed || h->outer.failed) || shk_fail(err, SHK_FAILED, "out of memory for a tensor's head");
}

static void heads_free(struct heads *h) {
    shk_pb_free(&h->outer);
    shk_pb_free(&h->inner);
}

static bool add_size(const struct shk_param *p, size_t *size, struct shk_error *err) {
    struct heads h;
    const bool ok = heads_make(&h, p, err);
    *size += h.outer.size + h.inner.size + p->size * sizeof(float);
    heads_free(&h);
    return ok;
}

static bool put_weight(struct shk_file_out *f, const struct shk_model *m, const struct shk_param *p,
                       struct shk_error *err) {
    enum { CHUNK = 4096 };
    float values[CHUNK];
    struct heads h;
    const bool ok = heads_make(&h, p, err);
    shk_file_put(f, h.outer.bytes, h.outer.size);
    shk_file_put(f, h.inner.bytes, h.inner.size);
    for (size_t at = 0; at < p->size; at += CHUNK) {
        const size_t n = p->size - at < CHUNK ? p->size - at : CHUNK;
        shk_param_gather(p, at, n, m->weights, values);
        shk_file_put(f, values, n * sizeof *values);
    }
    heads_free(&h);
    return ok;
}

static bool write_file(const struct shk_model *m, struct shk_pb *head, const struct shk_pb *graph, const char *path,
                       struct shk_error *err) {
    struct shk_file_out f;
    size_t size = graph->size;
    for (unsigned i = 0; i < m->param_count; i++)
        if (!add_size(&m->params[i], &size, err)) return false;
    shk_pb_announce(head, MODEL_GRAPH, size);
    if (head->failed || graph->failed) return shk_fail(err, SHK_FAILED, "out of memory for a file's head");
    if (!shk_file_create(&f, NULL, path, err)) return false;
    shk_file_put(&f, head->bytes, head->size);
    shk_file_put(&f, graph->bytes, graph->size);
    for (unsigned i = 0; i < m->param_count; i++) {
        if (put_weight(&f, m, &m->params[i], err)) continue;
        shk_file_abandon(&f);
        return false;
    }
    return shk_file_finish(&f, err);
}

bool shk_model_export_onnx(const struct shk_model *m, const char *path, struct shk_error *err) {
    struct shk_model *folded = shk_model_trainable(m, err) ? shk_folded_create(m, err) : NULL;
    if (!folded) return false;
    struct shk_pb head = {0};
    struct onnx o = {.m = folded};
    put_head(&head, folded);
    const bool ok = write_graph(&o, err) && write_file(folded, &head, &o.graph, path, err);
    shk_folded_free(folded);
    shk_pb_free(&head);
    shk_pb_free(&o.graph);
    return ok;
}
