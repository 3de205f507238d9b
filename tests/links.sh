#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/links.sh: every relative link of the pages leads to a file, and every #fragment to a heading of it.
set -eu
cd "$(dirname "$0")/.."
dead=0
anchors() { # of a page's headings, as GitHub makes them
    sed -n 's/^#\{1,6\} //p' "$1" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9_\n-'
}
for page in *.md $(find docs -name '*.md'); do
    for link in $(grep -o '](\([^)]*\))' "$page" | sed 's/^](//; s/)$//' | grep -v '^[a-z]*:'); do
        path=${link%%#*} fragment=
        case $link in *'#'*) fragment=${link#*#} ;; esac
        target=$page
        [ -z "$path" ] || target=$(dirname "$page")/$path
        if [ -e "$target" ] && { [ -z "$fragment" ] || anchors "$target" | grep -qx -e "$fragment"; }; then continue; fi
        echo "$page: $link leads nowhere"
        dead=$((dead + 1))
    done
done
[ "$dead" -eq 0 ]
