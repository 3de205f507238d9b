#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/decimal_comma.sh BUILD: makes a locale with a decimal comma, as Germany's, and runs BUILD's tests of numbers in it.
set -eu
build=${1:?usage: decimal_comma.sh BUILD}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/charmap" <<'TEXT'
<code_set_name> ASCII
<comment_char> %
<escape_char> /
CHARMAP
<U0000>..<U007F> /x00
END CHARMAP
TEXT
cat >"$dir/source" <<'TEXT'
LC_NUMERIC
decimal_point "<U002C>"
thousands_sep "<U002E>"
grouping 3;3
END LC_NUMERIC
TEXT
# -c: what else makes a locale is not defined, of which localedef warns.
localedef -c -f "$dir/charmap" -i "$dir/source" "$dir/comma" 2>"$dir/warnings" || [ -e "$dir/comma/LC_NUMERIC" ]
LOCPATH=$dir LC_ALL=comma "$build/tests/test_numbers" --comma
