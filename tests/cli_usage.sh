#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/cli_usage.sh BIN: bad usage ends with exit code 2, one line on stderr and nothing on stdout; good usage prints what
# the README says.
set -u
bin=${1:?usage: cli_usage.sh BIN}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
unset SHIKAKU_THREADS SHIKAKU_PIN SHIKAKU_ISA OMP_NUM_THREADS OMP_PROC_BIND OMP_PLACES GOMP_CPU_AFFINITY KMP_AFFINITY
patience=1 # by which limits of time are multiplied
! "$(dirname "$0")/sanitized.sh" "$bin" || patience=10
passed=0 failed=0

count() { # count STATUS WHAT...: 0 is a pass
    status=$1
    shift
    if [ "$status" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAIL: %s\n' "$*"
        sed 's/^/    stdout: /' "$dir/out"
        sed 's/^/    stderr: /' "$dir/err"
    fi
}

# bad ARGUMENT...: also checks that the line is "shikaku: <text>". Leading NAME=value arguments go to the environment. What
# the OpenMP runtime says of its variables, before main, is not counted.
bad() {
    env_args=
    while [ $# -gt 0 ]; do
        case $1 in
        [A-Z]*=*) env_args="$env_args $1" && shift ;;
        *) break ;;
        esac
    done
    # shellcheck disable=SC2086 # the values hold no spaces
    timeout $((60 * patience)) env $env_args "$bin" "$@" >"$dir/out" 2>"$dir/all"
    status=$?
    grep -v -e '^$' -e '^libgomp: ' -e '^OMP: ' "$dir/all" >"$dir/err"
    [ $status -eq 2 ] && [ ! -s "$dir/out" ] && [ "$(wc -l <"$dir/err")" -eq 1 ] && grep -q '^shikaku: [^ ].\{9,\}' "$dir/err"
    count $? "bad usage, exit $status:$env_args $*"
}

# bad_model DESCRIPTION [OPTION...]: for train and compare.
bad_model() {
    description=$1
    shift
    bad train --model "$description" "$@"
    bad compare --models "tinycnn,$description" "$@"
}

# good PATTERN... -- ARGUMENT...: exit 0, nothing on stderr, and for each pattern (extended, whole line) a line on stdout.
good() {
    : >"$dir/patterns"
    while [ "$1" != -- ]; do
        printf '%s\n' "$1" >>"$dir/patterns"
        shift
    done
    shift
    timeout $((120 * patience)) "$bin" "$@" >"$dir/out" 2>"$dir/all"
    status=$?
    grep -v '^shikaku: warning: ' "$dir/all" >"$dir/err" # about this machine, such as fewer CPUs than threads
    ok=0
    [ $status -eq 0 ] && [ ! -s "$dir/err" ] || ok=1
    while IFS= read -r pattern; do
        grep -Exq -e "$pattern" "$dir/out" || { ok=1 && printf 'no line matches: %s\n' "$pattern"; }
    done <"$dir/patterns"
    count $ok "good usage, exit $status: $*"
}

# Commands, options, arguments
bad trian
bad ''
bad --frobnicate
bad -x
bad --help=yes
bad train
bad train --model
bad train --model tinycnn extra
bad train --model tinycnn -- --extra
bad train --model tinycnn --frobnicate
bad train --model tinycnn --frobnicate=1
bad train --model tinycnn -xy
bad profile
bad profile --model nothing
bad profile --model tinycnn extra
bad profile --model tinycnn --epochs 2
bad profile --model tinycnn --steps 0
bad profile --model tinycnn --repeats 100
bad profile --model tinycnn --train-samples 63
bad train --model cnn:,,hidden=3
bad train --model cnn:hidden=3,hidden=4
bad train --s 3
bad train tinycnn
bad compare extra
bad compare --frobnicate
bad compare --models ''
bad compare --models tinycnn,
bad compare --models tinycnn,,tinyvit
bad compare --model tinycnn,nosuch

# answers PATTERN ARGUMENT...: bad usage whose answer says what would be right
answers() {
    pattern=$1
    shift
    bad "$@"
    grep -Eq -e "$pattern" "$dir/err"
    count $? "the answer does not say '$pattern': $*"
}
answers "did you mean 'train'" trian
answers "did you mean 'help'" hepl
answers 'did you mean --epochs' train --model tinycnn --epcohs 3
answers 'did you mean --clip-norm' train --model tinycnn --clipnorm=3
answers 'did you mean tinycnn' train --model tinycn
answers 'did you mean tinyvit-nopos' compare --models tinycnn,tinyvit-nops
answers 'did you mean depth' train --model vit:deph=3
answers 'did you mean channels' train --model cnn:chanels=3
answers 'shikaku train --model tinycnn$' train tinycnn
answers 'shikaku profile --model vit:depth=2$' profile vit:depth=2
answers 'shikaku compare --models tinycnn,tinyvit$' compare tinycnn,tinyvit
answers 'channels=16-32$' train --model cnn:channels=16,32
answers 'channels=16-32$' compare --models cnn:channels=16,32
mkdir -p "$dir/pictures/cat" && : >"$dir/last.ckpt"
answers 'is no run.s folder: .* pictures are named by --data, or behind it' eval "$dir/pictures"
answers "last.ckpt is a file, but resume takes the run's folder: shikaku resume $dir\$" resume "$dir/last.ckpt"
answers 'tuned.json is not there: shikaku tune --model tinycnn --batch 64 --out .*tuned.json makes it' \
    train --model tinycnn --tuned="$dir/tuned.json"
bad help nosuch
bad help train more
bad version 2
bad data frobnicate
bad data info
bad data info squares more
bad data info --frobnicate squares
bad data info --train-data squares squares
bad data info squares --normalise none
bad data info squares --split 0.5
bad data info squares --size 7
bad data info squares --json=yes
bad data make squares
bad data make squares a b
bad data make squares "$dir/made" --as zip
bad data make squares "$dir/made" --as
bad data make squares "$dir/made.npz" --mean 3
bad data make squares "$dir/made" --force
bad data make squares "$dir" --as idx
bad data sheet squares
bad data sheet squares "$dir/sheet.jpg"
for value in 0 101 -1 x ''; do bad data sheet squares "$dir/sheet.png" --samples "$value"; done
answers 'its name must end in .png' data sheet squares "$dir/sheet"
answers "as in 'shikaku data make squares OUT'" data make
answers 'one argument too many, since --train-data names' data make --train-data squares squares out
answers "did you mean 'info'" data inof
answers "as in 'shikaku data info pictures'" data info
answers "without an option, as in 'shikaku data info pictures'" data info --data squares
answers "as in 'squares --size 16 " data info squares:size=16
answers 'is one argument too many' data info squares out

# Numbers
for option in epochs batch shards threads train-samples test-samples size square; do
    for value in 0 -1 nan 1.5 abc '' 8x ' 8' +8 0x8 1e9 1000000000 99999999999999999999; do
        bad train --model tinycnn "--$option" "$value"
    done
done
bad compare --threads 1000000000
bad compare --pin
bad topo extra
bad topo --frobnicate
bad HWLOC_SYNTHETIC=pu:2 topo
bad HWLOC_XMLFILE=tests/machines/arm-4-4.xml train --model tinycnn
bad tune
bad tune --model
bad tune --model nothing
bad tune --model tinycnn extra
bad tune --model tinycnn --quick=yes
bad tune --model tinycnn --batch 0
bad tune --model tinycnn --progress bar
bad tune --model tinycnn --quiet --progress line
for value in '' 0 '12,,' 12,x 1,2,3,4,5,6,7,8,9; do bad tune --model tinycnn --shards "$value"; done
bad SHIKAKU_PIN=foo tune --model tinycnn
bad "HOME=" "XDG_CONFIG_HOME=" train --model tinycnn --tuned
bad profile --model tinycnn --tuned
bad train --model tinycnn --tuned="$dir/none.json"
echo '{}' >"$dir/bad.json"
bad train --model tinycnn --tuned="$dir/bad.json"
echo 'x' >"$dir/bad.json"
bad train --model tinycnn --tuned="$dir/bad.json"
for value in '' 0 '1,,2' x 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17; do
    bad bench --batch "$value"
    bad bench --threads "$value"
done
for value in '' nothing 'tinycnn,,tinyvit' 'vit:dim=0'; do bad bench --models "$value"; done
for value in '' sse9 c,sse9; do bad bench --isa "$value"; done
for value in '' both; do bad bench --what "$value"; done
for value in 0 100 x; do bad bench --repeats "$value"; done
for value in 0 -1 nan x; do bad bench --seconds "$value"; done
for value in '' '[' nothing; do bad bench --kernels "$value"; done
for option in '--batch 32' '--threads 1' '--what train' '--seed 3' '--train-samples 90' '--data squares'; do
    # shellcheck disable=SC2086
    bad bench --kernels add $option
done
bad bench --progress line --json -
bad bench extra
bad bench --perf=yes
for value in best last 'a b' ''; do bad bench --save="$value"; done
for value in '' 'a b'; do bad bench --against "$value"; done
for option in --anyway --threshold=3; do bad bench --save "$option"; done
for value in 0 -1 x 1001; do bad bench --against last --threshold "$value"; done
bad bench --store "$dir/none"
bad bench --store '' --save
bad bench --save name extra
bad bench --against last --store "$dir/none"
bad bench --against last --json -
bad bench history extra more
bad bench history --store "$dir/none"
bad bench history --store ''
bad bench-compare
bad bench-compare "$bin"
bad bench-compare "$bin" "$bin" "$bin"
bad bench-compare "$dir/none" "$bin"
bad bench-compare "$bin" "$dir/none"
for value in 0 -1 x 1001; do bad bench-compare --threshold "$value" "$bin" "$bin"; done
for value in 0 -1 x; do bad bench-compare --seconds "$value" "$bin" "$bin"; done
bad bench --quick --json "$dir/none/b.json"
bad topo --json=yes
bad topo --synthetic pu:8000
bad topo --synthetic nonsense:2
bad topo --synthetic ''
bad topo --xml /dev/null
bad topo --xml Makefile
bad topo --synthetic "core:2 pu:1" --xml tests/machines/arm-4-4.xml
bad topo --synthetic "core:2 pu:1" --allow 2
bad topo --synthetic "core:2 pu:1" --pin 2
for value in 0 -1 nan abc ''; do
    bad topo --quota "$value"
    bad topo --threads "$value"
    bad topo --shards "$value"
    bad topo --allow "$value,"
done
for value in -1 nan abc '' 1.5 18446744073709551616; do bad train --model tinycnn --seed "$value"; done
for value in nan NaN -nan inf -inf -1 -1e-3 0 0.0 -0 abc '' 1e-3x ' 1' +1 0x1p-3 1e400 1e-400; do
    bad train --model tinycnn --lr "$value"
    bad compare --lr "$value"
done
bad train --model tinycnn --freeze ''
bad train --model tinycnn --freeze 'conv9*'
bad train --model tinycnn --freeze '*'
bad compare --models tinycnn,tinyvit --freeze 'conv*'
bad profile --model tinycnn --freeze 'conv*'
bad eval "$0" --model ''
bad eval "$0" --model tinycat
bad eval "$0" --size 7
bad predict "$0" --size 0 x.png
bad export "$0" x.onnx --model
bad train --model tinycnn --init ''
bad train --model tinycnn --init /nowhere/model
bad train --model tinycnn --init "$0"
bad train --init /dev/null
bad compare --init "$0"
bad profile --model tinycnn --init "$0"
for value in nan -inf -1 0 +inf abc '' Inf infinity; do bad train --model tinycnn --clip-norm "$value"; done
for value in nosuch '' Squares; do bad compare --data "$value"; done
# Other names of options
bad train --model tinycnn --batch-size 0
bad train --model tinycnn --batch-size
bad train --model tinycnn --learning-rate
bad train --model tinycnn --learning-rate nan
bad train --model tinycnn --output ''
bad train --model tinycnn --progress
bad train --model tinycnn --progress fast
bad train --model tinycnn --cache
bad train --model tinycnn --cache ''
bad train --model tinycnn --cache none
bad train --model tinycnn --progress bar
bad train --model tinycnn --quiet=yes
bad train --model tinycnn --quiet --progress line
bad train --model tinycnn --max-seconds 3
for value in 0 -1 nan inf abc ''; do bad train --model tinycnn --out "$dir/none" --max-seconds "$value"; done
bad compare --max-seconds 3
bad profile --model tinycnn --quiet
bad compare --output x
bad compare --metrics-every 3
bad compare --out x
bad profile --model tinycnn --checkpoint-every 3
bad eval
bad eval nowhere
bad eval nowhere --lr 1
bad export
bad export nowhere
bad export nowhere model.onnx
bad export nowhere model
bad export nowhere .onnx
bad export nowhere model.onnx more
bad export nowhere model.onnx --lr 1
bad resume
bad resume nowhere
bad resume nowhere --nosuch
for value in nan inf -0.1 1.1 abc ''; do bad train --model tinycnn --invert "$value"; done
for value in 7 257; do bad train --model tinycnn --square 2 --size "$value"; done
bad train --model tinycnn --square 11
bad train --model tinycnn --size 9 --square 4
bad train --model tinycnn --size 8

# Models
bad_model nosuch
bad train --model ''
bad train --model :
bad train --model ,
bad train --model tinycnn,
bad_model cnn:nosuch=1
bad train --model 'net:'
bad train --model 'net:conv(0) flatten linear(classes)'
bad train --model 'net:conv(8) relu'
bad train --model 'net:conw(8) flatten linear(classes)'
bad compare --models 'tinycnn,net:conv(8,kernal=3) mean linear(classes)'
bad train --model "@$dir/nosuch"
printf 'conv(8)\n  relu\n  blurb\n' >"$dir/net.txt"
bad train --model "@$dir/net.txt"
grep -q "line 3, character 3 ('blurb')" "$dir/err"
count $? 'the place in a file with a net is not told'
printf 'conv(8)\0' >"$dir/net.txt"
bad train --model "@$dir/net.txt"
bad model
bad model tinycnn extra
bad model --model tinycnn
bad model ''
bad model nosuch
bad model tinycnn --json=yes
bad model tinycnn --batch 0
bad model tinycnn --epochs 3
bad model tinycnn --data nosuch
bad model vit:dim=64,heads=5
bad model "@$dir/nosuch"
answers "^shikaku: the net.s text, character 6 \('blurb'\): no layer is called so" model 'net:relu blurb'
answers 'at most 100000000 are supported' model 'net:flatten linear(65536) linear(65536) linear(classes)'
printf 'conv(8)\n  relu\n  blurb\n' >"$dir/net.txt"
answers "line 3, character 3 \('blurb'\)" model "@$dir/net.txt"
bad_model cnn:channels
bad_model cnn:channels=
bad_model cnn:channels=0
bad_model cnn:channels=16-0
bad_model cnn:channels=-16
bad_model cnn:channels=16-
bad_model cnn:channels=abc
bad_model cnn:channels=16x
bad_model cnn:hidden=-1
bad_model cnn:hidden=nan
bad_model cnn:dim=64
bad_model cnn:channels=1-1-1-1 --size 8 --square 2
bad_model vit:nosuch=1
bad_model vit:channels=16
bad_model vit:dim=0
bad_model vit:depth=0
bad_model vit:heads=0
bad_model vit:patch=0
bad_model vit:ff=0
bad_model vit:dim=64,heads=5
bad_model vit:patch=5
bad_model vit:patch=64
bad_model vit:pool=max
bad_model vit:norm=none
bad_model vit:pos=sine
bad_model vit:act=tanh
for value in nan inf -0.1 1 1.5 abc; do bad_model "vit:dropout=$value"; done
bad_model tinyvit:dim=64
# 10^9 parameters and more
bad_model cnn:hidden=1000000000
bad_model cnn:channels=16-4096,hidden=65536
bad_model cnn:channels=4096-4096-4096-4096,hidden=65536 --size 256
bad_model vit:dim=4096,ff=16384,depth=64
bad_model vit:dim=1024,depth=1000000000
bad_model cnn:hidden=99999999999999999999

# Environment
for name in SHIKAKU_THREADS OMP_NUM_THREADS; do
    for value in 0 -1 abc nan 1e9 1000000000 2x 99999999999999999999; do
        bad $name=$value train --model tinycnn
        bad $name=$value compare
    done
done
# A value that makes no sense is an error where a stronger setting hides it, too.
bad SHIKAKU_THREADS=abc train --model tinycnn --threads 1
bad OMP_NUM_THREADS=1000000000 train --model tinycnn --threads 1
bad SHIKAKU_THREADS=1 OMP_NUM_THREADS=abc train --model tinycnn
bad OMP_NUM_THREADS=1000000000 OMP_PROC_BIND=close topo
for setting in OMP_NUM_THREADS=2,x OMP_THREAD_LIMIT=0 OMP_MAX_ACTIVE_LEVELS=-1 OMP_DYNAMIC=2 OMP_PROC_BIND=nonsense \
    'OMP_PLACES={0' 'OMP_PLACES={60000}' GOMP_CPU_AFFINITY=60000 OMP_WAIT_POLICY=idle OMP_STACKSIZE=foo OMP_STACKSIZE=16k; do
    bad "$setting" train --model tinycnn
    bad "$setting" topo
done
for value in foo '' Cores 0- 0,,1 0-70000 1-0 0,0 -1 65535; do
    bad "SHIKAKU_PIN=$value" train --model tinycnn
    bad "SHIKAKU_PIN=$value" topo
    bad compare --pin "$value"
    bad topo --pin "$value"
done
bad SHIKAKU_ISA=sse9 train --model tinycnn
bad SHIKAKU_ISA=sse9 compare
bad SHIKAKU_ISA=AVX2 train --model tinycnn
case $(uname -m) in
x86_64) bad SHIKAKU_ISA=neon train --model tinycnn ;;
aarch64) bad SHIKAKU_ISA=avx2 train --model tinycnn ;;
esac

# Good usage
number='[0-9]+' loss='[0-9]+\.[0-9]{4}' accuracy='[01]\.[0-9]{3}' seconds='[0-9]+\.[0-9]{2}' hash='[0-9a-f]{16}'
epoch="- loss: $loss, acc: $accuracy, test loss: $loss, $seconds s, $number samples/s"
isa='(c|avx2|avx512|neon)'
small='--epochs 2 --train-samples 100 --test-samples 40 --seed 3'
for command in --version version 'train --version' 'topo -V'; do
    # shellcheck disable=SC2086 # words
    good 'shikaku [0-9]+\.[0-9]+\.[0-9]+ \(numerics version [0-9]+\)' -- $command
done
good '.* The pictures are yours, in a folder for each' '  shikaku train --model tinyvit --epochs 50 --out runs/a' --
[ "$(sed -n 's/^  \([a-z-]*\)  .*/\1/p' "$dir/out" | head -n 15 | tr '\n' ' ')" = 'train resume eval predict export data compare model topo tune profile bench bench-compare help version ' ]
count $? 'the commands are not in the order of work'
good 'Usage: shikaku .*' '  train .*' -- help
good 'Usage: shikaku .*' '  train .*' -- --
good 'Usage: shikaku train .*' ' +--epochs=N .*' -- help train
good 'Usage: shikaku resume .*' ' +--epochs=N .*' ' +--max-seconds=X .*' -- resume --help
! grep -q -e --lr -e --model -e --size -e Data: "$dir/out"
count $? 'the help of resume shows options that it refuses'
good 'Usage: shikaku .*' '  train .*' '  compare .*' '  SHIKAKU_THREADS .*' '  SHIKAKU_PIN .*' '  OMP_NUM_THREADS .*' '  SHIKAKU_ISA .*' -- --help
good 'Usage: shikaku train .*' ' +--model=MODEL .*' ' +--epochs=N .*' -- train --help
good 'Usage: shikaku compare .*' ' +--models=LIST .*' ' +--threads=N .*' -- compare --help
good "instruction sets: c(, .*)?; $isa is used(, by SHIKAKU_ISA)?" -- topo
bad SHIKAKU_ISA=sse9 topo
# What train does with OpenMP's limits, topo says.
for limit in OMP_THREAD_LIMIT=1 OMP_MAX_ACTIVE_LEVELS=0; do
    export "${limit?}"
    good 'auto +threads: 1 of .*, 1 can be started\); .*' " +warning: ${limit%=*} allows 1 of 3 threads: .*" -- topo --threads 3
    good 'auto +threads: 8 of .*' -- topo --synthetic 'core:8 pu:1'
    ! "$bin" tune --model cnn:channels=2,hidden=0 --batch 8 --quick --out "$dir/limited.json" 2>"$dir/err" | grep '^[a-z0-9]*  *[2-9]  '
    count $? "tune measures threads that cannot start ($limit)"
    unset "${limit%=*}"
done
good 'machine: .*' 'allowed: .*' 'auto +threads: .*' 'cores +threads: .* pinned to CPU.*' 'none +threads: .* not pinned.*' -- topo
good 'machine: 2 packages, 1 NUMA node, 0 L3 groups, 16 cores, 32 CPUs .*' 'cgroup quota: 6.5 CPUs' \
    'compact +threads: 6 of 32 CPUs \(16 cores allowed, cgroup quota 6.5\); pinned to CPUs 0-5, compact; memory local; .*' \
    -- topo --synthetic 'package:2 core:8 pu:2' --quota 6.5
good '\{' ' +"threads": 8,' ' +"line": "threads: 8 of 24 CPUs \(8 P-cores allowed\); .*",' '\}' \
    -- topo --json --xml tests/machines/hybrid-8p8e.xml --pin cores
good 'peaks: .*' 'conv2 +forward .*' 'all +reduce, optimizer .*' 'nominal 9.247 MFLOP a sample .*' \
    -- profile --model tinycnn --threads 2 --train-samples 64
good 'us: .*, median of 2 repeats of 5 steps; spread: .*' 'fc1 +forward +[0-9.]+ +[0-9]+% .*' \
    -- profile --model tinycnn --steps 5 --repeats 2 --train-samples 64
good '\{' ' +"steps": 5,' ' +"repeats": 2,' ' +"spread": [0-9].*' ' +"layer": "conv2",' ' +"doubts": .*' '\}' \
    -- profile --model tinycnn --steps 5 --repeats 2 --train-samples 64 --json
good '# tinycnn' 'conv1=conv\(16,3\)' 'conv1 +conv +32x32x16 +160 +0.295 +0.295' 'all +268233 +3.181 +6.067' \
    'memory of training, batch 32, 2 threads \(MiB\): [0-9.]+, .*' 'memory of prediction \(MiB\): .*' '.* nothing was measured; .*' \
    'conv2 +conv_pool +[0-9.]+% .*' 'all +updates .*' -- model tinycnn --batch 32 --threads 2
good '\{' ' +"net": "conv1=conv\(16,3\)\\nrelu\\n.*",' ' +"one_image": \{' ' +"forward_flops": .*' '\}' -- model tinycnn --json
# The printed text is the model again: the same layers and figures.
"$bin" model 'net:conv(8,bias=no) 2*(sum(a=conv(8) bn relu | down=(conv(8,1) bn)) relu) mean fc=linear(classes)' \
    --size 12 >"$dir/printed" 2>"$dir/err"
sed '/^$/q' "$dir/printed" >"$dir/net.txt"
"$bin" model "@$dir/net.txt" --size 12 >"$dir/out" 2>"$dir/err" && cmp -s "$dir/out" "$dir/printed"
count $? 'the text that model prints is another model'
# shellcheck disable=SC2086 # words
good "device: CPU, $isa, 2 threads" 'threads: 2 of .+ \(asked for; .+\); .+; memory .+' "\[TinyCNN\] epoch 1/2 $epoch" \
    "\[TinyCNN\] epoch 2/2 $epoch" \
    "\[TinyCNN\] done - 268233 parameters, $seconds s, $number samples/s, weights $hash" \
    -- train --model tinycnn --threads 2 $small
cp "$dir/out" "$dir/first"
# shellcheck disable=SC2086
good "device: CPU, $isa, 1 thread" 'threads: 1 of .+ \(asked for; .+\); .+; memory .+' "dataset: squares, 100 training and 40 test images .*" \
    "\[TinyCNN\] epoch 2/2 $epoch" "\[cnn:.*4.*\] epoch 1/2 $epoch" \
    "\[TinyViT\] done - $number parameters, $seconds s, $number samples/s, weights $hash" \
    'model +parameters +final loss +accuracy +time \(s\) +samples/s +weights' \
    "TinyCNN +268233 +$loss +$accuracy +$seconds +$number +$hash" "TinyViT +$number +$loss +$accuracy +$seconds +$number +$hash" \
    -- compare --models tinycnn,cnn:channels=4,hidden=0,tinyvit --threads 1 $small
# The same weights alone and in a comparison, on any number of threads
expected=$(sed -n 's/.*done .* weights //p' "$dir/first")
[ -n "$expected" ] && grep -q "^TinyCNN .* $expected\$" "$dir/out"
count $? 'the weights of TinyCNN differ between train on 2 threads and compare on 1'
# Blanks and case are forgiven where nothing else can be meant
# shellcheck disable=SC2086
good "\[TinyCNN\] done .* weights $expected" -- train --model ' TinyCNN' --threads 2 $small
# shellcheck disable=SC2086
good '\[cnn:channels=4,hidden=0\] done .*' -- Compare --models 'CNN: Channels=4, hidden=0' --threads 1 $small
# Nets: typed in any way, or in a file, they are one.
printf '# one\nconv( 4 )\n\trelu mean\nlinear(classes)\n' >"$dir/net.txt"
net='\[net:conv\(4\) relu mean linear\(classes\)\] done .* weights'
# shellcheck disable=SC2086
good "$net .*" -- train --model 'net: conv( 4 )  relu mean linear(classes)' $small
hash=$(sed -n 's/.* weights //p' "$dir/out")
# shellcheck disable=SC2086
good "$net $hash" -- train --model "@$dir/net.txt" $small
# shellcheck disable=SC2086
good '.*net:conv\(4,5\) relu mean li.*' 'TinyCNN .*' -- compare --models 'net:conv(4,5) relu mean linear(classes), TinyCNN' $small
# Other names mean the same, and are not shown
# shellcheck disable=SC2086
good '.*' -- train --model tinycnn --batch 20 --lr 0.002 $small
grep -o 'weights .*' "$dir/out" >"$dir/short"
# shellcheck disable=SC2086
good '.*' -- train --model tinycnn --batch-size 20 --learning-rate 2e-3 $small
grep -o 'weights .*' "$dir/out" | cmp -s - "$dir/short"
count $? 'other weights with --batch-size and --learning-rate than with --batch and --lr'
"$bin" train --help >"$dir/out"
! grep -q -e --batch-size -e --learning-rate -e --output "$dir/out"
count $? 'the help shows two names of an option'

# Tuning, and a training with its result; the weights stay the same
export XDG_CONFIG_HOME="$dir/config"
good 'isa +threads +pinning .*' 'winner: .*' '(sure|not sure): .*' "export SHIKAKU_ISA=$isa" "export SHIKAKU_THREADS=$number" \
    'export SHIKAKU_PIN=(none|cores|compact|scatter)' 'written to .*/config/shikaku/tuned.json; .*' -- tune --model tinycnn --quick
# shellcheck disable=SC2086
good "tuned: $isa, .* samples/s when measured" "\[TinyCNN\] done .* weights $expected" -- train --model tinycnn --tuned $small
# What is not beaten for sure stays, and the file says how sure, when, under which load, and for which images.
"$bin" tune --model tinycnn --quick --out "$dir/new/tuned.json" >"$dir/out" 2>"$dir/err"
grep -Eq '^winner: .*, the default: |^sure: ' "$dir/out" && grep -Eq '"probability": [01]\.' "$dir/new/tuned.json" &&
    grep -q '"image": "32x32x1"' "$dir/new/tuned.json" && grep -q '"measured": "2' "$dir/new/tuned.json"
count $? 'a tuned setting that is not sure, or does not say how sure'
# Two that tune at once both stay: one waits for the folder, and then adds to what the other has left.
(flock 9 && exec sleep 100 >"$dir/no" 2>&1) 9<"$dir/new" &
holder=$!
cp "$dir/new/tuned.json" "$dir/tuned"
"$bin" tune --model tinycnn --quick --batch 20 --out "$dir/new/tuned.json" >"$dir/out" 2>"$dir/err" &
tuning=$!
while kill -0 $tuning 2>"$dir/no" && ! grep -q -e '-> FLOCK' /proc/locks; do sleep 0.05; done
cmp -s "$dir/new/tuned.json" "$dir/tuned"
count $? 'a file of tuned settings was written while another had its folder'
sed 's/"batch": 64/"batch": 30/' "$dir/new/tuned.json" >"$dir/new/other" && mv "$dir/new/other" "$dir/new/tuned.json"
kill $holder
wait $tuning && grep -q '"batch": 20' "$dir/new/tuned.json" && grep -q '"batch": 30' "$dir/new/tuned.json"
count $? 'of two that tune at once one is lost'
sed -i 's/"batch": 30/"batch": 64/' "$dir/new/tuned.json"
# On a busy machine, or by another version: said whenever it is used.
sed 's/"load": .*,/"load": 0.5,/' "$dir/new/tuned.json" >"$dir/busy.json"
# shellcheck disable=SC2086
"$bin" train --model tinycnn --tuned="$dir/busy.json" $small 2>&1 | grep -q 'warning: .* while others took 50 % of .* tune again'
count $? 'settings of a busy machine are used in silence'
sed 's/"version": .*/"version": "0.0.1"/' "$dir/new/tuned.json" >"$dir/old.json"
# shellcheck disable=SC2086
"$bin" train --model tinycnn --tuned="$dir/old.json" $small 2>&1 | grep -q 'warning: .* another version than .* tune again'
count $? 'settings of another version are used in silence'
bad train --model tinycnn --size 16 --square 5 --tuned="$dir/new/tuned.json"
# What cannot be written is said before anything is measured.
mkdir "$dir/folder.json"
bad tune --model tinycnn --out "$dir/folder.json"
timeout $((60 * patience)) "$bin" tune --model tinycnn --out "$bin/tuned.json" >"$dir/out" 2>"$dir/err"
[ $? -ne 0 ] && [ ! -s "$dir/out" ] && grep -q '^shikaku: .*tuned.json' "$dir/err"
count $? 'a tuning that cannot be kept was measured'
# Interrupted: what was there stays
cp "$dir/config/shikaku/tuned.json" "$dir/tuned"
timeout -s INT 0.5 "$bin" tune --model tinyvit >"$dir/out" 2>"$dir/err"
[ $? -eq 124 ] && cmp -s "$dir/config/shikaku/tuned.json" "$dir/tuned" && [ "$(ls "$dir/config/shikaku")" = tuned.json ]
count $? 'an interrupted tuning changed the settings of before'
unset XDG_CONFIG_HOME

# Output that cannot be written
for command in --version --help "train --model tinycnn $small" "compare --models tinycnn $small"; do
    # shellcheck disable=SC2086 # words
    "$bin" $command >&- 2>"$dir/err"
    status=$?
    : >"$dir/out"
    [ $status -eq 1 ] && [ "$(wc -l <"$dir/err")" -eq 1 ]
    count $? "closed stdout, exit $status: $command"
    # shellcheck disable=SC2086
    if [ -w /dev/full ]; then
        "$bin" $command >/dev/full 2>"$dir/err"
        status=$?
        [ $status -eq 1 ] && [ "$(wc -l <"$dir/err")" -eq 1 ]
        count $? "full stdout, exit $status: $command"
    fi
done

echo "cli_usage: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
