#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/bench_history.sh BIN: runs of bench are stored as a whole or not at all, compared with what can be compared, and their course is
# told.
set -u
# shellcheck source=tests/begin_runs.sh
. "$(dirname "$0")/begin_runs.sh"
export XDG_DATA_HOME="$dir/data-home"

small='--models cnn:channels=4,hidden=8 --train-samples 200 --size 12 --square 3 --what train --threads 1 --isa c --seconds 0.005'
bench() { # bench STATUS ARGUMENT...: a small run
    want=$1
    shift
    # shellcheck disable=SC2086
    timeout 120 "$bin" bench $small "$@" >out 2>err
    status=$?
    [ $status -eq "$want" ]
    check "exit $status, not $want: bench $*" $?
}
holds() { # holds LINES FOLDER: the store has so many lines, each of them a run
    cat "$2"/*.jsonl >lines && [ "$(wc -l <lines)" -eq "$1" ] && python3 -c '
import json
for line in open("lines"):
    run = json.loads(line)
    assert run["context"]["cpu"] is not None and len(run["benchmarks"]) >= 5, line[:80]' 2>>err
    check "the store $2 does not hold $1 runs" $?
}

# ---- Saving, and comparing ----

bench 0 --save
says "^shikaku: saved in $dir/data-home/shikaku/bench$"
holds 1 data-home/shikaku/bench
bench 0 --save before --store s
says '^shikaku: saved in s as before$'
bench 0 --save=after --store s --against before --threshold 900
says '^train/cnn:channels=4,hidden=8/batch:64/threads:1/c .* not slower$'
says '^this run is not slower than before: of 1 benchmarks 0 slower by more than 900 %, 1 not slower, 0 too noisy to tell$'
says 'the weather does to 1 of 1 benchmarks is not known'
holds 2 s

# edit FILE PYTHON: the runs of a store's only file, changed one by one.
edit() {
    python3 - "$(echo "$1"/*.jsonl)" "$2" <<'END'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
for run in lines:
    context, benchmarks = run["context"], run["benchmarks"]
    exec(sys.argv[2])
open(sys.argv[1], "w").write("".join(json.dumps(run) + "\n" for run in lines))
END
}
speed='for b in benchmarks:
    for key in "items_per_second", "cpu_samples_per_second": b[key] *= factor
    for key in "real_time", "cpu_time": b[key] /= factor'
cp -r s fast && edit fast "factor = 4
$speed"
bench 3 --store fast --against best
says '^this run is slower than best: of 1 benchmarks 1 slower by more than 5 %'
bench 4 --store fast --against last --repeats 2
says '2 repetitions are too few to be sure'
# What other runs were at other times, a fresh one may be: here the second stored run is four times as fast as the first and the third.
cp -r s gusts && bench 0 --store gusts --save && edit gusts "factor = 4 if run.get('saved') == 'after' else 1
$speed"
bench 4 --store gusts --against best
says ' [0-9]{3,}\.[0-9]% .* too noisy to tell$'

refused() { # refused PYTHON PATTERN: a changed run is not compared, but with --anyway
    rm -rf changed && cp -r s changed && edit changed "$1"
    bench 2 --store changed --against before --threshold 900
    says "^shikaku: changed/[0-9a-f]*.jsonl, line 1, and this run cannot be compared, but with --anyway: $2$"
    bench 0 --store changed --against before --threshold 900 --anyway
    says "^shikaku: warning: changed/[0-9a-f]*.jsonl, line 1, and this run: $2$"
}
refused 'context["flags"] = "-O7"' 'flags differ: "-O7" and ".*"'
refused 'context["compiler"] = "tcc"' 'compilers differ: "tcc" and ".*"'
refused 'context["numerics"] = 1' 'numerics versions differ: 1 and [0-9]+'
refused 'context["cpu"] = "6502"' 'machines differ: "6502; packages .*" and ".*"'
refused 'for b in benchmarks: b["hash"] = "0123456789abcdef"' \
    'the weights after the same steps \(train/.*\) differ: 0123456789abcdef and [0-9a-f]{16}'
refused 'for b in benchmarks: b["placement"] = "elsewhere"' "the threads' places \(train/.*\) differ: \"elsewhere\" and \".*\""
# Of another machine nothing is the last or best.
edit s 'context["cpu"] = "6502" if run["saved"] == "before" else context["cpu"]'
bench 0 --store s --against last --threshold 900
says 'after|[0-9]T[0-9]'
edit s 'context["cpu"] = "6502"'
bench 2 --store s --against last
says '^shikaku: s holds no run of this machine \(.*\) with one of these benchmarks, but 2 others: --anyway takes one'
bench 2 --store nowhere --against last
says "^shikaku: nowhere holds no run with one of these benchmarks: 'shikaku bench --save' makes one$"
[ ! -e nowhere ]
check 'a store was made by who only reads' $?
bench 2 --store s --against nobody
says "^shikaku: s holds no run called 'nobody'"

# ---- What makes no sense ----

bench 2 --save 'a b'
says "^shikaku: 'a b' is no name to save under"
bench 2 --save=best
bench 2 --against ''
bench 2 --threshold 3
bench 2 --anyway --save
bench 2 --store s
bench 2 --save --store ''
bench 2 --json - --against last
bench 2 --json x.json before
says "^shikaku: unexpected argument 'before'"

# ---- Bad lines ----

rm -rf s && bench 0 --store s --save one
file=$(echo s/*.jsonl)
bad() { # bad LINE PATTERN: such a line between others
    { cat "$file" && printf '%s\n' "$1"; } >line && rm -rf t && mkdir t && cp line t/a.jsonl
    bench 2 --store t --against last
    says "^shikaku: t/a.jsonl, line 2: $2"
}
bad '' 'no JSON: .*; remove the line$'
bad '{"context": {}, "benchmarks": [{"name": "a", "real_ti' 'no JSON'
bad '{"context": {}, "benchmarks": [{"name": "a", "real_time": 0, "time_unit": "ms"}]}' \
    'benchmark 1 \(a\): real_time must be a number above 0$'
bad '{"saved": 7, "context": {}, "benchmarks": [{"name": "a", "real_time": 1, "time_unit": "ms"}]}' 'saved must be a text$'
bad '{"context": {"date": "0123456789012345678901234567890123456789"}, "benchmarks": [{"name": "a", "real_time": 1, "time_unit": "ms"}]}' \
    'date must be shorter than 40 bytes$'
mkdir -p t/b.jsonl && rm t/a.jsonl
bench 2 --store t --against last
# A line that was not written to its end.
rm -rf t && cp -r s t && printf '{"context": {"date": ' >>"$(echo t/*.jsonl)"
bench 0 --store t --against one --threshold 900
says '^shikaku: warning: t/[0-9a-f]*.jsonl, line 2 is not whole and is left out'
bench 0 --store t --save two
says '^shikaku: warning: t: a line that was not whole stood at the end, and is gone$'
holds 2 t
rm -rf t && cp -r s t && head -c 9000 /dev/zero >>"$(echo t/*.jsonl)"
bench 0 --store t --save two
holds 2 t

# ---- What goes wrong while a run is saved ----

cp "$file" whole
# A file that may not grow: not even by a part of the line.
for blocks in 0 4; do
    (ulimit -f $(($(wc -c <whole) / 512 + blocks)) && bench 1 --store s --save three && exit "$failed") >shown
    check "a store that may not grow: $(cat shown)" $?
    cmp -s whole "$file"
    check 'a line that did not fit has changed the store' $?
done
if mkdir full && mount -t tmpfs -o size=16k tmpfs full 2>/dev/null; then
    bench 1 --store full --save --repeats 60
    says '^shikaku: full/[0-9a-f]*.jsonl cannot be written, and is as it was: No space left on device$'
    [ -z "$(ls full)" ]
    check 'a full disk is left with a half line' $?
    mount -o remount,ro full && bench 1 --store full --save
    says '^shikaku: full cannot be written: Read-only file system$'
    umount full
else
    lacks 'a full disk: no tmpfs can be mounted'
fi
: >nofolder
bench 1 --store nofolder --save
bench 2 --store nofolder --against last
ln -s /dev/null "s/link.jsonl" && bench 2 --store s --against last
rm s/link.jsonl
# An interrupt in the middle.
# shellcheck disable=SC2086
timeout --preserve-status -s INT 0.5 "$bin" bench $small --seconds 60 --store s --save four >out 2>err
[ $? -eq 130 ]
check 'an interrupt does not end bench' $?
cmp -s whole "$file" && [ "$(ls -A s | wc -l)" -eq 1 ]
check 'an interrupted run has changed the store' $?
# Several at once.
rm -rf s
for i in 1 2 3 4; do
    # shellcheck disable=SC2086
    "$bin" bench $small --store s --save "run$i" >/dev/null 2>>err &
done
wait
holds 4 s

echo "bench_history: $passed passed, $failed failed"
[ $failed -eq 0 ]
