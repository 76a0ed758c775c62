# m57: a Nebula node on io_uring rings. `make help` lists every target.

CC      ?= cc
CFLAGS  ?= -O2 -g
LDFLAGS ?=
B       ?= build
Q       := $(if $(V),,@)
say      = $(if $(V),@:,@printf '  %-8s %s\n' $(1) $(2))

VERSION  := 0.1.0
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-unused-parameter $(WERROR)
BASE     := -std=gnu17 -D_GNU_SOURCE -DM57_VERSION='"$(VERSION)"' -fno-omit-frame-pointer -pthread $(WARN) -MMD -MP
PKGS     := liburing libsodium yaml-0.1 liburcu-qsbr liburcu-cds libprotobuf-c libmnl libcrypto
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
IPSEC_MB := $(shell printf '\#include <intel-ipsec-mb.h>\n' | $(CC) -E - >/dev/null 2>&1 && echo yes)
ifeq ($(IPSEC_MB),yes)
BASE     += -DHAVE_IPSEC_MB
PKG_LIBS += -lIPSec_MB
endif

# The two planes cannot see each other: each has its own include path.
INC_dataplane := -Iinclude -Idataplane
INC_control   := -Iinclude -Icontrol -I$(B)/gen -I$(B)/gen/control
INC_identity  := $(INC_control)

PROTO     := $(shell find control -name '*.proto')
PROTO_C   := $(PROTO:%.proto=$(B)/gen/%.pb-c.c)
DATAPLANE := $(shell find dataplane -name '*.c')
IDENTITY  := $(shell find control/identity -name '*.c') control/addr_text.c
CERT_TOOL := $(shell find control/cert_tool -name '*.c')
CONTROL   := $(filter-out $(IDENTITY) $(CERT_TOOL) control/main.c, $(shell find control -name '*.c'))
obj = $(patsubst %.c,$(B)/obj/%.o,$(1))

DATAPLANE_OBJ := $(call obj,$(DATAPLANE))
PROTO_OBJ     := $(PROTO_C:$(B)/gen/%.c=$(B)/obj/gen/%.o)
IDENTITY_OBJ  := $(call obj,$(IDENTITY)) $(PROTO_OBJ)
CONTROL_OBJ   := $(call obj,$(CONTROL))

all: $(B)/m57 $(B)/m57-cert

$(B)/m57: $(call obj,control/main.c) $(CONTROL_OBJ) $(IDENTITY_OBJ) $(DATAPLANE_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(PKG_LIBS)

$(B)/m57-cert: $(call obj,$(CERT_TOOL)) $(IDENTITY_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(PKG_LIBS)

$(B)/obj/dataplane/%.o: dataplane/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE) $(CFLAGS) $(INC_dataplane) $(PKG_CFLAGS) -c -o $@ $<

$(B)/obj/control/%.o: control/%.c $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE) $(CFLAGS) $(INC_control) $(PKG_CFLAGS) -c -o $@ $<

$(B)/gen/%.pb-c.c: %.proto
	$(call say,PROTOC,$<)
	$(Q)mkdir -p $(B)/gen && protoc-c --c_out=$(B)/gen $<

$(B)/obj/gen/%.o: $(B)/gen/%.c
	$(Q)mkdir -p $(@D) && $(CC) $(BASE) $(CFLAGS) -Wno-unused-parameter -I$(B)/gen $(PKG_CFLAGS) -c -o $@ $<

# --- unit tests: one Criterion program per plane; filter with -- --filter 'suite/name'
UNIT_DATAPLANE_OBJ := $(call obj,$(shell find tests/unit/dataplane -name '*.c'))
UNIT_CONTROL_OBJ   := $(call obj,$(shell find tests/unit/control -name '*.c'))

$(B)/obj/tests/unit/dataplane/%.o: tests/unit/dataplane/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE) -Wno-missing-prototypes $(CFLAGS) $(INC_dataplane) -Itests $(PKG_CFLAGS) -c -o $@ $<
$(B)/obj/tests/unit/control/%.o: tests/unit/control/%.c $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE) -Wno-missing-prototypes $(CFLAGS) $(INC_control) -Itests $(PKG_CFLAGS) -c -o $@ $<
$(B)/tests/unit-dataplane: $(UNIT_DATAPLANE_OBJ) $(DATAPLANE_OBJ)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(PKG_LIBS) -lcriterion
$(B)/tests/unit-control: $(UNIT_CONTROL_OBJ) $(CONTROL_OBJ) $(IDENTITY_OBJ) $(DATAPLANE_OBJ)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(PKG_LIBS) -lcriterion

clean:
	rm -rf $(B)

.PHONY: all clean
.SECONDARY:
-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
