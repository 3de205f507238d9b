// SPDX-License-Identifier: MIT
// A peer to compare with: tinycnn trained on the squares with oneDNN's primitives called directly, in the layouts that
// they choose, forward, backward and Adam, batch 64, f32. `make peer-onednn`, then
//
//   OMP_NUM_THREADS=2 build/gcc/bench/peer_onednn [epochs]
//
// Prints samples per second of the median step (on 1 thread also by its CPU time, which other processes do not
// lengthen). Run it on a quiet machine: OpenMP's threads spin while they wait for each other. The short batch at the end of an epoch is left out. ReLU is a post-op
// of convolution and linear layer; backward it is applied behind the pool, where the map is a quarter of the size: the
// same gradient, since max and ReLU commute.
#include <shikaku/shikaku.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dnnl.hpp>
#include <numeric>
#include <omp.h>
#include <random>
#include <time.h>
#include <unordered_map>
#include <vector>

namespace {

using namespace dnnl;
using dims = memory::dims;
using desc = memory::desc;
using tag = memory::format_tag;
constexpr auto f32 = memory::data_type::f32;

constexpr memory::dim batch = 64, size = 32, channels1 = 16, channels2 = 32, hidden = 128, classes = 9;

struct Parameter {
    memory weight, gradient; // in the layout of the forward primitive
    dims shape;
    tag plain;
    float bound; // initial weights: uniform in -bound .. bound
};

class Net {
  public:
    Net();
    float step(const uint32_t *labels);                                       // the mean loss
    float *input() { return static_cast<float *>(images.get_data_handle()); } // [batch][size][size]

  private:
    struct Conv {
        convolution_forward::primitive_desc forward;
        pooling_forward::primitive_desc pool;
        memory source, map, pooled, workspace, gradient; // gradient of pooled
        size_t weight, bias;
    };
    struct Linear {
        inner_product_forward::primitive_desc forward;
        memory source, output, gradient; // gradient of output
        size_t weight, bias;
    };

    void add(std::vector<std::pair<primitive, std::unordered_map<int, memory>>> &list, const primitive &p,
             std::unordered_map<int, memory> arguments) {
        list.emplace_back(p, std::move(arguments));
    }
    memory like(const desc &d) { return memory(d, cpu); }
    // m in layout d: itself, or a copy made at this point of the step.
    memory arranged(const memory &m, const desc &d, bool backward);
    // A place for a gradient in layout d; finish() moves it to the parameter's own layout.
    memory gradient_in(size_t parameter, const desc &d);
    void finish(size_t parameter, const memory &gradient);
    size_t new_parameter(const desc &d, dims shape, tag plain, memory::dim fan_in);
    Conv conv(const memory &source, memory::dim in, memory::dim out, memory::dim side);
    Linear linear(const memory &source, memory::dim out, memory::dim in, bool relu);
    memory as_matrix(const memory &m, memory::dim columns) {
        return memory(desc({batch, columns}, f32, tag::nc), cpu, m.get_data_handle());
    }
    void relu_backward(const memory &output, const memory &gradient);
    void conv_backward(const Conv &c, const memory *source_gradient);
    void linear_backward(const Linear &l, const memory *source_gradient);
    void draw_parameters();
    float loss(const uint32_t *labels);
    void adam();

    engine cpu{engine::kind::cpu, 0};
    stream queue{cpu};
    std::vector<std::pair<primitive, std::unordered_map<int, memory>>> forward_steps, backward_steps;
    std::vector<Parameter> parameters;
    std::vector<std::vector<float>> moments1, moments2;
    memory images;
    Linear head;
    int steps = 0;
};

memory Net::arranged(const memory &m, const desc &d, bool backward) {
    if (m.get_desc() == d) return m;
    memory copy = like(d);
    add(backward ? backward_steps : forward_steps, reorder(m, copy), {{DNNL_ARG_FROM, m}, {DNNL_ARG_TO, copy}});
    return copy;
}

memory Net::gradient_in(size_t parameter, const desc &d) {
    const memory &own = parameters[parameter].gradient;
    return own.get_desc() == d ? own : like(d);
}

void Net::finish(size_t parameter, const memory &gradient) {
    const memory &own = parameters[parameter].gradient;
    if (own.get_desc() == gradient.get_desc()) return;
    add(backward_steps, reorder(gradient, own), {{DNNL_ARG_FROM, gradient}, {DNNL_ARG_TO, own}});
}

size_t Net::new_parameter(const desc &d, dims shape, tag plain, memory::dim fan_in) {
    Parameter p = {like(d), like(d), std::move(shape), plain, 1 / std::sqrt(static_cast<float>(fan_in))};
    std::memset(p.gradient.get_data_handle(), 0, d.get_size()); // pads
    parameters.push_back(p);
    return parameters.size() - 1;
}

primitive_attr with_relu() {
    post_ops ops;
    ops.append_eltwise(1, algorithm::eltwise_relu, 0, 0);
    primitive_attr attributes;
    attributes.set_post_ops(ops);
    return attributes;
}

// ---- Forward ----

const dims one = {1, 1}, two = {2, 2}, none = {0, 0};

Net::Conv Net::conv(const memory &source, memory::dim in, memory::dim out, memory::dim side) {
    Conv c;
    desc bias({out}, f32, tag::x);
    c.forward = convolution_forward::primitive_desc(
        convolution_forward::desc(prop_kind::forward_training, algorithm::convolution_direct,
                                  desc({batch, in, side, side}, f32, tag::any), desc({out, in, 3, 3}, f32, tag::any),
                                  bias, desc({batch, out, side, side}, f32, tag::any), one, one, one),
        with_relu(), cpu);
    c.weight = new_parameter(c.forward.weights_desc(), {out, in, 3, 3}, tag::oihw, in * 9);
    c.bias = new_parameter(bias, {out}, tag::x, in * 9);
    c.source = arranged(source, c.forward.src_desc(), false);
    c.map = like(c.forward.dst_desc());
    add(forward_steps, convolution_forward(c.forward),
        {{DNNL_ARG_SRC, c.source},
         {DNNL_ARG_WEIGHTS, parameters[c.weight].weight},
         {DNNL_ARG_BIAS, parameters[c.bias].weight},
         {DNNL_ARG_DST, c.map}});
    c.pool = pooling_forward::primitive_desc(
        pooling_forward::desc(prop_kind::forward_training, algorithm::pooling_max, c.map.get_desc(),
                              desc({batch, out, side / 2, side / 2}, f32, tag::any), two, two, none, none),
        cpu);
    c.pooled = like(c.pool.dst_desc());
    c.gradient = like(c.pool.dst_desc());
    c.workspace = like(c.pool.workspace_desc());
    add(forward_steps, pooling_forward(c.pool),
        {{DNNL_ARG_SRC, c.map}, {DNNL_ARG_DST, c.pooled}, {DNNL_ARG_WORKSPACE, c.workspace}});
    return c;
}

Net::Linear Net::linear(const memory &source, memory::dim out, memory::dim in, bool relu) {
    Linear l;
    desc bias({out}, f32, tag::x);
    l.forward = inner_product_forward::primitive_desc(
        inner_product_forward::desc(prop_kind::forward_training, source.get_desc(), desc({out, in}, f32, tag::any),
                                    bias, desc({batch, out}, f32, tag::nc)),
        relu ? with_relu() : primitive_attr(), cpu);
    l.weight = new_parameter(l.forward.weights_desc(), {out, in}, tag::oi, in);
    l.bias = new_parameter(bias, {out}, tag::x, in);
    l.source = source;
    l.output = like(l.forward.dst_desc());
    l.gradient = like(l.forward.dst_desc());
    add(forward_steps, inner_product_forward(l.forward),
        {{DNNL_ARG_SRC, l.source},
         {DNNL_ARG_WEIGHTS, parameters[l.weight].weight},
         {DNNL_ARG_BIAS, parameters[l.bias].weight},
         {DNNL_ARG_DST, l.output}});
    return l;
}

// ---- Backward ----

// In place; where the output is 0, so was the sign of the input.
void Net::relu_backward(const memory &output, const memory &gradient) {
    desc d = output.get_desc();
    eltwise_forward::primitive_desc hint(
        eltwise_forward::desc(prop_kind::forward_training, algorithm::eltwise_relu, d, 0), cpu);
    eltwise_backward::primitive_desc backward(eltwise_backward::desc(algorithm::eltwise_relu, d, d, 0), cpu, hint);
    add(backward_steps, eltwise_backward(backward),
        {{DNNL_ARG_SRC, output}, {DNNL_ARG_DIFF_DST, gradient}, {DNNL_ARG_DIFF_SRC, gradient}});
}

void Net::conv_backward(const Conv &c, const memory *source_gradient) {
    relu_backward(c.pooled, c.gradient);
    memory map = like(c.map.get_desc()); // gradient of the map
    pooling_backward::primitive_desc pool(
        pooling_backward::desc(algorithm::pooling_max, c.map.get_desc(), c.pooled.get_desc(), two, two, none, none),
        cpu, c.pool);
    add(backward_steps, pooling_backward(pool),
        {{DNNL_ARG_DIFF_DST, c.gradient}, {DNNL_ARG_WORKSPACE, c.workspace}, {DNNL_ARG_DIFF_SRC, map}});

    dims shape = parameters[c.weight].shape;
    desc any_weight(shape, f32, tag::any), any_map(c.map.get_desc().dims(), f32, tag::any);
    convolution_backward_weights::primitive_desc weights(
        convolution_backward_weights::desc(algorithm::convolution_direct, c.source.get_desc(), any_weight,
                                           parameters[c.bias].gradient.get_desc(), any_map, one, one, one),
        cpu, c.forward);
    memory gradient = gradient_in(c.weight, weights.diff_weights_desc());
    add(backward_steps, convolution_backward_weights(weights),
        {{DNNL_ARG_SRC, c.source},
         {DNNL_ARG_DIFF_DST, arranged(map, weights.diff_dst_desc(), true)},
         {DNNL_ARG_DIFF_WEIGHTS, gradient},
         {DNNL_ARG_DIFF_BIAS, parameters[c.bias].gradient}});
    finish(c.weight, gradient);

    if (!source_gradient) return;
    convolution_backward_data::primitive_desc data(convolution_backward_data::desc(algorithm::convolution_direct,
                                                                                   source_gradient->get_desc(),
                                                                                   any_weight, any_map, one, one, one),
                                                   cpu, c.forward);
    memory weight = arranged(parameters[c.weight].weight, data.weights_desc(), true);
    add(backward_steps, convolution_backward_data(data),
        {{DNNL_ARG_DIFF_DST, arranged(map, data.diff_dst_desc(), true)},
         {DNNL_ARG_WEIGHTS, weight},
         {DNNL_ARG_DIFF_SRC, *source_gradient}});
}

void Net::linear_backward(const Linear &l, const memory *source_gradient) {
    desc any_weight(parameters[l.weight].shape, f32, tag::any), output = l.output.get_desc();
    inner_product_backward_weights::primitive_desc weights(
        inner_product_backward_weights::desc(l.source.get_desc(), any_weight, parameters[l.bias].gradient.get_desc(),
                                             output),
        cpu, l.forward);
    memory gradient = gradient_in(l.weight, weights.diff_weights_desc());
    add(backward_steps, inner_product_backward_weights(weights),
        {{DNNL_ARG_SRC, l.source},
         {DNNL_ARG_DIFF_DST, l.gradient},
         {DNNL_ARG_DIFF_WEIGHTS, gradient},
         {DNNL_ARG_DIFF_BIAS, parameters[l.bias].gradient}});
    finish(l.weight, gradient);

    inner_product_backward_data::primitive_desc data(
        inner_product_backward_data::desc(source_gradient->get_desc(), any_weight, output), cpu, l.forward);
    memory weight = arranged(parameters[l.weight].weight, data.weights_desc(), true);
    add(backward_steps, inner_product_backward_data(data),
        {{DNNL_ARG_DIFF_DST, l.gradient}, {DNNL_ARG_WEIGHTS, weight}, {DNNL_ARG_DIFF_SRC, *source_gradient}});
}

Net::Net() {
    images = like(desc({batch, 1, size, size}, f32, tag::nchw));
    Conv conv1 = conv(images, 1, channels1, size);
    Conv conv2 = conv(conv1.pooled, channels1, channels2, size / 2);
    // The blocked map as a matrix: its columns are permuted, and so are those of fc1's weight, whose initial values are
    // drawn alike. oneDNN's faster linear kernels take matrices only.
    constexpr memory::dim features = channels2 * size / 4 * size / 4;
    memory flat = as_matrix(conv2.pooled, features), flat_gradient = as_matrix(conv2.gradient, features);
    Linear fc1 = linear(flat, hidden, features, true);
    head = linear(fc1.output, classes, hidden, false);

    linear_backward(head, &fc1.gradient);
    relu_backward(fc1.output, fc1.gradient);
    linear_backward(fc1, &flat_gradient);
    conv_backward(conv2, &conv1.gradient);
    conv_backward(conv1, nullptr);
    draw_parameters();
}

// ---- Training ----

void Net::draw_parameters() {
    std::mt19937 random(1);
    for (Parameter &p : parameters) {
        memory plain = like(desc(p.shape, f32, p.plain));
        std::uniform_real_distribution<float> uniform(-p.bound, p.bound);
        auto *values = static_cast<float *>(plain.get_data_handle());
        std::generate_n(values, plain.get_desc().get_size() / sizeof(float), [&] { return uniform(random); });
        reorder(plain, p.weight).execute(queue, plain, p.weight);
        size_t floats = p.weight.get_desc().get_size() / sizeof(float);
        moments1.emplace_back(floats, 0.0f);
        moments2.emplace_back(floats, 0.0f);
    }
    queue.wait();
}

// Softmax cross-entropy on the logits and its gradient.
float Net::loss(const uint32_t *labels) {
    const auto *z = static_cast<const float *>(head.output.get_data_handle());
    auto *dz = static_cast<float *>(head.gradient.get_data_handle());
    float total = 0;
    for (memory::dim i = 0; i < batch; i++, z += classes, dz += classes) {
        float most = *std::max_element(z, z + classes), sum = 0;
        for (memory::dim c = 0; c < classes; c++) sum += dz[c] = std::exp(z[c] - most);
        for (memory::dim c = 0; c < classes; c++) dz[c] /= sum * static_cast<float>(batch);
        dz[labels[i]] -= 1.0f / static_cast<float>(batch);
        total += std::log(sum) + most - z[labels[i]];
    }
    return total / static_cast<float>(batch);
}

void Net::adam() {
    constexpr float beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f;
    steps++;
    auto step_size = static_cast<float>(1e-3 / (1 - std::pow(0.9, steps)));
    auto correction = static_cast<float>(1 / std::sqrt(1 - std::pow(0.999, steps)));
    for (size_t p = 0; p < parameters.size(); p++) {
        auto *w = static_cast<float *>(parameters[p].weight.get_data_handle());
        const auto *g = static_cast<const float *>(parameters[p].gradient.get_data_handle());
        float *m = moments1[p].data(), *v = moments2[p].data();
        size_t n = moments1[p].size();
#pragma omp parallel for simd schedule(static) if (n > 4096)
        for (size_t i = 0; i < n; i++) {
            m[i] = beta1 * m[i] + (1 - beta1) * g[i];
            v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
            w[i] -= step_size * m[i] / (std::sqrt(v[i]) * correction + eps);
        }
    }
}

float Net::step(const uint32_t *labels) {
    for (auto &s : forward_steps) s.first.execute(queue, s.second);
    queue.wait();
    float value = loss(labels);
    for (auto &s : backward_steps) s.first.execute(queue, s.second);
    queue.wait();
    adam();
    return value;
}

double seconds(clockid_t clock) {
    timespec now;
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double median(std::vector<double> &values) {
    auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

// Copies a batch together; part of the step, as in every trainer.
void gather(const shk_dataset *data, const uint32_t *ids, float *images, std::vector<uint32_t> &labels) {
    for (size_t i = 0; i < batch; i++) {
        shk_dataset_pixels(data, ids[i], images + i * size * size);
        labels[i] = shk_dataset_label(data, ids[i]);
    }
}

int train(int epochs) {
    shk_squares_options options = {};
    options.n = 5000;
    options.invert = -1;
    options.seed = 1;
    shk_error error;
    shk_dataset *data = shk_dataset_squares(&options, &error);
    if (!data) {
        std::fprintf(stderr, "peer_onednn: %s\n", error.text);
        return 1;
    }
    Net net;
    std::vector<uint32_t> order(options.n), labels(batch);
    std::iota(order.begin(), order.end(), 0u);
    std::mt19937 random(1);
    std::vector<double> times, cpu_times;
    for (int e = 1; e <= epochs; e++) {
        std::shuffle(order.begin(), order.end(), random);
        double sum = 0;
        size_t steps = order.size() / batch;
        for (size_t i = 0; i < steps; i++) {
            double start = seconds(CLOCK_MONOTONIC), cpu_start = seconds(CLOCK_THREAD_CPUTIME_ID);
            gather(data, &order[i * batch], net.input(), labels);
            sum += net.step(labels.data());
            cpu_times.push_back(seconds(CLOCK_THREAD_CPUTIME_ID) - cpu_start);
            times.push_back(seconds(CLOCK_MONOTONIC) - start);
        }
        std::printf("[oneDNN TinyCNN] epoch %d/%d - loss: %.4f\n", e, epochs, sum / static_cast<double>(steps));
    }
    int threads = omp_get_max_threads();
    std::printf("threads %d: %.0f samples/s (median of %zu steps)", threads, batch / median(times), times.size());
    if (threads == 1) std::printf(", %.0f by CPU time", batch / median(cpu_times));
    std::printf("\n");
    shk_dataset_free(data);
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    int epochs = argc > 1 ? std::atoi(argv[1]) : 5;
    if (argc > 2 || epochs < 1) {
        std::fprintf(stderr, "usage: peer_onednn [epochs]\n");
        return 2;
    }
    try {
        return train(epochs);
    } catch (const dnnl::error &e) {
        std::fprintf(stderr, "peer_onednn: oneDNN: %s\n", e.message);
        return 1;
    }
}
