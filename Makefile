# DBNet: one PostgreSQL extension, one C++ shared library, built with PGXS.
#
#   make, make install, make installcheck   as PGXS users expect (PG_CONFIG=… chooses the server)
#   make check       installs what it needs, builds, runs every test on clusters of its own     (ONLY=regex: a part)
#   make bench       measures; make torture: what takes longer than a check should
#   make fuzz        libFuzzer on every parser (SECONDS_EACH=60)
#   make format, make lint
#
# `make check` and its kin work before any package is there: they call test/packages.sh first.

PG_CONFIG ?= pg_config
VERSION := 0.1

EXTENSION = dbnet
MODULE_big = dbnet
SOURCES := $(sort $(shell find src bgworker -name '*.cpp'))
OBJS = $(SOURCES:.cpp=.o)
DATA_built = dbnet--$(VERSION).sql
DATA = $(wildcard sql/dbnet--*--*.sql)
DOCS = README.md

REGRESS = $(sort $(notdir $(basename $(wildcard test/sql/*.sql))))
REGRESS_OPTS = --inputdir=test --load-extension=dbnet
EXTRA_CLEAN = dbnet--$(VERSION).sql $(SOURCES:.cpp=.d) results regression.diffs regression.out

PG_CPPFLAGS = -I$(CURDIR)/src -I$(CURDIR) -isystem $(shell $(PG_CONFIG) --includedir-server 2>/dev/null) -DDBNET_VERSION='"$(VERSION)"'
WARNINGS = -Wall -Wextra -Werror
PG_CXXFLAGS = -std=c++20 $(WARNINGS) -Wno-register -fvisibility=hidden -fvisibility-inlines-hidden -MMD -MP
SHLIB_LINK = -lcurl -lyaml-cpp -lstdc++
# The bitcode rule of PGXS ignores PG_CXXFLAGS, and inlining across an extension's functions gains DBNet nothing.
override with_llvm = no

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(wildcard $(PGXS)),)
include $(PGXS)
else
all install installcheck:
	@echo "No PGXS found by '$(PG_CONFIG)': install postgresql-server-dev-15 or give PG_CONFIG=/path/to/pg_config." >&2; exit 1
endif

-include $(SOURCES:.cpp=.d)

dbnet--$(VERSION).sql: $(sort $(wildcard sql/[0-9]*.sql))
	cat $^ > $@

include test/tests.mk

.PHONY: format lint
FORMATTED = $(shell git ls-files '*.cpp' '*.hpp')
format:
	clang-format -i $(FORMATTED)
lint:
	clang-format --dry-run -Werror $(FORMATTED)
	perl test/lint.pl
