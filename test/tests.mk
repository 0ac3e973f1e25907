# Everything that tests and measures. The server under test is always a private copy of the PostgreSQL tree in
# build/root with the extension installed into it: the system's own PostgreSQL is read, never written.

BUILD := build
ROOT := $(CURDIR)/$(BUILD)/root

# Pure sources say so themselves: they end with pg/no_postgres.hpp. Unit tests and the replay of fuzz corpora link the
# very objects of the extension; with SANITIZE=1 they are built once more with the address and undefined-behaviour sanitizers.
PURE_SOURCES := $(shell grep -l 'pg/no_postgres.hpp' $(SOURCES) 2>/dev/null)
ifdef SANITIZE
TEST_OBJECTS := $(BUILD)/sanitized
TEST_FLAGS := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
PURE_OBJECTS := $(PURE_SOURCES:%.cpp=$(TEST_OBJECTS)/%.o)
else
TEST_OBJECTS := $(BUILD)/objects
TEST_FLAGS := -O0 -g
PURE_OBJECTS := $(PURE_SOURCES:.cpp=.o)
endif
UNIT_SOURCES := $(sort $(wildcard test/unit/*.cpp))
UNIT_OBJECTS := $(UNIT_SOURCES:%.cpp=$(TEST_OBJECTS)/%.o)
FUZZ_NAMES := $(patsubst test/fuzz/%_fuzz.cpp,%,$(sort $(wildcard test/fuzz/*_fuzz.cpp)))
KUBESIM_SOURCES := $(sort $(wildcard test/kubesim/*.cpp))
KUBESIM_OBJECTS := $(KUBESIM_SOURCES:%.cpp=$(BUILD)/kubesim.objects/%.o)
KUBESIM_LIBRARIES := -lssl -lcrypto -lyaml-cpp -lpthread
BENCH_SOURCES := $(sort $(wildcard test/bench/*.cpp))

PLAIN_CXX = $(CXX) -std=c++20 $(WARNINGS) -MMD -MP -Isrc -I. -DDBNET_VERSION='"$(DBNET_VERSION)"'

# The extension's objects come from PGXS (test-root), never from make's own rule.
%.o: %.cpp
$(TEST_OBJECTS)/%.o: %.cpp
	@mkdir -p $(@D)
	$(PLAIN_CXX) $(TEST_FLAGS) -DDBNET_TEST_DATA='"$(CURDIR)/test"' -c $< -o $@
$(BUILD)/unit: $(UNIT_OBJECTS) $(PURE_OBJECTS)
	$(CXX) $(TEST_FLAGS) $^ -lgtest -lgtest_main -lcurl -lyaml-cpp -lssl -lcrypto -lpthread -o $@
$(BUILD)/fuzz/%_replay: $(TEST_OBJECTS)/test/fuzz/%_fuzz.o $(TEST_OBJECTS)/test/fuzz/replay_main.o $(PURE_OBJECTS)
	@mkdir -p $(@D)
	$(CXX) $(TEST_FLAGS) $^ -lcurl -lyaml-cpp -o $@
$(BUILD)/kubesim.objects/%.o: %.cpp
	@mkdir -p $(@D)
	$(PLAIN_CXX) -O1 -g -c $< -o $@
$(BUILD)/kubesim: $(KUBESIM_OBJECTS)
	$(CXX) $^ $(KUBESIM_LIBRARIES) -o $@
$(BUILD)/bench_%: test/bench/%.cpp
	@mkdir -p $(@D)
	$(PLAIN_CXX) -O2 -g -MF $@.d $< -lcurl -lpq -lpthread -I$(shell $(PG_CONFIG) --includedir) -o $@
-include $(UNIT_OBJECTS:.o=.d) $(KUBESIM_OBJECTS:.o=.d)

.PHONY: test-root test-binaries check check-installed torture torture-installed bench bench-installed fuzz packages
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

test-binaries: $(BUILD)/unit $(FUZZ_NAMES:%=$(BUILD)/fuzz/%_replay) $(BUILD)/kubesim

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

SECONDS_EACH ?= 60
fuzz:
	@mkdir -p $(BUILD)/libfuzzer
	@for name in $(FUZZ_NAMES); do mkdir -p $(BUILD)/libfuzzer/$$name.corpus && \
	    clang++ -std=c++20 -Isrc -I. -DDBNET_VERSION='"$(DBNET_VERSION)"' -O1 -g -fsanitize=fuzzer,address,undefined test/fuzz/$${name}_fuzz.cpp $(PURE_SOURCES) \
	        -lcurl -lyaml-cpp -o $(BUILD)/libfuzzer/$$name && \
	    $(BUILD)/libfuzzer/$$name -max_total_time=$(SECONDS_EACH) $(BUILD)/libfuzzer/$$name.corpus test/fuzz/corpus/$$name || exit 1; done
