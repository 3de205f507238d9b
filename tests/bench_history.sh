#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/bench_history.sh BIN: runs of bench are stored as a whole or not at all, compared with what can be compared, and their course is
# told.
set -u
# shellcheck source=tests/begin_runs.sh
. "$(dirname "$0")/begin_runs.sh"
export XDG_DATA_HOME="$dir/data-home"

small='--models cnn:channels=4,hidden=8 --train-samples 200 --size 12 --square 3 --what train --threads 1 --seconds 0.005'
# The stream that measures the bandwidth is shorter where there is less memory. Sanitizers need more.
memory=250000
# shellcheck disable=SC3045
(ulimit -v $memory && "$bin" version) >/dev/null 2>&1 || memory=unlimited
bench() { # bench STATUS ARGUMENT...: a small run
    want=$1
    shift
    # shellcheck disable=SC2086,SC3045
    (ulimit -v $memory && exec timeout $((120 * patience)) "$bin" bench $small "$@") >out 2>err
    status=$?
    [ $status -eq "$want" ]
    check "exit $status, not $want: bench $*" $?
}
holds() { # holds RUNS FOLDER: the store has so many lines, each of them a run
    run 0 bench history --store "$2"
    says "^$1 runs, 1 benchmarks, 1 of them by CPU time; 0 steps$"
    [ "$(cat "$2"/*.jsonl | wc -l)" -eq "$1" ] && [ "$(cat "$2"/*.jsonl | grep -c '^{.*}$')" -eq "$1" ]
    check "the store $2 does not hold $1 lines" $?
}

# ---- Saving, and comparing ----

bench 0 --save
says "^shikaku: saved in $dir/data-home/shikaku/bench$"
holds 1 data-home/shikaku/bench
bench 0 --save=before --store s
bench 0 --save after --store s --against before --threshold 900
says '^train/cnn:channels=4,hidden=8/batch:64/threads:1/[a-z0-9]+ .* not slower$'
says '^this run is not slower than before: of 1 benchmarks 0 slower by more than 900 %, 1 not slower, 0 too noisy to tell$'
says 'the weather does to 1 of 1 benchmarks is not known'
says '^shikaku: saved in s as after$'
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

refused() { # refused PYTHON PATTERN: a changed run is not compared
    rm -rf changed && cp -r s changed && edit changed "$1"
    bench 2 --store changed --against before --threshold 900
    says "^shikaku: changed/[0-9a-f]*.jsonl, line 1, and this run cannot be compared, but with --anyway: $2$"
}
refused 'context["flags"] = "-O7"' 'flags differ: "-O7" and ".*"'
refused 'context["cpu"] = "6502"' 'machines differ: "6502; packages .*" and ".*"'
refused 'for b in benchmarks: b["hash"] = "0123456789abcdef"' \
    'the results of the same steps \(train/.*\) differ: 0123456789abcdef and [0-9a-f]{16}'
# Of another machine nothing is the last or best.
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

run 2 bench history --store nowhere
says "^shikaku: nowhere holds no runs: 'shikaku bench --save' makes one$"
rm -rf s && bench 0 --store s --save one
file=$(echo s/*.jsonl)
bad() { # bad LINE PATTERN: such a line between others
    rm -rf t && mkdir t && { cat "$file" && printf '%s\n' "$1" && cat "$file"; } >t/a.jsonl
    run 2 bench history --store t
    says "^shikaku: t/a.jsonl, line 2: $2"
}
bad '' 'no JSON: .*; remove the line$'
bad '{"context": {}, "benchmarks": [{"name": "a", "real_ti' 'no JSON'
bad '{"context": {}, "benchmarks": [{"name": "a", "real_time": 0, "time_unit": "ms"}]}' \
    'benchmark 1 \(a\): real_time must be a number above 0$'
bad '{"saved": 7, "context": {}, "benchmarks": [{"name": "a", "real_time": 1, "time_unit": "ms"}]}' 'saved must be a text$'
bad '{"context": {"date": "0123456789012345678901234567890123456789"}, "benchmarks": [{"name": "a", "real_time": 1, "time_unit": "ms"}]}' \
    'date must be shorter than 40 bytes$'
rm -rf t && mkdir -p t/b.jsonl && run 2 bench history --store t
rmdir t/b.jsonl && ln -s /dev/null t/b.jsonl && run 2 bench history --store t
# A line that was not written to its end.
rm -rf t && cp -r s t && printf '{"context": {"date": ' >>"$(echo t/*.jsonl)"
run 0 bench history --store t
says '^shikaku: warning: t/[0-9a-f]*.jsonl, line 2 is not whole and is left out'
says '^1 runs, 1 benchmarks, '

# ---- What goes wrong while a run is saved ----

cp "$file" whole
# A file that may not grow: not even by a part of the line.
if [ -z "$tsan" ]; then
    # shellcheck disable=SC2086
    (ulimit -f $(($(wc -c <whole) / 512 + 4)) && "$bin" bench $small --store s --save three) >out 2>err
    [ $? -eq 1 ]
    check 'a store that may not grow' $?
    says ' cannot be written, and is as it was: File too large$'
    cmp -s whole "$file"
    check 'a line that did not fit has changed the store' $?
fi
if mkdir full && mount -t tmpfs -o size=16k tmpfs full 2>/dev/null; then
    bench 1 --store full --save --repeats 60
    says '^shikaku: full/[0-9a-f]*.jsonl cannot be written, and is as it was: No space left on device$'
    [ "$(echo full/*)" = 'full/*' ]
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
# An interrupt in the middle.
# shellcheck disable=SC2086
timeout --preserve-status -s INT 0.5 "$bin" bench $small --seconds 60 --store s --save four >out 2>err
[ $? -eq 130 ]
check 'an interrupt does not end bench' $?
cmp -s whole "$file" && [ "$(echo s/* s/.??*)" = "$file s/.??*" ]
check 'an interrupted run has changed the store' $?
# Several at once.
rm -rf s
for i in 1 2; do
    # shellcheck disable=SC2086
    "$bin" bench $small --store s --save "run$i" >/dev/null 2>>err &
done
wait
holds 2 s

# ---- Courses ----

# make STORE STEP RUNS: runs of three benchmarks, with noise of 1 %; the second one takes STEP times as long from the 26th run on.
make_store() {
    mkdir "$1" && python3 - "$1/a.jsonl" "$2" "$3" <<'END'
import json, random, sys
random.seed(7)
with open(sys.argv[1], "w") as out:
    for run in range(int(sys.argv[3])):
        benchmarks = []
        for name in "train/a", "train/<b>&\"'\x1b", "eval/c":
            level = 6.4 * (float(sys.argv[2]) if "b" in name and run >= 25 else 1) * (1 + 0.01 * random.gauss(0, 1))
            for _ in range(5):
                time = level * (1 + 0.01 * random.gauss(0, 1))
                benchmarks.append({"name": name + "/batch:64/threads:1/c", "threads": 1, "real_time": time, "cpu_time": time,
                                   "time_unit": "ms", "items_per_second": 64e3 / time, "cpu_samples_per_second": 64e3 / time})
        context = {"date": "2026-01-%02dT00:00:00+0000" % (run + 1) if run < 31 else "2026-02-%02dT00:00:00+0000" % (run - 30),
                   "commit": "c%03d" % run, "version": "0.1.0", "cpu": "<script>alert(1)</script>", "cores": 2, "cpus": 2,
                   "packages": 1, "data": "squares", "microcode": "0x2" if run >= 25 else "0x1"}
        out.write(json.dumps({"context": context, "benchmarks": benchmarks}) + "\n")
END
}
make_store stepped 1.05 40
run 0 bench history --store stepped --page page.html
says '^40 runs, 3 benchmarks, 3 of them by CPU time; 1 steps$'
says '^\* 2026-01-26T00:00:00\+0000 +c025 .* stepped by -[345]\.[0-9] % \(p 0\.000[0-9]\)  new: microcode$'
[ "$(grep -c ' new: microcode' out)" -eq 3 ] && ! grep -q "$(printf '\033')" out
check 'what is new, or an escape character' $?
cat >page.py <<'END'
import html.parser, sys
void = {"meta", "link"}
class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], {}, ""
    def handle_starttag(self, tag, attributes):
        self.seen[tag] = self.seen.get(tag, 0) + 1
        for key, value in attributes:
            assert key not in ("src", "srcset", "xlink:href") and (key != "href" or value == "data:,"), (key, value)
        if tag not in void: self.open.append(tag)
    def handle_startendtag(self, tag, attributes): self.seen[tag] = self.seen.get(tag, 0) + 1
    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag
    def handle_data(self, data): self.text += data
page = Page()
page.feed(open(sys.argv[1]).read())
assert not page.open and page.seen["svg"] == page.seen["table"] == 3 and "script" not in page.seen, page.seen
assert page.seen["circle"] == 120 and "stepped by" in page.text and "train/<b>&\"'\ufffd" in page.text
END
python3 page.py page.html 2>>err
check 'the page' $?
browser=$(command -v chromium) || lacks chromium
if [ -n "$browser" ]; then
    HOME=$dir timeout 60 "$browser" --headless --no-sandbox --disable-gpu --enable-logging=stderr --v=0 --dump-dom "file://$dir/page.html" >dom 2>log
    [ "$(grep -c '<svg' dom)" -eq 3 ] && ! grep -E 'CONSOLE|Refused|net::' log
    check 'the page in a browser' $?
fi
run 0 bench history --store stepped '^eval/'
says '^40 runs, 1 benchmarks, 1 of them by CPU time; 0 steps$'
run 2 bench history --store stepped nothing
says "^shikaku: no benchmark in stepped fits 'nothing'$"
run 2 bench history --store stepped '('
says "^shikaku: '\(' is no extended regular expression: "
run 2 bench history a b
run 1 bench history --store stepped --page nowhere/page.html
make_store noise 1 40
run 0 bench history --store noise
says '^40 runs, 3 benchmarks, 3 of them by CPU time; 0 steps$'

echo "bench_history: $passed passed, $failed failed"
[ $failed -eq 0 ]
