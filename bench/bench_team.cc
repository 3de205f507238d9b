// SPDX-License-Identifier: MIT
// These say what a stage of a training step costs beside its work, by the number of workers: that they meet;
// that they deal tasks out, four to each; that each reads what all have written. With more workers than CPUs
// they sleep where they wait.
//   bench_team --benchmark_filter=^meet/2/ --benchmark_repetitions=15
#include "meet.h"

#include <benchmark/benchmark.h>

namespace {

enum { PIECES = 2000, PIECES_ASLEEP = 20 };

void report(benchmark::State &state, double seconds) {
    if (seconds >= 0)
        state.SetIterationTime(seconds);
    else
        state.SkipWithError("there is no such team");
}

unsigned workers_of(const benchmark::State &state) { return static_cast<unsigned>(state.range(0)); }

size_t pieces_of(const benchmark::State &state) {
    return state.range(0) <= benchmark::CPUInfo::Get().num_cpus ? PIECES : PIECES_ASLEEP;
}

void meet(benchmark::State &state) {
    for (auto _ : state) report(state, meet_seconds(workers_of(state), 0, pieces_of(state)));
}

void deal_and_meet(benchmark::State &state) {
    for (auto _ : state) report(state, meet_seconds(workers_of(state), 4 * workers_of(state), pieces_of(state)));
}

void read(benchmark::State &state) {
    const size_t bytes = static_cast<size_t>(state.range(1)) * 1024;
    for (auto _ : state) report(state, read_seconds(workers_of(state), bytes, PIECES));
}

void single(benchmark::internal::Benchmark *b) { b->UseManualTime()->Unit(benchmark::kNanosecond)->Iterations(1); }

void teams(benchmark::internal::Benchmark *b) {
    const long cpus = benchmark::CPUInfo::Get().num_cpus;
    for (long workers = 1; workers <= cpus; workers *= 2) b->Arg(workers);
    single(b->Arg(2 * cpus));
}

void teams_and_sizes(benchmark::internal::Benchmark *b) {
    for (long workers = 1; workers <= benchmark::CPUInfo::Get().num_cpus; workers *= 2)
        for (long kib : {16, 64, 256, 768}) b->Args({workers, kib});
    single(b->ArgNames({"", "KiB"}));
}

BENCHMARK(meet)->Apply(teams);
BENCHMARK(deal_and_meet)->Apply(teams);
BENCHMARK(read)->Apply(teams_and_sizes);

} // namespace

BENCHMARK_MAIN();
