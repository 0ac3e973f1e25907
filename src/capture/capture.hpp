// The change feed's backend side: remembers which rows of which mirrors the running transaction changed and writes
// them to the WAL when it commits. Runs in every backend that changes a mirror, the mirror worker's own included.
#pragma once

#include "capture/causes.hpp"
#include "capture/message.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace dbnet::capture {

// Registers the transaction callbacks. Called once per process, by _PG_init.
void install();

// Where a statement's changes come from is found out once: the trigger keeps the number for the statement's other rows.
inline constexpr std::uint32_t unknown_cause = UINT32_MAX;

// Notes that `relation` changed (operations: see capture::Change). The change reaches the worker if and when the
// transaction commits, unless a savepoint before it was rolled back to. Without shared memory (dbnet not preloaded) it
// reaches nobody, and the session is warned once if the mirror's server is not offline: the compare at the worker's
// start will find the change. `cause`: what an earlier call in the same statement left there; nullptr: nothing is kept.
// `event`: number of the row's new version (see recorder.hpp).
// To be called from C++ frames, never inside pg::call. Throws pg_error and std::bad_alloc.
void record_change(std::uint32_t relation, char operation, std::string_view name_space = {}, std::string_view name = {},
                   std::uint32_t *cause = nullptr, std::uint32_t event = 0);

// Notes that operation `id` on an object of the mirror was asked for: a change of it, as record_change() notes one.
void record_request(std::uint32_t relation, std::int64_t id);

// The object is one of an offline server, and none was ever seen: whoever tests a policy plays the device. To be called
// from C++ frames. Throws pg_error.
bool is_assumed(std::uint32_t relation, std::string_view name_space, std::string_view name);

// What the running transaction has changed so far, in the order of first occurrence; refers to memory that lives until
// the transaction ends.
struct Pending {
    ChangeView change;
    Cause cause; // of the newest change of the key; empty: a statement that no function ran
};
std::vector<Pending> pending_changes();

// Where an operation comes from that this transaction has asked for; empty: from a statement that no function ran.
Cause cause_of_request(std::int64_t id);

} // namespace dbnet::capture
