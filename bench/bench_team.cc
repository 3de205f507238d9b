// SPDX-License-Identifier: MIT
// What a stage of a training step costs beside its work, by the number of workers: that they meet, and that they deal its
// tasks out, four to each. The last number has more workers than CPUs, who sleep where they wait.
//   bench_team --benchmark_filter=^meet/workers:2 --benchmark_repetitions=15
#include "meet.h"

#include <benchmark/benchmark.h>

namespace {

void rounds(benchmark::State &state, size_t tasks_of_each) {
    const unsigned workers = static_cast<unsigned>(state.range(0));
    const size_t pieces = static_cast<size_t>(state.range(1));
    for (auto _ : state) {
        const double seconds = meet_seconds(workers, workers * tasks_of_each, pieces);
        if (seconds >= 0)
            state.SetIterationTime(seconds);
        else
            state.SkipWithError("there is no such team");
    }
}

void meet(benchmark::State &state) { rounds(state, 0); }
void deal_and_meet(benchmark::State &state) { rounds(state, 4); }

void teams(benchmark::internal::Benchmark *b) {
    const long cpus = benchmark::CPUInfo::Get().num_cpus;
    for (long workers = 1; workers <= cpus; workers *= 2) b->Args({workers, 2000});
    b->Args({2 * cpus, 20});
    b->ArgNames({"workers", "pieces"})->UseManualTime()->Unit(benchmark::kNanosecond)->Iterations(1);
}

BENCHMARK(meet)->Apply(teams);
BENCHMARK(deal_and_meet)->Apply(teams);

} // namespace

BENCHMARK_MAIN();
