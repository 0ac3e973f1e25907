// Refuses values of a user's write that the API server would refuse or silently change, at once and not after the
// commit. Runs in backends.
#pragma once

#include "capture/row_check.hpp"

namespace dbnet::mirror {

// A capture::RowCheck. Throws pg::error 23514 naming column, field and what it takes. Columns of types that are not
// PostgreSQL's plain ones are left to the mirror worker, which shows the same in phase invalid.
void check_written_row(Oid mirror, const TriggerData &fired);

} // namespace dbnet::mirror
