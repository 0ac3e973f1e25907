// What provenance could not record, and what becomes of it: dbnet.provenance_on_error decides between a WARNING, with a
// count, and an error, which ends the transaction. Backends.
#pragma once

#include "pg/guard.hpp"
#include "settings.hpp"

namespace dbnet::provenance {

// Counts, and warns the client: `what` was not recorded because of `message`.
void count_failure(const char *what, const std::string &message);

// Failures since the server's start, in all databases.
uint64 failure_count() noexcept;

// For hooks: runs f, which records `what`. Our own errors become a WARNING, or an ERROR; PostgreSQL's pass through, for
// only the end of the (sub)transaction could mend what they leave.
template<class F> void or_warn(const char *what, F f) {
    const MemoryContext memory = CurrentMemoryContext;
    pg::enter([what, f, memory] {
        try {
            f();
        } catch (const pg::error &error) {
            MemoryContextSwitchTo(memory);
            if (settings::provenance_on_error == settings::OnError::error)
                throw;
            count_failure(what, error.what());
        }
    });
}

} // namespace dbnet::provenance
