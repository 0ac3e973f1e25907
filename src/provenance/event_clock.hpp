// Ids for events that are about to be recorded: one clock for all processes of the server, in shared memory.
#pragma once

#include "provenance/event_id.hpp"

namespace dbnet::provenance {

// The first of `count` ids that nobody else has and that follow every id given before. The first call after a start of
// the server reads the newest id on record, so that ids go on in order although the machine's clock was set back.
// 0: DBNet is not preloaded. To be called inside a transaction, from C++ frames. Throws pg::pg_error.
EventId take_events(std::uint32_t count);

} // namespace dbnet::provenance
