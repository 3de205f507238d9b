// SPDX-License-Identifier: MIT
// Images per second of a folder of pictures that is read, decoded and fitted to 32x32, without the cache of decoded images:
//   bench_loading --folder=pictures           a folder in folders of classes; may come more than once
// Without one: 2,000 squares as PNG of 32x32 pixels, written to a temporary folder. scripts/peer_loading compares with PyTorch.
#include <benchmark/benchmark.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <shikaku/data.h>
#include <shikaku/shikaku.h>
#include <string>
#include <thread>
#include <vector>

namespace {

void load(benchmark::State &state, const std::string &folder, unsigned threads) {
    shk_error error = {};
    shk_runtime_options machine = {};
    machine.threads = threads;
    shk_data_options options = {};
    options.spec = folder.c_str();
    options.size = 32, options.channels = 3;
    options.normalise = SHK_NORMALISE_NONE;
    shk_runtime *runtime = shk_runtime_create(&machine, &error);
    size_t images = 0;
    if (runtime) shk_data_free(shk_data_open(&options, runtime, &error)); // files that are in memory by then
    for (auto _ : state) {
        shk_data *data = runtime ? shk_data_open(&options, runtime, &error) : nullptr;
        if (!data) {
            state.SkipWithError(error.text);
            break;
        }
        for (int part = 0; part < SHK_PARTS; part++)
            if (const shk_dataset *d = shk_data_part(data, static_cast<shk_part>(part))) images += shk_dataset_size(d);
        shk_data_free(data);
    }
    state.SetItemsProcessed(static_cast<int64_t>(images));
    shk_runtime_free(runtime);
}

// A folder of squares that goes with this object.
class Squares {
  public:
    Squares() {
        char name[] = "/tmp/bench_loading.XXXXXX";
        if (!mkdtemp(name)) return;
        folder = name;
        shk_error error = {};
        shk_data_options options = {};
        options.spec = "squares", options.train_samples = 1900, options.test_samples = 100;
        shk_data *data = shk_data_open(&options, nullptr, &error);
        if (!data || !shk_data_write(data, SHK_FORM_FOLDER, path().c_str(), nullptr, &error))
            std::fprintf(stderr, "bench_loading: %s\n", error.text);
        shk_data_free(data);
    }
    Squares(const Squares &) = delete;
    Squares &operator=(const Squares &) = delete;
    ~Squares() { std::filesystem::remove_all(folder); }
    std::string path() const { return folder + "/squares"; }

  private:
    std::string folder;
};

} // namespace

int main(int argc, char **argv) {
    std::vector<std::string> folders;
    int left = 1;
    for (int i = 1; i < argc; i++)
        if (std::strncmp(argv[i], "--folder=", 9) == 0)
            folders.emplace_back(argv[i] + 9);
        else
            argv[left++] = argv[i];
    argc = left;
    argv[argc] = nullptr;
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    Squares *squares = folders.empty() ? new Squares : nullptr;
    if (squares) folders.push_back(squares->path());
    const unsigned cpus = std::max(1u, std::thread::hardware_concurrency());
    for (const std::string &folder : folders)
        for (unsigned threads = 1; threads <= cpus; threads *= 2)
            benchmark::RegisterBenchmark(("load/" + folder + "/threads:" + std::to_string(threads)).c_str(),
                                         [=](benchmark::State &s) { load(s, folder, threads); })
                ->UseRealTime()
                ->Unit(benchmark::kMillisecond);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    delete squares;
}
