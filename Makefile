# DBNet: one PostgreSQL extension, one C++ shared library, built with PGXS.
#
#   make, make install, make installcheck   as PGXS users expect (PG_CONFIG=… chooses the server)
#   make check       installs what it needs, builds, runs every test on clusters of its own     (ONLY=regex: a part)
#   make bench       measures; make torture: what takes longer than a check should
#   make deb         the Debian package, into build/
#   make fuzz        libFuzzer (clang++) on every parser, SECONDS_EACH=60
#   make valgrind    a server below valgrind
#   make format, make lint
#
# `make check` and its kin work before any package is there: they call test/packages.sh first.

PG_CONFIG ?= pg_config
# Not VERSION: that is PostgreSQL's own in PGXS.
DBNET_VERSION := 0.1

EXTENSION = dbnet
MODULE_big = dbnet
SOURCES := $(sort $(shell find src bgworker -name "*.cpp"))
# Pure sources say so themselves: they end with pg/no_postgres.hpp. Unit tests and fuzz targets link them without a server.
PURE_SOURCES := $(shell grep -l 'pg/no_postgres.hpp' $(SOURCES) /dev/null)
SERVER_SOURCES := $(filter-out $(PURE_SOURCES) src/dbnet.cpp,$(SOURCES))
# The files of a folder are compiled as one (see src/unity.sh): their file-local names must differ.
PURE_GROUPS := $(shell src/unity.sh build/unity/pure $(PURE_SOURCES))
LIBRARY_OBJECTS := $(patsubst %.cpp,%.o,$(PURE_GROUPS) $(shell src/unity.sh build/unity/server $(SERVER_SOURCES)))
OBJS = src/dbnet.o $(LIBRARY_OBJECTS)
DATA_built = dbnet--$(DBNET_VERSION).sql
DATA = $(wildcard sql/dbnet--*--*.sql)
DOCS = README.md $(wildcard docs/*.md)

REGRESS = $(sort $(notdir $(basename $(wildcard test/sql/*.sql))))
REGRESS_OPTS = --inputdir=test --load-extension=dbnet
EXTRA_CLEAN = dbnet--$(DBNET_VERSION).sql $(OBJS:.o=.d) results regression.diffs regression.out

PG_CPPFLAGS = -Isrc -I. -isystem $(shell $(PG_CONFIG) --includedir-server 2>/dev/null) -DDBNET_VERSION='"$(DBNET_VERSION)"'
# PostgreSQL 16 and later ask for the last of these by themselves. Warnings are errors for us (.ci/run), not for who builds with another compiler.
WARNINGS = -Wall -Wextra -Wshadow=compatible-local $(WERROR)
# Line tables and no more, whatever PostgreSQL was built with: enough for a backtrace, a quarter less time to compile.
# Without stubs before PostgreSQL's functions, which a commit finds in no cache: being on record costs it 3 % less.
PG_CXXFLAGS = -std=c++20 -g1 -fno-plt $(WARNINGS) -Wno-register -fvisibility=hidden -fvisibility-inlines-hidden -MMD -MP
SHLIB_LINK = -lcrypto -lcurl -lmicrohttpd -lgnutls -lyaml-cpp -lsimdjson -ldeflate -lzstd -lstdc++
# The bitcode rule of PGXS ignores PG_CXXFLAGS, and inlining across an extension's functions gains DBNet nothing.
override with_llvm = no

# The standard library and JSON are parsed once and not once per file: $(PRECOMPILED) makes the compiler look for
# precompiled.hpp.gch beside the objects first, and take src/precompiled.hpp itself when there is none that fits its flags.
PRECOMPILED = -iquote $(1) -include precompiled.hpp -fpch-preprocess
export CCACHE_SLOPPINESS ?= pch_defines,time_macros

# A second library with test-only functions; it carries its own copy of DBNet's objects, without _PG_init.
TEST_LIBRARY_SOURCES := $(sort $(wildcard test/src/*.cpp))
TEST_LIBRARY_OBJECTS := $(patsubst %.cpp,%.o,$(shell src/unity.sh build/unity/test_library $(TEST_LIBRARY_SOURCES)))
EXTRA_CLEAN += build

# PGXS has a `check` of its own that only refuses, so goals about testing read test/tests.mk in its place.
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
TEST_GOALS := check torture bench demo fuzz valgrind packages test-root test-binaries check-% valgrind-% torture-% bench-% demo-% build/unit build/fuzz_replay build/kubesim build/bench_% build/libfuzzer/% build/otel_js/%
ifneq ($(filter $(TEST_GOALS),$(MAKECMDGOALS)),)
include test/tests.mk
else ifneq ($(wildcard $(PGXS)),)
include $(PGXS)
else
all install installcheck:
	@echo "No PGXS found by '$(PG_CONFIG)': install postgresql-server-dev-15 or give PG_CONFIG=/path/to/pg_config." >&2; exit 1
endif

-include $(OBJS:.o=.d) $(TEST_LIBRARY_OBJECTS:.o=.d)

$(OBJS) $(TEST_LIBRARY_OBJECTS): build/library/precompiled.hpp.gch
$(OBJS) $(TEST_LIBRARY_OBJECTS): override CXXFLAGS += $(call PRECOMPILED,build/library)
build/library/precompiled.hpp.gch: src/precompiled.hpp
	@mkdir -p $(@D)
	$(COMPILE.cc) -x c++-header $< -o $@

build/dbnet_test.so: $(TEST_LIBRARY_OBJECTS) $(LIBRARY_OBJECTS)
	@mkdir -p $(@D)
	$(CXX) -shared $^ $(SHLIB_LINK) -o $@

dbnet--$(DBNET_VERSION).sql: $(sort $(wildcard sql/[0-9]*.sql))
	cat $^ > $@

.PHONY: deb format lint
deb:
	@PG_CONFIG=$(PG_CONFIG) debian/build
FORMATTED = $(shell git ls-files '*.cpp' '*.hpp')
format:
	clang-format -i $(FORMATTED)
lint:
	clang-format --dry-run -Werror $(FORMATTED)
	perl test/lint.pl
