// What the policy worker and the processes that run actions of policies say to each other. A request is the id of an
// event, its answer one word.
#pragma once

#include "pg/guard.hpp"

#include <string>
#include <string_view>

namespace dbnet::bgworker {

inline constexpr const char *action_process_type = "dbnet policy action";

inline constexpr std::string_view action_is_over = "over";     // done, or its failure is on record
inline constexpr std::string_view action_is_locked = "locked"; // somebody else has the event

// In a transaction of its own: one attempt more, and whether there is to be another. Nothing, when it was done.
void note_action_failure(int64 event, const std::string &message);

} // namespace dbnet::bgworker
