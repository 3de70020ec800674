# vitrain. `make help` lists the targets.
#
#   make [config=release|debug|double|asan|ubsan|tsan|coverage] [ARCH=native]
#
# Everything that is built lies in build/$(config). V=1 shows the commands.

config ?= release
ARCH ?= native
BUILD := build/$(config)
PROGRAM := $(BUILD)/vitrain
PREFIX ?= /usr/local
# The one that Debian's python3-torch is for.
PYTHON ?= /usr/bin/python3
Q := $(if $(V),,@)

VERSION := 0.1.0
PKG := libpng libjpeg zlib libcjson
OPENBLAS := $(shell pkg-config --exists openblas && echo openblas || echo blas-openblas)

# psabi: vectors wider than the processor's are handed to inlined functions alone.
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wno-psabi
ifeq ($(CI),true)
WARNINGS += -Werror
endif
CPPFLAGS += -Iinclude -D_GNU_SOURCE -DVT_VERSION='"$(VERSION)"' \
            $(shell pkg-config --cflags $(PKG) $(OPENBLAS) 2>/dev/null)
CFLAGS_BASE := -std=c11 -ffp-contract=off $(WARNINGS) -fopenmp -pthread -march=$(ARCH) -fno-math-errno -fno-trapping-math -MMD -MP
LDLIBS := $(shell pkg-config --libs $(PKG) $(OPENBLAS) 2>/dev/null) -lm -pthread

FLAGS_release := -O3 -g
FLAGS_debug := -O0 -g3
FLAGS_double := -O2 -g -DVT_DOUBLE
FLAGS_asan := -O1 -g -fsanitize=address -fno-omit-frame-pointer
FLAGS_ubsan := -O1 -g -fsanitize=undefined -fno-sanitize-recover=all
FLAGS_tsan := -O1 -g -fsanitize=thread
FLAGS_coverage := -O0 -g --coverage
ifeq ($(FLAGS_$(config)),)
$(error config=$(config) is not one of release debug double asan ubsan tsan coverage)
endif
CFLAGS_ALL := $(CFLAGS_BASE) $(FLAGS_$(config)) $(CFLAGS)

ROOMS := base ops io data mix model label train report
LIB_SOURCES := $(foreach room,$(ROOMS),$(wildcard src/$(room)/*.c))
CLI_SOURCES := $(wildcard src/cli/*.c)
TEST_SOURCES := $(wildcard tests/unit/test_*.c)
GRADCHECKS := $(wildcard tests/unit/test_gradcheck_*.c) # say something in double only
TEST_TOOLS := $(patsubst tests/cli/%.c,$(BUILD)/tests/%,$(wildcard tests/cli/*.c))
TEST_SUPPORT := $(filter-out $(TEST_SOURCES),$(wildcard tests/unit/*.c))

object = $(patsubst %.c,$(BUILD)/%.o,$(1))
LIB := $(BUILD)/libvitrain.a
TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(if $(filter double,$(config)),$(TEST_SOURCES),\
           $(filter-out $(GRADCHECKS),$(TEST_SOURCES))))

.PHONY: all test unit build-tests check bench-torch quickstart setup install format clean help force
all: $(PROGRAM)
.SECONDARY: # objects of tests are kept

# What things are built with, ARCH and CFLAGS too: rewritten when it changes, and then all is built anew.
BUILT_WITH := $(filter-out -Werror,$(CC) $(CPPFLAGS) $(CFLAGS_ALL) $(LDFLAGS) $(LDLIBS))
$(BUILD)/flags: force
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(BUILT_WITH))' | cmp -s - $@ || echo '$(subst ','\'',$(BUILT_WITH))' >$@

$(BUILD)/%.o: %.c Makefile $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  CC $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -c $< -o $@

# Compilers stop at half the width of AVX-512 unasked.
WIDE := $(if $(filter x86_64%,$(shell $(CC) -dumpmachine)),-mprefer-vector-width=512)

# Tensor loops may fuse multiply and add. Everything else computes as written: random draws and Pillow's
# pixels must not depend on the processor.
$(BUILD)/src/ops/%.o $(BUILD)/src/label/%.o $(BUILD)/src/train/optim_%.o $(BUILD)/src/base/peak.o: CFLAGS_ALL += -ffp-contract=fast $(WIDE)

$(LIB): $(call object,$(LIB_SOURCES))
	@rm -f $@
	$(Q)ar rcs $@ $^

$(PROGRAM): $(call object,$(CLI_SOURCES)) $(LIB)
	@echo "  LD $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(call object,$(TEST_SUPPORT)) $(LIB)
	@mkdir -p $(@D)
	@echo "  LD $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS) $^ $(LDLIBS) -lcmocka -o $@

$(TEST_TOOLS): $(BUILD)/tests/%: $(BUILD)/tests/cli/%.o $(LIB)
	@mkdir -p $(@D)
	@echo "  LD $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS) $^ $(LDLIBS) -o $@

setup: ## install what is missing
	@scripts/setup.sh

unit: build-tests ## build and run the tests of this configuration only
	@tests/run.sh $(BUILD)

test: setup ## set up, build, run every test (release build; gradient checks in double)
	@$(MAKE) --no-print-directory -j$$(nproc) config=$(config) build-tests
	@$(MAKE) --no-print-directory -j$$(nproc) config=double build-tests
	@tests/run.sh $(BUILD) build/double

build-tests: $(PROGRAM) $(TESTS) $(TEST_TOOLS)

quickstart: setup ## set up, build, train a small ViT on Fashion-MNIST and evaluate it
	@$(MAKE) --no-print-directory -j$$(nproc) config=release all
	@scripts/quickstart.sh

bench-torch: $(PROGRAM) ## training steps beside PyTorch's, in turn: a table (ROUNDS=3, PRECISION=both)
	@$(PYTHON) scripts/bench_torch.py --against $(PROGRAM) --rounds $(or $(ROUNDS),3) $(if $(PRECISION),--precision $(PRECISION))

install: $(PROGRAM) ## into PREFIX/bin
	install -D -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/vitrain

format: ## clang-format every source file
	clang-format -i $$(git ls-files '*.c' '*.h')

check: ## formatting, and which room includes which
	clang-format --dry-run -Werror $$(git ls-files '*.c' '*.h')
	tests/check_rooms.sh

clean:
	rm -rf build

help:
	@sed -n 's/^\([a-z-]*\):[^#]*## /  make \1: /p' Makefile

-include $(shell find build/$(config) -name '*.d' 2>/dev/null)
