#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/output_runs.sh BIN: what a training says while it runs, on a terminal and elsewhere; that nobody who reads slowly holds it
# up; and what signals and the time ask of it.
set -u
# shellcheck source=tests/begin_runs.sh
. "$(dirname "$0")/begin_runs.sh"
holder='' slow=''
trap 'kill $holder $slow 2>"$dir/no"; cd / && rm -rf "$dir"' EXIT
export TERM=xterm

# until COMMAND...: waits until it succeeds, 20 seconds at most
until_true() {
    for _ in $(seq 200); do
        if "$@"; then return 0; fi
        sleep 0.1
    done
    return 1
}

number='[0-9]+' seconds='[0-9]+\.[0-9]{2}' loss='[0-9]+\.[0-9]{4}' left='([0-9:]+:[0-9]{2}|[?])'
small='--model cnn:channels=2,hidden=0 --train-samples 64 --test-samples 10 --threads 1'
long="$small --epochs 1000000"

# An epoch that takes longer than ten seconds, until the end of this script
"$bin" train --model vit:depth=12,dim=128 --train-samples 20000 --test-samples 8 --threads 1 --epochs 2 >slow 2>slow.err &
slow=$!

# ---- A pipe that nobody reads ----

# full: a pipe of that name without any room
full() {
    rm -f full && mkfifo full
    sleep 100 <>full &
    holder=$!
    head -c 65536 /dev/zero >full
}

# end_of PID SIGNAL: sends it; the exit code is $status, how long it took $took in milliseconds
end_of() {
    began=$(date +%s%N)
    kill -s "$2" "$1"
    wait "$1"
    status=$?
    took=$((($(date +%s%N) - began) / 1000000))
}

full
# shellcheck disable=SC2086 # words
"$bin" train $long --checkpoint-seconds 0.1 --out unread >full 2>err &
pid=$!
until_true test -e unread/last.ckpt
check 'no checkpoint where nobody reads' $?
: >out
end_of $pid TERM
[ $status -eq 143 ] && [ $took -lt $((2000 * patience)) ] && "$bin" eval unread/last.ckpt >out 2>&1
check "exit $status after $took ms where nobody reads" $?
says '^shikaku: SIGTERM after epoch .*, go on with: shikaku resume unread$'
says "^shikaku: warning: $number lines of output left out: nobody read them$"
# shellcheck disable=SC2086
"$bin" train $small --epochs 3 --out waits >full 2>err &
pid=$!
until_true grep -qs done, waits/log.txt
check 'a training does not end where nobody reads' $?
end_of $pid TERM
[ $status -eq 143 ] && [ $took -lt $((2000 * patience)) ]
check "exit $status after $took ms at a wait for the reader" $?
# shellcheck disable=SC2086
"$bin" train $small --epochs 3 --out read >full 2>err &
pid=$!
until_true grep -qs done, read/log.txt
kill -0 $pid
check 'a training that is over does not wait for its reader' $?
cat full >raw &
reader=$!
sleep 0.1
kill $holder
wait $pid
check "exit $? after the reader has come" $?
wait $reader
tr -d '\0' <raw >out
says 'epoch 3/3'
says '\] best: epoch'
holder=

# ---- What is said ----

# shellcheck disable=SC2086
"$bin" train $small --epochs 2 --out said >out 2>err
says "^device: CPU, "
says '^dataset: squares, 64 training and 10 test images'
says "^model: cnn:channels=2,hidden=0 \(cnn:channels=2,hidden=0\), $number parameters$"
says '^settings: epochs 2, batch 64, lr 0.001, beta1 0.9, beta2 0.999, eps 1e-08, seed 0, shards 64$'
says '^folder: said$'
says "^\[cnn:channels=2,hidden=0\] epoch 2/2 - loss: $loss, acc: [01]\.[0-9]{3}, test loss: $loss, $seconds s, $number samples/s$"
! LC_ALL=C grep -q '[[:cntrl:]]' out && [ -z "$(errors)" ]
check 'control characters, or a word on stderr' $?
"$bin" train --model vit:dim=16,depth=1,heads=2,patch=8,ff=32,pool=mean --train-samples 64 --test-samples 8 --epochs 1 >out 2>err
says '^\[vit:dim=16,depth=1,heads=2,patch=8,ff\.\.\.\] epoch 1/1'
# shellcheck disable=SC2086
"$bin" train $small --epochs 2 --quiet >out 2>err
[ "$(wc -l <out)" -eq 1 ] && grep -q '^\[cnn.*\] done - .* weights' out
check '--quiet says more than the result' $?

# A loss far above that of guessing is said once.
"$bin" train --model tinycnn --train-samples 640 --test-samples 10 --epochs 3 --lr 100 >out 2>err
[ $? -eq 0 ] && [ "$(grep -c 'the loss of epoch 1 is .*, that of guessing is 2.1972: the training diverges; use a lower --lr than 100' err)" -eq 1 ] &&
    [ "$(errors | wc -l)" -eq 1 ]
check 'a training that diverges' $?

# ---- On a terminal ----

# terminal COLUMNS COMMAND: what it writes there; a line for each time that a line is rewritten
terminal() {
    timeout 60 script -qec "stty cols $1; $2" typed >no 2>&1
    tr '\r' '\n' <typed | sed 's/.\[[JK]//g; s/.\[[0-9]*A//g' >out
}

on_terminals() {
    for columns in 40 60 200; do
        terminal $columns "timeout -s INT --preserve-status 1.5 $bin train $long --epochs 1000000 --train-samples 20000"
        grep -E '\[[#.]{10,40}\]' out >bars
        [ -s bars ] && ! grep -E "^.{$columns}" bars
        check "no bar, or a wider one than $columns columns" $?
        grep -q 'SIGINT after .*; with --out DIR the run would have been kept' out
        check 'an interrupted training without a folder' $?
    done
    grep -Eqx "\[cnn:channels=2,hidden=0\] epoch $number/1000000 \[[#.]{40}\] step $number/313 - loss: $loss, $number samples/s, $left left, all $number:.*" bars
    check 'what a wide bar says' $?
    terminal 100 "$bin train $long --train-samples 20000 & sleep 1; stty cols 50; echo; echo narrow; sleep 1.2; kill -s TERM \$!; wait"
    sed -n '/^narrow/,$p' out | grep -E '\[[#.]{10,40}\]' | sed 1,2d >bars # one may be on its way
    [ -s bars ] && ! grep -E '^.{50}' bars
    check 'a bar is wider than the terminal has become' $?
    for option in '--progress none' '--progress line' --quiet; do
        terminal 60 "$bin train $small --epochs 20 --train-samples 2000 $option"
        grep -q '\] done - ' out && ! grep -q '\[[#.]*\]' out
        check "a bar with $option" $?
    done
    tune="$bin tune --model cnn:channels=2,hidden=0 --batch 8 --quick --out tuned.json"
    for columns in 45 100; do
        terminal $columns "$tune"
        grep -E '\[[#.]{10,40}\]' out >bars
        grep -q '^winner: ' out && grep -Eq 'round [0-9]+/[0-9]+ ' bars && ! grep -E "^.{$columns}" bars
        check "what tune shows on $columns columns" $?
    done
    grep -Eqx "\[cnn:channels=2,hidden=0\] round $number/$number \[[#.]{20,40}\] setting $number/$number, $left left, all $number:.*" bars
    check 'what a wide bar of tune says' $?
    for option in '--progress none' '--progress line' --quiet; do
        terminal 60 "$tune $option"
        grep -q '^winner: ' out && ! grep -q -e '\[[#.]*\]' -e '^round' out
        check "a bar of tune with $option" $?
    done
    # A list of one picture, many times
    printf '\211\120\116\107\015\012\032\012\000\000\000\015\111\110\104\122\000\000\000\010\000\000\000\010\010\000\000\000\000\341\144\341\127\000\000\000\016\111\104\101\124\170\332\143\140\370\017\205\224\061\000\154\024\037\341\251\151\143\160\000\000\000\000\111\105\116\104\256\102\140\202' >picture.png
    { yes 'picture.png,a' | head -n 30000 && yes 'picture.png,b' | head -n 30000; } >list.csv
    pictures="$bin train --model cnn:channels=2,hidden=0 --epochs 1 --batch 6000 --data list.csv --cache none"
    for columns in 40 120; do
        terminal $columns "$pictures"
        grep -E '^\[decoding\] \[[#.]{10,40}\]' out >bars
        [ -s bars ] && ! grep -E "^.{$columns}" bars && grep -q '\] done - ' out
        check "what decoding shows on $columns columns" $?
    done
    grep -Eqx "\[decoding\] \[[#.]{40}\] picture $number/60000, $number samples/s, $left left.*" bars
    check 'what a wide bar of decoding says' $?
    for option in '--progress none' '--progress line' --quiet; do
        terminal 60 "$pictures $option"
        grep -q '\] done - ' out && ! grep -q -e '\[[#.]*\]' -e '^.decoding' out
        check "a bar of decoding with $option" $?
    done
    TERM=dumb terminal 60 "$bin train $small --epochs 20 --train-samples 2000"
    ! grep -q '\[[#.]*\]' out
    check 'a bar on a terminal that cannot rewrite a line' $?
}
if script -qec true typed >no 2>&1; then
    on_terminals
else
    echo "this place has no pseudo-terminals: what is written to a terminal was not looked at ($(cat no))"
fi

# ---- What is asked for ----

# shellcheck disable=SC2086
"$bin" train $small --epochs 3000 --quiet >reference 2>err
reference=$(sed -n 's/.*weights //p' reference)
for signal in USR1 USR2; do
    rm -rf asked
    # shellcheck disable=SC2086
    "$bin" train $long --checkpoint-seconds 1000 --out asked >out 2>err &
    pid=$!
    until_true test -s asked/metrics.jsonl && kill -s $signal $pid && until_true test -e asked/last.ckpt
    check "no checkpoint after SIG$signal" $?
    until_true grep -q "^shikaku: SIG$signal: a checkpoint of epoch .* is written" err && kill -0 $pid
    check "SIG$signal ended the training, or nothing was said" $?
    end_of $pid TERM
done
began=$(date +%s%N) calls=1
# shellcheck disable=SC2086
"$bin" train $small --epochs 3000 --max-seconds 0.4 --out timed >out 2>err
status=$?
took=$((($(date +%s%N) - began) / 1000000))
[ $status -eq 5 ] && [ $took -lt $((1000 * patience)) ]
check "exit $status after $took ms, of 400" $?
says '^shikaku: --max-seconds after epoch .*, go on with: shikaku resume timed$'
while [ $status -eq 5 ] && [ $calls -lt 100 ]; do
    "$bin" resume timed --max-seconds "$patience" >out 2>err
    status=$? calls=$((calls + 1))
done
[ $status -eq 0 ] && [ "$(sed -n 's/.*weights //p' out)" = "$reference" ]
check "exit $status, or other weights, after $calls calls with --max-seconds" $?
# shellcheck disable=SC2086
"$bin" train $small --epochs 3000 --max-seconds 0.0001 --out late >out 2>err
[ $? -eq 1 ]
check "time that is over before the first step asks for another call" $?
says '^shikaku: --max-seconds 0.0001 was over before the first step: the start alone took .* s, give it more time$'

# ---- Text of others ----

name=$(printf 'a\033[31m\nb c') # what a terminal would act upon
# shellcheck disable=SC2086
"$bin" train $small --epochs 1 --out "$name" >out 2>err
says '^folder: a\\x1b\[31m\\x0ab c$'
"$bin" eval "$name" >>out 2>&1
# shellcheck disable=SC2086
"$bin" train $small --epochs 1 --out "$name" >>out 2>err
says "go on with: shikaku resume \\\$'a\\\\x1b\[31m\\\\x0ab c'"
sed 's/"cnn:[^"]*"/"x\\u001b[2J\\u202e\\ny"/' said/config.json >bad && mv bad said/config.json
"$bin" resume said >>out 2>>err
! LC_ALL=C grep -q '[[:cntrl:]]' out err && [ "$(errors | wc -l)" -eq 2 ]
check "text of others reaches the terminal as it is" $?
# shellcheck disable=SC2086
"$bin" train $small --epochs 1 --out "it's here" >out 2>err
# shellcheck disable=SC2086
"$bin" train $small --epochs 1 --out "it's here" >out 2>err
says "shikaku resume 'it'\\\\''s here'"

# ---- Long epochs ----

until_true grep -q 'epoch 1/2, ' slow
cp slow out
says "^\[vit:dim=128,depth=12\] epoch 1/2, step $number/313 - loss: $loss, $number samples/s, $left left, all $left$"
! LC_ALL=C grep -q '[[:cntrl:]]' slow
check 'control characters in a plain line' $?

echo "output_runs: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
