#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/export_runs.sh BIN CASE: other programs compute the same logits from what is exported. CASE (tests/export/case.c) makes
# models of every family. What is not installed is skipped, with a line.
set -u
# shellcheck source=tests/begin_runs.sh
. "$(dirname "$0")/begin_runs.sh"
case=${2:?usage: export_runs.sh BIN CASE}
case $case in /*) ;; *) case=$OLDPWD/$case ;; esac

small() { awk -v x="$1" -v most="$2" 'BEGIN { exit !(x != "" && x + 0 <= most + 0) }'; }
onnx=$(python_with onnx)
torch=$(python_with torch)
ort=yes
node -e 'require("onnxruntime-node")' 2>/dev/null || { ort='' && lacks 'onnxruntime-node (NODE_PATH says where it is)'; }

# The compilers of C, and what runs what they make.
native="gcc clang"
clang --version >/dev/null 2>&1 || { native=gcc && lacks clang; }
cross=yes
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    "$tool" --version >/dev/null 2>&1 || { cross='' && lacks "$tool"; }
done

# compile COMPILER FLAG...: c_logits of $name/model.c
compile() {
    "$@" -std=c99 -pedantic -Wall -Wextra -Werror -Wmissing-prototypes -ffp-contract=off -include "$name/model.c" \
        "$tests/export/c_logits.c" -o "$name/c_logits" >out 2>err
    check "$name: $* takes no model.c" $?
}
same() { # same IMAGES COMMAND...: c_logits has logits near ours, and the bits of the first compiler's
    images=$1
    shift
    "$@" "$name/c_logits" "$name" other.f32 "$images" >out 2>err && small "$(cat out)" 1e-5
    check "$name: logits of the C file" $?
    head -c "$(wc -c <"$name/other.f32")" "$name/first.f32" | cmp - "$name/other.f32" >out 2>&1
    check "$name: other bits by another compiler" $?
}
# All compilers for some models, and for all where there is time; gcc -O2 alone for the others.
compilers_of() {
    case $1${SHK_TEST_WHOLE:+whole} in
    tinycnn | post | norms | squeezed | joined | pooled | *whole) echo "$native" ;;
    *) ;;
    esac
}
c_file() {
    compile gcc -O2 && "$name/c_logits" "$name" first.f32 100 >out 2>err
    check "$name: self-test of the C file" $?
    for compiler in $(compilers_of "$name"); do
        compile "$compiler" -O3 && same 100
    done
    if [ -n "$cross" ] && [ "$(compilers_of "$name")" = "$native" ]; then compile aarch64-linux-gnu-gcc -O2 -static && same 4 qemu-aarch64; fi
    nm "$name/c_logits" 2>/dev/null | grep -Eq ' U (expf?|erff?|sqrtf?|fmaf?|malloc)$'
    [ $? -ne 0 ]
    check "$name: model.c calls a library" $?
}

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
    c_file
    if [ -n "$ort" ]; then
        shift
        node "$tests/export/onnx_logits.js" "$name" "$@" >out 2>err && small "$(cat out)" 1e-5
        check "$name: ONNX Runtime's logits" $?
    fi
}
model tinycnn tinycnn 16 16 1 9
model cnn cnn:channels=3-5-7,hidden=0 27 35 3 5
model pre tinyvit-pre 16 16 3 9
model post vit:dim=24,depth=1,heads=3,ff=40 16 16 1 9
model nopos vit:dim=24,depth=1,heads=1,ff=40,pos=none 16 12 1 9
model silu vit:dim=24,depth=1,ff=40,pool=mean,norm=pre,act=silu,dropout=0 20 28 3 4
model mean vit:dim=24,depth=2,heads=2,ff=40,pool=mean,pos=none,act=gelu 16 16 1 3
model maps 'net:conv(12,5,stride=2) gelu conv(16,bias=no) relu max_pool(3,2) sum(conv(16) relu conv(16,1)) silu mean linear(classes)' 21 24 3 5
model norms 'net:conv(8,bias=no) bn relu sum(conv(8,bias=no) bn(eps=0.01) relu conv(8) bn) relu mean linear(12) bn relu linear(classes)' 12 12 3 4
! grep -aq BatchNormalization norms/model.onnx && ! grep -q standardise norms/model.c
check 'norms: the normalisations are not folded' $?
model pools 'net:conv(8) relu max_pool(3,2,pad=1) sum(avg_pool(3,1,1) | relu) avg_pool(2,2) flatten linear(classes)' 17 14 3 4
model groups 'net:conv(12,2,2) conv(12,groups=12) relu conv(24,5,stride=2,bias=no,groups=4) relu mean linear(classes)' 18 14 3 4
model squeezed 'net:conv(12) hardswish se(4) relu sum(se(channels=5,act=silu)) mean linear(classes)' 9 10 3 4
model joined 'net:conv(9,bias=no) 2*(cat(bn relu conv(4,bias=no))) cat(avg_pool(3,1,1) conv(8,1) | relu | conv(5) bn | max_pool(3,1,1)) cat(mean | max_pool(2) flatten linear(7)) relu linear(classes)' 9 10 3 4
model rows 'net:cat(conv(5)) cat(patch_embed(12,2) | max_pool(2) tokens) cls_token encoder(2) cat(ln) cls linear(classes)' 12 8 3 4
model mobilenet mobilenet-tiny:width=4 16 16 3 5
model resnet resnet20:width=4 16 16 3 5
model convmixer convmixer:dim=20,depth=2,patch=4 16 16 3 5
model whitened 'net:bn(eps=0.01) sum(conv(5,stride=2) | avg_pool(2) conv(5,1)) relu flatten bn linear(9) relu linear(classes)' 12 10 3 4
model branches 'net:a=conv(8) b=2*(sum(conv(8) | c=conv(8,1,bias=no)) relu) max_pool(2) flatten dropout(0.5) linear(classes)' 12 12 1 3
model stem 'net:conv(8) relu max_pool(2) sum(tokens | patch_embed(8,1)) cls_token positions encoder(2,20,norm=pre) cls linear(classes)' 12 8 3 4
model grid 'net:conv(8,stride=2) tokens cls_token positions(kind=sincos) sum(positions(sincos)) encoder(2) cls linear(classes)' 12 8 3 4
model pooled 'net:conv(12,stride=2) tokens encoder(2,20,drop_path=0.3,eps=0.01) ln(0.1) sum(linear(12),drop_path=0.5) sum(attention_pool=seq_pool | seq_pool) linear(6) relu linear(classes)' 12 8 3 4
model cct cct:dim=16,pos=sincos 16 12 3 4
model ti vit-tiny:dim=24,depth=2 16 12 3 4

# PyTorch's logits of all models, and its next step of Adam from a checkpoint: a batch is all images, in any order.
if [ -n "$torch" ]; then
    "$torch" "$tests/export/torch_logits.py" tinycnn cnn pre post nopos silu mean maps norms pools groups squeezed joined rows mobilenet resnet convmixer whitened branches stem grid pooled cct ti >out 2>err && small "$(cat out)" 1e-5
    check "PyTorch's logits" $?
    set_of digits 16 9 'some text for pixels'
    for file in digits/train*; do cp "$file" "digits/test-${file#digits/train-}"; done
    for epochs in 3 4; do
        run 0 train --model tinycnn --data digits --batch 60 --epochs $epochs --out steps$epochs
    done
    "$torch" "$tests/export/torch_step.py" digits/train* steps3/last.ckpt steps4/last.ckpt >out 2>err && small "$(cat out)" 0.01
    check "PyTorch's step from a checkpoint" $?
fi

# torchvision's resnet18, by its tensors' names alone.
vision=$(python_with torchvision)
if [ -n "$vision" ]; then
    "$vision" "$tests/export/torchvision_logits.py" . >out 2>err
    check "torchvision's weights" $?
    "$bin" predict resnet18.safetensors resnet18.png --size 64 --json --logits >out 2>err
    check "a prediction with torchvision's weights" $?
    cp out predicted.json
    says 'resnet18:stem=large'
    "$vision" "$tests/export/torchvision_logits.py" . predicted.json >out 2>err && small "$(cat out)" 1e-5
    check "torchvision's logits" $?
fi

run 0 train --model tinycnn --epochs 1 --train-samples 200 --test-samples 50 --out r
# One picture: the weights are read once, and no thread is started but the printer's.
if [ -z "$tsan" ] && strace -o trace true 2>/dev/null; then
    # LeakSanitizer does not work under strace.
    ASAN_OPTIONS=detect_leaks=0 strace -f -o trace -e trace=openat,clone,clone3 "$bin" predict r "$tests/fuzz/corpus/png/rgb" >out 2>err
    [ "$(grep -c 'best.safetensors' trace)" -eq 1 ] && [ "$(grep -Ec ' clone3?\(' trace)" -eq 1 ]
    check 'a prediction of one picture does too much' $?
fi
run 0 export r model.onnx
says 'epoch 1 - weights [0-9a-f]{16}, r/best.safetensors -> model.onnx'
cp model.onnx before
run 2 export r model.onnx
says 'model.onnx is there already: .* --force'
run 0 export r/best.safetensors model.onnx --force
cmp model.onnx before >out
check 'the same model makes another file' $?
run 0 export r 'my model-2.c'
says 'my model-2.c'
grep -q '^int my_model_2_self_test(void);' 'my model-2.c'
check 'the name of what is exported' $?
run 0 export r/best.safetensors model.onnx --force --model tinycnn --size 32
run 2 export r/best.safetensors model.onnx --force --model tinyvit
says 'says that its model is cnn:'
run 2 export r model.tflite
says 'must end in .onnx or .c'
run 2 export r/config.json model2.onnx
run 1 export r nowhere/model.onnx
[ ! -e model2.onnx ] && [ -z "$(find . -name '*.new')" ]
check 'a refused export left a file' $?

echo "export_runs: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
