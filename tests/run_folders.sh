#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/run_folders.sh BIN: runs with a folder. What an interrupted and resumed run leaves is the same, byte for byte, as
# what one that was never interrupted leaves (times aside); nothing is overwritten that should not be.
set -u
# shellcheck source=tests/begin_runs.sh
. "$(dirname "$0")/begin_runs.sh"

lines_of() { sed -E 's/, "seconds".*//' "$1/metrics.jsonl"; }

same() { # same DIR: what is in it is what the reference has
    cmp -s "$1/best.safetensors" ref/best.safetensors && cmp -s "$1/last.ckpt" ref/last.ckpt
    check "$1: other files than the run that was not interrupted" $?
    lines_of "$1" >a && lines_of ref >b && cmp -s a b
    check "$1: other metrics than the run that was not interrupted" $?
    [ -z "$(find "$1" -name '*.new')" ]
    check "$1: a half-written file is left" $?
}

options='--model tinycnn --train-samples 600 --test-samples 100 --epochs 6 --seed 5'
one="$options --threads 2 --metrics-every 3"
# shellcheck disable=SC2086 # words
{
    run 0 train $one --out ref
    hash=$(sed -n 's/.*weights //p' out)
    [ "$(ls ref | tr '\n' ' ')" = 'best.safetensors config.json last.ckpt log.txt metrics.jsonl ' ]
    check 'the files of a run' $?
    [ "$(wc -l <ref/metrics.jsonl)" -eq 26 ] # 60 steps / 3, and 6 epochs
    check 'lines of metrics' $?
    run 0 train $options --threads 1 --clip-norm inf
    [ "$hash" = "$(sed -n 's/.*weights //p' out)" ]
    check 'other weights without a folder' $?

    # What is there stays
    cp -r ref kept
    run 2 train $one --out ref
    run 2 resume ref --batch 32
    says '--batch 64.* to 32'
    run 2 resume ref --lr 1e-2
    run 2 resume ref --clip-norm 1
    run 2 resume ref --seed 6
    run 2 resume ref --shards 23
    run 2 resume ref --train-samples 601
    run 2 resume ref --test-samples 99
    run 2 resume ref --size 33
    run 2 resume ref --square 5
    run 2 resume ref --invert 0
    says 'bits'
    run 2 resume ref --source nowhere
    run 2 resume ref --metrics-every 4
    says '--metrics-every 3.* to 4: .*lines'
    run 2 resume ref --epochs 5
    run 2 resume ref --model tinyvit
    run 2 train --model tinyvit --out ref --resume
    diff -r ref kept >out
    check 'a refused command changed a run' $?
    mkdir other && touch other/mine
    run 2 train $one --out other
    mkdir lost && touch lost/log.txt lost/best.safetensors
    run 2 train $one --out lost
    run 2 train $one --out lost --resume
    [ "$(ls lost | tr '\n' ' ')" = 'best.safetensors log.txt ' ]
    check 'files of nobody knows whom were removed' $?
    run 2 train --out new --resume
    says 'needs a model'
    run 2 train $one --out new --resume --tuned
    run 2 resume other
    run 2 resume nowhere
    run 2 eval other
    run 2 eval nowhere
    run 2 eval other/mine
    run 2 eval ref/config.json
    run 2 eval ref --size 30
    [ "$(ls other)" = mine ] && [ ! -e nowhere ]
    check 'a refused command left something' $?
    run 2 train $one --out ''
    run 2 train $one --out new --model nosuch
    run 2 train $one --out new --square 20
    [ ! -e new ]
    check 'a refused command made a folder' $?
    run 2 train $one --out ref/log.txt
    run 2 train $one --resume
    run 2 train $one --out ref --resume --force
    run 2 train $one --checkpoint-every 3
    run 2 train $one --out new --checkpoint-every 0
    run 2 train $one --out new --checkpoint-seconds 0
    run 2 train $one --out new --metrics-every 0
    run 2 train $one --out new --clip-norm 0
    run 2 resume
    run 2 resume ref other
    run 2 eval
    run 2 eval ref other
    for damage in '{}' '' 'x' '{"config": 3, "numerics": 9}'; do
        rm -rf bad && cp -r ref bad && echo "$damage" >bad/config.json
        run 2 resume bad
    done
    sed 's/"numerics": [0-9]*/"numerics": 1/' ref/config.json >bad/config.json
    run 2 resume bad
    says 'numerics version 1'
    cp ref/config.json bad && sed -i 's/"lr": 0.001/"lr": 0.002/' bad/config.json
    run 2 resume bad
    says 'lr'
    for change in 'invert": 0.5 0.25' 'square": 6 5' 'test_samples": 100 99' 'metrics_every": 3 4' 'epochs": 6 5' 'seed": 5 6'; do
        # shellcheck disable=SC2086 # words: a key, what it is, what it becomes
        set -- $change
        sed "s/\"$1 $2/\"$1 $3/" ref/config.json >bad/config.json
        run 2 resume bad
        key=${1%\":}
        says "--$(echo "$key" | tr _ -) $2"
    done
    # A run that an older version began
    cat >bad/config.json <<'END'
{
  "config": 1,
  "shikaku": "0.1.0",
  "numerics": 10,
  "settings": {
    "model": "tinycnn",
    "epochs": 6,
    "batch": 64,
    "lr": 0.001,
    "clip_norm": 0.0,
    "seed": 5,
    "shards": 24,
    "metrics_every": 3,
    "train_samples": 600,
    "test_samples": 100,
    "size": 32,
    "square": 6,
    "invert": 0.5
  },
  "description": "cnn:channels=16-32,hidden=128",
  "machine": {
    "cpu": "any",
    "isa": "avx2",
    "threads": 2,
    "line": "threads: 2 of 2 CPUs (2 cores allowed); pinned to CPUs 0-1; memory local"
  }
}
END
    run 2 resume bad
    says 'version 1, this shikaku reads version 2: go on with the shikaku that began the run'
    run 0 eval bad
    cp ref/config.json bad && printf 'x' | dd of=bad/last.ckpt bs=1 seek=5000 conv=notrunc 2>no
    run 2 resume bad
    says 'checksum'
    run 2 eval bad/last.ckpt
    rm -rf bad new

    # Going on, with nothing left to do and with more epochs
    run 0 resume ref
    says "weights $hash"
    says '^the run is complete; for more: shikaku resume ref --epochs 11$'
    same ref
    run 0 train $one --epochs 7 --out longer
    cp -r ref raised
    run 0 resume raised --epochs 7
    cmp -s raised/last.ckpt longer/last.ckpt && cmp -s raised/best.safetensors longer/best.safetensors && diff raised/config.json longer/config.json >out
    check 'six epochs and one more are not seven' $?
    run 0 train $one --out raised --force
    same raised
    run 0 train $one --out other --force
    [ -e other/mine ] && rm other/mine
    check 'a file that is not of the run was removed' $?
    same other

    # Interrupted in the middle of an epoch, then on any threads and instruction set
    wanted=2 # lines of metrics, so that an interrupted run stands in its first epoch; there are four in one
    begin() { # begin DIR OPTION...: in the background, slowly, until there are so many lines; its process is $pid, and SIGHUP reaches it under nohup too
        folder=$1
        shift
        rm -rf "$folder"
        SHIKAKU_ISA=c env --default-signal=HUP "$bin" train $options --threads 1 --metrics-every 3 --out "$folder" "$@" >out 2>err &
        pid=$!
        while [ ! -e "$folder/metrics.jsonl" ] || [ "$(wc -l <"$folder/metrics.jsonl")" -lt $wanted ]; do sleep 0.02; done
    }
    middle= # a folder whose run was interrupted inside an epoch
    for signal in TERM:143:2 HUP:129:1 TERM:143:5 HUP:129:3 TERM:143:1; do
        wanted=${signal##*:} signal=${signal%:*}
        begin stopped
        kill -s "${signal%:*}" $pid
        wait $pid
        status=$?
        [ $status -eq "${signal#*:}" ] && [ "$(grep -c "^shikaku: SIG${signal%:*} after epoch .*shikaku resume stopped\$" err)" -eq 1 ]
        check "exit $status after SIG${signal%:*}" $?
        if grep -q ', step ' err; then rm -rf middle && cp -r stopped middle && middle=1; fi
        run 0 resume stopped
        same stopped
    done
    [ -n "$middle" ]
    check 'no run was interrupted inside an epoch' $?
    for isa in c avx2 avx512 neon; do
        export SHIKAKU_ISA=$isa
        "$bin" train --model cnn:channels=2 --train-samples 8 --test-samples 8 --epochs 1 >no 2>&1 || continue
        for threads in $([ $isa = c ] && echo 1 || echo 1 2 5); do # C takes long
            rm -rf going && cp -r middle going
            run 0 resume going --threads $threads
            says "resumed from epoch .*, step "
            same going
        done
    done
    unset SHIKAKU_ISA
    # A shell makes what it starts in the background ignore SIGINT, and so does nohup with SIGHUP: this stays so
    begin stopped
    kill -s INT $pid && sleep 0.2 && kill -s TERM $pid
    wait $pid
    status=$?
    [ $status -eq 143 ] && grep -q '^shikaku: SIGTERM after epoch' err
    check "exit $status after a SIGINT that was to be ignored and a SIGTERM" $?
    run 0 resume stopped
    same stopped
    # In the foreground SIGINT counts, and the second signal ends the program at once
    rm -rf stopped
    env --default-signal=INT "$bin" train $options --epochs 1000000 --threads 1 --out stopped >out 2>err &
    pid=$!
    while [ ! -s stopped/metrics.jsonl ]; do sleep 0.05; done
    kill -s INT $pid
    wait $pid
    status=$?
    [ $status -eq 130 ] && grep -q "^shikaku: SIGINT after " err
    check "exit $status after SIGINT" $?
    begin stopped --epochs 1000000
    kill -s STOP $pid && kill -s TERM $pid && kill -s HUP $pid && kill -s CONT $pid
    wait $pid
    status=$?
    [ $status -eq 143 ] || [ $status -eq 129 ]
    check "exit $status after two signals" $?
    [ ! -e stopped/last.ckpt ] || run 0 eval stopped/last.ckpt
    if ! nm "$bin" 2>no | grep -q __tsan_init; then # ThreadSanitizer holds signals back while a program computes
        rm -rf slow # a step takes seconds
        SHIKAKU_ISA=c env --default-signal=HUP "$bin" train --model vit:dim=256,depth=12,heads=4 --batch 512 --threads 1 --train-samples 512 --test-samples 8 --out slow >out 2>err &
        pid=$!
        while [ ! -s slow/log.txt ]; do sleep 0.05; done
        sleep 0.5
        kill -s TERM $pid && sleep 0.3 && kill -s HUP $pid
        wait $pid
        status=$?
        [ $status -eq 129 ] && [ -z "$(errors)" ] && [ ! -e slow/last.ckpt ]
        check "exit $status after two signals in a step" $?
    fi

    # Killed outright: what was written last counts
    begin stopped --checkpoint-every 4
    kill -s KILL $pid
    wait $pid 2>no
    run 0 train $options --metrics-every 3 --resume --out stopped
    same stopped
    # Two at once
    begin stopped --epochs 1000000
    run 2 resume stopped
    says 'in use'
    kill -s TERM $pid
    wait $pid

    # A reader that has gone does not end a run
    for output in '>&-' '<&- >&-' '>/dev/full' '| true'; do
        rm -rf gone
        eval "'$bin' train $one --out gone 2>err $output"
        check "exit $? with $output" $?
        same gone
    done

    # A training that goes wrong leaves the last good checkpoint and nothing of the bad step
    wrong='--model vit:dim=16,depth=1,heads=2,ff=32 --lr 1000 --beta2 1e-6 --eps 1e-30 --train-samples 600 --test-samples 20 --threads 2 --metrics-every 1'
    run 1 train $wrong --out wrong --checkpoint-every 1
    says 'the loss is not finite in epoch 1, step [0-9]+, first in encoder.layers.0.*: lower the learning rate.*; the last checkpoint is that of epoch 1, step'
    step=$(sed -n 's/.*in epoch 1, step \([0-9]*\),.*/\1/p' err)
    [ "$(wc -l <wrong/metrics.jsonl)" -eq $((step - 1)) ]
    check "metrics of the step that went wrong, $step" $?
    run 0 eval wrong
    says "epoch 1, step $((step - 1)) - test loss: (nan|[0-9])"
    run 1 resume wrong
    says "the loss is not finite in epoch 1, step $step, first in"
    [ "$(wc -l <wrong/metrics.jsonl)" -eq $((step - 1)) ]
    check "metrics of the step that went wrong again, $step" $?
    cp -r ref nockpt && rm nockpt/last.ckpt
    run 0 resume nockpt
    says 'resumed from the beginning, there is no checkpoint'
    same nockpt
    (ulimit -f 1000 && exec "$bin" train $one --out large) >out 2>err # blocks of 512 bytes
    [ $? -eq 1 ] && [ "$(grep -c 'large/.* cannot be written: File too large' err)" -eq 1 ] && [ -z "$(find large -name '*.new')" ]
    check 'a file that may not grow' $?
    run 1 train $wrong --out early
    says 'there is no checkpoint yet'

    # What was printed and what a test of the files gives
    run 0 eval ref
    says "epoch 6 - test loss: .*, weights $hash, ref/last.ckpt"
    loss=$(sed -n 's/.*test_loss": \([^,]*\), .*/\1/p' ref/metrics.jsonl | tail -n 1)
    says "test loss: $(printf %.4f "$loss"), acc: .*ref/last.ckpt"
    run 0 eval ref/best.safetensors --threads 1
    says 'test loss: .*ref/best.safetensors'
    run 0 eval ref/last.ckpt --test-samples 500 --seed 9

    # A net with running statistics, interrupted in the middle of an epoch
    echo 'conv(4,bias=no) bn relu sum(conv(4,bias=no) bn relu conv(4) bn) relu conv(6,stride=2) bn mean linear(classes)' >net.txt
    options='--model @net.txt --size 18 --train-samples 600 --test-samples 100 --epochs 2 --seed 5'
    run 0 train $options --threads 2 --metrics-every 3 --out ref --force
    wanted=2
    begin stopped
    kill -s TERM $pid
    wait $pid
    run 0 resume stopped --threads 3
    says 'resumed from epoch 1, step [0-9]+'
    same stopped
}
echo "run_folders: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
