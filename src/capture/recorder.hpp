// Who records what became of every row (provenance), for capture to tell: of changes of mirrors, the device reports'
// own included, and of a commit. Set by that layer; capture knows nothing of its tables. Runs in backends.
#pragma once

#include "pg/compat.hpp"

#include <cstdint>

extern "C" {
#include "commands/trigger.h"
}

namespace dbnet::capture {

// Numbers of what was recorded of a row, as the running transaction counts; 0: nothing.
struct RowVersions {
    std::uint32_t written = 0; // of the key that was inserted or changed
    std::uint32_t deleted = 0; // of the key that is no more: of a deleted row, or the old key of a renamed one
};

struct Recorder {
    // For every row of a mirror that was inserted, changed or deleted. Outside pg::call; may throw.
    RowVersions (*row)(Oid mirror, const TriggerData &fired) = nullptr;
    // At the end of the transaction (PRE_COMMIT, PRE_PREPARE), whether a mirror changed or not, before its messages are
    // written; and again after a row that is changed later still. Returns the event id of the transaction; 0: nothing
    // is recorded. Outside pg::call; may throw.
    std::int64_t (*flush)() = nullptr;
    // What the number of a version has become by the last flush: it is added to the transaction's event id; 0: nothing.
    std::uint32_t (*final_number)(std::uint32_t number) noexcept = nullptr;
};

// Called once per process, by _PG_init.
void set_recorder(const Recorder &recorder) noexcept;

// For capture's own trigger: has the row recorded, if there is a recorder. Throws what that throws.
RowVersions record_row(Oid mirror, const TriggerData &fired);

} // namespace dbnet::capture
