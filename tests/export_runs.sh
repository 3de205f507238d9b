#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/export_runs.sh BIN CASE: other programs compute the same logits from what is exported. CASE (tests/export/case.c) makes
# models of every family. What is not installed is skipped, with a line.
set -u
# shellcheck source=tests/begin_runs.sh
. "$(dirname "$0")/begin_runs.sh"
case=${2:?usage: export_runs.sh BIN CASE}
case $case in /*) ;; *) case=$OLDPWD/$case ;; esac

lacks() { printf 'skipped: %s\n' "$1"; }
small() { awk -v x="$1" -v most="$2" 'BEGIN { exit !(x != "" && x + 0 <= most + 0) }'; }
python_with() { # python_with MODULE: a python3 that has it
    for python in python3 /usr/bin/python3; do
        "$python" -c "import $1" 2>/dev/null && echo "$python" && return
    done
    lacks "python3-$1" >&2
}
onnx=$(python_with onnx)
ort=yes
node -e 'require("onnxruntime-node")' 2>/dev/null || { ort='' && lacks 'onnxruntime-node (NODE_PATH says where it is)'; }

model() { # model NAME DESCRIPTION HEIGHT WIDTH CHANNELS CLASSES
    name=$1
    shift
    mkdir -p "$name"
    "$case" "$@" "$name" >out 2>err
    check "$name: no model is made" $?
    if [ -n "$onnx" ]; then
        "$onnx" "$tests/export/check_onnx.py" "$name/model.onnx" >out 2>err
        check "$name: ONNX" $?
    fi
    if [ -n "$ort" ]; then
        shift
        node "$tests/export/onnx_logits.js" "$name" "$@" >out 2>err && small "$(cat out)" 1e-5
        check "$name: ONNX Runtime's logits" $?
    fi
}
model tinycnn tinycnn 32 32 1 9
model cnn cnn:channels=3-5-7,hidden=0 27 35 3 5
model tinyvit tinyvit 32 32 1 9
model pre tinyvit-pre 32 32 3 9
model nopos tinyvit-nopos 32 32 1 9
model silu vit:pool=mean,norm=pre,act=silu,dropout=0 20 28 3 4
model mean vit:pool=mean,pos=none,act=gelu,heads=2,depth=3,dim=48 32 32 1 3

run 0 train --model tinycnn --epochs 1 --train-samples 200 --test-samples 50 --out r
run 0 export r model.onnx
says 'epoch 1 - weights [0-9a-f]{16}, r/best.safetensors -> model.onnx'
cp model.onnx before
run 2 export r model.onnx
says 'model.onnx is there already: .* --force'
run 0 export r/best.safetensors model.onnx --force
cmp model.onnx before >out
check 'the same model makes another file' $?
run 2 export r model.tflite
says 'must end in .onnx'
run 2 export r/config.json model2.onnx
run 1 export r nowhere/model.onnx
[ ! -e model2.onnx ] && [ -z "$(find . -name '*.new')" ]
check 'a refused export left a file' $?

echo "export_runs: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
