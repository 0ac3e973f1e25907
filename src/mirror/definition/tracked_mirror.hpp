// Mirrors in dbnet.tracked_relation: what becomes of their rows is on record without anybody asking. With the
// extension's rights, inside as_extension(). Runs in backends.
#pragma once

#include "mirror/definition/column_map.hpp"
#include "pg/guard.hpp"

namespace dbnet::mirror {

// The mirror, as configured, has its rows tracked by these columns from now on. A mirror that is made anew, also of
// another table of the same name, goes on under the number that it had.
void track_mirror(Oid relation, const ColumnMap &map);
// Not any more; what is on record stays.
void untrack_mirror(Oid relation);
// Inside an event trigger of kind sql_drop: tables that are tracked and have been dropped.
void forget_dropped_tables();

} // namespace dbnet::mirror
