// Ids for events that are about to be recorded: one clock for all processes of the server, in shared memory.
#pragma once

#include "provenance/record/event_id.hpp"

namespace dbnet::provenance {

// The first of `count` ids that nobody else has and that follow every id given before. The first call after a start of
// the server reads the newest id on record, so that ids go on in order although the machine's clock was set back.
// 0: DBNet is not preloaded. The running transaction has a transaction id afterwards, which it got before. To be called
// inside a transaction, from C++ frames. Throws pg::pg_error.
EventId take_events(std::uint32_t count);

// The lowest id that can still be taken by anybody; 0: DBNet is not preloaded. As take_events().
EventId next_event();

// The lowest id of events of this moment, by the machine's clock alone.
EventId event_now() noexcept;

// The newest tick of ids that were taken since the start of the server, or on record before; 0: none is known.
std::uint64_t newest_tick() noexcept;

} // namespace dbnet::provenance
