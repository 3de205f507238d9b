#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/array_runs.sh BIN: trainings on arrays from files. However the same images are held, the weights are the same; what
# cannot be read ends in one line, before anything is trained.
set -u
# shellcheck source=tests/begin_runs.sh
. "$(dirname "$0")/begin_runs.sh"

images() { # images N: an IDX file of N images of 8x8 pixels, fewer than 256
    printf '\000\000\010\003\000\000\000%b\000\000\000\010\000\000\000\010' "$(printf '\\0%03o' "$1")"
    yes 'twelve signs' | head -c $((64 * $1))
}
labels() { # labels N: of two classes in turn
    printf '\000\000\010\001\000\000\000%b' "$(printf '\\0%03o' "$1")"
    yes 2>/dev/null | head -c "$1" | tr 'y\n' '\000\001'
}
bytes() { head -c 200000 /dev/zero | tr '\000' "$1"; }
weights() { sed -n 's/.*weights //p' out; }

train='train --model cnn:channels=2-4,hidden=8 --epochs 1 --batch 8 --threads 1'
mkdir plain packed renamed cut
images 50 >plain/train-images-idx3-ubyte && labels 50 >plain/train-labels-idx1-ubyte
images 20 >plain/t10k-images-idx3-ubyte && labels 20 >plain/t10k-labels-idx1-ubyte
for file in plain/*; do
    name=${file#plain/}
    gzip -9n <"$file" >"packed/$name.gz"
    gzip -1n <"$file" >"renamed/$name"
    cp "$file" cut
done

# shellcheck disable=SC2086 # words
{
    run 0 $train --data plain --out ref
    says '^dataset: idx, 50 training and 20 test images of 8x8 pixels, 2 classes'
    hash=$(weights)
    for folder in packed renamed; do
        run 0 $train --data $folder
        [ "$(weights)" = "$hash" ]
        check "$folder: other weights" $?
    done
    run 0 $train --train-data packed/train-images-idx3-ubyte.gz --test-data plain/t10k-images-idx3-ubyte
    [ "$(weights)" = "$hash" ]
    check 'parts that lie apart: other weights' $?
    run 0 eval ref --data packed
    says 'test loss: '
    mkdir other && cp plain/t10k* other
    run 0 eval ref --data other
    says 'test loss: '

    # One line each
    for size in 0 3 15 16 1000 3215; do
        head -c $size plain/train-images-idx3-ubyte >cut/train-images-idx3-ubyte
        run 2 $train --data cut
        says 'train-images-idx3-ubyte: it ends early'
    done
    head -c 60 packed/train-images-idx3-ubyte.gz >cut/train-images-idx3-ubyte
    run 2 $train --data cut
    says 'packed data ends early'
    labels 50 >cut/train-images-idx3-ubyte
    run 2 $train --data cut
    says 'holds no images'
    images 49 >cut/train-images-idx3-ubyte
    run 2 $train --data cut
    says '50 labels, .* 49 images'
    run 2 $train --data plain --size 9
    says '8x8x1, but wanted are 9x9'
    rm cut/train-labels-idx1-ubyte
    run 2 $train --data cut
    says 'no labels beside train-images-idx3-ubyte'
    run 2 $train --train-data plain --test-data squares.npz
    run 2 $train --data plain --train-samples 7

    # A gzip that is small and would become 256 MB
    { printf '\000\000\010\003\000\100\000\000\000\000\000\010\000\000\000\010' && bytes '\001'; } | gzip -9 >cut/train-images-idx3-ubyte
    labels 50 >cut/train-labels-idx1-ubyte
    run 2 $train --data cut
    says '268435456 bytes of numbers'
}

echo "array_runs: $passed passed, $failed failed"
[ $failed -eq 0 ]
