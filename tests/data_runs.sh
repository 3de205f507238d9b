#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/data_runs.sh BIN: what `shikaku data` says about data, and what it writes.
set -u
# shellcheck source=tests/begin_runs.sh
. "$(dirname "$0")/begin_runs.sh"

# ---- info ----

header() { printf '\000\000\010\003\000\000\000%b\000\000\000\010\000\000\000\010' "$(printf '\\0%03o' "$1")"; }
signs() { yes "$1" | tr -d '\n' | head -c "$2"; }
image() { signs . "$1" && signs z 8 && signs . $((56 - $1)); } # image N: 8x8 bytes, of which eight from N on are brighter
labels() { printf '\000\000\010\001\000\000\000%b%b' "$(printf '\\0%03o' $#)" "$(printf '\\0%03o' "$@")"; }
mkdir idx
{ header 6 && image 0 && image 11 && image 0 && image 11 && image 42 && signs . 64; } >idx/train-images-idx3-ubyte
labels 0 1 0 0 1 1 >idx/train-labels-idx1-ubyte
{ header 2 && image 24 && image 42; } >idx/t10k-images-idx3-ubyte
labels 1 1 >idx/t10k-labels-idx1-ubyte
run 0 data info idx
says '^source: idx, images of 8x8 pixels, 1 channel$'
says '^train: 6 samples, hash [0-9a-f]{16}$'
says '^       1         3         0         2  -$'
says '^mean of train: 0\.[0-9]{4}$'
says '^leaks: 1 .*: 1 equal \(=\), 0 alike'
says '^  test 1 = train 4$'
says '^conflicts: 1 '
says '^  train 3 \(class 0\) = train 1 \(class 1\)$'
says '^duplicates: 1 '
says '^  train 2 = train 0$'
says '^images of one value: 1$'
says '^  train 5$'
says '^files that cannot be read: 0$'
run 0 data info idx --json
says '^  "source": "idx",$'
says '^        "index": 4,$'
for list in leaks conflicts duplicates constant unreadable notes; do says "^  \"$list\": \["; done
run 0 data info --train-data idx/train-images-idx3-ubyte --test-data idx/t10k-images-idx3-ubyte
says '^  test 1 = train 4$'

# Long lists are cut, not in JSON; 600 squares have 225 places.
run 0 data info squares --train-samples 600 --test-samples 1 --invert 0
says '^duplicates: [34][0-9][0-9] '
[ "$(grep -c '^  train [0-9]* = train [0-9]*$' out)" -eq 20 ]
check 'not twenty lines' $?
says '^  and [34][0-9][0-9] more: --json has all$'
run 0 data info squares --train-samples 600 --test-samples 1 --invert 0 --json
[ "$(grep -c '"equal": true' out)" -gt 300 ]
check 'JSON is cut, too' $?

# What cannot be read at all is exit 2; bad files among others are listed.
mkdir -p bad/a bad/b
echo words >bad/a/1.png
run 2 data info bad
run 2 data info nowhere
says 'nowhere cannot be read'

# ---- make ----

# However they are held, the squares train to the same weights.
train='train --model cnn:channels=2-4,hidden=8 --epochs 1 --batch 8 --threads 1 --seed 3'
weights() { sed -n 's/.*weights //p' out; }
squares='squares --train-samples 90 --test-samples 30 --seed 3'
# shellcheck disable=SC2086 # words
{
    run 0 $train --train-samples 90 --test-samples 30
    hash=$(weights)
    for form in folder idx cifar csv npz; do
        run 0 data make $squares made.$form --as $form
        says "^made: 90 train, 30 test, images of 32x32 pixels, 1 channel, 9 classes -> made.$form"
    done
    run 0 data make $squares other.npz
    cmp -s made.npz other.npz
    check 'the same data are other bytes' $?
    for made in made.idx made.npz made.csv/data.csv; do
        run 0 $train --data $made --normalise none
        [ "$(weights)" = "$hash" ]
        check "$made: other weights" $?
    done

    # What is there stays.
    before=$(ls -d m* o*)
    run 2 data make $squares made.npz
    says 'made.npz is there already: .*--force'
    run 2 data make $squares made.idx --as idx
    says 'made.idx is there already and is not empty'
    run 2 data make $squares made.idx --force
    says 'a folder is never replaced'
    run 2 data make made.npz more.npz --as folders
    run 2 data make made.npz more --as cifar --test-samples 3
    run 0 data make $squares made.npz --force
    [ "$(ls -d m* o*)" = "$before" ]
    check 'something was made' $?

    # Where a write fails, nothing is left of it: files of at most 20 blocks are allowed.
    for form in idx npz cifar; do
        [ -z "$tsan" ] || continue
        (ulimit -f 20 && "$bin" data make $squares short.$form --as $form >out 2>err)
        [ $? -eq 1 ] && [ -z "$(ls -d short* 2>&-)" ] && grep -q 'short\.[^ ]* cannot be written: ' err
        check "after a failed write of $form something is left" $?
    done
    run 1 data make $squares nowhere/x
    says 'nowhere/x cannot be made: its folder is not there'

    # A signal in the middle leaves nothing.
    "$bin" data make squares big --train-samples 100000 --size 8 --square 2 >out 2>err &
    making=$!
    while kill -0 $making 2>&- && [ -z "$(ls -d big.*.new 2>&-)" ]; do sleep 0.02; done
    kill $making
    wait $making
    [ $? -eq 143 ] && [ -z "$(ls -d big* 2>&-)" ] && grep -q 'SIGTERM: nothing is written' err
    check 'after a signal something is left' $?
}

# ---- sheet ----

# shellcheck disable=SC2086 # words
{
    run 0 data sheet $squares sheet.png
    says '^sheet: 9 classes, 624x624 pixels -> sheet.png$'
    run 0 data sheet made.folder other.png
    cmp -s sheet.png other.png
    check 'the same samples are other pictures' $?
    run 2 data sheet $squares sheet.png
    says 'sheet.png is there already: .*--force'
    run 0 data sheet $squares sheet.png --force --samples 3
    says '^sheet: 9 classes, 284x624 pixels'
    run 0 data sheet made.npz small.png --samples 100
}

# ---- Names ----

# The name of a class, not its number, is said of a picture.
for class in 2 10 9; do
    mkdir -p "numbers/train/$class" "numbers/test/$class"
    cp made.folder/train/1/*.png "numbers/train/$class"
    cp made.folder/train/2/*.png "numbers/test/$class"
done
# shellcheck disable=SC2086 # words
run 0 $train --data numbers --out run
run 0 data info numbers
says '^       0  .*  2$' && says '^       2  .*  10$'
run 0 predict run numbers/test/9 --top 3
says '[ ,:] 10 0\.[0-9]{4}'

# ---- One reading for both weights of a run ----

"$bin" data make squares pets --as folder --train-samples 60 --test-samples 10 --size 12 --square 3 >out 2>err
: >pets/train/4/bad.png
run 0 train --data pets --skip-bad --model cnn:channels=2,hidden=0 --epochs 1 --out pets.run
run 0 eval pets.run
[ "$(grep -c 'bad.png: this file is empty' err)" -eq 1 ] && [ "$(grep -c 'test loss' out)" -eq 2 ]
check 'eval reads the same data twice' $?

echo "data_runs: $passed passed, $failed failed"
[ $failed -eq 0 ]
