// Whether an object was last written by this database or by a copy of it: one that was restored from a backup, promoted
// or cloned and went its own way. Runs in the mirror worker, on a primary.
#pragma once

#include <string_view>

namespace dbnet::mirror {

// Text that is no stamp is nobody's. Throws pg_error when the history of timelines cannot be read.
bool is_own_stamp(std::string_view stamp);

// Whether the stamp names an event that ought to be on record and is not: a copy that was made of the files, and knows
// nothing of a new timeline, writes under positions that this database comes to have, too. Inside a transaction. False
// where the stamp names none, or one from before what is kept on record.
bool is_event_of_copy(std::string_view stamp);

// Whether this database came to an end after that, where a recovery to a point in time was told to stop, and went on
// from there: whoever wrote the stamp may have committed more, and sent it.
bool is_cut_after(std::string_view stamp);

} // namespace dbnet::mirror
