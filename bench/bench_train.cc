// SPDX-License-Identifier: MIT
// Samples per second of training steps (train/, shapes/) and of forward passes (eval/).
//
//   bench_train                                     the best instruction set of this CPU
//   bench_train --benchmark_filter=tinycnn/avx2     any that it has: c, avx2, avx512, neon
//   bench_train --case=vit:dim=96@48x32x3/batch:32 --threads=2 --seconds=2   any model, image and batch
//
// 5,000 squares where images are square, of one channel and 18 pixels or more, else random ones; 9 classes. A benchmark
// trains from fresh weights for 5 epochs (or until its time is over), since the sparsity that the backward pass makes
// use of changes as the model learns. Counters:
//   median_samples_per_second      of the median step
//   cpu_samples_per_second         the same by the first thread's CPU time (1 thread): what a busy machine takes is left out
//   peak_gflops                    FMA peak of one core, measured between the steps
//   of_peak, cpu_of_peak           nominal FLOPs (every layer dense) * samples/s / peak of ONE core
//   of_peak_done                   the same with the FLOPs really done
#include <shikaku/bench.h>
extern "C" {
#include "report/statistics.h"
#include <kernels.h>
}

#include <algorithm>
#include <benchmark/benchmark.h>
#include <cstdio>
#include <cstring>
#include <random>
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

// Squares where they have the shape, else random images.
shk_dataset *open_data(const Case &c, shk_error *error) {
    const shk_shape &s = c.shape;
    if (s.height == s.width && s.height >= 18 && s.channels == 1) { // a square has 6 pixels
        shk_squares_options o = {};
        o.n = c.samples, o.size = s.height, o.invert = -1, o.seed = 1;
        return shk_dataset_squares(&o, error);
    }
    std::mt19937 random(1);
    std::vector<float> images(c.samples * s.height * s.width * s.channels);
    std::vector<uint32_t> labels(c.samples);
    for (float &x : images) x = static_cast<float>(random()) * 0x1p-32f;
    for (uint32_t &label : labels) label = static_cast<uint32_t>(random() % s.classes);
    return shk_dataset_copy(images.data(), labels.data(), c.samples, &s, error);
}

// Data, runtime and benchmark of a case.
struct Open {
    shk_dataset *data = nullptr;
    shk_runtime *runtime = nullptr;
    shk_bench *bench = nullptr;
    shk_error error = {};

    Open(const Case &c, const char *isa, unsigned threads) {
        shk_runtime_options machine = {};
        machine.isa = isa, machine.threads = threads;
        shk_bench_options o = {};
        o.model = c.model.c_str(), o.batch = c.training ? c.batch : c.samples, o.evaluation = !c.training, o.seed = 1;
        data = open_data(c, &error);
        if (data) runtime = shk_runtime_create(&machine, &error);
        if (runtime) bench = shk_bench_create(&o, data, runtime, &error);
    }
    Open(const Open &) = delete;
    Open &operator=(const Open &) = delete;
    ~Open() {
        shk_bench_free(bench);
        shk_runtime_free(runtime);
        shk_dataset_free(data);
    }
};

struct Steps {
    size_t count = 0, samples = 0;
    double seconds = 0;
    std::vector<double> rates, cpu_rates, peaks;

    void add(const shk_bench_step &s) {
        const auto n = static_cast<double>(s.samples);
        count++, samples += s.samples, seconds += s.seconds;
        rates.push_back(n / s.seconds);
        cpu_rates.push_back(n / s.cpu_seconds);
        peaks.push_back(s.peak * 1e-9);
    }
};

// The epochs, or until the time is over, which it is not before the fifth step.
bool take_steps(Open &open, const Case &c, Steps *out) {
    const size_t batch = c.training ? c.batch : c.samples, most = c.epochs * ((c.samples + batch - 1) / batch);
    const shk_bench_limits limits = {std::min<size_t>(most, 5), most, c.max_seconds};
    std::vector<shk_bench_step> steps(most);
    const size_t taken = shk_bench_run(open.bench, &limits, steps.data(), &open.error);
    for (size_t i = 0; i < taken; i++) out->add(steps[i]);
    return taken > 0;
}

void run(benchmark::State &state, const Case &c, const char *isa, unsigned threads) {
    Open open(c, isa, threads);
    Steps steps;
    if (!open.bench) {
        state.SkipWithError(open.error.text);
        return;
    }
    for (auto _ : state) {
        if (!take_steps(open, c, &steps)) state.SkipWithError(open.error.text);
        state.SetIterationTime(steps.seconds);
    }
    if (steps.count == 0) return;
    const double flops = shk_bench_flops(open.bench) * 1e-9, rate = statistics_median(steps.rates.data(), steps.count),
                 cpu_rate = statistics_median(steps.cpu_rates.data(), steps.count),
                 peak = statistics_median(steps.peaks.data(), steps.count);
    state.SetItemsProcessed(static_cast<int64_t>(steps.samples));
    state.counters["median_samples_per_second"] = rate;
    state.counters["of_peak"] = flops * rate / peak;
    state.counters["of_peak_done"] = shk_bench_flops_done(open.bench) * 1e-9 * rate / peak;
    if (threads == 1) {
        state.counters["cpu_samples_per_second"] = cpu_rate;
        state.counters["cpu_of_peak"] = flops * cpu_rate / peak;
    }
    state.counters["peak_gflops"] = peak;
    state.counters["mflop"] = flops * 1e3; // a sample
    state.counters["steps"] = static_cast<double>(steps.count);
    state.counters["loss"] = shk_bench_loss(open.bench);
}

// A case of any shape, as its name says: MODEL@HEIGHTxWIDTHxCHANNELS/batch:N. False: the name is none.
bool parse(const std::string &name, Case *c) {
    size_t at = name.find('@'), slash = name.find("/batch:");
    int end = 0;
    *c = {"shapes/" + name, name.substr(0, at), squares, 5000, 0, true, 5, 0.7};
    if (at == std::string::npos || slash == std::string::npos || slash < at) return false;
    int fields = std::sscanf(name.c_str() + at, "@%zux%zux%zu/batch:%zu%n", &c->shape.height, &c->shape.width,
                             &c->shape.channels, &c->batch, &end);
    return fields == 4 && at + static_cast<size_t>(end) == name.size() && c->batch >= 1 && c->batch <= SHK_MAX_BATCH;
}

std::vector<Case> cases() {
    std::vector<Case> all;
    const std::vector<std::string> presets = {"tinycnn", "tinyvit", "tinyvit-pre", "tinyvit-nopos"};
    for (const auto &model : presets) all.push_back({"train/" + model, model});
    for (const auto &model : presets) all.push_back({"eval/" + model, model, squares, 5000, 64, false, 1000, 0.7});

    // scripts/peer_pytorch --shapes goes through these.
    std::vector<std::string> shapes = {
        "cnn:channels=32-64-128,hidden=256@32x32x3/batch:64",
        "cnn:channels=8-16,hidden=0@28x28x1/batch:64",
        "cnn:channels=16-32-64-128,hidden=128@64x64x3/batch:64",
        "cnn:channels=12-20@32x32x1/batch:64",
        "vit:dim=128,depth=6,heads=8,patch=4,ff=512@32x32x1/batch:64",
        "vit:dim=192,depth=4,heads=3,patch=8,ff=768@64x64x3/batch:64",
        "vit:pool=mean,norm=pre,dropout=0,act=gelu@32x32x1/batch:64",
    };
    for (const char *model : {"tinycnn", "tinyvit-pre"})
        for (const char *batch : {"1", "16", "64", "256", "1000"})
            shapes.push_back(std::string(model) + "@32x32x1/batch:" + batch);
    for (const auto &name : shapes) parse(name, &all.emplace_back());
    return all;
}

// What the command line adds to Google Benchmark's options.
struct Options {
    std::vector<Case> cases;
    std::vector<unsigned> threads;
    bool filtered = false;
};

// The best instruction set comes last in the list; the others only for those who ask by name.
void add(const Case &c, const Options &o) {
    for (size_t i = 0; const shk_kernels *k = shk_kernels_at(i); i++) {
        if (!o.filtered && shk_kernels_at(i + 1)) continue;
        for (unsigned threads : o.threads) {
            std::string name = c.name + "/" + k->isa + "/threads:" + std::to_string(threads);
            benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State &s) { run(s, c, k->isa, threads); })
                ->UseManualTime()
                ->Iterations(1)
                ->Unit(benchmark::kMillisecond);
        }
    }
}

// The number after `option=`, if that is what `arg` is.
bool number(const char *arg, const char *option, double least, double most, double *out) {
    size_t length = std::strlen(option);
    if (std::strncmp(arg, option, length) != 0 || arg[length] != '=') return false;
    char *end;
    *out = std::strtod(arg + length + 1, &end);
    if (*end || end == arg + length + 1 || !(*out >= least && *out <= most)) {
        std::fprintf(stderr, "bench_train: '%s' must be a number from %g to %g\n", arg, least, most);
        std::exit(2);
    }
    return true;
}

// Takes our options out of argv.
Options options(int *argc, char **argv) {
    Options o;
    int left = 1;
    double threads = 0, seconds = 0;
    for (int i = 1; i < *argc; i++) {
        if (std::strstr(argv[i], "--case=") == argv[i]) {
            if (!parse(argv[i] + 7, &o.cases.emplace_back())) {
                std::fprintf(stderr, "bench_train: '%s' is no case: write MODEL@HEIGHTxWIDTHxCHANNELS/batch:N\n",
                             argv[i] + 7);
                std::exit(2);
            }
        } else if (!number(argv[i], "--threads", 1, SHK_MAX_THREADS, &threads) &&
                   !number(argv[i], "--seconds", 1e-3, 1e6, &seconds)) {
            o.filtered |= std::strstr(argv[i], "--benchmark_filter=") == argv[i];
            argv[left++] = argv[i];
        }
    }
    *argc = left;
    argv[left] = nullptr;
    if (o.cases.empty()) o.cases = cases();
    for (Case &c : o.cases)
        if (seconds > 0) c.max_seconds = seconds;
    unsigned cpus = std::max(1u, std::thread::hardware_concurrency());
    o.threads = {1};
    if (cpus > 1) o.threads.push_back(cpus);
    if (threads >= 1) o.threads = {static_cast<unsigned>(threads)};
    return o;
}

} // namespace

int main(int argc, char **argv) {
    Options o = options(&argc, argv);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    for (const Case &c : o.cases) add(c, o);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
