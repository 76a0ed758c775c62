# m57: a Nebula node on io_uring rings. `make help` lists every target.

CC      ?= cc
CFLAGS  ?= -O2 -g
LDFLAGS ?=
B       ?= build
PREFIX  ?= /usr/local
Q       := $(if $(V),,@)
say      = $(if $(V),@:,@printf '  %-8s %s\n' $(1) $(2))

ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif

# What root builds belongs to the user behind sudo: every goal runs in a make below this one, and
# the build directory is handed over whatever came of it.
AS_ROOT := $(if $(filter 0,$(shell id -u)),yes)
ifneq ($(and $(AS_ROOT),$(filter-out 0,$(SUDO_UID)),$(if $(M57_INNER),,outer)),)
GOALS := $(or $(MAKECMDGOALS),all)
.PHONY: $(GOALS)
.NOTPARALLEL:
$(GOALS):
	@code=0; $(MAKE) --no-print-directory M57_INNER=1 $@ || code=$$?; \
	test ! -d $(B) || chown -Rh "$(SUDO_UID):$(SUDO_GID)" $(B); exit $$code
else

VERSION  := 0.1.0
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-unused-parameter $(WERROR)
BASE     := -std=gnu17 -D_GNU_SOURCE -DM57_VERSION='"$(VERSION)"' -fno-omit-frame-pointer -pthread $(WARN) -MMD -MP
PKGS     := liburing libsodium yaml-0.1 liburcu-qsbr liburcu-cds libprotobuf-c libmnl libcrypto jansson libcares libpcre2-8
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
IPSEC_MB := $(shell printf '\#include <intel-ipsec-mb.h>\n' | $(CC) -E - >/dev/null 2>&1 && echo yes)
ifeq ($(IPSEC_MB),yes)
BASE     += -DHAVE_IPSEC_MB
PKG_LIBS += -lIPSec_MB
endif
ifneq ($(LTO),)
BASE     += -flto
LTO_LD   := -flto=auto
endif
LINK      = $(CC) $(CFLAGS) $(LTO_LD) $(LDFLAGS) -pthread

# The two planes cannot see each other: each has its own include path.
INC_dataplane := -Iinclude -Idataplane
INC_control   := -Iinclude -Icontrol -I$(B)/gen -I$(B)/gen/control

PROTO     := $(shell find control -name '*.proto')
PROTO_C   := $(PROTO:%.proto=$(B)/gen/%.pb-c.c)
DATAPLANE := $(shell find dataplane -name '*.c')
IDENTITY  := $(shell find control/identity -name '*.c') control/addr_text.c control/cert_tool/flags.c
CERT_TOOL := $(filter-out $(IDENTITY),$(shell find control/cert_tool -name '*.c'))
CTL       := $(shell find control/ctl -name '*.c')
CONTROL   := $(filter-out $(IDENTITY) $(CERT_TOOL) $(CTL) control/main.c, $(shell find control -name '*.c'))
obj = $(patsubst %.c,$(B)/obj/%.o,$(1))

DATAPLANE_OBJ := $(call obj,$(DATAPLANE))
PROTO_OBJ     := $(PROTO_C:$(B)/gen/%.c=$(B)/obj/gen/%.o)
IDENTITY_OBJ  := $(call obj,$(IDENTITY)) $(PROTO_OBJ)
CERT_TOOL_OBJ := $(call obj,$(CERT_TOOL))
CTL_OBJ       := $(call obj,$(CTL))
CONTROL_OBJ   := $(call obj,$(CONTROL))

all: $(B)/m57 $(B)/m57-cert $(B)/m57ctl $(B)/perf/udp_blast

# Everything is built again when the compiler or its flags change.
FLAGS := $(CC) $(BASE) $(CFLAGS) $(LDFLAGS) $(LTO_LD) $(PKG_CFLAGS) $(PKG_LIBS)
$(B)/flags: FORCE
	@pkg-config --exists $(PKGS) || { \
	echo 'make: a library is missing (below); "sudo scripts/install-deps" installs what a build needs' >&2; \
	pkg-config --print-errors --exists $(PKGS); exit 1; }
	@mkdir -p $(B); printf '%s\n' "$$FLAGS_TEXT" | cmp -s - $@ || printf '%s\n' "$$FLAGS_TEXT" >$@
$(B)/flags: export FLAGS_TEXT = $(FLAGS)

$(B)/m57: $(call obj,control/main.c) $(CONTROL_OBJ) $(IDENTITY_OBJ) $(DATAPLANE_OBJ)
	$(call say,LD,$@)
	$(Q)$(LINK) -o $@ $^ $(PKG_LIBS)

$(B)/m57-cert: $(CERT_TOOL_OBJ) $(IDENTITY_OBJ)
	$(call say,LD,$@)
	$(Q)$(LINK) -o $@ $^ $(PKG_LIBS)

$(B)/m57ctl: $(CTL_OBJ)
	$(call say,LD,$@)
	$(Q)$(LINK) -o $@ $^ -ljansson

$(B)/obj/dataplane/%.o: dataplane/%.c $(B)/flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE) $(CFLAGS) $(INC_dataplane) $(PKG_CFLAGS) -c -o $@ $<

$(B)/obj/control/%.o: control/%.c $(B)/flags | $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE) $(CFLAGS) $(INC_control) $(PKG_CFLAGS) -c -o $@ $<

$(B)/gen/%.pb-c.c: %.proto
	$(call say,PROTOC,$<)
	$(Q)mkdir -p $(B)/gen && protoc-c --c_out=$(B)/gen $<

$(B)/obj/gen/%.o: $(B)/gen/%.c $(B)/flags
	$(Q)mkdir -p $(@D) && $(CC) $(BASE) $(CFLAGS) -I$(B)/gen $(PKG_CFLAGS) -c -o $@ $<

# --- tests: one Criterion program per plane, one for whole nodes on a fake network; a program per
# --- kernel assumption; what the namespace tests need beside the node
UNIT_DATAPLANE_OBJ := $(call obj,$(shell find tests/unit/dataplane -name '*.c'))
UNIT_CONTROL_OBJ   := $(call obj,$(shell find tests/unit/control -name '*.c'))
UNIT_ROADS_OBJ     := $(call obj,$(shell find tests/unit/roads -name '*.c'))
UNIT_MAIN_OBJ      := $(call obj,tests/unit/main.c)
SIM_OBJ            := $(call obj,$(shell find tests/sim -name '*.c'))
KERNEL_TESTS       := $(patsubst tests/kernel/%.c,$(B)/tests/kernel/%,$(wildcard tests/kernel/*.c))
NETNS_PRELOADS     := $(patsubst tests/netns/%.c,$(B)/tests/netns/%.so,$(wildcard tests/netns/*.c))
TEST_BASE          := $(BASE) -Wno-missing-prototypes

$(B)/obj/tests/unit/dataplane/%.o: tests/unit/dataplane/%.c $(B)/flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(TEST_BASE) $(CFLAGS) $(INC_dataplane) -Itests $(PKG_CFLAGS) -c -o $@ $<
$(B)/obj/tests/unit/roads/%.o: tests/unit/roads/%.c $(B)/flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(TEST_BASE) $(CFLAGS) $(INC_dataplane) -Itests $(PKG_CFLAGS) -c -o $@ $<
$(B)/obj/tests/unit/control/%.o: tests/unit/control/%.c $(B)/flags | $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(TEST_BASE) $(CFLAGS) $(INC_control) -Itests $(PKG_CFLAGS) -c -o $@ $<
$(B)/obj/tests/sim/%.o: tests/sim/%.c $(B)/flags | $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(TEST_BASE) $(CFLAGS) $(INC_control) -Idataplane -Itests $(PKG_CFLAGS) -c -o $@ $<

$(UNIT_MAIN_OBJ): $(B)/obj/%.o: %.c $(B)/flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(TEST_BASE) $(CFLAGS) -Itests -c -o $@ $<

$(B)/tests/unit-dataplane: $(UNIT_DATAPLANE_OBJ) $(UNIT_MAIN_OBJ) $(DATAPLANE_OBJ)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(LINK) -o $@ $^ $(PKG_LIBS) -lcriterion
# The roads on an engine that only takes notes: everything of the dataplane but the real one.
ENGINE_OBJ := $(call obj,dataplane/dataplane.c $(patsubst %,dataplane/io/%.c,uring tun_io udp_io buffers post probe))
$(B)/tests/unit-roads: $(UNIT_ROADS_OBJ) $(UNIT_MAIN_OBJ) $(B)/obj/tests/unit/dataplane/packets.o $(filter-out $(ENGINE_OBJ),$(DATAPLANE_OBJ))
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(LINK) -o $@ $^ $(PKG_LIBS) -lcriterion
# reload_grace_test.c and config_memory_test.c stand between control and these
UNIT_CONTROL_WRAP := $(addprefix -Xlinker --wrap=,calloc dataplane_forget_flows dataplane_publish node_rules_prepare)
$(B)/tests/unit-control: $(UNIT_CONTROL_OBJ) $(UNIT_MAIN_OBJ) $(CONTROL_OBJ) $(filter-out %/main.o,$(CERT_TOOL_OBJ) $(CTL_OBJ)) $(IDENTITY_OBJ) $(DATAPLANE_OBJ)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(LINK) $(UNIT_CONTROL_WRAP) -o $@ $^ $(PKG_LIBS) -lcriterion
# sim_bound.c stands between control and these
SIM_WRAP := $(addprefix -Xlinker --wrap=,tunnel_allocate tunnel_free hostmap_defer hostmap_relay_publish)
$(B)/tests/sim: $(SIM_OBJ) $(UNIT_MAIN_OBJ) $(CONTROL_OBJ) $(IDENTITY_OBJ) $(DATAPLANE_OBJ)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(LINK) $(SIM_WRAP) -o $@ $^ $(PKG_LIBS) -lcriterion
$(B)/tests/kernel/%: tests/kernel/%.c $(B)/flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(TEST_BASE) $(CFLAGS) $(LDFLAGS) $(INC_dataplane) -o $@ $< -luring
$(B)/tests/netns/%.so: tests/netns/%.c $(B)/flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(TEST_BASE) $(CFLAGS) -fPIC -shared -o $@ $< -ldl
$(B)/perf/udp_blast: perf/udp_blast.c $(B)/flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE) $(CFLAGS) $(LDFLAGS) -o $@ $<

# --- what measures: perf/README.md
PERF_PROGRAMS := $(B)/perf/udp_blast $(B)/perf/floor $(B)/perf/microbench $(B)/perf/lighthouse_load
$(B)/obj/perf/%.o: perf/%.c $(B)/flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE) $(CFLAGS) $(INC_dataplane) $(PKG_CFLAGS) -c -o $@ $<
$(B)/perf/floor $(B)/perf/microbench: $(B)/perf/%: $(B)/obj/perf/%.o $(DATAPLANE_OBJ)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(LINK) -o $@ $^ $(PKG_LIBS)
# A client of lighthouses: control's own handshake and messages.
$(B)/obj/perf/lighthouse_load.o: perf/lighthouse_load.c $(B)/flags | $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE) $(CFLAGS) $(INC_control) $(PKG_CFLAGS) -c -o $@ $<
$(B)/perf/lighthouse_load: $(B)/obj/perf/lighthouse_load.o $(CONTROL_OBJ) $(IDENTITY_OBJ) $(DATAPLANE_OBJ)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(LINK) -o $@ $^ $(PKG_LIBS)
# Peers and floods that speak Nebula: both planes' code, but not a node.
CROWD_PROGRAMS := $(B)/perf/crowd $(B)/perf/flood $(B)/perf/relay_load
CROWD_OBJ      := $(call obj,perf/crowd_hosts.c)
$(CROWD_PROGRAMS:$(B)/%=$(B)/obj/%.o) $(CROWD_OBJ): $(B)/obj/perf/%.o: perf/%.c $(B)/flags | $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE) $(CFLAGS) $(INC_control) -Idataplane $(PKG_CFLAGS) -c -o $@ $<
$(CROWD_PROGRAMS): $(B)/perf/%: $(B)/obj/perf/%.o $(CROWD_OBJ) $(CONTROL_OBJ) $(IDENTITY_OBJ) $(DATAPLANE_OBJ)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(LINK) -o $@ $^ $(PKG_LIBS)
perf-programs: $(PERF_PROGRAMS) $(CROWD_PROGRAMS)

FUZZ_NAMES    := $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))
FUZZ_PROGRAMS := $(FUZZ_NAMES:%=$(B)/tests/fuzz/%)
FUZZ_MAIN     := $(if $(LIBFUZZER),,$(B)/obj/tests/fuzz/replay.o)
# What several threads share, under the thread sanitizer: tests/tsan/criterion/criterion.h says why apart.
TSAN_TESTS := $(patsubst %,tests/unit/dataplane/%_test.c,aead conntrack hostmap refusals replay seal)
TSAN_OBJ   := $(TSAN_TESTS:%.c=$(B)/obj/tsan/%.o) $(B)/obj/tsan/tests/tsan/main.o
$(B)/obj/tsan/%.o: %.c $(B)/flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(TEST_BASE) -Wno-unused-variable $(CFLAGS) -Itests/tsan $(INC_dataplane) -Itests $(PKG_CFLAGS) -c -o $@ $<
$(B)/tests/tsan: $(TSAN_OBJ) $(DATAPLANE_OBJ)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(LINK) -o $@ $^ $(PKG_LIBS)
UNIT_PROGRAMS := $(if $(UNIT_DATAPLANE_OBJ),$(B)/tests/unit-dataplane) \
		 $(if $(UNIT_ROADS_OBJ),$(B)/tests/unit-roads) \
		 $(if $(UNIT_CONTROL_OBJ),$(B)/tests/unit-control) $(if $(SIM_OBJ),$(B)/tests/sim)
test-programs: all $(CROWD_PROGRAMS) $(UNIT_PROGRAMS) $(FUZZ_PROGRAMS) $(KERNEL_TESTS) $(NETNS_PRELOADS)
unit-programs: $(UNIT_PROGRAMS)
hot-objects: $(DATAPLANE_OBJ)

# --- fuzz targets: with libFuzzer (clang, sanitizers; goal fuzz below), and the same objects with
# --- a main of our own that replays the corpus and every cut and change of it
$(B)/obj/tests/fuzz/%.o: tests/fuzz/%.c $(B)/flags | $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(TEST_BASE) $(CFLAGS) $(INC_control) -Idataplane -Itests $(PKG_CFLAGS) -c -o $@ $<
$(B)/tests/fuzz/%: $(B)/obj/tests/fuzz/%_fuzz.o $(FUZZ_MAIN) $(CONTROL_OBJ) $(IDENTITY_OBJ) $(DATAPLANE_OBJ)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(LINK) -o $@ $^ $(PKG_LIBS)

# --- what is run rather than built. pkg-config is asked when make starts: so libraries that
# --- install-deps has just brought are seen by a make below this one.
SUB       = $(MAKE) --no-print-directory B=$(B)
DEPS      = $(if $(AS_ROOT),scripts/install-deps,:)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined

debug:
	+@$(SUB) B=$(B)/debug CFLAGS='-O1 -g $(SANITIZE)' LDFLAGS='$(SANITIZE) $(LDFLAGS)' $(or $(DEBUG_GOALS),all)

test:
	+@$(DEPS) && $(SUB) test-programs
	@B=$(B) tests/run $(if $(T),'$(T)')

test-debug:
	+@$(DEPS) && $(SUB) debug DEBUG_GOALS=test-programs
	@B=$(B)/debug tests/run $(if $(T),'$(T)')

FUZZ     := -fsanitize=address,undefined -fno-sanitize-recover=undefined
test-tsan:
	+@$(SUB) B=$(B)/tsan CFLAGS='-O1 -g -fsanitize=thread' LDFLAGS='-fsanitize=thread' $(B)/tsan/tests/tsan
	@TSAN_OPTIONS=halt_on_error=1 $(B)/tsan/tests/tsan \
	$(or $(T),seal replay hostmap conntrack refusals aead/threads_share_one_key)

fuzz: T := $(or $(T),aead)
fuzz:
	+@$(if $(AS_ROOT),scripts/install-deps fuzz,:) && $(SUB) B=$(B)/fuzz CC=clang LIBFUZZER=1 CFLAGS='-O1 -g -fsanitize=fuzzer-no-link $(FUZZ)' \
	LDFLAGS='-fsanitize=fuzzer $(FUZZ)' $(B)/fuzz/tests/fuzz/$(T)
	@mkdir -p $(B)/fuzz/$(T).corpus && cd $(B)/fuzz && ./tests/fuzz/$(T) -max_len=9300 \
	-max_total_time=$(or $(SECS),60) -print_final_stats=1 $(T).corpus $(wildcard $(CURDIR)/tests/fuzz/corpus/$(T))

demo:
	+@$(if $(AS_ROOT),scripts/install-deps $(if $(PEER),demo-$(PEER),demo),:) && $(SUB) all
	@B=$(B) PEER='$(PEER)' ROUNDS='$(ROUNDS)' scripts/demo

profile:
	+@$(if $(AS_ROOT),scripts/install-deps profile,:) && $(SUB) all
	@B=$(B) perf/profile

bench:
	+@$(if $(AS_ROOT),scripts/install-deps bench,:) && $(SUB) all perf-programs
	@B=$(B) PEERS='$(PEERS)' ONLY='$(ONLY)' ROUNDS='$(ROUNDS)' SECS='$(SECS)' perf/bench

bench-network:
	+@$(if $(AS_ROOT),scripts/install-deps bench,:) && $(SUB) all perf-programs
	@B=$(B) ONLY='$(ONLY)' ROUNDS='$(ROUNDS)' perf/bench_network

microbench:
	+@$(SUB) $(B)/perf/microbench
	@$(B)/perf/microbench $(if $(ONLY),'$(ONLY)')

microbench-check:
	+@$(if $(AS_ROOT),scripts/install-deps count,:) && $(SUB) $(B)/perf/microbench
	@B=$(B) CFLAGS='$(CFLAGS)' perf/microbench_check $(if $(RECORD),record)

lint:
	@$(if $(AS_ROOT),scripts/install-deps lint,:)
	@scripts/lint_format
	@scripts/lint_tests
	+@$(SUB) B=$(B)/lint WERROR=-Werror CFLAGS='-O2 -g -ffunction-sections' LDFLAGS= LTO= test-programs
	@B=$(B)/lint scripts/check_layers
	@B=$(B)/lint scripts/lint_code

soak:
	+@$(DEPS) && $(SUB) all
	@B=$(B) SECS=$(or $(SECS),600) $(if $(SEED),SEED=$(SEED)) tests/netns/soak

test-kernel-6.1:
	+@$(DEPS) && $(SUB) test-programs
	@B=$(B) scripts/test-kernel-6.1

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/share/doc/m57
	install -m 755 $(B)/m57 $(B)/m57-cert $(B)/m57ctl $(DESTDIR)$(PREFIX)/bin
	sed 's|@BINDIR@|$(PREFIX)/bin|' scripts/dist/m57@.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/m57@.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/m57@.service
	install -m 644 scripts/dist/example-config.yml $(DESTDIR)$(PREFIX)/share/doc/m57/config.yml

clean:
	rm -rf $(B)

help:
	@echo 'make                     m57, m57-cert, m57ctl into $(B)/ (never calls apt: sudo scripts/install-deps does)'
	@echo 'sudo make demo           two nodes, an encrypted tunnel, iperf3 and ping through it, one table'
	@echo '                           PEER=nebula   against Debian'"'"'s nebula, every combination of ends'
	@echo '                           ROUNDS=n      medians of n rounds (1)'
	@echo 'sudo make test           every suite; closes with "N passed, N failed, N skipped"'
	@echo '                           T=suite       one suite; T=suite/name one test; tests/run --list names them'
	@echo 'make debug               address and undefined-behaviour sanitizers, into $(B)/debug/'
	@echo 'sudo make test-debug     the suites with that build; T= as above'
	@echo 'make test-tsan           what several threads share, under the thread sanitizer; T=suite/name'
	@echo 'make fuzz T=aead         libFuzzer on tests/fuzz/T_fuzz.c, SECS=60; needs clang'
	@echo 'sudo make soak           mishaps drawn from a seed in a mixed network of real nodes; SECS=600 SEED=n'
	@echo 'make test-kernel-6.1     boots Debian 12'"'"'s own kernel in qemu and tests there (minutes)'
	@echo 'sudo make profile        a load, a flame graph and CPU time per stage: $(B)/profile/ (perf/README.md)'
	@echo '                           LOAD=tcp|tcp4|udp|small SECS=n ROUTINES=n CIPHER=aes|chachapoly'
	@echo 'sudo make bench          m57, nebula, floors, VXLAN and PEERS beside each other; perf/README.md'
	@echo '                           ROUNDS=3 SECS=3 ONLY="m57 nebula tcp" PEERS=nebula=/path,wg=/path'
	@echo 'sudo make bench-network  a whole network: healing, relays, floods, handshakes, memory, beside nebula'
	@echo '                           ROUNDS=1 ONLY="discovery floods"; fails on a missed bound'
	@echo 'make perf-programs       what perf/ needs beside m57: loads, floods, peers, microbench'
	@echo 'make microbench          ns and bytes/s of each stage of the packet path; ONLY=name'
	@echo 'make microbench-check    instructions of each stage against perf/instructions.txt; RECORD=1 writes it'
	@echo 'make lint                clang-format, cppcheck, -Werror build, layer check, asserts that cannot fail'
	@echo 'make install             PREFIX=/usr/local DESTDIR=: programs, systemd unit, example config'
	@echo 'make clean               removes $(B)/'
	@echo 'V=1 shows commands; CC, CFLAGS, LDFLAGS are honoured; LTO=1 links with link-time optimisation;'
	@echo 'B=dir builds elsewhere'

FORCE:
.PHONY: all debug test test-debug test-tsan soak fuzz demo profile lint install clean help FORCE
.PHONY: bench bench-network microbench microbench-check perf-programs test-programs unit-programs hot-objects test-kernel-6.1
.SECONDARY:
.DELETE_ON_ERROR:
-include $(shell find $(B)/obj $(B)/tests -name '*.d' 2>/dev/null)
endif
