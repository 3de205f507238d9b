#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/export_accuracy.sh BIN [MODEL...]: models that were trained for an epoch on Fashion-MNIST get as many of 1,000 test images right in
# every program. It needs dataset-fashion-mnist, python3-torch, onnxruntime-node (NODE_PATH), clang, a cross compiler and an emulator.
set -u
# shellcheck source=tests/begin_runs.sh
. "$(dirname "$0")/begin_runs.sh"
shift
[ $# -gt 0 ] || set -- tinycnn tinyvit tinyvit-pre
torch=$(python_with torch)
"${torch:-python3}" "$tests/export/accuracy.py" cut images >out 2>err
check 'dataset-fashion-mnist is not here' $?

right() { # right WHAT COMMAND...: it says the number that eval does
    what=$1
    shift
    "$@" >out 2>err && [ "$(cat out)" = "$wanted" ]
    check "$model: $what gets $(cat out) right, not $wanted" $?
    row="$row $(cat out) |"
}
compiled() { # compiled WHAT RUNNER COMPILER FLAG...
    what=$1 runner=$2
    shift 2
    "$@" -std=c99 -O2 -ffp-contract=off -include "$model/model.c" "$tests/export/c_accuracy.c" -o "$model/c_accuracy" >out 2>err
    check "$what" $?
    # shellcheck disable=SC2086 # no runner is no word
    right "$what" $runner "$model/c_accuracy" images
}

echo '| model | eval | PyTorch | ONNX Runtime | C, gcc | C, clang | C, AArch64 |'
echo '|---|---|---|---|---|---|---|'
for model; do
    run 0 train --data /usr/share/datasets/fashion-mnist --model "$model" --epochs 1 --out "$model"
    run 0 export "$model" "$model/model.onnx"
    run 0 export "$model" "$model/model.c"
    run 0 eval "$model/best.safetensors" --data images/idx
    wanted=$(sed -n 's/.*acc: 0\.\([0-9]\{3\}\).*/\1/p' out | sed 's/^0*//') row="| $model | $wanted |"
    right PyTorch "$torch" "$tests/export/accuracy.py" torch images "$model/best.safetensors"
    right 'ONNX Runtime' node "$tests/export/onnx_accuracy.js" images "$model/model.onnx"
    compiled 'C by gcc' '' gcc
    compiled 'C by clang' '' clang
    compiled 'C on AArch64' qemu-aarch64 aarch64-linux-gnu-gcc -static
    echo "$row"
done
echo "export_accuracy: $passed passed, $failed failed"
[ $failed -eq 0 ]
