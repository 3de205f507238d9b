#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/snippets.sh BIN [--whole]: runs every block of docs/guide that names a language, each page's in their order, in a folder
# with a run, pictures and data; the page that is built against the installed library has a test of its own (install_example.sh).
# Without --whole trainings are short, and tunings quick.
set -u
# shellcheck source=tests/begin_runs.sh
. "$(dirname "$0")/begin_runs.sh"
whole=${2:-}

# A command that a page names is ours; what is typed last counts.
mkdir path
cat >path/shikaku <<END
#!/bin/sh
case \$1 in
train | compare | resume) [ -n "$whole" ] || set -- "\$@" --epochs 2 ;;
profile) [ -n "$whole" ] || set -- "\$@" --steps 2 --repeats 1 ;;
bench) [ -n "$whole" ] || set -- "\$@" --quick --seconds 0.01 --train-samples 70 ;;
tune) [ -n "$whole" ] || set -- "\$@" --quick --batch 8 --size 8 ;;
esac
case \$*:$whole in
*--data*: | resume*: | eval* | predict* | export* | *:--whole) ;;
train* | compare*) set -- "\$@" --train-samples 70 --test-samples 20 ;;
esac
exec "$bin" "\$@"
END
chmod +x path/shikaku
PATH=$dir/path:$PATH PYTHONPATH=$tests/../scripts
export PATH PYTHONPATH XDG_CONFIG_HOME="$dir" XDG_CACHE_HOME="$dir"

mkdir -p with/runs with/pictures/cats with/pictures/dogs with/more
(
    cd "$tests/fuzz/corpus/png" || exit
    cp bits1 bits2 bits4_trns grey grey16 grey_alpha interlaced "$dir/with/pictures/cats"
    cp palette palette1 rgb rgb16 rgb_trns rgba rgba16 "$dir/with/pictures/dogs"
    cp ../jpeg/rgb "$dir/with/photo.jpg"
    cp rgb "$dir/with/more"
)
small='--train-samples 70 --test-samples 20 --epochs 1'
# shellcheck disable=SC2086 # words
{
    "$bin" train --model tinycnn $small --out with/runs/p >out 2>&1
    check 'no run is made' $?
    set_of with/new 32 2 'an image of something'
    cp -r with/runs/p with/runs/old
}

# blocks PAGE: each becomes a file NUMBER.LANGUAGE; prints their names
blocks() {
    awk '/^```[a-z]+$/ { name = sprintf("%02d.%s", ++n, substr($0, 4)); print name; next } /^```/ { name = ""; next } name { print >name }' "$1"
}
python='' node='' yaml=''
run_block() { # run_block NAME: the exit code; 99: what it needs is not there
    case $1 in
    *.sh) sh -eu "$1" ;;
    *.c)
        grep -q 'int main' "$1" || set -- "$1" -fsyntax-only
        gcc -std=c99 -Wall -Wextra -Werror -x c "$@" -o program && { [ $# -gt 1 ] || ./program; }
        ;;
    *.python)
        [ -n "$python" ] || return 99
        cat ./*.python >all.py # a page's blocks are one program
        "$python" all.py
        ;;
    *.yaml)
        [ -n "$yaml" ] || return 99
        "$yaml" -c 'import sys, yaml; assert isinstance(yaml.safe_load(sys.stdin), dict)' <"$1"
        ;;
    *.js)
        [ -n "$node" ] || return 99
        { echo '(async () => {' && cat "$1" && echo '})().catch((e) => { console.error(e); process.exit(1); });'; } >"$1.cjs"
        node "$1.cjs"
        ;;
    *) return 98 ;;
    esac
}
python=$(python_with torch)
yaml=$(python_with yaml)
node -e 'require("onnxruntime-node")' 2>/dev/null && node=yes || lacks 'onnxruntime-node (NODE_PATH says where it is)'

found=0
for page in "$tests"/../docs/guide/*.md; do
    name=$(basename "$page" .md)
    [ "$name" != library ] || continue
    cp -r with "$name" && cd "$name" || exit 1
    [ "$name" != data ] || rm -r runs/p # it begins with this run
    for block in $(blocks "$page"); do
        run_block "$block" >../out 2>../err </dev/null
        status=$?
        found=$((found + 1))
        [ $status -ne 99 ] || continue
        cd .. && check "$name.md: block $block, exit $status" $status
        cd "$name" || exit 1
    done
    cd .. || exit 1
done
[ $found -ge 10 ]
check 'too few blocks were found' $?

echo "snippets: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
