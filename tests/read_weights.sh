#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/read_weights.sh BIN: an independent reader of safetensors finds PyTorch's names and shapes in a run's files, and
# refuses files that are damaged. Skipped where there is no python3.
set -u
bin=${1:?usage: read_weights.sh BIN}
here=$(dirname "$0")
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
if ! python3 -c 'import json, struct' 2>/dev/null; then
    echo 'skipped: python3 is not there'
    exit 0
fi
failed=0
fail() {
    failed=$((failed + 1))
    printf 'FAIL: %s\n' "$1"
}
dump() { python3 "$here/read_safetensors.py" --dump "$1"; }

# state_dict() of the two modules in scripts/pytorch_models.py
cat >"$dir/tinycnn" <<END
conv1.weight F32 16x1x3x3
conv1.bias F32 16
conv2.weight F32 32x16x3x3
conv2.bias F32 32
fc1.weight F32 128x2048
fc1.bias F32 128
fc2.weight F32 9x128
fc2.bias F32 9
END
layer() { # layer NUMBER
    sed "s/^/encoder.layers.$1./" <<END
self_attn.in_proj_weight F32 192x64
self_attn.in_proj_bias F32 192
self_attn.out_proj.weight F32 64x64
self_attn.out_proj.bias F32 64
linear1.weight F32 256x64
linear1.bias F32 256
linear2.weight F32 64x256
linear2.bias F32 64
norm1.weight F32 64
norm1.bias F32 64
norm2.weight F32 64
norm2.bias F32 64
END
}
{
    printf 'cls_token F32 1x1x64\npos_embed F32 1x65x64\npatch_embed.weight F32 64x1x4x4\npatch_embed.bias F32 64\n'
    layer 0 && layer 1
    printf 'norm.weight F32 64\nnorm.bias F32 64\nhead.weight F32 9x64\nhead.bias F32 9\n'
} >"$dir/tinyvit-pre"

for model in tinycnn tinyvit-pre; do
    run=$dir/run-$model
    "$bin" train --model $model --train-samples 200 --test-samples 50 --epochs 1 --out "$run" >"$dir/log" 2>&1 ||
        fail "train: $(cat "$dir/log")"
    sort "$dir/$model" >"$dir/want"
    dump "$run/best.safetensors" | sort >"$dir/got"
    diff "$dir/want" "$dir/got" || fail "$model: best.safetensors holds other tensors than PyTorch"
    for prefix in optimizer.exp_avg. optimizer.exp_avg_sq.; do sed "s/^/$prefix/" "$dir/$model"; done |
        sort - "$dir/$model" >"$dir/want"
    dump "$run/last.ckpt" | sort >"$dir/got"
    diff "$dir/want" "$dir/got" || fail "$model: last.ckpt holds other tensors"
done

# The reader itself: a file cut, longer, with a hole, with a name twice, or no file.
whole=$dir/run-tinycnn/best.safetensors
size=$(wc -c <"$whole")
bad() { # bad WHAT: $dir/bad is refused in one line
    python3 "$here/read_safetensors.py" "$dir/bad" >"$dir/out" 2>"$dir/err"
    if [ $? -ne 1 ] || [ -s "$dir/out" ] || [ "$(wc -l <"$dir/err")" -ne 1 ]; then fail "the reader takes a file $1"; fi
}
bad 'that is not there'
for bytes in 0 7 8 100 $((size - 1)); do
    head -c "$bytes" "$whole" >"$dir/bad"
    bad "of the first $bytes bytes"
done
{ cat "$whole" && printf x; } >"$dir/bad"
bad 'with a byte more'
changed() { # changed FROM TO WHAT: the header says something else
    LC_ALL=C sed "s/$1/$2/" "$whole" >"$dir/bad"
    cmp -s "$whole" "$dir/bad" && fail "the header does not say $1"
    bad "$3"
}
changed '\[16\],"data_offsets":\[576,' '[15],"data_offsets":[580,' 'with a hole'
changed '\[16\],"data_offsets":\[576,' '[17],"data_offsets":[572,' 'with an overlap'
changed '"conv2.bias":' '"conv1.bias":' 'with a name twice'
changed '"shape":\[16\]' '"shape":[-6]' 'with a negative size'
changed '"F32"' '"F99"' 'with an unknown dtype'

if [ $failed -eq 0 ]; then echo 'names and shapes are those of PyTorch'; fi
[ $failed -eq 0 ]
