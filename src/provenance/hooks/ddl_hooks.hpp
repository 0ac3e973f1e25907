// DDL on what is tracked, and TRUNCATE, by PostgreSQL's hook on accesses to objects. Backends.
#pragma once

#include "provenance/hooks/frame.hpp"

namespace dbnet::provenance {

// The frame's statement is DDL that goes on record, with what it has done to what. May longjmp.
void keep_ddl(Frame *frame, const char *done, const char *what);

// Called once per process.
void install_ddl_hooks();

} // namespace dbnet::provenance
