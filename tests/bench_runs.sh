#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/bench_runs.sh BIN: what bench measures is the same work each time, and other tools read its files.
set -u
# shellcheck source=tests/begin_runs.sh
. "$(dirname "$0")/begin_runs.sh"

small='--models cnn:channels=4,hidden=8 --train-samples 200 --size 12 --square 3 --batch 32,64 --threads 1,2 --isa all --quick --seconds 0.001'
isas=$("$bin" topo | sed -n 's/^instruction sets: \(.*\); .*/\1/p' | tr -d ',' | wc -w)

# shellcheck disable=SC2086
"$bin" bench $small --json a.json >out 2>err
check 'bench' $?
[ "$(grep -c '^train/cnn:channels=4,hidden=8/batch:[36][24]/threads:[12]/' out)" -eq $((4 * isas)) ] &&
    [ "$(grep -c '^eval/' out)" -eq $((4 * isas)) ]
check 'a benchmark is missing in the table' $?
# shellcheck disable=SC2086
"$bin" bench $small --json - >b.json 2>err && ! grep -q '^train/' b.json
check 'bench --json -' $?

# facts FILE: a line for each benchmark, its hash; without threads and instruction set.
cat >facts.py <<'END'
import json, sys
file = json.load(open(sys.argv[1]))
context, benchmarks = file["context"], file["benchmarks"]
for key in "version numerics commit compiler flags cpu governor boost load_avg peak_gflops bandwidth_gb_s".split():
    assert key in context, key
single = [b for b in benchmarks if b["run_type"] == "iteration"]
assert len(single) == 3 * len([b for b in benchmarks if b["run_type"] == "aggregate"])
for b in single:
    assert b["real_time"] > 0 and b["items_per_second"] > 0 and b["iterations"] >= 3 and b["peak_gflops"] > 0
    assert abs(b["items_per_second"] * b["real_time"] / 1e3 / int(b["name"].split("batch:")[1].split("/")[0]) - 1) < 0.7
hashes = {}
for b in single:
    hashes.setdefault(b["name"].split("/threads")[0], set()).add(b["hash"])
for name, found in sorted(hashes.items()):
    assert len(found) == 1, (name, found)
    print(name, *found)
END
python3 facts.py a.json >a.facts && python3 facts.py b.json >b.facts
check 'the file says something else than it should' $?
[ "$(wc -l <a.facts)" -eq 4 ] && cmp -s a.facts b.facts
check 'threads, instruction sets or runs computed something else' $?

# Google Benchmark's own tool for comparisons.
compare=/usr/share/benchmark/compare.py
[ -f "$compare" ] || lacks libbenchmark-tools
scipy=$(python_with scipy)
if [ -f "$compare" ] && [ -n "$scipy" ]; then
    "$scipy" "$compare" --no-color benchmarks a.json b.json >out 2>err &&
        grep -q '^train/cnn:channels=4,hidden=8/batch:32/threads:1/c_median' out
    check 'compare.py does not read the files' $?
fi
echo "bench_runs: $passed passed, $failed failed"
[ $failed -eq 0 ]
