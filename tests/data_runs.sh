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

echo "data_runs: $passed passed, $failed failed"
[ $failed -eq 0 ]
