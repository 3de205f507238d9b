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

# Where nothing else is asked for, each thread has a core of its own.
grep -q '"placement": "threads: 1 of .*; pinned to CPU' a.json
check 'threads are not pinned' $?
SHIKAKU_PIN=none "$bin" bench --quick --models cnn:channels=4,hidden=8 --train-samples 200 --size 12 --square 3 --what train --threads 1 --seconds 0.001 --json n.json >out 2>err
! grep -q 'placement.*; pinned' n.json
check 'threads are pinned that shall not be' $?

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

# The CPU's counters, or why there are none; without --perf nothing is said of them.
! grep -q cycles_per_sample a.json
check 'counters run without --perf' $?
run 0 bench --quick --perf --models cnn:channels=4,hidden=8 --train-samples 200 --size 12 --square 3 --what train --threads 1,2 --seconds 0.001 --json c.json
if grep -q '^shikaku: warning: --perf has no effect: cycles, instructions and cache misses cannot be counted: [^:]' err; then
    lacks "the CPU's counters"
    [ "$(grep -c -- '--perf has no effect' err)" -eq 1 ] && [ "$(grep -c '^train/' out)" -eq 2 ] && ! grep -q cycles_per_sample c.json
    check 'without counters something else is missing, or said twice' $?
else
    says '^in user space +cycles/sample +instr./sample +instr./cycle +misses/sample$'
    [ "$(grep -c '"instructions_per_sample": [0-9][0-9]' c.json)" -eq 6 ]
    check 'a repetition has no counts' $?
fi

# Google Benchmark's own tool for comparisons.
compare=/usr/share/benchmark/compare.py
[ -f "$compare" ] || lacks libbenchmark-tools
scipy=$(python_with scipy)
if [ -f "$compare" ] && [ -n "$scipy" ]; then
    "$scipy" "$compare" --no-color benchmarks a.json b.json >out 2>err &&
        grep -q '^train/cnn:channels=4,hidden=8/batch:32/threads:1/c_median' out
    check 'compare.py does not read the files' $?
fi

# ---- Kernels ----

"$bin" bench --quick --kernels '^(gemm|add)/vit-(head|tok)' --isa all --json k.json >out 2>err
check 'bench --kernels' $?
[ "$(grep -Ec '^gemm/vit-head-forward/[a-z0-9]+ +[0-9.]+ +[0-9.]+% +[0-9.]+ +[0-9.]+ +-$' out)" -eq "$isas" ] &&
    [ "$(grep -Ec '^add/vit-tokens/[a-z0-9]+ +[0-9.]+ +[0-9.]+% +- +- +[0-9.]+$' out)" -eq "$isas" ] && ! grep -q '^train/' out
check 'a kernel is missing in the table' $?
cat >kernels.py <<'END'
import json, sys
entries = json.load(open(sys.argv[1]))["benchmarks"]
single = [b for b in entries if b["run_type"] == "iteration"]
assert len(single) == 3 * 2 * int(sys.argv[2]) and len(entries) == 4 * 2 * int(sys.argv[2])
for b in entries:
    assert b["time_unit"] == "us" and abs(b["items_per_second"] * b["real_time"] / 1e6 - 1) < 1e-6
    assert ("GB/s" in b) == b["name"].startswith("add")
    assert ("GFLOP/s" in b and "of_peak" in b) == b["name"].startswith("gemm")
    assert b["threads"] == 1 and b["peak_gflops"] > 0
assert all(b["iterations"] >= 3 and b["hashed_steps"] > 0 for b in single)
assert len({b["hash"] for b in single}) == 2
END
python3 kernels.py k.json "$isas"
check 'the file says something else of kernels' $?
"$bin" bench --quick --kernels add --models cnn:channels=4,hidden=8 --what train --threads 1 --train-samples 90 >out 2>err &&
    grep -q '^train/cnn:channels=4,hidden=8/batch:64/threads:1/' out && grep -q '^add/vit-tokens/' out
check 'models beside kernels' $?
# A request speaks of calls, an answer of one.
seconds=$(printf '0 2000\n0 1\n' | "$bin" bench --serve --kernels add 2>err | sed 1d)
printf '%s\n' "$seconds" | awk 'NF != 2 || !($1 > 0 && $1 < 1e-4 && $2 > 0) { bad = 1 } END { exit bad || NR != 2 }'
check "bench --serve --kernels: $seconds" $?

# ---- Data ----

"$bin" data make --size 12 --square 3 --train-samples 90 --test-samples 10 --as folder squares pictures >out 2>err
check 'data make' $?
data="--data pictures --models cnn:channels=4,hidden=8 --what train --threads 1 --quick --seconds 0.001"
# shellcheck disable=SC2086
"$bin" bench $data >out 2>err && grep -q '^train/' out
check 'bench --data' $?
says '^data: folder, 90 images of 12x12 pixels, 1 channel, 9 classes$'
says "^data: class '[0-9]' has no picture in test$"
# What is said of the data never stands among results.
# shellcheck disable=SC2086
"$bin" bench $data --json - >out 2>err && python3 -c 'import json; json.load(open("out"))' && grep -q '^shikaku: data: class' err
check 'bench --data --json -' $?
# shellcheck disable=SC2086
printf '0 1\n' | "$bin" bench $data --serve >out 2>err
[ "$(sed -n '1s/^\(.\).*/\1/p' out)" = '{' ] && [ "$(wc -l <out)" -eq 2 ] && ! grep -q '' err
check 'bench --data --serve' $?

# ---- Two programs ----

small='--models cnn:channels=4,hidden=8 --train-samples 200 --size 12 --square 3 --what train --threads 1'
compare() { # compare STATUS ARGUMENT...
    want=$1
    shift
    timeout $((120 * patience)) "$bin" bench-compare "$@" >out 2>err
    status=$?
    [ $status -eq "$want" ]
    check "exit $status, not $want: bench-compare $*" $?
}
# shellcheck disable=SC2086
timeout $((120 * patience)) "$bin" bench-compare --seconds 0.1 --threshold 900 "$bin" "$bin" -- $small >out 2>err
check "a program is ten times slower than itself" $?
says '^train/cnn:channels=4,hidden=8/batch:64/threads:1/[a-z0-9]+ .* not slower$'
says "shikaku is not slower: of 1 benchmarks 0 slower by more than 900 %, 1 not slower, 0 too noisy to tell"
# One that says that all takes four times as long.
cat >slow <<END
#!/bin/sh
"$bin" "\$@" | {
    IFS= read -r facts && printf '%s\\n' "\$facts"
    while read -r a b; do awk -v a="\$a" -v b="\$b" 'BEGIN { printf "%.9g %.9g\\n", 4 * a, 4 * b }'; done
}
END
chmod +x slow
# shellcheck disable=SC2086
compare 3 --seconds 0.1 --markdown slow.md --junit slow.xml "$bin" ./slow -- $small
says 'slow is slower: of 1 benchmarks 1 slower by more than 5 %'
grep -q '^| train/cnn:channels=4,hidden=8/batch:64/.* | \*\*slower\*\* |$' slow.md
check 'no table of Markdown' $?
cat >junit.py <<'END'
import sys, xml.dom.minidom
suite = xml.dom.minidom.parse(sys.argv[1]).getElementsByTagName("testsuite")[0]
cases = suite.getElementsByTagName("testcase")
print(*(suite.getAttribute(key) for key in ("name", "tests", "failures", "skipped")), len(cases), *sorted({e.tagName for c in cases for e in c.childNodes}))
END
[ "$(python3 junit.py slow.xml)" = 'slow 1 1 0 1 failure' ]
check 'JUnit says something else' $?
# Another order of what is computed, and what is no such program.
cat >other <<END
#!/bin/sh
"$bin" "\$@" | sed -u '1s/"hash":"[0-9a-f]*"/"hash":"0123456789abcdef"/'
END
chmod +x other
# shellcheck disable=SC2086
compare 2 --seconds 0.1 "$bin" ./other -- $small
says 'the results of the same steps \(train/.*\) differ: [0-9a-f]* and 0123456789abcdef \(--anyway compares them all the same\)$'
compare 2 --seconds 0.1 "$bin" ./other -- --kernels add
says 'the results of the same steps \(add/.*\) differ'

# Programs made with Google Benchmark, of which each measures what its filter names.
google() { # google NAME RATE: both of its benchmarks have so many samples a second
    cat >"$1" <<END
#!/bin/sh
case \$1 in
--benchmark_list_tests=true) printf '%s\\n' 'train/a+b/threads:1/iterations:1' 'shapes/c/d' ;;
'--benchmark_filter=^train/a\+b/threads:1/iterations:1\$') echo '{"benchmarks": [{"name": "x", "real_time": 1, "cpu_samples_per_second": $2}]}' ;;
'--benchmark_filter=^shapes/c/d\$') echo '{"benchmarks": [{"name": "y", "real_time": 5}]}' ;;
*) echo '{"benchmarks": []}' ;;
esac
END
    chmod +x "$1"
}
google fast 1000
google half 500
compare 3 --seconds 0.1 --junit - ./fast ./half
[ "$(python3 junit.py out)" = 'half 2 1 0 2 failure system-out' ]
check 'programs of Google Benchmark' $?
compare 0 --seconds 0.1 ./half ./fast
compare 2 --seconds 0.1 ./fast "$bin"
says './fast is made with Google Benchmark, and .* is not'
sed -i 's/"name": "y"/"error_occurred": true/' half
compare 1 --seconds 0.1 ./fast ./half
says './half does not measure shapes/c/d'

# Files of results, of which one is slower, one of another machine, one of no benchmark that the other has.
cat >remake.py <<'END'
import json, sys
name, factor, key, value = sys.argv[1:]
file = json.load(open("a.json"))
one = next(b for b in file["benchmarks"] if b["run_type"] == "iteration" and b["threads"] == 1)
file["benchmarks"] = [{**one, "repetition_index": i, "repetitions": 6, "real_time": float(factor) * (1 + i / 1000),
                       "cpu_time": float(factor) * (1 + i / 1000)} for i in range(6)]
for b in file["benchmarks"]:
    b["items_per_second"] = b["cpu_samples_per_second"] = 32e3 / b["real_time"]
(file["context"] if key in file["context"] else file["benchmarks"][0])[key] = value
if key == "name":
    for b in file["benchmarks"]: b["name"] = b["run_name"] = value
json.dump(file, open(name, "w"))
END
python3 remake.py one.json 1 date today && python3 remake.py two.json 2 date today && python3 remake.py far.json 1 cpu Z80 && python3 remake.py else.json 1 name other
compare 0 one.json one.json
says 'warning: these were measured at different times'
compare 3 one.json two.json
says '^two.json is slower: of 1 benchmarks 1 slower by more than 5 %'
compare 0 two.json one.json
compare 2 one.json far.json
says 'machines differ: .* and .Z80; .* \(--anyway compares them all the same\)'
compare 0 --anyway one.json far.json
compare 2 one.json else.json
says 'have no benchmark in common'
head -c 1000 one.json >cut.json
compare 2 one.json cut.json
says 'cut.json'
# shellcheck disable=SC2086
timeout $((120 * patience)) "$bin" bench-compare --threshold 900 a.json "$bin" -- $small --repeats 5 --seconds 0.01 >out 2>err
[ $? -eq 0 ] && grep -q "^shikaku is not slower: of 1 benchmarks" out
check 'a file and a program' $?

compare 1 --seconds 0.1 "$bin" /bin/true
says '/bin/true has ended, or serves no benchmarks'
compare 1 --seconds 0.1 "$bin" /bin/echo
says '/bin/echo does not say what it measures'

echo "bench_runs: $passed passed, $failed failed"
[ $failed -eq 0 ]
