# Everything that tests and measures. The server under test is always a private copy of the PostgreSQL tree in
# build/root with the extension installed into it: the system's own PostgreSQL is read, never written.

BUILD := build
ROOT := $(CURDIR)/$(BUILD)/root

# Pure sources say so themselves: they end with pg/no_postgres.hpp. Unit tests and the replay of fuzz corpora link the
# very objects of the extension. With SANITIZE=1 they are built once more with the address and undefined-behaviour
# sanitizers, and `make fuzz` builds them with clang++, these sanitizers and libFuzzer's instrumentation.
PURE_SOURCES := $(shell grep -l 'pg/no_postgres.hpp' $(SOURCES) 2>/dev/null)
ifdef SANITIZE
TEST_OBJECTS := $(BUILD)/sanitized.objects
TEST_BINARIES := $(BUILD)/sanitized
TEST_FLAGS := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
PURE_OBJECTS := $(PURE_SOURCES:%.cpp=$(TEST_OBJECTS)/%.o)
else ifdef LIBFUZZER
TEST_OBJECTS := $(BUILD)/libfuzzer.objects
TEST_BINARIES := $(BUILD)/libfuzzer
TEST_FLAGS := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
PURE_OBJECTS := $(PURE_SOURCES:%.cpp=$(TEST_OBJECTS)/%.o)
else
TEST_OBJECTS := $(BUILD)/objects
TEST_BINARIES := $(BUILD)
TEST_FLAGS := -O0 -g1
PURE_OBJECTS := $(PURE_SOURCES:.cpp=.o)
endif
UNIT_SOURCES := $(sort $(wildcard test/unit/*.cpp))
UNIT_OBJECTS := $(UNIT_SOURCES:%.cpp=$(TEST_OBJECTS)/%.o)
# What of the simulator's faults is pure is tested like the library.
UNIT_OBJECTS += $(patsubst %,$(TEST_OBJECTS)/test/kubesim/%.o,event_faults faults http_message)
FUZZ_SOURCES := $(sort $(wildcard test/fuzz/*_fuzz.cpp))
FUZZ_NAMES := $(FUZZ_SOURCES:test/fuzz/%_fuzz.cpp=%)
FUZZ_OBJECTS := $(FUZZ_SOURCES:%.cpp=$(TEST_OBJECTS)/%.o) $(TEST_OBJECTS)/test/fuzz/replay_main.o
KUBESIM_SOURCES := $(sort $(wildcard test/kubesim/*.cpp))
KUBESIM_BUILD := $(BUILD)/kubesim.objects
KUBESIM_OBJECTS := $(KUBESIM_SOURCES:%.cpp=$(KUBESIM_BUILD)/%.o)
KUBESIM_FLAGS := -O1 -g1
KUBESIM_LIBRARIES := -lcurl -lssl -lcrypto -lyaml-cpp -lpthread
BENCH_SOURCES := $(sort $(wildcard test/bench/*.cpp))

PLAIN_CXX = $(CXX) -std=c++20 $(WARNINGS) -MMD -MP -Isrc -I. -DDBNET_VERSION='"$(DBNET_VERSION)"'

# The extension's objects come from PGXS (test-root), never from make's own rule.
%.o: %.cpp
$(TEST_OBJECTS)/%.o: %.cpp $(TEST_OBJECTS)/precompiled.hpp.gch
	@mkdir -p $(@D)
	$(PLAIN_CXX) $(TEST_FLAGS) $(call PRECOMPILED,$(TEST_OBJECTS)) -DDBNET_TEST_DATA='"$(CURDIR)/test"' -c $< -o $@
$(TEST_OBJECTS)/precompiled.hpp.gch: test/precompiled.hpp src/precompiled.hpp
	@mkdir -p $(@D)
	$(PLAIN_CXX) $(TEST_FLAGS) -x c++-header $< -o $@
# An archive of references: each program links what it uses of the pure objects and no more.
$(TEST_OBJECTS)/pure.a: $(PURE_OBJECTS)
	@mkdir -p $(@D)
	@rm -f $@
	$(AR) rcsT $@ $^
$(TEST_BINARIES)/unit: $(UNIT_OBJECTS) $(TEST_OBJECTS)/pure.a
	@mkdir -p $(@D)
	$(CXX) $(TEST_FLAGS) $^ -lgtest -lgtest_main -lprotobuf -lcurl -lmicrohttpd -lgnutls -lyaml-cpp -lsimdjson -ldeflate -lzstd -lssl -lcrypto -lpthread -o $@
$(TEST_BINARIES)/fuzz/%_replay: $(TEST_OBJECTS)/test/fuzz/%_fuzz.o $(TEST_OBJECTS)/test/fuzz/replay_main.o $(TEST_OBJECTS)/pure.a
	@mkdir -p $(@D)
	$(CXX) $(TEST_FLAGS) $^ -lcurl -lmicrohttpd -lgnutls -lyaml-cpp -lsimdjson -ldeflate -lzstd -lcrypto -o $@
$(BUILD)/libfuzzer/%: $(TEST_OBJECTS)/test/fuzz/%_fuzz.o $(TEST_OBJECTS)/pure.a
	@mkdir -p $(@D)
	$(CXX) $(TEST_FLAGS) -fsanitize=fuzzer $^ -lcurl -lmicrohttpd -lgnutls -lyaml-cpp -lsimdjson -ldeflate -lzstd -lcrypto -o $@
$(KUBESIM_BUILD)/%.o: %.cpp $(KUBESIM_BUILD)/precompiled.hpp.gch
	@mkdir -p $(@D)
	$(PLAIN_CXX) $(KUBESIM_FLAGS) $(call PRECOMPILED,$(KUBESIM_BUILD)) -c $< -o $@
$(KUBESIM_BUILD)/precompiled.hpp.gch: src/precompiled.hpp
	@mkdir -p $(@D)
	$(PLAIN_CXX) $(KUBESIM_FLAGS) -x c++-header $< -o $@
$(BUILD)/kubesim: $(KUBESIM_OBJECTS)
	$(CXX) $^ $(KUBESIM_LIBRARIES) -o $@
$(BUILD)/bench_%: test/bench/%.cpp
	@mkdir -p $(@D)
	$(PLAIN_CXX) -O2 -g -MF $@.d $< -lcurl -lpq -lpthread -I$(shell $(PG_CONFIG) --includedir) -o $@
# What is measured without a server is linked with the extension's own objects.
$(BUILD)/bench_telemetry: test/bench/telemetry.cpp $(filter src/telemetry/%,$(PURE_SOURCES:.cpp=.o))
	@mkdir -p $(@D)
	$(PLAIN_CXX) -O2 -g -MF $@.d $^ -lsimdjson -ldeflate -lzstd -lcrypto -o $@
-include $(patsubst %.o,%.d,$(UNIT_OBJECTS) $(FUZZ_OBJECTS) $(PURE_OBJECTS) $(KUBESIM_OBJECTS))

.SECONDARY: $(FUZZ_OBJECTS)

.PHONY: test-root test-binaries check check-installed torture torture-installed bench bench-installed demo demo-installed fuzz valgrind valgrind-installed packages
packages:
	@PG_CONFIG=$(PG_CONFIG) test/packages.sh

test-root:
	@$(MAKE) --no-print-directory all $(BUILD)/dbnet_test.so PG_CONFIG=$(PG_CONFIG)
	@mkdir -p $(ROOT)
	@for directory in $$($(PG_CONFIG) --bindir) $$($(PG_CONFIG) --pkglibdir) $$($(PG_CONFIG) --sharedir); do \
	    mkdir -p "$(ROOT)$$directory" && cp -a --update "$$directory/." "$(ROOT)$$directory/" || exit 1; done
	@rm -f "$(ROOT)$$($(PG_CONFIG) --pkglibdir)/dbnet"* "$(ROOT)$$($(PG_CONFIG) --sharedir)/extension/dbnet"*
	@$(MAKE) -s install DESTDIR=$(ROOT) PG_CONFIG=$(PG_CONFIG)
	@install -m 755 $(BUILD)/dbnet_test.so "$(ROOT)$$($(PG_CONFIG) --pkglibdir)/"

test-binaries: $(TEST_BINARIES)/unit $(FUZZ_NAMES:%=$(TEST_BINARIES)/fuzz/%_replay) $(BUILD)/kubesim $(BUILD)/otel_js/export.js

# The exporters of OpenTelemetry for JavaScript, as package-lock.json pins them. Without a network their test is skipped.
$(BUILD)/otel_js/export.js: $(addprefix test/otel_js/,export.js package.json package-lock.json)
	@mkdir -p $(@D)
	@cp test/otel_js/package.json test/otel_js/package-lock.json $(@D)/
	@cd $(@D) && npm ci --silent --ignore-scripts --no-audit --no-fund || echo "npm ci has failed: the test of the OpenTelemetry exporters will be skipped" >&2
	@cp test/otel_js/export.js $@

# Two cores build at once; PG_CONFIG and ONLY reach the inner make by themselves.
PARALLEL := -j$(shell nproc)
check: packages
	@$(MAKE) $(PARALLEL) --no-print-directory check-installed
check-installed: test-root
	@$(MAKE) --no-print-directory test-binaries
	@PG_CONFIG=$(PG_CONFIG) perl test/check.pl --root=$(ROOT) --binaries=$(TEST_BINARIES) $(if $(ONLY),--only='$(ONLY)')

torture: packages
	@$(MAKE) $(PARALLEL) --no-print-directory torture-installed
torture-installed: test-root
	@$(MAKE) --no-print-directory test-binaries
	@PG_CONFIG=$(PG_CONFIG) perl test/check.pl --root=$(ROOT) --binaries=$(TEST_BINARIES) --torture $(if $(ONLY),--only='$(ONLY)')

bench: packages
	@$(MAKE) $(PARALLEL) --no-print-directory bench-installed
bench-installed: test-root $(BUILD)/kubesim $(BENCH_SOURCES:test/bench/%.cpp=$(BUILD)/bench_%)
	@PG_CONFIG=$(PG_CONFIG) perl test/check.pl --root=$(ROOT) --binaries=$(TEST_BINARIES) --bench $(if $(ONLY),--only='$(ONLY)')

# A server below valgrind: some minutes.
valgrind:
	@PG_CONFIG=$(PG_CONFIG) test/packages.sh valgrind
	@$(MAKE) $(PARALLEL) --no-print-directory valgrind-installed
valgrind-installed: test-root $(BUILD)/kubesim
	@PG_CONFIG=$(PG_CONFIG) perl test/check.pl --root=$(ROOT) --valgrind

# Quiet but for what the demo itself says.
demo: packages
	@echo "Building DBNet and the simulator, some minutes the first time"
	@$(MAKE) $(PARALLEL) -s --no-print-directory demo-installed
demo-installed: test-root $(BUILD)/kubesim
	@PG_CONFIG=$(PG_CONFIG) perl test/check.pl --root=$(ROOT) --demo

# What a fuzzer finds worth keeping goes from build/libfuzzer/NAME.corpus to test/fuzz/corpus by hand: small and named.
SECONDS_EACH ?= 60
FUZZED = $(shell printf 'fuzz/%s\n' $(FUZZ_NAMES) | grep -E '$(ONLY)' | cut -d/ -f2)
fuzz:
	@PG_CONFIG=$(PG_CONFIG) test/packages.sh clang libclang-rt-dev
	@$(MAKE) $(PARALLEL) --no-print-directory LIBFUZZER=1 CXX=clang++ $(FUZZED:%=$(BUILD)/libfuzzer/%)
	@cd $(BUILD)/libfuzzer && for name in $(FUZZED); do mkdir -p $$name.corpus && \
	    ./$$name -max_total_time=$(SECONDS_EACH) -print_final_stats=1 $$name.corpus $(CURDIR)/test/fuzz/corpus/$$name || exit 1; done
