#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/deps.sh: scripts/deps.sh asks only for what a target needs, installs as root alone, and goes on without what is
# useful only. What is missing, who is asking and what apt would do are made up by small programs in front of PATH.
set -u
cd "$(dirname "$0")/.." || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0

program() { # program NAME <TEXT
    { echo '#!/bin/sh' && cat; } >"$dir/$1"
    chmod +x "$dir/$1"
}
# A compiler that does not find the headers in $lacks; the preprocessor alone is asked.
for compiler in gcc g++; do
    program $compiler <<'END'
text=$(cat)
for header in $lacks; do
    case $text in *"<$header>"*) exit 1 ;; esac
done
END
done
program id <<'END'
[ "$1" = -u ] && echo "$uid" || echo users
END
program sudo <<'END'
exit 1
END
program apt-get <<'END'
echo "$*" >>"$called"
END
program dpkg-query <<'END'
echo 'install ok installed'
END
for tool in make pkg-config clang clang-format valgrind; do program $tool </dev/null; done
lacks='' uid=1000 called=$dir/called
export lacks uid called
unset CC CXX

deps() { # deps CODE OPTION...: runs it and checks the exit code
    want=$1
    shift
    : >"$called"
    PATH=$dir:$PATH scripts/deps.sh "$@" >"$dir/out" 2>&1 </dev/null
    got=$?
    if [ $got -eq "$want" ]; then passed=$((passed + 1)); else fail "deps.sh $* without '$lacks': exit code $got, not $want"; fi
}
fail() {
    failed=$((failed + 1))
    echo "FAIL: $1"
    sed 's/^/    /' "$dir/out"
}
says() { # says PATTERN
    if grep -Eq -e "$1" "$dir/out"; then passed=$((passed + 1)); else fail "does not say: $1"; fi
}
installs() { # installs PATTERN: apt is told so; an empty one: apt is not called
    if if [ -n "$1" ]; then grep -Eq -e "$1" "$called"; else [ ! -s "$called" ]; fi; then
        passed=$((passed + 1))
    else
        fail "apt is not told '$1', but: $(cat "$called")"
    fi
}

# Google Benchmark is for make bench alone.
lacks=benchmark/benchmark.h
deps 0
installs ''
deps 1 --bench
says '^    apt-get update .* install .* libbenchmark-dev$'
says 'cannot go on without libbenchmark-dev$'
installs ''

# cmocka is for the tests: said, but no reason to stop.
lacks='benchmark/benchmark.h cmocka.h'
deps 0
says '^    apt-get update .* install .* libcmocka-dev$'
says 'enough for make and make demo; make test also needs libcmocka-dev$'

# One command names everything that is missing.
lacks='jansson.h cmocka.h hwloc.h'
deps 1
says '^    apt-get update .* install .* libhwloc-dev libjansson-dev libcmocka-dev$'
says 'cannot go on without libhwloc-dev libjansson-dev$'
installs ''

# Pictures and arrays: libjpeg-dev is called so on Debian and Ubuntu alike.
lacks='jpeglib.h png.h minizip/unzip.h zlib.h'
deps 1
says '^    apt-get update .* install .* libjpeg-dev libpng-dev libminizip-dev zlib1g-dev$'
says 'cannot go on without libjpeg-dev libpng-dev libminizip-dev zlib1g-dev$'
installs ''

# Root installs, whatever this apt makes of it.
lacks='jansson.h cmocka.h hwloc.h' uid=0
deps 1
installs 'install .* libhwloc-dev libjansson-dev libcmocka-dev$'
lacks='cmocka.h benchmark/benchmark.h'
deps 0
installs 'install .* libcmocka-dev$'
deps 1 --checks
installs 'install .* libcmocka-dev libbenchmark-dev$'

# What is there from elsewhere is there.
uid=1000 lacks=
program dpkg-query <<'END'
exit 1
END
deps 0
if [ ! -s "$dir/out" ]; then passed=$((passed + 1)); else fail 'it says something'; fi
deps 2 --nonsense

echo "deps: $passed passed, $failed failed"
[ $failed -eq 0 ]
