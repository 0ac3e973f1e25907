// What refuses a user's write to a mirror before it is noted. The mirrors' own code sets it: capture knows rows, not
// what the values in them mean. Runs in backends.
#pragma once

#include "pg/compat.hpp"

extern "C" {
#include "commands/trigger.h"
}

namespace dbnet::capture {

// Called, outside pg::call, for every row that was inserted or changed by anybody but a device report or replication.
// Throws pg::error to refuse it.
using RowCheck = void (*)(Oid mirror, const TriggerData &fired);

// Called once per process, by _PG_init.
void set_row_check(RowCheck check) noexcept;

} // namespace dbnet::capture
