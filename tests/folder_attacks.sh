#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/folder_attacks.sh BIN: what others do to a run's folder: they move or remove it under a running training, put links and
# FIFOs in the place of its files, edit and remove them. Nothing is written where it does not belong, and nothing is lost in silence.
set -u
# shellcheck source=tests/begin_runs.sh
. "$(dirname "$0")/begin_runs.sh"

options='--model cnn:channels=2,hidden=0 --train-samples 200 --test-samples 40 --epochs 4 --batch 16 --threads 1 --metrics-every 3'

lines_of() { sed -E 's/, "seconds".*//' "$1/metrics.jsonl"; }

same() { # same DIR: it is the run that nobody disturbed
    cmp -s "$1/best.safetensors" ref/best.safetensors && cmp -s "$1/last.ckpt" ref/last.ckpt &&
        lines_of "$1" >has && lines_of ref >wants && cmp -s has wants && [ -z "$(find "$1" -name '*.new')" ]
    check "$1 is another run than the one that nobody disturbed" $?
}

begin() { # begin DIR: a long run in the background that has written checkpoints; its process is $pid
    # shellcheck disable=SC2086 # words
    "$bin" train $options --epochs 1000000 --checkpoint-every 4 --out "$1" >long.out 2>long.err &
    pid=$!
    while [ ! -e "$1/last.ckpt" ]; do sleep 0.01; done
}

ended() { # ended PATTERN: the long run ends by itself in a second, with exit code 1 and such a line
    for _ in $(seq 100); do kill -0 $pid 2>no && sleep 0.01; done
    kill -9 $pid 2>no
    wait $pid
    status=$?
    [ $status -eq 1 ] && [ "$(wc -l <long.err)" -eq 1 ] && grep -Eq "$1" long.err
    check "exit $status of a run whose folder was taken away: $(cat long.err)" $?
}

# shellcheck disable=SC2086 # words
{
    run 0 train $options --out ref
    cp out out.ref

    # ---- The folder is removed or moved under a running training, and a new run begins there ----

    begin a
    rm -rf a 2>no || rm -rf a
    run 0 train $options --out a
    ended 'a, or metrics.jsonl in it, was removed|a/.* cannot be written: No such file' # in the midst of rm, or after it
    same a
    begin moved
    mv moved elsewhere
    run 0 train $options --out moved
    ended 'moved was moved while.*ended after epoch .*resume'
    same moved
    run 0 eval elsewhere/last.ckpt
    says "$(sed -n 's/.*ended after \(epoch .*\), go on.*/\1/p' long.err)"
    rm -rf elsewhere
    begin b
    rm b/metrics.jsonl
    ended 'metrics.jsonl in it, was removed'

    # ---- What is no regular file ----

    for file in metrics.jsonl log.txt last.ckpt config.json best.safetensors; do
        rm -rf bad && cp -r ref bad
        mv bad/$file away && cp away away.was && ln -s ../away bad/$file
        run 2 resume bad --epochs 5
        says "bad/$file is a symbolic link"
        rm bad/$file && mkfifo bad/$file
        run 2 resume bad --epochs 5
        says "bad/$file is no regular file"
        rm bad/$file && ln away bad/$file
        case $file in
        metrics.jsonl) run 2 resume bad --epochs 5 && says 'bad/metrics.jsonl has another name too' ;;
        log.txt) run 0 resume bad --epochs 5 && says 'warning: bad/log.txt has another name too' ;;
        *) run 0 resume bad --epochs 5 ;;
        esac
        cmp -s away away.was
        check "a resume changed the file to which a link in the place of $file led" $?
    done

    # ---- metrics.jsonl that somebody has edited ----

    rm -rf bad && cp -r ref bad && sed 's/$/\r/' ref/metrics.jsonl >bad/metrics.jsonl && cp bad/metrics.jsonl was
    run 0 resume bad
    cmp -s bad/metrics.jsonl was
    check 'lines that end in CRLF were changed' $?
    sed 's/^/ /' ref/metrics.jsonl >bad/metrics.jsonl && cp bad/metrics.jsonl was
    run 0 resume bad
    cmp -s bad/metrics.jsonl was
    check 'lines with a leading blank were changed' $?
    cp ref/metrics.jsonl bad && truncate -s -1 bad/metrics.jsonl
    run 0 resume bad
    cmp -s bad/metrics.jsonl ref/metrics.jsonl
    check 'a last line that lacks its end was lost' $?
    { cat ref/metrics.jsonl && printf '{"epoch": 5, "st'; } >bad/metrics.jsonl
    run 0 resume bad
    cmp -s bad/metrics.jsonl ref/metrics.jsonl
    check 'half a line was not dropped' $?
    for damage in 's/, /,\n  /g' '9s/.*/nothing/' '$s/.*/nothing/' '9s/^/{/' '9s/$/}/' '2s/"epoch"/"epochs"/'; do
        sed "$damage" ref/metrics.jsonl >bad/metrics.jsonl && cp bad/metrics.jsonl was
        run 2 resume bad --epochs 5
        says 'bad/metrics.jsonl, line [0-9]+: '
        cmp -s bad/metrics.jsonl was && cmp -s bad/config.json ref/config.json && cmp -s bad/last.ckpt ref/last.ckpt
        check "a refused resume changed the run: $damage" $?
    done
    rm -rf bad && cp -r ref bad
    tr '\n' ' ' <ref/metrics.jsonl >bad/metrics.jsonl # other JSON, without an end
    run 2 resume bad
    says 'line 1: '

    # ---- What is missing ----

    best=$(sed -n 's/.*best: epoch \([0-9]*\) .*/\1/p' out.ref)
    [ "$best" -gt 0 ] && [ "$best" -lt 4 ]
    check "epoch $best of 4 is the best one" $?
    rm -rf bad && cp -r ref bad && rm bad/best.safetensors
    run 0 resume bad
    says "warning: bad/best.safetensors is missing, and with it the weights of epoch $best"
    says "best: epoch $best - .*, but not in bad/best.safetensors"
    run 0 eval bad
    says 'warning: bad/best.safetensors is missing'
    run 0 train $options --epochs "$best" --out other # what the warning says
    cmp -s other/last.ckpt ref/last.ckpt
    [ $? -eq 1 ]
    cp -r other bad2 && rm bad2/best.safetensors
    run 0 resume bad2
    says 'warning: bad2/best.safetensors is missing.* it is written again from the checkpoint'
    cmp -s bad2/best.safetensors other/best.safetensors && cmp -s bad2/last.ckpt other/last.ckpt
    check 'the best weights were not made again' $?
    cp other/best.safetensors bad2 && cp ref/last.ckpt ref/config.json ref/metrics.jsonl bad2 # of other settings, but the same weights
    run 0 resume bad2
    [ -z "$(errors)" ]
    check 'best weights that are there are said to be missing' $?
    rm -rf bad && cp -r ref bad && sed -i '3,9d' bad/metrics.jsonl && rm bad/log.txt
    run 0 resume bad
    says 'warning: bad/metrics.jsonl lacks 7 of the [0-9]+ lines up to here, the first of them that of epoch 1, step 9'
    says 'warning: bad/log.txt is missing'
    cp ref/metrics.jsonl bad && sed -i '3{h;d};5{p;x}' bad/metrics.jsonl
    run 0 resume bad
    says 'warning: bad/metrics.jsonl'
    rm -rf bad && cp -r ref bad && rm bad/metrics.jsonl bad/last.ckpt
    run 0 resume bad
    says 'warning: bad/last.ckpt is missing'
    same bad

    # ---- Other data ----

    for part in train test; do
        rm -rf bad && cp -r ref bad && sed -i "/data_hashes/,/}/s/\"$part\": \"[0-9a-f]*\"/\"$part\": \"0123456789abcdef\"/" bad/config.json
        run 2 resume bad --epochs 5
        says "bad/config.json: the ${part}(ing)? images and labels have the hash 0123456789abcdef"
    done
}
echo "folder_attacks: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
