#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/fine_tuning.sh BIN: trainings that start from a file's weights, or leave some of theirs as they are.
set -u
# shellcheck source=tests/begin_runs.sh
. "$(dirname "$0")/begin_runs.sh"

weights() { sed -n 's/.*weights \([0-9a-f]*\).*/\1/p' out | tail -n 1; }
same() { # same WHAT HASH
    [ "$(weights)" = "$2" ]
    check "other weights: $1" $?
}

set_of five 8 4 'what it learnt'
set_of three 8 2 'and something else, which is new'
set_of large 12 4 'larger pictures'
train='train --model cnn:channels=2-4,hidden=8 --batch 8 --threads 2 --epochs 2'

# shellcheck disable=SC2086 # words
{
    set -f # patterns are the command's
    run 0 $train --data five --out old
    run 0 export old old.onnx
    hash=$(weights) # of the best epoch

    # The same classes, others, the normalisation
    run 0 $train --data five --init old
    says "^init: old, weights $hash; pixels are normalised by mean and deviation of the file"
    run 0 $train --data three --init old/best.safetensors --out new
    says "^init: old/best.safetensors, weights $hash; fc2 is new, for 3 classes in place of 5; pixels"
    fresh=$(weights)
    grep -q "\"init_hash\": \"$hash\"" new/config.json && grep -q '"init": "old/best.safetensors"' new/config.json
    check 'the hash of the initial weights is not kept' $?
    says '^\[.* val loss'
    run 0 $train --data three --init old --normalise auto
    says 'normalised as the options say, not as the file does'
    [ "$(weights)" != "$fresh" ]
    check 'the normalisation has no effect' $?
    run 0 $train --data three
    [ "$(weights)" != "$fresh" ]
    check 'the initial weights have no effect' $?
    run 0 $train --init old/last.ckpt --data five

    # What stays as it is
    frozen='--data five --init old --freeze conv*,fc1.bias'
    run 0 $train $frozen --out still
    says '^settings: .* freeze conv\*,fc1.bias, seed 0'
    grep -q '"freeze": "conv\*,fc1.bias"' still/config.json
    check 'what is frozen is not kept' $?
    run 2 resume still --freeze 'fc*'
    says '--freeze conv\*,fc1.bias, a resumed run cannot change it'
    run 0 resume still --epochs 3
    resumed=$(weights)
    run 0 $train $frozen --epochs 3
    same 'a run that was resumed, with what is frozen' "$resumed"
    run 0 $train --data five --init old --epochs 3
    [ "$(weights)" != "$resumed" ]
    check '--freeze has no effect' $?
    run 2 $train --data five --freeze 'conv3*'
    says "no tensor fits 'conv3\*'; the model has conv1.weight, .*, fc2.bias"
    run 2 $train --data five --freeze 'conv*,fc*'
    says 'leaves nothing to train'

    # What does not fit

    run 2 $train --data large --init old
    says "tensor 'fc1.weight' has the shape \[8, 16\], but must have \[8, 36\]; .*, 8x8x1"
    run 2 $train --model cnn:channels=2,hidden=8 --data five --init old
    says "old/best.safetensors tensor 'fc1.weight'"
    run 2 $train --model tinyvit --data five --init old
    says "lacks the tensor 'cls_token'"
    run 2 $train --data five --init nowhere
    says 'nowhere cannot be read'
    run 2 $train --data five --init five/train-labels-idx1-ubyte
    says 'no safetensors file'

    # Going on: the file is of no weight where there is a checkpoint
    cp -r new again && rm again/last.ckpt again/best.safetensors again/metrics.jsonl
    run 2 resume new --init old --epochs 3
    says '--init old/best.safetensors, .* to old: '
    run 0 resume again
    same 'a run that begins once more' "$fresh"
    rm again/last.ckpt again/best.safetensors again/metrics.jsonl && mv old/best.safetensors away
    run 2 resume again
    says 'old/best.safetensors cannot be read'
    run 0 $train --data five --out other --seed 1
    cp other/best.safetensors old/best.safetensors
    run 2 resume again
    says "the run began with the weights $hash, old/best.safetensors now has [0-9a-f]{16}"
    rm old/best.safetensors
    run 0 resume new --epochs 3
    mv away old/best.safetensors
    raised=$(weights)
    run 0 train --model cnn:channels=2-4,hidden=8 --batch 8 --threads 1 --epochs 3 --data three --init old/best.safetensors
    same 'a run that was resumed' "$raised"
}

echo "fine_tuning: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
