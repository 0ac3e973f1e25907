// Leaves a tombstone for a deleted row of a mirror: what tells "the user deleted it" from "the row is not there".
// Runs in backends, at trigger time.
#pragma once

#include "pg/compat.hpp"

namespace dbnet::capture {

// Inserts into dbnet.tombstone as `owner`, the extension's owner, in the running transaction, also of a row whose
// object is known to be gone: when the row is inserted again a worker must know, be it the next one. Throws pg_error.
void leave_tombstone(Oid owner, Oid relation, std::string_view name_space, std::string_view name);

} // namespace dbnet::capture
