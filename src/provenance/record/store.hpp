// Writes the records of a transaction into DBNet's tables: straight into heap and indexes, since a plan would cost more
// than the rest of a small transaction. Backends; at PRE_COMMIT or PRE_PREPARE, inside pg::call, may longjmp.
#pragma once

#include "provenance/record/recorder.hpp"

namespace dbnet::provenance {

// `count`: events of the transaction, which have their ids. Throws pg::error, with nothing written, when a table of
// ours is not fit to be written; errors of PostgreSQL (no space, no memory) end the transaction.
void store(EventId transaction, uint32 count);

// The transaction has ended: what it wrote besides (session, sources) counts as written if it committed. Does not
// raise.
void store_ended(bool is_committed) noexcept;

} // namespace dbnet::provenance
