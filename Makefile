# SPDX-License-Identifier: MIT
# make [-jN] [VARIABLE=value...] [TARGET...]
#   CC=clang CXX=clang++           the compilers; CXX follows CC, and so does the folder: build/clang. CC="ccache gcc" works too
#   CPPFLAGS CFLAGS CXXFLAGS       as anywhere; what the bits depend on comes behind them, and -ffast-math is refused
#   LDFLAGS LDLIBS                 as anywhere
#   V=1                            shows whole commands
#   WERROR=1                       makes warnings errors
#   BUILD=dir                      another folder for what is built
#   PREFIX=/usr/local DESTDIR=dir  where `make install` puts it: the second is for packagers. The GNU names are taken, too:
#                                  prefix exec_prefix bindir libdir includedir datarootdir datadir mandir man1dir docdir pkgconfigdir
#   EXTRA=flags                    more flags for every compilation and link; EXTRA_BUT_KERNELS: not for the kernels

CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
# The compiler's name: the first word of CC that is none of those that stand before one.
COMPILER := $(notdir $(firstword $(filter-out ccache %/ccache distcc %/distcc,$(CC))))
# A static library with OpenMP inside must be linked by the same family of compilers: clang -> clang++, gcc -> g++.
ifeq ($(origin CXX),default)
CXX := $(patsubst %$(COMPILER),%$(subst gcc,g++,$(subst clang,clang++,$(patsubst cc,c++,$(COMPILER)))),$(CC))
endif
BUILD ?= build/$(COMPILER)
# Lines and functions are enough for a backtrace; what -g adds doubles the time that gcc takes for gemm.c.
CFLAGS ?= -O3 -g1
CXXFLAGS ?= -O2 -g1
STRIP ?= $(shell $(CC) -print-prog-name=strip)
EXTRA ?=
EXTRA_BUT_KERNELS ?=

MACHINE := $(shell $(CC) -dumpmachine)
ARCH := $(firstword $(subst -, ,$(MACHINE)))
ifeq ($(ARCH),x86_64)
ISAS := c avx2 avx512
else ifeq ($(ARCH),aarch64)
ISAS := c neon
else
ISAS := c
endif
# gcc 12 for AArch64 at -O3 otherwise moves a scalar load above the 64-byte block store of the same lanes.
ISA_FLAGS_c := -DSHK_ISA_C -fno-strict-aliasing
ISA_FLAGS_avx2 := -DSHK_ISA_AVX2 -mavx2 -mfma -mbmi -mbmi2
ISA_FLAGS_avx512 := -DSHK_ISA_AVX512 -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mbmi -mbmi2
ISA_FLAGS_neon := -DSHK_ISA_NEON -fno-strict-aliasing

# Headers of libraries (xxHash, Random123, cmocka) come through one folder of links, so that a cross compiler sees them and nothing else of the host.
DEPS_INCLUDE := $(BUILD)/deps
WARN_ANY := -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror)
WARN := $(WARN_ANY) -Wvla -Wstrict-prototypes -Wmissing-prototypes
CPPFLAGS_ALL := -Iinclude -Isrc -Isimd -isystem $(DEPS_INCLUDE) -D_GNU_SOURCE \
    $(foreach i,$(ISAS),-DSHK_HAVE_$(i)) $(CPPFLAGS)
# What the bits depend on comes after CFLAGS.
CFLAGS_ALL := -std=c11 $(CFLAGS) -ffp-contract=off -fno-math-errno -fopenmp $(WARN) $(EXTRA)
CXXFLAGS_ALL := -std=c++17 $(CXXFLAGS) -fopenmp $(WARN_ANY) $(EXTRA)
CORE_LIBS := -lm $(LDLIBS)
LIBS := -lhwloc -ljansson -lpng -ljpeg -lminizip -lz $(CORE_LIBS)

# $(call say,CC,FILE) begins a recipe's line: the line is shown as `CC FILE`, as it is with V=1, and not at all with -s.
ifneq ($(V),1)
say = @$(if $(findstring s,$(firstword -$(MAKEFLAGS))),,echo '$1 $2';)
endif

# $(call files,FOLDER...,PATTERN...): what the folders hold at any depth.
files = $(foreach f,$(sort $(wildcard $(1:%=%/*))),$(call files,$f,$2) $(filter $2,$f))

# $(call first,PATTERN...,NAME...): the names that match come first. What takes longest must begin first, or the rest waits for it.
first = $(filter $1,$2) $(filter-out $1,$2)

# Every folder of src is the core's, the library's or the command line's; of src/data the core has what makes its data set, and nothing that reads files.
KERNEL_SRC := $(filter-out simd/dispatch.c,$(call files,simd,%.c))
CORE_SRC := simd/dispatch.c $(filter-out src/base/json.c src/train/data.c src/train/pictures.c,$(call files,src/base src/settings src/nn src/train,%.c)) $(wildcard src/data/squares.c src/data/dataset.c)
CLI_SRC := $(call files,src/cli src/report,%.c)
LIB_SRC := $(CORE_SRC) $(filter-out $(CORE_SRC) $(CLI_SRC),$(call files,src,%.c))
KERNEL_OBJ := $(foreach i,$(ISAS),$(KERNEL_SRC:%.c=$(BUILD)/%.$(i).o))
CORE_OBJ := $(KERNEL_OBJ) $(CORE_SRC:%.c=$(BUILD)/%.o)
LIB_OBJ := $(KERNEL_OBJ) $(LIB_SRC:%.c=$(BUILD)/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$(BUILD)/%.o)
REPORT_OBJ := $(filter $(BUILD)/src/report/%,$(CLI_OBJ))
LIB := $(BUILD)/libshikaku.a
BIN := $(BUILD)/shikaku
MAN := $(BUILD)/shikaku.1
COMPLETION := $(BUILD)/completion/shikaku

all: $(LIB) $(BIN) $(MAN) $(COMPLETION) ## the library, the command, its man page and bash completion

help: ## lists the targets
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile
	@echo && sed -n 's/^\([a-z][-a-z]*\):[^#]*## /\1:/p' Makefile | awk -F: '{ printf "  %-19s%s\n", $$1, substr($$0, length($$1) + 2) }'

# Compilers and flags of the last build; every object depends on them. Not $(file <...), which now and then reads something else in make 4.3.
FLAGS_FILE := $(BUILD)/flags
FLAGS := $(CC) $(shell $(CC) --version | head -n 1) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(EXTRA_BUT_KERNELS) $(CXX) $(CXXFLAGS_ALL) $(LDFLAGS) $(LIBS)
ifneq ($(filter-out clean format check-format help,$(or $(MAKECMDGOALS),all)),)
ifneq ($(strip $(shell cat $(FLAGS_FILE) 2>/dev/null)),$(strip $(FLAGS)))
$(shell mkdir -p $(BUILD))
$(file >$(FLAGS_FILE),$(FLAGS))
endif
endif
$(FLAGS_FILE): ;

# The commit of the last build; only what says it depends on it.
COMMIT_FILE := $(BUILD)/commit
ifneq ($(filter-out clean format check-format help,$(or $(MAKECMDGOALS),all)),)
COMMIT := $(shell [ -e .git ] && git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null)
ifneq ($(shell cat $(COMMIT_FILE) 2>/dev/null),commit $(COMMIT))
$(shell mkdir -p $(BUILD))
$(file >$(COMMIT_FILE),commit $(COMMIT))
endif
endif
$(COMMIT_FILE): ;
$(BUILD)/src/base/build.o: $(COMMIT_FILE)
$(BUILD)/src/base/build.o: CPPFLAGS_ALL += -DSHK_COMMIT='"$(COMMIT)"' -DSHK_FLAGS='"$(strip $(subst ",,$(filter-out $(WARN),$(CFLAGS_ALL))))"'

$(DEPS_INCLUDE)/.made:
	@mkdir -p $(DEPS_INCLUDE)
	@for name in xxhash.h Random123 cmocka.h; do ln -sfn /usr/include/$$name $(DEPS_INCLUDE)/$$name; done
	@touch $@

# Kernels are as fast with a distribution's flags as with ours: with -O3 in place of -O2, and without a stack protector.
define kernel_rule
$(BUILD)/%.$(1).o: %.c $(DEPS_INCLUDE)/.made $(FLAGS_FILE)
	@mkdir -p $$(@D)
	$$(call say,CC,$$< ($(1)))$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL:-O2=-O3) $(ISA_FLAGS_$(1)) -fno-stack-protector -MMD -MP -c $$< -o $$@
endef
$(foreach i,$(ISAS),$(eval $(call kernel_rule,$(i))))

$(BUILD)/%.o: %.c $(DEPS_INCLUDE)/.made $(FLAGS_FILE)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(EXTRA_BUT_KERNELS) -MMD -MP -c $< -o $@

LINK = $(call say,LD,$@)$(CC) $(CFLAGS_ALL) $(EXTRA_BUT_KERNELS) $(LDFLAGS)

$(LIB): $(call first,$(BUILD)/simd/gemm.%,$(LIB_OBJ))
	@rm -f $@
	$(call say,AR,$@)$(AR) rcs $@ $(LIB_OBJ)

$(BIN): $(CLI_OBJ) $(LIB)
	$(LINK) $^ $(LIBS) -o $@

# The options of the man page and of bash completion are those of the table of settings.
$(BUILD)/man/%: $(BUILD)/man/%.o $(LIB)
	$(LINK) $^ $(CORE_LIBS) -o $@
$(MAN): man/shikaku.1.in $(BUILD)/man/page
	$(call say,MAN,$@)$(BUILD)/man/page <$< >$@.new && mv $@.new $@
$(COMPLETION): man/shikaku.bash.in $(BUILD)/man/completion
	@mkdir -p $(@D)
	$(call say,BASH,$@)$(BUILD)/man/completion <$< >$@.new && mv $@.new $@

demo: all ## trains the two models that the README shows
	$(BIN) compare

FASHION := /usr/share/datasets/fashion-mnist
demo-fashion: all ## trains the two models on 60,000 real images: Debian's package dataset-fashion-mnist
	@[ -e $(FASHION) ] || { echo 'apt-get install dataset-fashion-mnist brings the images: $(FASHION)' >&2 && exit 2; }
	$(BIN) compare --data $(FASHION)

# Tests: every tests/test_*.c is one cmocka program; the other tests/*.c are shared by them. TESTS=... runs fewer.
TEST_SRC := $(wildcard tests/test_*.c)
TEST_BIN := $(TEST_SRC:%.c=$(BUILD)/%)
TEST_SHARED := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(TEST_SRC),$(wildcard tests/*.c)))
ifdef CORE_ONLY # cross-compiled: what src/machine needs is missing then
$(BUILD)/tests/test_%: $(BUILD)/tests/test_%.o $(TEST_SHARED) $(CORE_OBJ)
	$(LINK) $^ -lcmocka $(CORE_LIBS) -o $@
else
$(BUILD)/tests/test_%: $(BUILD)/tests/test_%.o $(TEST_SHARED) $(REPORT_OBJ) $(LIB)
	$(LINK) $^ -lcmocka $(LIBS) -o $@
endif
# Makes a program's calls fail (LD_PRELOAD).
FAULTS := $(BUILD)/tests/faults.so
$(FAULTS): tests/faults/faults.c $(FLAGS_FILE)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) -std=c11 -O2 -g1 -D_GNU_SOURCE $(WARN) -fPIC -shared $< -lgcc_s -o $@
.PRECIOUS: $(BUILD)/%.o $(BUILD)/bench/%.o

# Makes a model and writes it in every form, for tests/export_runs.sh.
EXPORT_CASE := $(BUILD)/tests/export/case
$(EXPORT_CASE): $(BUILD)/tests/export/case.o $(LIB)
	$(LINK) $^ $(LIBS) -o $@

# Fuzzing: every tests/fuzz/fuzz_*.c is one libFuzzer target with a corpus; `make test` gives it the corpus alone. What
# `make fuzz` finds is in build/fuzz; to keep it: build/fuzz/tests/fuzz/fuzz_NAME -merge=1 tests/fuzz/corpus/NAME build/fuzz/corpus/NAME
FUZZ := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SECONDS ?= 60
FUZZ_SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
$(BUILD)/tests/fuzz/replay_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(REPORT_OBJ) $(LIB)
	$(LINK) $^ $(LIBS) -o $@
$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(REPORT_OBJ) $(LIB)
	$(call say,LD,$@)$(CC) $(CFLAGS_ALL) -fsanitize=fuzzer $(FUZZ_SANITIZE) $(LDFLAGS) $^ $(LIBS) -o $@
# The kernels take minutes to compile with sanitizers, and are left out.
fuzz: ## libFuzzer on everything that reads a file, FUZZ_SECONDS=60 each
	$(MAKE) CC=clang BUILD=build/fuzz CFLAGS='-O1 -g1' EXTRA_BUT_KERNELS='-fsanitize=fuzzer-no-link $(FUZZ_SANITIZE)' \
	    $(FUZZ:%=build/fuzz/tests/fuzz/fuzz_%)
	set -e; for name in $(FUZZ); do mkdir -p build/fuzz/corpus/$$name; \
	    LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0 build/fuzz/tests/fuzz/fuzz_$$name -max_total_time=$(FUZZ_SECONDS) \
	    -artifact_prefix=build/fuzz/$$name- -print_final_stats=1 build/fuzz/corpus/$$name tests/fuzz/corpus/$$name; done
REPLAY_BIN := $(FUZZ:%=$(BUILD)/tests/fuzz/replay_%)
REPLAYS := $(foreach name,$(FUZZ),"$(BUILD)/tests/fuzz/replay_$(name) tests/fuzz/corpus/$(name)")

# Unit tests are the programs, without those that train dozens of times; the slowest come first.
SLOW_TESTS := layers graph files
TRAINING_TESTS := clip parity
TRAINING_BIN := $(filter $(TRAINING_TESTS:%=$(BUILD)/tests/test_%),$(TEST_BIN))
UNIT_BIN := $(call first,$(SLOW_TESTS:%=$(BUILD)/tests/test_%),$(filter-out $(TRAINING_BIN),$(TEST_BIN)))
check: $(UNIT_BIN) ## the unit tests alone
	@tests/run.sh $(UNIT_BIN)

# Runs that are interrupted, killed or short of something; RUNS= leaves them out.
RUNS ?= "tests/run_folders.sh $(BIN)" \
    "tests/array_runs.sh $(BIN)" \
    "tests/cache_runs.sh $(BIN)" \
    "tests/data_runs.sh $(BIN)" \
    "tests/export_runs.sh $(BIN) $(EXPORT_CASE)" \
    "tests/folder_attacks.sh $(BIN)" \
    "tests/output_runs.sh $(BIN)" \
    "tests/kill_runs.sh $(BIN) $(if $(SHK_TEST_WHOLE),20,8)" \
    "tests/memory_runs.sh $(BIN)" \
    "tests/fine_tuning.sh $(BIN)" \
    "tests/snippets.sh $(BIN)" \
    "tests/bench_runs.sh $(BIN)" \
    "tests/bench_history.sh $(BIN)"
# What `make asan` runs, too.
USAGE ?= "tests/cli_usage.sh $(BIN)"
# What no compiler changes, and what needs all CPUs.
ONCE ?= tests/hardened.sh tests/deps.sh tests/instructions_check.sh
ALONE ?= "tests/machine_runs.sh $(BIN)"
# Whole trainings; their bits with clang are those of make check-bits, too.
TRAINING ?= $(TRAINING_BIN)
TESTS ?= $(RUNS) $(USAGE) $(TRAINING) $(UNIT_BIN) $(REPLAYS) "tests/symbols.sh $(BUILD)" \
    "tests/install_example.sh $(BUILD)" "tests/completion.sh $(BUILD)" "tests/decimal_comma.sh $(BUILD)" $(ONCE) -- $(ALONE)
test: all $(TEST_BIN) $(REPLAY_BIN) $(EXPORT_CASE) ## all tests; TESTS='command...' runs others; the last line counts them
	@CC='$(CC)' tests/run.sh $(TESTS)
test-faults: all $(FAULTS) ## trainings in which one call fails, each of many in turn
	@tests/run.sh -- "tests/fault_runs.sh $(BIN) $(FAULTS) --quick" "tests/cache_faults.sh $(BIN) $(FAULTS) --quick"

# The tests themselves go through the instruction sets; here: compilers x sanitizers, a build folder each. With more than -O0, gcc
# forgets what no line uses any more where the process ends, and that counts as a leak; with -O0 it keeps others' assertions.
SANITIZE := -O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
check-all: export WERROR := 1
check-all: export SHK_TEST_WHOLE := 1
check-all: ## the tests with gcc and clang, plain, with Debian's flags and under sanitizers
	$(MAKE) test test-faults CC=gcc BUILD=build/check/gcc
	$(MAKE) all CC=gcc && tests/hardened.sh --build
	tests/snippets.sh build/gcc/shikaku --whole
	$(MAKE) test test-faults CC=clang BUILD=build/check/clang
	LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0 $(MAKE) test test-faults CC=gcc BUILD=build/check/gcc-asan EXTRA='$(SANITIZE)' EXTRA_BUT_KERNELS='-O0 -DNDEBUG'
	LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0 $(MAKE) test test-faults CC=clang BUILD=build/check/clang-asan EXTRA='$(SANITIZE)'
	$(MAKE) tsan
	OMP_TOOL_LIBRARIES=libarcher.so TSAN_OPTIONS='ignore_noninstrumented_modules=1 halt_on_error=1' \
	    $(MAKE) test CC=clang BUILD=build/check/tsan EXTRA='-O1 -fsanitize=thread'

# A shorter pass of the sanitizers: the command's usage, and a training of each kind in plain C and on the best instruction set.
SMALL_NET := net:conv(5,5,stride=2) bn relu sum(conv(5) gelu | bn) max_pool(3,2) dropout(0.1) mean linear(classes)
ASAN_RUN := build/check/clang-asan/shikaku compare \
    --models 'tinycnn,tinyvit,tinyvit-pre,vit:pool=mean,cnn:channels=3-5-7,hidden=0,cnn:channels=2-5,hidden=0,$(SMALL_NET)' \
    --epochs 1 --train-samples 70 --test-samples 10 --batch 32 --threads 2
asan: ## a shorter pass of AddressSanitizer and UndefinedBehaviorSanitizer
	$(MAKE) all CC=clang BUILD=build/check/clang-asan EXTRA='$(SANITIZE)'
	LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0 tests/run.sh \
	    "tests/cli_usage.sh build/check/clang-asan/shikaku" "SHIKAKU_ISA=c $(ASAN_RUN)" "SHIKAKU_ISA=auto $(ASAN_RUN)"

# ThreadSanitizer understands OpenMP through LLVM's own runtime and its tool Archer.
TSAN_RUN := OMP_TOOL_LIBRARIES=libarcher.so ARCHER_OPTIONS=verbose=1 \
    TSAN_OPTIONS='ignore_noninstrumented_modules=1 halt_on_error=1' \
    build/check/tsan/shikaku train --threads 2 --train-samples 200 --test-samples 100 --epochs 2
tsan: ## trainings under ThreadSanitizer
	$(MAKE) all CC=clang BUILD=build/check/tsan EXTRA='-O1 -fsanitize=thread'
	$(TSAN_RUN) --model tinycnn
	$(TSAN_RUN) --model tinyvit
	$(TSAN_RUN) --model tinyvit-pre
	$(TSAN_RUN) --model '$(SMALL_NET)'

# The kernels' tests; also on NEON, cross-compiled and emulated.
KERNEL_TESTS := gemm sparse_gemm conv3x3 conv3x3_close winograd depthwise im2col max_pool avg_pool batch_norm scale sigmoid hardswish attention cls_attention layernorm cross_entropy column_sum concat transpose pack \
    gelu silu relu dropout add multiply apply_rule square_sum random dispatch
EMULATED_BIN := $(KERNEL_TESTS:%=build/aarch64/tests/test_%)
KERNEL_BIN := $(KERNEL_TESTS:%=$(BUILD)/tests/test_%)
test-kernels: all $(KERNEL_BIN) ## the kernels' tests alone
	@tests/run.sh $(KERNEL_BIN)
test-neon: ## the kernels' tests on NEON, cross-compiled and emulated
	$(MAKE) CC=aarch64-linux-gnu-gcc BUILD=build/aarch64 CORE_ONLY=1 $(EMULATED_BIN)
	@tests/run.sh $(EMULATED_BIN:%="qemu-aarch64 %")

# The core without the machine and the command line; cross-compiles alone.
$(BUILD)/tests/core/bits: $(BUILD)/tests/core/bits.o $(CORE_OBJ)
	$(LINK) $^ $(CORE_LIBS) -o $@

# The full matrix of threads, instruction sets and compilers takes long; -ci is a part of it.
check-bits: ## same bits on every thread count, instruction set and compiler (long)
	tests/check_bits
check-bits-ci: ## a part of that
	tests/check_bits --ci

check-instructions: all ## instructions of a training step, by callgrind, beside those that are stored
	scripts/instructions --check $(BIN)
test-instructions: ## counts of instructions are the same twice, and find 2 % more in a kernel (minutes)
	tests/instructions_power.sh

check-export: all ## accuracy of exported models in other programs, on Fashion-MNIST; NODE_PATH: where onnxruntime-node is
	tests/export_accuracy.sh $(BIN)

# Benchmarks: every bench/bench_*.cc is one Google Benchmark program; bench/*.c are shared by them. BENCH_ARGS go to all of them.
BENCH_SRC := $(wildcard bench/bench_*.cc)
BENCH_BIN := $(BENCH_SRC:%.cc=$(BUILD)/%)
BENCH_SHARED := $(patsubst %.c,$(BUILD)/%.o,$(wildcard bench/*.c) src/report/statistics.c)
BENCH_ARGS ?=
$(BUILD)/bench/bench_%.o: bench/bench_%.cc $(DEPS_INCLUDE)/.made $(FLAGS_FILE)
	@mkdir -p $(@D)
	$(call say,CXX,$<)$(CXX) $(CPPFLAGS_ALL) $(CXXFLAGS_ALL) -MMD -MP -c $< -o $@
$(BUILD)/bench/bench_%: $(BUILD)/bench/bench_%.o $(BENCH_SHARED) $(LIB)
	$(call say,LD,$@)$(CXX) $(CXXFLAGS_ALL) $(LDFLAGS) $^ -lbenchmark -lpthread $(LIBS) -o $@
bench: $(BENCH_BIN) ## samples/s of the models and GFLOP/s of the kernels; BENCH_ARGS=--benchmark_filter=... runs fewer
	@set -e; for b in $(BENCH_BIN); do $$b --benchmark_out=$$b.json --benchmark_out_format=json $(BENCH_ARGS); done
	@echo "JSON: $(BENCH_BIN:%=%.json)"

# The same CNN written on oneDNN's primitives, to compare with; needs libdnnl-dev. Run it with OMP_NUM_THREADS set.
peer-onednn: $(BUILD)/bench/peer_onednn ## the CNN on oneDNN's primitives, to compare with
$(BUILD)/bench/peer_onednn: bench/peer_onednn.cc $(LIB) $(FLAGS_FILE)
	@mkdir -p $(@D)
	$(call say,CXX,$<)$(CXX) $(CPPFLAGS_ALL) $(CXXFLAGS_ALL) -O3 -march=native -fno-math-errno -fno-trapping-math $(LDFLAGS) \
	    -MMD -MP $< $(LIB) -ldnnl $(LIBS) -o $@
-include $(BENCH_SHARED:.o=.d) $(BUILD)/bench/peer_onednn.d
.PHONY: peer-onednn

FORMATTED := $(call files,include simd src man tests bench,%.c %.h %.cc)
format: ## clang-format
	@clang-format -i $(strip $(FORMATTED))
check-format: ## says what `make format` would change
	clang-format --dry-run -Werror $(FORMATTED)

# Where it is installed, in the names of the GNU Coding Standards; PREFIX is the usual name of the first.
PREFIX ?= /usr/local
prefix ?= $(PREFIX)
exec_prefix ?= $(prefix)
bindir ?= $(exec_prefix)/bin
libdir ?= $(exec_prefix)/lib
includedir ?= $(prefix)/include
datarootdir ?= $(prefix)/share
datadir ?= $(datarootdir)
mandir ?= $(datarootdir)/man
man1dir ?= $(mandir)/man1
docdir ?= $(datarootdir)/doc/shikaku
pkgconfigdir ?= $(libdir)/pkgconfig
DESTDIR ?=
INSTALL ?= install
headersdir := $(includedir)/shikaku
examplesdir := $(docdir)/examples
completiondir := $(datadir)/bash-completion/completions

# What cannot be meant ends here, before anything is built. Folders may have blanks, which make's own functions take for several words.
PLACES := prefix exec_prefix bindir libdir includedir datarootdir datadir mandir man1dir docdir pkgconfigdir
hash := \#
ifneq ($(filter install uninstall,$(MAKECMDGOALS)),)
$(foreach d,$(PLACES),$(if $(filter /%,$(firstword $($d))),, \
    $(error $(if $(filter prefix,$d),PREFIX,$d) must be an absolute path such as $(CURDIR)/$($d), not '$($d)')))
$(foreach d,$(PLACES) DESTDIR,$(foreach c,' " ` \ $(hash),$(if $(findstring $c,$($d)), \
    $(error $(if $(filter prefix,$d),PREFIX,$d) must not contain $c: '$($d)'))))
$(foreach d,BINDIR LIBDIR INCLUDEDIR DATAROOTDIR DATADIR MANDIR DOCDIR PKGCONFIGDIR EXEC_PREFIX,$(if $(filter command%,$(origin $d)), \
    $(error $d has no effect: its name is in lower case, as in libdir=/usr/lib64)))
ifneq ($(prefix),$(PREFIX))
ifneq ($(origin PREFIX),file)
$(error PREFIX is '$(PREFIX)', but prefix is '$(prefix)': one of them is enough)
endif
endif
endif

VERSION = $(shell sed -n 's/^.define SHK_VERSION_[A-Z]* \([0-9]\)/\1/p' include/shikaku/version.h | paste -sd.)
# MODE:PLACE:FILE of everything but the pkg-config file.
INSTALLED := 755:bindir:$(BIN) 644:libdir:$(LIB) 644:man1dir:$(MAN) 644:completiondir:$(COMPLETION) \
    $(patsubst %,644:headersdir:%,$(wildcard include/shikaku/*.h)) $(patsubst %,644:examplesdir:%,$(wildcard tests/example/*.c)) \
    644:docdir:LICENSE 644:docdir:CHANGELOG.md
part = $(word $1,$(subst :, ,$2))
installed = '$(DESTDIR)$($(call part,2,$1))/$(notdir $(call part,3,$1))'
PC = '$(DESTDIR)$(pkgconfigdir)/shikaku.pc'
# A folder as pkg-config's file has it, for sed: below ${prefix} where it is, blanks behind a backslash.
empty :=
blank := $(empty) $(empty)
below = $(subst $(blank),\\$(blank),$(subst |,\|,$(subst &,\&,$(if $(filter-out /,$2),$(subst $(hash),,$(subst $(hash)$2/,$3/,$(hash)$1)),$1))))

install: all ## the command, its man page and completion, the library, its headers, example and pkg-config file, stripped; STRIP=true: not
	@set -e; $(foreach f,$(INSTALLED),$(INSTALL) -D -m $(call part,1,$f) $(call part,3,$f) $(call installed,$f);)
	$(STRIP) $(call installed,$(filter %:$(BIN),$(INSTALLED)))
	$(STRIP) --strip-debug $(call installed,$(filter %:$(LIB),$(INSTALLED)))
	sed -e 's|@prefix@|$(call below,$(prefix))|' -e 's|@libdir@|$(call below,$(libdir),$(prefix),$${prefix})|' \
	    -e 's|@includedir@|$(call below,$(includedir),$(prefix),$${prefix})|' -e 's|@version@|$(VERSION)|' scripts/shikaku.pc.in | \
	    $(INSTALL) -D -m 644 /dev/stdin $(PC)
uninstall: ## removes what `make install` with the same variables has installed
	rm -f $(foreach f,$(INSTALLED),$(call installed,$f)) $(PC)
	@for dir in $(foreach d,headersdir examplesdir docdir,'$(DESTDIR)$($d)'); do \
	    [ ! -d "$$dir" ] || rmdir --ignore-fail-on-non-empty "$$dir"; done

clean: ## removes build
	rm -rf build

-include $(BUILD)/tests/core/bits.d $(EXPORT_CASE).d $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(wildcard $(BUILD)/man/*.d) $(TEST_SRC:%.c=$(BUILD)/%.d) $(TEST_SHARED:.o=.d) $(wildcard $(BUILD)/tests/fuzz/*.d) $(BENCH_SRC:%.cc=$(BUILD)/%.d)

.PHONY: all help demo demo-fashion check test test-faults test-kernels test-neon fuzz check-all asan tsan check-bits check-bits-ci check-instructions test-instructions check-export bench format check-format install uninstall clean
