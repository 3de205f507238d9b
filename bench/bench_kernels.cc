// SPDX-License-Identifier: MIT
// Every kernel on the shapes that tinycnn and tinyvit give it, on every instruction set of this CPU:
//   bench_kernels --benchmark_filter=gemm/.*/avx512
// Counters: GFLOP/s and of_peak (share of one core's FMA peak, measured between the calls) of kernels that multiply,
// GB/s (each operand counted once) of the others; of the median call. The convolutions count dense FLOPs, so their
// share may exceed 1: forward is Winograd's from a feature map, and the gradients compute one position in four.
#include "measure.h"

extern "C" {
#include <kernels.h>
}

#include <algorithm>
#include <benchmark/benchmark.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace {

// The memory of one benchmark.
class Arena {
  public:
    Arena() = default;
    Arena(const Arena &) = delete;
    Arena &operator=(const Arena &) = delete;
    ~Arena() {
        for (void *p : blocks) std::free(p);
    }

    template <class T> T *zeros(size_t n) {
        size_t bytes = (n * sizeof(T) + 63) / 64 * 64;
        void *p = std::aligned_alloc(64, bytes);
        if (!p) std::abort();
        blocks.push_back(p);
        std::memset(p, 0, bytes);
        return static_cast<T *>(p);
    }

    float *floats(size_t n) { // -1 .. 1
        float *p = zeros<float>(n);
        for (size_t i = 0; i < n; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            p[i] = static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
        }
        return p;
    }

  private:
    std::vector<void *> blocks;
    uint64_t state = 1;
};

using Call = std::function<void()>;

struct Case {
    std::string kernel, shape;
    double flops, bytes; // one of them 0
    std::function<Call(const shk_kernels *, Arena &)> prepare;
};

std::vector<Case> all;

constexpr size_t samples = 64, tokens = 65, dim = 64, ff = 256, head_dim = 16;

constexpr double element = sizeof(float);

// ---- Matrix products ----

struct Product {
    const char *shape;
    size_t m, n, k;
    bool weight_gradient; // A is X^T and the output is added to
    bool relu;
};

void add_gemm(const Product &p) {
    double flops = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
    all.push_back({"gemm", p.shape, flops, 0, [p](const shk_kernels *k, Arena &arena) -> Call {
                       shk_gemm g = {};
                       g.m = p.m, g.n = p.n, g.k = p.k;
                       g.a = arena.floats(p.m * p.k);
                       g.a_row = p.weight_gradient ? 1 : static_cast<ptrdiff_t>(p.k);
                       g.a_col = p.weight_gradient ? static_cast<ptrdiff_t>(p.m) : 1;
                       g.b = arena.floats(p.k * p.n);
                       g.b_row = p.weight_gradient ? static_cast<ptrdiff_t>(p.n) : 16;
                       g.b_panel = p.weight_gradient ? 16 : static_cast<ptrdiff_t>(p.k) * 16;
                       g.c = arena.floats(p.m * p.n);
                       g.c_row = p.weight_gradient ? 16 : static_cast<ptrdiff_t>(p.n);
                       g.c_panel = p.weight_gradient ? static_cast<ptrdiff_t>(p.m) * 16 : 16;
                       g.accumulate = p.weight_gradient;
                       g.bias = p.weight_gradient ? nullptr : arena.floats(p.n);
                       g.relu = p.relu;
                       return [=] { k->gemm(&g); };
                   }});
}

void add_gemms() {
    const size_t slice = 32, rows = 4 * tokens; // samples of the CNN, tokens of 4 images
    for (const Product &p : std::vector<Product>{
             {"cnn-fc1-forward", slice, 128, 2048, false, true},
             {"cnn-fc2-forward", slice, 16, 128, false, false},
             {"cnn-fc2-wgrad", 128, 16, samples, true, false},
             {"vit-embed-forward", 64, dim, 16, false, false},
             {"vit-embed-wgrad", 16, dim, 64, true, false},
             {"vit-qkv-forward", rows, 3 * dim, dim, false, false},
             {"vit-qkv-dgrad", rows, dim, 3 * dim, false, false},
             {"vit-qkv-wgrad", dim, 3 * dim, rows, true, false},
             {"vit-projection-forward", rows, dim, dim, false, false},
             {"vit-linear1-forward", rows, ff, dim, false, true},
             {"vit-linear1-dgrad", rows, dim, ff, false, false},
             {"vit-linear1-wgrad", dim, ff, rows, true, false},
             {"vit-linear2-forward", rows, dim, ff, false, false},
             {"vit-linear2-wgrad", ff, dim, rows, true, false},
             {"vit-cls-linear1-forward", 4, ff, dim, false, true},
             {"vit-head-forward", 4, 16, dim, false, false},
         })
        add_gemm(p);
}

// ---- Convolution ----

shk_conv3x3 conv_arguments(Arena &arena, size_t size, size_t cin, size_t cout, const shk_kernels *k) {
    shk_conv3x3 c = {};
    c.h = c.w = size;
    c.cin = cin;
    c.in_ld = cin <= 4 ? cin : shk_round16(cin);
    c.cout = cout;
    size_t map = (size + 2) * (size + 2) * c.in_ld, row = (size + 2) * c.in_ld, pooled = size / 2 * (size / 2) * cout;
    float *in = arena.floats(map); // its border is zero
    for (size_t y = 0; y < size + 2; y++)
        for (size_t x = 0; x < size + 2; x++)
            if (y == 0 || x == 0 || y == size + 1 || x == size + 1)
                std::fill_n(in + y * row + x * c.in_ld, c.in_ld, 0.0f);
    c.in = in;
    c.panels = arena.floats(9 * cin * cout);
    c.taps = arena.floats(cout * 9 * shk_round16(cin));
    c.winograd = arena.floats(cout * SHK_WINOGRAD_POINTS * cin);
    c.samples = 1;
    c.bias = arena.floats(cout);
    c.out = arena.zeros<float>(pooled);
    c.out_px = static_cast<ptrdiff_t>(cout);
    c.out_row = static_cast<ptrdiff_t>(size / 2 * cout);
    c.winners = arena.zeros<uint8_t>(pooled);
    c.dout = arena.floats(pooled);
    c.din = arena.zeros<float>(map);
    c.dweight = arena.zeros<float>(cout * 9 * shk_round16(cin));
    c.dbias = arena.zeros<float>(cout);
    c.scratch = arena.zeros<char>(shk_conv3x3_scratch(size, size, c.in_ld));
    k->conv3x3_forward(&c); // fills winners
    return c;
}

using ConvKernel = void (*shk_kernels::*)(const shk_conv3x3 *);

void add_conv(const char *kernel, ConvKernel f, const char *shape, size_t size, size_t cin, size_t cout) {
    double flops = 2.0 * 9 * static_cast<double>(size * size * cin * cout);
    all.push_back({kernel, shape, flops, 0, [=](const shk_kernels *k, Arena &arena) -> Call {
                       shk_conv3x3 c = conv_arguments(arena, size, cin, cout, k);
                       return [=] { (k->*f)(&c); };
                   }});
}

// A step of Adam on n weights.
shk_rule *adam(Arena &arena, size_t n) {
    const shk_adam_options options = {1e-3, 0.9, 0.999, 1e-8};
    shk_rule *rule = arena.zeros<shk_rule>(1);
    rule->kind = SHK_ADAM;
    rule->adam = shk_adam_at(&options, 10);
    rule->scale = 1;
    rule->w = arena.floats(n);
    for (float *&moment : rule->moments) moment = arena.zeros<float>(n);
    rule->finite = arena.zeros<bool>(1);
    return rule;
}

// Gradients behind a ReLU that has let half of its inputs through; a tile of the weights.
void add_sparse() {
    const size_t outputs = 128, inputs = 64;
    double flops = static_cast<double>(samples) * static_cast<double>(outputs * inputs);
    for (bool weights : {false, true})
        all.push_back({"sparse_gemm", weights ? "cnn-fc1-wgrad-adam" : "cnn-fc1-dgrad", flops, 0,
                       [=](const shk_kernels *k, Arena &arena) -> Call {
                           shk_sparse_gemm g = {};
                           float *a = arena.floats(samples * outputs);
                           for (size_t i = 0; i < samples * outputs; i++)
                               if (i * 2654435761u >> 16 & 1) a[i] = 0;
                           g.a = a;
                           g.a_row = weights ? 1 : outputs;
                           g.a_col = weights ? outputs : 1;
                           g.m = weights ? outputs : samples;
                           g.k = weights ? samples : outputs;
                           g.n = inputs;
                           g.b = arena.floats(g.k * inputs);
                           g.b_row = g.c_row = inputs;
                           g.c = arena.floats(g.m * inputs);
                           if (weights) g.rule = adam(arena, outputs * inputs);
                           return [=] { k->sparse_gemm(&g); };
                       }});
}

void add_convs() {
    add_conv("conv3x3_forward", &shk_kernels::conv3x3_forward, "cnn-conv1", 32, 1, 16);
    add_conv("conv3x3_forward", &shk_kernels::conv3x3_forward, "cnn-conv2", 16, 16, 32);
    add_conv("conv3x3_dgrad", &shk_kernels::conv3x3_dgrad, "cnn-conv2", 16, 16, 32);
    add_conv("conv3x3_wgrad", &shk_kernels::conv3x3_wgrad, "cnn-conv1", 32, 1, 16);
    add_conv("conv3x3_wgrad", &shk_kernels::conv3x3_wgrad, "cnn-conv2", 16, 16, 32);
}

void add_conv_weights() {
    constexpr size_t cin = 16; // 16 output channels
    all.push_back({"conv3x3_weights", "cnn-conv2", 0, element * (9 + SHK_WINOGRAD_POINTS) * cin * 16,
                   [](const shk_kernels *k, Arena &arena) -> Call {
                       shk_conv3x3_weights w = {cin, cin, arena.floats(16 * 9 * cin),
                                                arena.zeros<float>(SHK_WINOGRAD_POINTS * cin * 16)};
                       return [=] { k->conv3x3_weights(&w); };
                   }});
}

// ---- Attention ----

shk_dropout_spec dropout_spec(double p) {
    shk_dropout_spec d = {};
    d.threshold = static_cast<uint32_t>(p * 65536 + 0.5);
    d.scale = 65536.0f / static_cast<float>(65536 - d.threshold);
    return d;
}

shk_attention attention_arguments(Arena &arena, size_t queries, double dropout, const shk_kernels *k) {
    shk_attention a = {};
    a.queries = queries, a.tokens = tokens, a.d = head_dim;
    a.ld_q = a.ld_kv = 3 * dim;
    a.ld_out = dim;
    a.scale = 0.25f;
    float *qkv = arena.floats(tokens * 3 * dim), *dqkv = arena.zeros<float>(tokens * 3 * dim);
    a.q = qkv, a.k = qkv + dim, a.v = qkv + 2 * dim;
    a.dq = dqkv, a.dk = dqkv + dim, a.dv = dqkv + 2 * dim;
    a.out = arena.zeros<float>(queries * dim);
    a.dout = arena.floats(queries * dim);
    a.p = arena.zeros<float>((tokens + 1) * shk_round16(queries));
    a.drop = dropout_spec(dropout);
    a.scratch = arena.zeros<char>(shk_attention_scratch(queries, tokens, head_dim));
    k->attention_forward(&a); // fills p
    return a;
}

using AttentionKernel = void (*shk_kernels::*)(const shk_attention *);

void add_attention(const char *kernel, AttentionKernel f, double products) {
    const struct {
        const char *shape;
        size_t queries;
        double dropout;
    } shapes[] = {{"vit-pre-head", tokens, 0}, {"vit-head-dropout", tokens, 0.1}, {"vit-pre-cls", 1, 0}};
    for (const auto &s : shapes) {
        double flops = products * 2 * static_cast<double>(s.queries * tokens * head_dim);
        all.push_back({kernel, s.shape, flops, 0, [=](const shk_kernels *k, Arena &arena) -> Call {
                           shk_attention a = attention_arguments(arena, s.queries, s.dropout, k);
                           return [=] { (k->*f)(&a); };
                       }});
    }
}

// CLS alone, all heads of a sample: scores, weighted sum; backward two more products each way.
void add_cls_attention() {
    constexpr size_t heads = 4;
    auto arguments = [](Arena &arena, double dropout, const shk_kernels *k) {
        shk_cls_attention a = {};
        a.tokens = tokens, a.cols = dim, a.heads = heads;
        a.scale = 0.25f;
        a.x = arena.floats(tokens * dim), a.u = arena.floats(2 * heads * dim);
        a.x_row = a.dx_row = dim;
        a.p = arena.zeros<float>(heads * shk_round16(tokens));
        a.z = arena.zeros<float>(heads * dim), a.r = arena.zeros<float>(16);
        a.drop = dropout_spec(dropout);
        a.dr = arena.floats(16);
        a.du = arena.zeros<float>(heads * dim), a.dx = arena.zeros<float>(tokens * dim);
        a.scratch = arena.zeros<char>(shk_cls_attention_scratch(tokens, heads));
        k->cls_attention_forward(&a); // fills p
        return a;
    };
    for (double dropout : {0.0, 0.1}) {
        const char *shape = dropout > 0 ? "vit-dropout" : "vit-pre";
        constexpr double product = 2.0 * heads * tokens * dim;
        all.push_back({"cls_attention_forward", shape, 2 * product, 0, [=](const shk_kernels *k, Arena &arena) -> Call {
                           shk_cls_attention a = arguments(arena, dropout, k);
                           return [=] { k->cls_attention_forward(&a); };
                       }});
        all.push_back(
            {"cls_attention_backward", shape, 4 * product, 0, [=](const shk_kernels *k, Arena &arena) -> Call {
                 shk_cls_attention a = arguments(arena, dropout, k);
                 return [=] { k->cls_attention_backward(&a); };
             }});
    }
}

// ---- Rows and elements ----

void add_layernorm() {
    auto arguments = [](Arena &arena, const shk_kernels *k) {
        shk_layernorm n = {};
        n.rows = tokens, n.cols = dim;
        n.x_row = n.y_row = n.dy_row = n.dx_row = dim;
        n.x = arena.floats(tokens * dim);
        n.gamma = arena.floats(dim), n.beta = arena.floats(dim);
        n.y = arena.zeros<float>(tokens * dim);
        n.stats = arena.zeros<float>(2 * tokens);
        n.stats_row = 2;
        n.dy = arena.floats(tokens * dim);
        n.dx = arena.zeros<float>(tokens * dim);
        n.dgamma = arena.zeros<float>(dim), n.dbeta = arena.zeros<float>(dim);
        k->layernorm_forward(&n); // fills stats
        return n;
    };
    all.push_back({"layernorm_forward", "vit-tokens", 0, 2 * element * tokens * dim,
                   [=](const shk_kernels *k, Arena &arena) -> Call {
                       shk_layernorm n = arguments(arena, k);
                       return [=] { k->layernorm_forward(&n); };
                   }});
    all.push_back({"layernorm_backward", "vit-tokens", 0, 3 * element * tokens * dim,
                   [=](const shk_kernels *k, Arena &arena) -> Call {
                       shk_layernorm n = arguments(arena, k);
                       return [=] { k->layernorm_backward(&n); };
                   }});
}

void add_cross_entropy() {
    all.push_back(
        {"cross_entropy", "9-classes", 0, 2 * element * samples * 16, [](const shk_kernels *k, Arena &arena) -> Call {
             shk_cross_entropy c = {};
             c.rows = samples, c.classes = 9, c.row = 16, c.scale = 1.0f / samples;
             c.logits = arena.floats(samples * 16);
             c.labels = arena.zeros<uint32_t>(samples);
             c.dlogits = arena.zeros<float>(samples * 16);
             c.loss = arena.zeros<float>(samples);
             c.predicted = arena.zeros<uint32_t>(samples);
             return [=] { k->cross_entropy(&c); };
         }});
}

void add_activations() {
    constexpr size_t n = tokens * ff;
    all.push_back(
        {"gelu_forward", "vit-pre-hidden", 0, 3 * element * n, [](const shk_kernels *k, Arena &arena) -> Call {
             shk_gelu g = {n, arena.floats(n), arena.zeros<float>(n), arena.zeros<float>(n)};
             return [=] { k->gelu_forward(&g); };
         }});
    all.push_back({"silu_forward", "vit-hidden", 0, 3 * element * n, [](const shk_kernels *k, Arena &arena) -> Call {
                       shk_silu g = {n, arena.floats(n), arena.zeros<float>(n), arena.zeros<float>(n)};
                       return [=] { k->silu_forward(&g); };
                   }});
    all.push_back({"multiply", "vit-pre-hidden", 0, 3 * element * n, [](const shk_kernels *k, Arena &arena) -> Call {
                       shk_multiply m = {n, arena.floats(n), arena.floats(n), arena.zeros<float>(n)};
                       return [=] { k->multiply(&m); };
                   }});
    all.push_back({"relu_backward", "vit-hidden", 0, 3 * element * n, [](const shk_kernels *k, Arena &arena) -> Call {
                       shk_relu_backward r = {n, arena.floats(n), arena.floats(n), arena.zeros<float>(n), 1};
                       return [=] { k->relu_backward(&r); };
                   }});
}

void add_dropout(const char *shape, size_t cols, bool residual) {
    auto arguments = [=](Arena &arena, const shk_kernels *k) {
        shk_dropout d = {};
        d.rows = tokens, d.cols = cols;
        d.x_row = d.y_row = d.residual_row = d.dy_row = d.dx_row = static_cast<ptrdiff_t>(cols);
        d.x = arena.floats(tokens * cols);
        d.residual = residual ? arena.floats(tokens * cols) : nullptr;
        d.y = arena.zeros<float>(tokens * cols);
        shk_dropout_mask draw = {tokens * cols, arena.zeros<uint16_t>(tokens * cols / 16), dropout_spec(0.1), 0};
        k->dropout_mask(&draw);
        d.mask = draw.mask;
        d.scale = draw.drop.scale;
        d.dy = arena.floats(tokens * cols);
        d.dx = arena.zeros<float>(tokens * cols);
        return d;
    };
    double bytes = element * static_cast<double>(tokens * cols);
    all.push_back({"dropout_mask", shape, 0, bytes / 32, [=](const shk_kernels *k, Arena &arena) -> Call {
                       uint16_t *mask = arena.zeros<uint16_t>(tokens * cols / 16);
                       shk_dropout_mask draw = {tokens * cols, mask, dropout_spec(0.1), 0};
                       return [=] { k->dropout_mask(&draw); };
                   }});
    all.push_back(
        {"dropout_forward", shape, 0, (residual ? 3 : 2) * bytes, [=](const shk_kernels *k, Arena &arena) -> Call {
             shk_dropout d = arguments(arena, k);
             return [=] { k->dropout_forward(&d); };
         }});
    all.push_back({"dropout_backward", shape, 0, 2 * bytes, [=](const shk_kernels *k, Arena &arena) -> Call {
                       shk_dropout d = arguments(arena, k);
                       return [=] { k->dropout_backward(&d); };
                   }});
}

void add_sums() {
    all.push_back({"add", "vit-tokens", 0, 3 * element * tokens * dim, [](const shk_kernels *k, Arena &arena) -> Call {
                       shk_add a = {tokens, dim, arena.floats(tokens * dim), dim, arena.floats(tokens * dim), dim};
                       return [=] { k->add(&a); };
                   }});
    for (size_t cols : {dim, ff})
        all.push_back({"column_sum", "vit-" + std::to_string(cols), 0, element * static_cast<double>(tokens * cols),
                       [=](const shk_kernels *k, Arena &arena) -> Call {
                           shk_column_sum s = {tokens,
                                               cols,
                                               arena.floats(tokens * cols),
                                               static_cast<ptrdiff_t>(cols),
                                               nullptr,
                                               arena.zeros<float>(cols),
                                               false};
                           return [=] { k->column_sum(&s); };
                       }});
}

// ---- Weights ----

void add_rule(const char *shape, size_t n, size_t sources) {
    double bytes = element * static_cast<double>(n) * static_cast<double>(6 + sources);
    all.push_back({"apply_rule", shape, 0, bytes, [=](const shk_kernels *k, Arena &arena) -> Call {
                       shk_apply_rule a = {};
                       a.n = a.stride = n;
                       a.gradients = arena.floats(n * sources);
                       a.sources = sources, a.group = 4;
                       a.rule = adam(arena, n);
                       return [=] { k->apply_rule(&a); };
                   }});
}

void add_weights() {
    add_rule("adam-cnn-fc1-tile", 128 * 16, 1);
    add_rule("adam-vit-shards", 64 * 16, 24);
    add_rule("adam-vit-groups", 64 * 16, 6);
    constexpr size_t block = 4096; // of the gradients, as a step that clips takes them
    all.push_back({"square_sum", "block", 2.0 * block, element * block, [](const shk_kernels *k, Arena &arena) -> Call {
                       shk_square_sum s = {block, arena.floats(block), arena.zeros<float>(16), arena.zeros<bool>(1)};
                       return [=] { k->square_sum(&s); };
                   }});
    constexpr size_t blocks = 8; // 128 rows of a panel, as an update task leaves them
    all.push_back(
        {"transpose", "cnn-fc1-tile", 0, 2 * element * blocks * 256, [](const shk_kernels *k, Arena &arena) -> Call {
             shk_transpose t = {blocks,  arena.floats(blocks * 256), 16, 256, arena.zeros<float>(blocks * 128 * 16), 16,
                                128 * 16};
             return [=] { k->transpose(&t); };
         }});
    constexpr size_t rows = 128, panels = 32; // a block of dY, as an update task reads it
    all.push_back(
        {"pack", "vit-hidden", 0, 2 * element * rows * panels * 16, [](const shk_kernels *k, Arena &arena) -> Call {
             shk_pack p = {rows, panels, 16, arena.floats(rows * panels * 16), panels * 16, nullptr, rows * 16};
             p.dst = arena.zeros<float>(rows * panels * 16);
             return [=] { k->pack(&p); };
         }});
    constexpr size_t n = 128 * 128;
    for (bool normal : {false, true})
        all.push_back({normal ? "random_normal" : "random_uniform", "16384", 0, element * n,
                       [=](const shk_kernels *k, Arena &arena) -> Call {
                           shk_random_fill r = {};
                           r.n = n, r.out = arena.zeros<float>(n), r.hi = 1;
                           auto *fill = normal ? k->random_normal : k->random_uniform;
                           return [=] { fill(&r); };
                       }});
}

// ---- Measuring ----

void run(benchmark::State &state, const Case &c, const shk_kernels *k) {
    Arena arena;
    Call call = c.prepare(k, arena);
    call();
    double start = now_seconds();
    call();
    // Long enough for the clock: some 10 us.
    int repeats = 1 + static_cast<int>(10e-6 / (now_seconds() - start + 1e-9));
    std::vector<double> times, peaks;
    for (auto _ : state) {
        start = now_seconds();
        for (int i = 0; i < repeats; i++) call();
        double seconds = now_seconds() - start;
        state.SetIterationTime(seconds);
        times.push_back(seconds / repeats);
        if (times.size() % 16 == 1) peaks.push_back(fma_peak(k));
    }
    double time = median(times.data(), times.size()), peak = median(peaks.data(), peaks.size());
    state.counters["us"] = time * 1e6; // a call
    if (c.bytes > 0) state.counters["GB/s"] = c.bytes / time * 1e-9;
    if (c.flops > 0) {
        state.counters["GFLOP/s"] = c.flops / time * 1e-9;
        state.counters["of_peak"] = c.flops / time * 1e-9 / peak;
    }
}

bool all_kernels_covered() {
    std::set<std::string> have = {"fma_peak"}; // a measurement itself
    for (const Case &c : all) have.insert(c.kernel);
    bool covered = true;
#define KERNEL(name, type)                                                                                             \
    if (!have.count(#name)) {                                                                                          \
        std::fprintf(stderr, "bench_kernels: no benchmark of %s\n", #name);                                            \
        covered = false;                                                                                               \
    }
#include <kernels.def>
#undef KERNEL
    return covered;
}

} // namespace

int main(int argc, char **argv) {
    add_gemms();
    add_sparse();
    add_convs();
    add_conv_weights();
    add_attention("attention_forward", &shk_kernels::attention_forward, 2);
    add_attention("attention_backward", &shk_kernels::attention_backward, 4);
    add_cls_attention();
    add_layernorm();
    add_cross_entropy();
    add_activations();
    add_dropout("vit-tokens", dim, true);
    add_dropout("vit-hidden", ff, false);
    add_sums();
    add_weights();
    if (!all_kernels_covered()) return 1;
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    for (const Case &c : all)
        for (size_t i = 0; const shk_kernels *k = shk_kernels_at(i); i++)
            benchmark::RegisterBenchmark((c.kernel + "/" + c.shape + "/" + k->isa).c_str(),
                                         [&c, k](benchmark::State &s) { run(s, c, k); })
                ->UseManualTime()
                ->MinTime(0.03);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
