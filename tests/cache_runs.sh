#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/cache_runs.sh BIN [KILLS]: trainings with a cache of decoded images, without one, with one that is being written by another
# process, and after writers that were killed at random moments: each has the same hashes of the data and the same weights.
set -u
# shellcheck source=tests/begin_runs.sh
. "$(dirname "$0")/begin_runs.sh"
kills=${2:-6}

# 2,000 images of 28x28 pixels, and their labels; packed, so that they are worth keeping
mkdir data
{ printf '\000\000\010\003\000\000\007\320\000\000\000\034\000\000\000\034' && yes 'some thirteen ' | head -c 1568000; } |
    gzip -1n >data/train-images-idx3-ubyte.gz
{ printf '\000\000\010\001\000\000\007\320' && yes 2>/dev/null | head -c 2000 | tr 'y\n' '\000\001'; } | gzip -1n >data/train-labels-idx1-ubyte.gz
sleep 2.1 # by then, the clock of files tells a change from what is there

train='train --data data --model cnn:channels=2,hidden=0 --epochs 1 --batch 100 --threads 2'
hit='the images were decoded before, and come from the cache in'
hashes() { tr -d ' \n' <"$1/config.json" | grep -o '"data_hashes":{[^}]*}'; }
weights() { sed -n 's/.*weights //p' "$1"; }
files() { find "$1" -type f | wc -l; }

# same OUT FOLDER: the same weights and hashes as without a cache
same() {
    [ "$(weights "$1")" = "$reference" ] && [ "$(hashes "$2")" = "$data" ]
    check "$1: other weights or hashes of data" $?
}

# shellcheck disable=SC2086 # words
{
    run 0 $train --cache none --out none
    reference=$(weights out) data=$(hashes none)
    [ -n "$reference" ] && [ -n "$data" ] && [ ! -e "$XDG_CACHE_HOME/shikaku" ]
    check 'the reference, without a cache' $?
    run 0 $train --out first
    same out first
    ! grep -q "$hit" out && [ "$(files "$XDG_CACHE_HOME/shikaku")" -eq 1 ]
    check 'nothing is kept' $?
    run 0 $train --out second
    same out second
    says "^data: $hit $XDG_CACHE_HOME/shikaku$"
    run 0 $train --cache "$XDG_CACHE_HOME/shikaku" --quiet
    ! grep -q "$hit" out
    check '--quiet says where images come from' $?
    run 0 eval second # decodes for the shape that the model has, and keeps that, too
    run 0 eval second
    says "$hit"
    rm -rf first && HOME=$dir XDG_CACHE_HOME='' run 0 $train --out first
    same out first
    [ "$(files .cache/shikaku)" -eq 1 ]
    check 'nothing in ~/.cache' $?
    HOME='' XDG_CACHE_HOME='' run 0 $train
    says 'not kept for the next time: neither XDG_CACHE_HOME nor HOME is set'
    run 0 $train --cache /dev/null/folder
    says 'not kept for the next time: .*Not a directory'

    # Files that are left out, and their list in the run's folder
    mkdir -p pictures/a pictures/b
    for n in 1 2 3; do printf '\211\120\116\107\015\012\032\012\000\000\000\015\111\110\104\122\000\000\000\010\000\000\000\010\010\000\000\000\000\341\144\341\127\000\000\000\016\111\104\101\124\170\332\143\140\370\017\205\224\061\000\154\024\037\341\251\151\143\160\000\000\000\000\111\105\116\104\256\102\140\202' | tee pictures/a/$n.png >pictures/b/$n.png; done
    echo nothing >pictures/a/bad.png && : >"pictures/b/$(printf 'two\nlines')"
    small='--model cnn:channels=2,hidden=0 --batch 4 --quiet'
    run 2 train $small --epochs 1 --data pictures --out skipped
    [ ! -e skipped/skipped.txt ]
    check 'a list of a training that did not start' $?
    run 0 train $small --epochs 1 --data pictures --out skipped --skip-bad
    [ "$(cat skipped/skipped.txt)" = 'pictures/a/bad.png: this is no picture that is known: use PNG or JPEG
pictures/b/two\x0alines: this file is empty' ]
    check "the list of files that were left out: $(cat skipped/skipped.txt)" $?
    cp skipped/skipped.txt list
    run 0 resume skipped --epochs 2 --quiet
    ! grep -q skipped.txt err
    check 'a list that is as it was' $?
    rm skipped/skipped.txt
    run 0 resume skipped --epochs 3 --quiet
    says 'warning: skipped/skipped.txt is missing'
    cmp -s list skipped/skipped.txt
    check 'the list is not written again' $?
    rm pictures/a/bad.png
    run 0 resume skipped --epochs 4 --quiet
    says 'warning: skipped/skipped.txt lists other files, .* than the 1 that'
    cmp -s list skipped/skipped.txt
    check 'another list' $?
    run 0 train $small --epochs 1 --out skipped --force
    [ ! -e skipped/skipped.txt ]
    check 'the list of a run that was replaced' $?

    # Two at once
    for n in 1 2; do "$bin" $train --cache both --out both.$n >out.$n 2>err & done
    wait
    for n in 1 2; do same out.$n both.$n; done
    [ "$(files both)" -eq 1 ]
    check 'two writers leave other files than one' $?

    # Killed writers
    start=$(date +%s%N)
    run 0 $train --cache timed
    length=$((($(date +%s%N) - start) / 1000000))
    awk -v seed="$(date +%s)" -v kills="$kills" -v length_ms="$length" \
        'BEGIN { srand(seed); for (; kills > 0; kills--) printf "%.3f\n", rand() * length_ms / 1000 }' >moments
    hits=0
    while read -r moment; do
        rm -rf killed killed.run
        timeout -s KILL "$moment" "$bin" $train --cache killed --quiet >no 2>&1
        found=$(find killed -name '*.set' 2>no | wc -l)
        run 0 $train --cache killed --out killed.run
        same out killed.run
        grep -q "$hit" out && hits=$((hits + 1))
        [ "$(grep -c "$hit" out)" -eq "$found" ] && [ "$(files killed)" -eq 1 ]
        check "after a kill at $moment s: $(ls killed)" $?
    done <moments
    echo "$kills kills in $length ms, $hits of them after the file was there"
}

echo "cache_runs: $passed passed, $failed failed"
[ $failed -eq 0 ]
