// Statements, by PostgreSQL's hooks around the executor and around what has no plan (COPY, CALL, DDL …). Backends.
#pragma once

namespace dbnet::provenance {

// Called once per process.
void install_statement_hooks();

} // namespace dbnet::provenance
