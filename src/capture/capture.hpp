// The change feed's backend side: remembers which rows of which mirrors the running transaction changed and writes
// them to the WAL when it commits. Runs in every backend that changes a mirror, the mirror worker's own included.
#pragma once

#include <cstdint>
#include <string_view>

namespace dbnet::capture {

// Registers the transaction callback. Called once per process, by _PG_init.
void install();

// Notes that `relation` changed (operations: see capture::Change). The change reaches the worker if and when the
// transaction commits; a change undone by ROLLBACK TO SAVEPOINT may be reported all the same, which is harmless: the
// worker acts on what the row says. Without shared memory (dbnet not preloaded) nothing is noted and the session is
// warned once: the compare at the worker's start will find the change.
// To be called from C++ frames, never inside pg::call. Throws pg_error and std::bad_alloc.
void record_change(std::uint32_t relation, char operation, std::string_view name_space = {},
                   std::string_view name = {});

} // namespace dbnet::capture
