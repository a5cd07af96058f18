# SPDX-License-Identifier: GPL-2.0-only
#
# make           sluiced and sluice in build/
# make static    the same as one static pair in build/static/, for microVMs and initramfs;
#                CROSS=aarch64-linux-gnu: for that machine, in build/aarch64-linux-gnu/static/,
#                with libraries out of SYSROOT if that is set
# make install   into $(DESTDIR)$(prefix)
# make check     the tests; make check-all with more kernels
# make demo      shows it working in a real guest
# make bench-observe  measures what watching costs
# make bench-phases   compares the strategies in guests, in about an hour
# make deps      installs the Debian packages that all this needs (as root)
#
# V=1 shows the commands.

VERSION := $(shell cat VERSION)
B       := build$(addprefix /,$(CROSS))
Q       := $(if $(V),,@)
say      = $(if $(V),,@printf '  %-8s %s\n' $(1) $(2))

prefix     ?= /usr/local
sbindir    ?= $(prefix)/sbin
bindir     ?= $(prefix)/bin
mandir     ?= $(prefix)/share/man
presetdir  ?= $(prefix)/share/sluice/strategies
sysconfdir ?= $(if $(filter /usr /usr/local,$(prefix)),/etc,$(prefix)/etc)
unitdir    ?= $(if $(filter /usr,$(prefix)),/lib/systemd/system,$(prefix)/lib/systemd/system)

CLANG      ?= clang
BPFTOOL    ?= $(or $(shell command -v bpftool),/usr/sbin/bpftool)
SCDOC      ?= scdoc
STRIP      ?= strip
PKG_CONFIG ?= pkg-config

ifneq ($(CROSS),)
ifneq ($(filter-out static $(B)/static/%,$(or $(MAKECMDGOALS),all)),)
$(error CROSS=$(CROSS) is for "make static" and $(B)/static/*; the rest runs what it builds)
endif
CC    := $(CROSS)-gcc
AR    := $(CROSS)-ar
STRIP := $(CROSS)-strip
endif

WARNINGS := -Wall -Wextra -Wformat=2 -Wconversion -Wshadow -Wstrict-prototypes \
            -Wmissing-prototypes -Wvla -Werror
CFLAGS   ?= -O2 -g
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE $(WARNINGS) -Iinclude -I$(B)/gen -isystem $(B)/bpf \
             $(patsubst %,-isystem %/usr/include,$(SYSROOT)) $(CFLAGS)
HARDEN   := -fstack-protector-strong -D_FORTIFY_SOURCE=2

LIBS        := -lbpf -lelf -lz -lconfig -ljansson -lm
CLI_LIBS    := $(LIBS) -lgsl -lgslcblas
STATIC_LIBS := $(patsubst %,-L%/usr/lib/$(CROSS),$(SYSROOT)) -lbpf -lelf -lz -lconfig -ljansson -lgsl -lgslcblas -lm

LIB_SRC    := $(sort $(wildcard src/common/*.c src/config/*.c src/observe/*.c src/policy/*.c src/actuate/*.c src/extents/*.c src/experiment/*.c))
DAEMON_SRC := $(sort $(wildcard src/daemon/*.c))
CLI_SRC    := $(sort $(wildcard src/cli/*.c))
BPF_SRC    := $(sort $(wildcard bpf/*)) include/sluice/bpf_shared.h
objects     = $(patsubst %.c,$(B)/obj/%.o,$(1))

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all static install check check-all bench-observe bench-phases demo deps clean format docs unit live vm lint FORCE

all: $(B)/sluiced $(B)/sluice docs

static: $(B)/static/sluiced $(B)/static/sluice

# --- generated -------------------------------------------------------------------------------

$(B)/gen/sluice/version.h: VERSION Makefile
	$(call say,GEN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)printf '/* made from VERSION */\n#define SLUICE_VERSION "%s"\n' '$(VERSION)' > $@

# Types of the kernel's headers (asm/types.h) that are the same on all machines with 64 bits; the
# programs know the machine by CO-RE alone, and no __TARGET_ARCH_* since they read no registers.
ASM_INCLUDE := $(if $(CROSS),/usr/$(CROSS)/include,/usr/include/$(shell $(CC) -print-multiarch))

$(B)/bpf/sluice.bpf.o: $(BPF_SRC)
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -g -O2 -target bpf -mcpu=v3 -ffreestanding -Wall -Wextra -Werror \
		-Iinclude -Ibpf -idirafter $(ASM_INCLUDE) -c bpf/sluice.bpf.c -o $@

$(B)/bpf/sluice.skel.h: $(B)/bpf/sluice.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name sluice_bpf > $@

# --- programs --------------------------------------------------------------------------------

$(B)/obj/%.o: %.c $(B)/gen/sluice/version.h | $(B)/bpf/sluice.skel.h
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(HARDEN) -MMD -MP -c $< -o $@

# -MMD leaves out what -isystem brings
$(foreach o,bpf export,$(B)/obj/src/observe/$(o).o $(B)/san/src/observe/$(o).o): $(B)/bpf/sluice.skel.h

$(B)/libsluice.a: $(call objects,$(LIB_SRC))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/sluiced: $(call objects,$(DAEMON_SRC)) $(B)/libsluice.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/sluice: $(call objects,$(CLI_SRC)) $(B)/libsluice.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CLI_LIBS)

$(B)/static/sluiced: $(call objects,$(DAEMON_SRC)) $(B)/libsluice.a
$(B)/static/sluice: $(call objects,$(CLI_SRC)) $(B)/libsluice.a
$(B)/static/workload: $(call objects,tests/vm/workload.c)
$(B)/static/agree: $(call objects,tests/vm/agree.c)
$(B)/static/ask: $(call objects,tests/vm/ask.c)
$(B)/static/phases: $(call objects,tests/bench/phases.c)
$(B)/static/cached: $(call objects,tests/vm/cached.c)
$(B)/static/onnode: $(call objects,tests/vm/onnode.c)
$(B)/static/stale: $(call objects,tests/vm/stale.c) $(B)/libsluice.a
$(B)/static/%:
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -static $(CFLAGS) $(LDFLAGS) -o $@ $^ $(if $(filter %.a,$^),$(STATIC_LIBS))
	$(Q)$(STRIP) --strip-debug $@

$(B)/bigmap: $(call objects,tests/bench/bigmap.c) $(B)/libsluice.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/absim: $(call objects,tests/bench/absim.c) $(B)/libsluice.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CLI_LIBS)

-include $(wildcard $(B)/obj/*/*.d $(B)/obj/*/*/*.d $(B)/obj/*/*/*/*.d)

# --- documents, made from the tables in the code -----------------------------------------------

$(B)/gendoc: $(call objects,docs/gendoc.c src/cli/commands.c) $(filter-out %/main.o %/commands.o,$(call objects,$(CLI_SRC))) $(B)/libsluice.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(CLI_LIBS)

MAN := $(B)/man/sluice.1 $(B)/man/sluiced.8 $(B)/man/sluice.conf.5
docs: $(MAN)

$(B)/man/%: docs/%.scd $(B)/gendoc VERSION
	$(call say,MAN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(B)/gendoc man $< | $(SCDOC) > $@

# --- install ---------------------------------------------------------------------------------

install: all
	install -D -m 755 $(B)/sluiced $(DESTDIR)$(sbindir)/sluiced
	install -D -m 755 $(B)/sluice $(DESTDIR)$(bindir)/sluice
	install -D -m 644 $(B)/man/sluice.1 $(DESTDIR)$(mandir)/man1/sluice.1
	install -D -m 644 $(B)/man/sluiced.8 $(DESTDIR)$(mandir)/man8/sluiced.8
	install -D -m 644 $(B)/man/sluice.conf.5 $(DESTDIR)$(mandir)/man5/sluice.conf.5
	install -d $(DESTDIR)$(presetdir)
	install -m 644 configs/strategies/*.conf $(DESTDIR)$(presetdir)
	install -d $(DESTDIR)$(unitdir)
	sed 's|@sbindir@|$(sbindir)|; s|@bindir@|$(bindir)|' configs/sluiced.service \
		> $(DESTDIR)$(unitdir)/sluiced.service
	test -e $(DESTDIR)$(sysconfdir)/sluice/sluice.conf || \
		install -D -m 644 configs/sluice.conf $(DESTDIR)$(sysconfdir)/sluice/sluice.conf

# --- tests -----------------------------------------------------------------------------------

deps:
	$(Q)sh tests/deps.sh

check:
	$(Q)sh tests/deps.sh
	$(Q)python3 tests/check.py

check-all:
	$(Q)sh tests/deps.sh
	$(Q)python3 tests/check.py --all

demo:
	$(Q)sh tests/deps.sh
	$(Q)$(MAKE) --no-print-directory static $(B)/static/workload
	$(Q)python3 tests/vm/demo.py

# what watching costs; BENCH="--quick" for a trial
bench-observe:
	$(Q)sh tests/deps.sh bench
	$(Q)$(MAKE) --no-print-directory $(B)/sluiced $(B)/bench/loops $(B)/bench/programs
	$(Q)python3 tests/bench/observe.py $(BENCH)

# what strategies return and cost; BENCH="--rounds 10", see docs/phases.md
bench-phases:
	$(Q)sh tests/deps.sh
	$(Q)$(MAKE) --no-print-directory static $(B)/static/phases
	$(Q)python3 tests/bench/phases.py $(BENCH)

$(B)/bench/%: $(B)/obj/tests/bench/%.o $(B)/libsluice.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lbpf -ljansson

# unit tests with sanitizers, in their own objects
SAN        := -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all
UNIT_SRC   := $(sort $(wildcard tests/unit/test_*.c))
UNIT       := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_SRC))
san_objects = $(patsubst %.c,$(B)/san/%.o,$(1))

$(B)/san/%.o: %.c $(B)/gen/sluice/version.h | $(B)/bpf/sluice.skel.h
	$(call say,CC-SAN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(SAN) -DSOURCE_DIR='"$(CURDIR)"' -Isrc -MMD -MP -c $< -o $@

# the calls that a test puts its own in place of stand in its " * wrap:" line
comma := ,
$(UNIT): WRAP = $(patsubst %,-Wl$(comma)--wrap=%,$(shell sed -n 's/^ \* wrap: //p' tests/unit/$(@F).c))
$(B)/unit/%: $(B)/san/tests/unit/%.o $(call san_objects,$(LIB_SRC))
	$(call say,LD-SAN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SAN) $(WRAP) -o $@ $^ $(CLI_LIBS) -lcmocka

# pure parts of the client
$(B)/unit/test_advice: $(B)/san/src/cli/advice.o
$(B)/unit/test_cells: $(B)/san/src/cli/cells.o
$(B)/unit/test_picture: $(B)/san/src/cli/picture.o
$(B)/unit/test_truth: $(B)/san/src/cli/truth.o
$(B)/unit/test_window: $(B)/san/src/cli/ab_window.o

unit: $(UNIT)
.PRECIOUS: $(B)/san/%.o $(B)/obj/%.o
-include $(wildcard $(B)/san/*/*.d $(B)/san/*/*/*.d)

clang-build:
	$(Q)$(MAKE) --no-print-directory B=$(B)/clang CC=$(CLANG) $(B)/clang/sluiced $(B)/clang/sluice

format:
	clang-format -i $(shell git ls-files '*.c' '*.h')

clean:
	rm -rf $(B)
