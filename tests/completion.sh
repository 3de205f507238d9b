#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tests/completion.sh BUILD: bash is offered the commands and options that --help lists, no others, and their values.
set -u
build=${1:?usage: completion.sh BUILD}
# shellcheck source=/dev/null
. "$build/completion/shikaku" || exit 1
passed=0 failed=0

offers() { # offers WORD...: what stands in COMPREPLY where the last word is completed
    COMP_WORDS=(shikaku "$@") COMP_CWORD=$# COMPREPLY=()
    _shikaku
}
same() { # same WHAT WANT: COMPREPLY holds these words, in any order
    local got want
    got=$(printf '%s\n' "${COMPREPLY[@]}" | sort) want=$(printf '%s\n' "$2" | tr ' ' '\n' | sort)
    if [ "$got" = "$want" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAIL: %s: < offered, > expected\n' "$1"
        diff <(echo "$got") <(echo "$want")
    fi
}
# The long options of a help: at a line's beginning, behind a short one.
listed() { sed -n 's/^ *\(-[a-zA-Z], \)\{0,1\}--\([a-z0-9-]*\).*/--\2/p' "$1" | sort -u | paste -sd' '; }

help=$(mktemp) && trap 'rm -f "$help"' EXIT
"$build/shikaku" --help >"$help"
commands=$(sed -n '/^Commands/,/^$/s/^  \([a-z-]*\)  *[a-z].*/\1/p' "$help" | paste -sd' ')
[ -n "$commands" ] || { echo 'no commands in --help' && exit 1; }
offers ''
same 'commands' "$commands $(listed "$help")"
for command in $commands; do
    case $command in help | version) continue ;; esac
    "$build/shikaku" "$command" --help >"$help"
    offers "$command" --
    same "options of $command" "$(listed "$help")"
done

"$build/shikaku" data --help >"$help"
commands_of_data=$(sed -n '/^Commands/,$s/^  \([a-z]*\) SPEC.*/\1/p' "$help" | paste -sd' ')
[ -n "$commands_of_data" ] || { echo 'no commands in data --help' && exit 1; }
offers data ''
same 'commands of data' "$commands_of_data $(listed "$help")"
for command in $commands_of_data; do
    "$build/shikaku" data "$command" --help >"$help"
    offers data "$command" --
    same "options of data $command" "$(listed "$help")"
done
"$build/shikaku" bench history --help >"$help"
offers bench history --
same 'options of bench history' "$(listed "$help")"
offers bench hist
same 'bench history' history
offers bench --against ''
same 'runs to compare with' 'best last'
offers help ''
same 'commands that have a help' "$(printf '%s\n' $commands | grep -vx -e help -e version | paste -sd' ')"
offers version ''
same 'what version takes' ''

offers train --model tinyvit
same 'a value' 'tinyvit tinyvit-pre tinyvit-nopos'
offers compare --models = tinyc
same 'a value behind =' 'tinycnn'
offers train --fit =
same 'the words of a setting' 'stretch crop letterbox'
offers train --epochs ''
same 'a number' ''
cd "$(dirname "$0")/machines" || exit 1
offers topo --xml hybrid
same 'a file' 'hybrid-8p8e.xml'
offers eval hybrid
same 'a run' 'hybrid-8p8e.xml'
echo "completion: $passed passed, $failed failed"
[ $failed -eq 0 ]
