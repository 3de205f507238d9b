// SPDX-License-Identifier: MIT
// Every kernel on the shapes that tinycnn and tinyvit give it, on every instruction set of this CPU:
//   bench_kernels --benchmark_filter=gemm/.*/avx512
// Counters: GFLOP/s and of_peak (share of one core's FMA peak, measured between the calls) of kernels that multiply,
// GB/s (each operand counted once) of the others; of the median step. The convolutions count dense FLOPs, so their
// share may exceed 1: forward is Winograd's from a feature map, and the gradients compute one position in four.
#include <shikaku/bench.h>
extern "C" {
#include "report/statistics.h"
}

#include <benchmark/benchmark.h>
#include <string>
#include <vector>

namespace {

// A case on an instruction set.
struct Open {
    shk_runtime *runtime = nullptr;
    shk_kernel_bench *bench = nullptr;
    shk_error error = {};

    Open(size_t index, const char *isa) {
        shk_runtime_options machine = {};
        machine.isa = isa, machine.threads = 1;
        runtime = shk_runtime_create(&machine, &error);
        if (runtime) bench = shk_kernel_bench_create(index, runtime, &error);
    }
    Open(const Open &) = delete;
    Open &operator=(const Open &) = delete;
    ~Open() {
        shk_kernel_bench_free(bench);
        shk_runtime_free(runtime);
    }
};

void run(benchmark::State &state, size_t index, const shk_kernel_facts &facts, const char *isa) {
    const shk_bench_limits one = {1, 1, 0};
    Open open(index, isa);
    if (!open.bench) {
        state.SkipWithError(open.error.text);
        return;
    }
    std::vector<double> times, peaks;
    for (auto _ : state) {
        shk_bench_step step;
        shk_kernel_bench_run(open.bench, &one, &step);
        state.SetIterationTime(step.seconds);
        times.push_back(step.seconds / static_cast<double>(step.samples));
        peaks.push_back(step.peak * 1e-9);
    }
    const double time = statistics_median(times.data(), times.size()),
                 peak = statistics_median(peaks.data(), peaks.size());
    state.counters["us"] = time * 1e6; // a call
    if (facts.bytes > 0) state.counters["GB/s"] = facts.bytes / time * 1e-9;
    if (facts.flops > 0) {
        state.counters["GFLOP/s"] = facts.flops / time * 1e-9;
        state.counters["of_peak"] = facts.flops / time * 1e-9 / peak;
    }
}

} // namespace

int main(int argc, char **argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    shk_kernel_facts facts;
    for (size_t index = 0; shk_kernel_bench_facts(index, &facts); index++)
        for (size_t i = 0; const char *isa = shk_isa_at(i); i++)
            benchmark::RegisterBenchmark((std::string(facts.kernel) + "/" + facts.shape + "/" + isa).c_str(),
                                         [=](benchmark::State &s) { run(s, index, facts, isa); })
                ->UseManualTime()
                ->MinTime(0.03);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
