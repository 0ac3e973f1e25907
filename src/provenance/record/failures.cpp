// Failures (see failures.hpp). Backends.
#include "provenance/record/failures.hpp"

#include "pg/shared_memory.hpp"

namespace dbnet::provenance {

void count_failure(const char *what, const std::string &message) {
    if (pg::Shared *memory = pg::shared(); memory != nullptr)
        pg_atomic_fetch_add_u64(&memory->provenance_failures, 1);
    pg::warning(
        ERRCODE_WARNING, std::string("provenance of ") + what + " was not recorded: " + message,
        "The change itself is not affected. dbnet.gaps() tells what is not on record; with dbnet.provenance_on_error = "
        "error such transactions fail.");
}

uint64 failure_count() noexcept {
    pg::Shared *memory = pg::shared();
    return memory != nullptr ? pg_atomic_read_u64(&memory->provenance_failures) : 0;
}

} // namespace dbnet::provenance
