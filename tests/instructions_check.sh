#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/instructions_check.sh: scripts/instructions sums up what callgrind writes, and says what has more than is stored. Program,
# valgrind and counts are made up; tests/instructions_power.sh has real ones.
set -u
cd "$(dirname "$0")/.." || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
mkdir "$dir/scripts" "$dir/bench" "$dir/path"
cp scripts/instructions "$dir/scripts"
stored=$dir/bench/instructions.json

program() { # program NAME <TEXT
    { echo '#!/bin/sh' && cat; } >"$dir/$1"
    chmod +x "$dir/$1"
}
build() { # build COMPILER FLAGS: what the program says of itself
    program shikaku <<END
echo '{"context": {"compiler": "$1", "flags": "$2"}}'
END
}
# counts GEMM ADD: of a function and its helper, which calls a library, and of another kernel.
counts() {
    cat >"$dir/counts" <<END
events: Ir

ob=(1) PROGRAM
fl=(1) simd/gemm.c
fn=(1) shk_gemm_avx2
10 $(($1 - 4000))
fi=(2) simd/vec16_avx2.h
+3 1000
cfn=(2) tile
calls=7 11
* 3700

fl=(1)
fn=(2)
11 3000
cob=(2) /lib/libc.so.6
cfi=(3) memset.S
cfn=(3) memset
calls=1 2 
-1 700

ob=(2)
fl=(3)
fn=(3)
+1 700

ob=(1)
fl=(4) src/train/step.c
fn=(4) shk_train_step
5 500
cfi=(1)
cfn=(1)
calls=1 10
+1 $(($1 + 700))
cfi=(5) simd/add.c
cfn=(5) shk_add_avx2
calls=1 10
+1 $2

fl=(5)
fn=(5)
7 $2
END
}
program path/valgrind <<END
for argument; do
    case \$argument in
    --callgrind-out-file=*) file=\${argument#*=} ;;
    */shikaku) program=\$argument ;;
    esac
done
sed "s|PROGRAM|\$program|" "$dir/counts" >"\$file"
END
program path/strip <<'END'
cp "$4" "$3"
END

count() { # count WHAT STATUS: 0 is a pass
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL: $1"
        sed 's/^/    /' "$dir/out"
    fi
}
instructions() { # instructions CODE ARGUMENT...
    want=$1
    shift
    PATH=$dir/path:/usr/bin:/bin "$dir/scripts/instructions" "$@" "$dir/shikaku" >"$dir/out" 2>&1
    got=$?
    [ $got -eq "$want" ] && ! grep -q Traceback "$dir/out"
    count "exit code $got, not $want: instructions $*" $?
}
says() { # says PATTERN
    grep -Eq -e "$1" "$dir/out"
    count "does not say: $1" $?
}

build 'gcc 12.2.0' '-O3 -g1'
counts 10000 2000
instructions 0
says '^whole step +12500  100.0%$'
says '^gemm +10000   80.0%$'
says '^add +2000   16.0%$'
says '^elsewhere +500    4.0%$'
instructions 0 --check
says '^no counts are stored for gcc 12.2, but for no compiler: nothing to check$'
[ ! -e "$stored" ]
count 'a check stores' $?

instructions 0 --store
cp "$stored" "$dir/good"
instructions 0 --check
says '^gemm +10000   80.0% +10000   \+0.00%$'
says '^instructions: 0 have over 1 % more than is stored, 0 over 1 % less$'
counts 10000 2019
instructions 0 --check
counts 10000 2021
instructions 3 --check
says '^MORE: tinycnn, 32 samples: add$'
says '^instructions: 3 have over 1 % more than is stored, 0 over 1 % less$' # of each model
counts 10124 1999
instructions 3 --check
says '^MORE: tinyvit, 8 samples: gemm$'
counts 9800 1999
instructions 0 --check
says '^less: tinyvit-pre, 8 samples: gemm: --store keeps it$'
says '^instructions: 0 have over 1 % more than is stored, 6 over 1 % less$'
# A kernel that is new, though the sum stays, and one that is gone.
counts 10000 2000
sed -i 's/shk_add_avx2/shk_pack_avx2/' "$dir/counts"
instructions 3 --check
says '^MORE: tinycnn, 32 samples: pack$'
says '^less: tinycnn, 32 samples: add: '
says '^add +0    0.0% +2000 -100.00%$'
counts 10000 2000

# Another compiler, other flags.
build 'clang 14.0.6 ' '-O3 -g1'
instructions 0 --check
says '^no counts are stored for clang 14.0, but for gcc 12.2: nothing to check$'
instructions 0 --store
instructions 0 --check
[ "$(grep -Ec '"(gcc 12.2|clang 14.0)": \{' "$stored")" -eq 2 ]
count 'one compiler is stored over the other' $?
build 'gcc 12.2.0' '-O2'
instructions 2 --check
says "the counts of gcc 12.2 are of '-O3 -g1', the program of '-O2': build it so, or --store new ones"
build 'gcc 12.2.0' '-O3 -g1'

# Lies in the stored file: one line, and it stays as it is.
while IFS= read -r text; do
    printf '%s\n' "$text" >"$stored"
    instructions 2 --store
    [ "$(wc -l <"$dir/out")" -eq 1 ] && [ "$(cat "$stored")" = "$text" ]
    count "more than one line, or another file: $text" $?
    says '^instructions: .*/bench/instructions.json (cannot be read|does not hold what --store writes)'
done <<'END'

{
[]
{"gcc 12.2": 3}
{"gcc 12.2": {"flags": 3, "counts": {}}}
{"gcc 12.2": {"flags": "", "counts": {"tinycnn": 3}}}
{"gcc 12.2": {"flags": "", "counts": {"tinycnn": {"whole step": "3"}}}}
{"gcc 12.2": {"flags": "", "counts": {"tinycnn": {"whole step": -3}}}}
{"gcc 12.2": {"flags": "", "counts": {"tinycnn": {"whole step": true}}}}
END
sed 's/tinyvit, 8 samples/tinyvit, 9 samples/' "$dir/good" >"$stored"
instructions 2 --check
says 'the counts of gcc 12.2 in .*/bench/instructions.json are of other steps: --store new ones$'
cp "$dir/good" "$stored"

# What is needed and missing.
instructions 2 --check --store
instructions 2 --nonsense
sed -i 's/^\([-+]*[0-9][0-9]*\) [0-9]*$/\1 0/' "$dir/counts"
instructions 2 --check
says 'callgrind has seen no step of tinycnn: does the program have its symbols\?$'
program path/valgrind <<'END'
echo 'it is broken' >&2
exit 1
END
instructions 2 --check
says "^instructions: 'valgrind .*' ends with exit code 1: it is broken$"
[ "$(wc -l <"$dir/out")" -eq 1 ]
count 'it is said more than once' $?
program shikaku </dev/null
instructions 2 --check
says '/shikaku does not say how it was built$'
rm "$dir/shikaku"
instructions 2 --check
says '/shikaku does not start: No such file or directory$'

echo "instructions_check: $passed passed, $failed failed"
[ $failed -eq 0 ]
