// DDL on what is tracked, and TRUNCATE, by PostgreSQL's hook on accesses to objects. Backends.
#pragma once

namespace dbnet::provenance {

// Called once per process.
void install_ddl_hooks();

} // namespace dbnet::provenance
