// Which row made PostgreSQL's foreign key run a statement. Its triggers are PostgreSQL's own, which no hook sees; but
// the statement names the constraint's columns, and its parameters are the parent row's key. Backends.
#pragma once

#include "provenance/hooks/frame.hpp"

extern "C" {
#include "executor/execdesc.h"
}

namespace dbnet::provenance {

// Sets the frame's foreign_key, and started_by when the parent table is tracked by the referenced columns. May longjmp.
void find_parent_row(Frame *frame, const QueryDesc *query);

} // namespace dbnet::provenance
