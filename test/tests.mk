# Everything that tests and measures. The server under test is always a private copy of the PostgreSQL tree in
# build/root with the extension installed into it: the system's own PostgreSQL is read, never written.

BUILD := build
ROOT := $(CURDIR)/$(BUILD)/root

# Unit tests, fuzz targets and the pure sources below them are built with the address and undefined-behaviour sanitizers:
# make check runs them so and not otherwise. `make fuzz` builds the targets with clang++ and libFuzzer's instrumentation.
ifdef LIBFUZZER
TEST_OBJECTS := $(BUILD)/libfuzzer.objects
TEST_FLAGS := -O1 -g1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
else
TEST_OBJECTS := $(BUILD)/sanitized.objects
TEST_FLAGS := -O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
TEST_FLAGS += -Wno-subobject-linkage -Wno-maybe-uninitialized # a file of a group is taken for a header; the sanitizers confuse the other
endif
PURE_LIBRARIES := -lcurl -lmicrohttpd -lgnutls -lyaml-cpp -lsimdjson -ldeflate -lzstd -lcrypto
SANITIZED_PURE := $(PURE_GROUPS:%.cpp=$(TEST_OBJECTS)/%.o)
# What of the simulator's faults is pure is tested like the library.
UNIT_SOURCES := $(sort $(wildcard test/unit/*.cpp)) $(patsubst %,test/kubesim/%.cpp,event_faults faults http_message)
UNIT_OBJECTS := $(patsubst %.cpp,$(TEST_OBJECTS)/%.o,$(shell src/unity.sh $(BUILD)/unity/unit $(UNIT_SOURCES)))
FUZZ_SOURCES := $(sort $(wildcard test/fuzz/*_fuzz.cpp))
FUZZ_NAMES := $(FUZZ_SOURCES:test/fuzz/%_fuzz.cpp=%)
REPLAY_OBJECTS := $(patsubst %.cpp,$(TEST_OBJECTS)/%.o,$(shell src/unity.sh $(BUILD)/unity/fuzz $(FUZZ_SOURCES)) test/fuzz/replay_main.cpp)
KUBESIM_BUILD := $(BUILD)/kubesim.objects
KUBESIM_OBJECTS := $(patsubst %.cpp,$(KUBESIM_BUILD)/%.o,$(shell src/unity.sh $(BUILD)/unity/kubesim $(sort $(wildcard test/kubesim/*.cpp))))
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
$(TEST_OBJECTS)/test/fuzz/replay_main.o: private TEST_FLAGS += -DDBNET_FUZZ_TARGETS='$(foreach name,$(FUZZ_NAMES),TARGET($(name)))'
$(TEST_OBJECTS)/test/fuzz/replay_main.o: $(FUZZ_SOURCES) # their names
$(BUILD)/unit: $(UNIT_OBJECTS) $(SANITIZED_PURE)
	$(CXX) $(TEST_FLAGS) $^ -lgtest -lgtest_main -lprotobuf $(PURE_LIBRARIES) -lssl -lpthread -o $@
$(BUILD)/fuzz_replay: $(REPLAY_OBJECTS) $(SANITIZED_PURE)
	$(CXX) $(TEST_FLAGS) $^ $(PURE_LIBRARIES) -o $@
$(BUILD)/libfuzzer/%: $(TEST_OBJECTS)/test/fuzz/%_fuzz.o $(SANITIZED_PURE)
	@mkdir -p $(@D)
	$(CXX) $(TEST_FLAGS) -fsanitize=fuzzer $^ $(PURE_LIBRARIES) -o $@
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
$(BUILD)/bench_telemetry: test/bench/telemetry.cpp $(PURE_GROUPS:.cpp=.o)
	@mkdir -p $(@D)
	$(PLAIN_CXX) -O2 -g -MF $@.d $^ $(PURE_LIBRARIES) -o $@
-include $(patsubst %.o,%.d,$(UNIT_OBJECTS) $(REPLAY_OBJECTS) $(SANITIZED_PURE) $(KUBESIM_OBJECTS))

.SECONDARY: $(FUZZ_SOURCES:%.cpp=$(TEST_OBJECTS)/%.o)

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

test-binaries: $(BUILD)/unit $(BUILD)/fuzz_replay $(BUILD)/kubesim $(BUILD)/otel_js/export.js

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
	@PG_CONFIG=$(PG_CONFIG) perl test/check.pl --root=$(ROOT) $(if $(ONLY),--only='$(ONLY)')

torture: packages
	@$(MAKE) $(PARALLEL) --no-print-directory torture-installed
torture-installed: test-root
	@$(MAKE) --no-print-directory test-binaries
	@PG_CONFIG=$(PG_CONFIG) perl test/check.pl --root=$(ROOT) --torture $(if $(ONLY),--only='$(ONLY)')

bench: packages
	@$(MAKE) $(PARALLEL) --no-print-directory bench-installed
bench-installed: test-root $(BUILD)/kubesim $(BENCH_SOURCES:test/bench/%.cpp=$(BUILD)/bench_%)
	@PG_CONFIG=$(PG_CONFIG) perl test/check.pl --root=$(ROOT) --bench $(if $(ONLY),--only='$(ONLY)')

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
