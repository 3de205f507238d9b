// SPDX-License-Identifier: MIT
// Samples per second of training steps (train/, shapes/) and of forward passes (eval/).
//
//   bench_train                                     the best instruction set of this CPU
//   bench_train --benchmark_filter=tinycnn/avx2     any that it has: c, avx2, avx512, neon
//
// A benchmark trains from fresh weights for 5 epochs (or until its time is over), since the sparsity that the backward
// pass makes use of changes as the model learns. Counters:
//   median_samples_per_second      of the median step
//   cpu_samples_per_second         the same by the first thread's CPU time (1 thread): what a busy machine takes is left out
//   peak_gflops                    FMA peak of one core, measured between the steps
//   of_peak, cpu_of_peak           nominal FLOPs (every layer dense) * samples/s / peak of ONE core
#include "harness.h"
#include "measure.h"

extern "C" {
#include <kernels.h>
}

#include <algorithm>
#include <benchmark/benchmark.h>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr shk_shape squares = {32, 32, 1, 9};

struct Case {
    std::string name, model;
    shk_shape shape = squares;
    size_t samples = 5000, batch = 64;
    bool training = true;
    unsigned epochs = 5;
    double max_seconds = 20;
};

void run(benchmark::State &state, const Case &c, const char *isa, unsigned threads) {
    shk_error error;
    harness_options o = {c.model.c_str(), isa, c.shape, c.samples, c.batch, threads, c.training};
    harness *h = harness_open(&o, &error);
    if (!h) {
        state.SkipWithError(error.text);
        return;
    }
    harness_result r = {};
    for (auto _ : state) {
        if (!harness_run(h, c.epochs, c.max_seconds, &r)) state.SkipWithError("a loss or gradient is not finite");
        state.SetIterationTime(r.seconds);
    }
    state.SetItemsProcessed(static_cast<int64_t>(r.samples));
    double flops = harness_flops(h) * 1e-9;
    state.counters["median_samples_per_second"] = r.median_rate;
    state.counters["of_peak"] = flops * r.median_rate / r.peak;
    if (threads == 1) {
        state.counters["cpu_samples_per_second"] = r.median_cpu_rate;
        state.counters["cpu_of_peak"] = flops * r.median_cpu_rate / r.peak;
    }
    state.counters["peak_gflops"] = r.peak;
    state.counters["mflop"] = flops * 1e3; // a sample
    state.counters["steps"] = static_cast<double>(r.steps);
    state.counters["loss"] = r.loss;
    harness_close(h);
}

std::vector<Case> cases() {
    std::vector<Case> all;
    const std::vector<std::string> presets = {"tinycnn", "tinyvit", "tinyvit-pre", "tinyvit-nopos"};
    for (const auto &model : presets) all.push_back({"train/" + model, model});
    for (const auto &model : presets) all.push_back({"eval/" + model, model, squares, 5000, 64, false, 1000, 0.7});

    const struct {
        const char *name, *model;
        shk_shape shape;
        size_t samples;
    } shapes[] = {
        {"cnn-32-64-128", "cnn:channels=32-64-128,hidden=256", {32, 32, 3, 10}, 2000},
        {"cnn-8-16", "cnn:channels=8-16,hidden=0", {28, 28, 1, 10}, 2000},
        {"cnn-16-32-64-128", "cnn:channels=16-32-64-128", {64, 64, 3, 10}, 1000},
        {"cnn-12-20", "cnn:channels=12-20", squares, 5000},
        {"vit-dim128", "vit:dim=128,depth=6,heads=8,patch=4,ff=512", squares, 5000},
        {"vit-64x64-dim192", "vit:dim=192,depth=4,heads=3,patch=8,ff=768", {64, 64, 1, 9}, 2000},
        {"vit-mean", "vit:pool=mean", squares, 5000},
    };
    for (const auto &s : shapes)
        all.push_back({std::string("shapes/") + s.name, s.model, s.shape, s.samples, 64, true, 5, 0.7});
    for (const auto &model : presets)
        for (size_t batch : {1, 16, 64, 256, 1000})
            all.push_back(
                {"shapes/" + model + "/batch:" + std::to_string(batch), model, squares, 5000, batch, true, 5, 0.7});
    return all;
}

// The best instruction set comes last in the list; the others only for those who ask by name.
void add(const Case &c, bool best_only) {
    unsigned cpus = std::max(1u, std::thread::hardware_concurrency());
    for (size_t i = 0; const shk_kernels *k = shk_kernels_at(i); i++) {
        if (best_only && shk_kernels_at(i + 1)) continue;
        for (unsigned threads : {1u, cpus}) {
            std::string name = c.name + "/" + k->isa + "/threads:" + std::to_string(threads);
            benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State &s) { run(s, c, k->isa, threads); })
                ->UseManualTime()
                ->Iterations(1)
                ->Unit(benchmark::kMillisecond);
            if (cpus == 1) break;
        }
    }
}

} // namespace

int main(int argc, char **argv) {
    bool filtered =
        std::any_of(argv + 1, argv + argc, [](const char *a) { return std::strstr(a, "--benchmark_filter=") == a; });
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    for (const Case &c : cases()) add(c, !filtered);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
