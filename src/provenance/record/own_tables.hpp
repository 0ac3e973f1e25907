// The tables of sql/08_provenance.sql, found by name: whoever drops and creates the extension has others. Backends;
// inside pg::call, may longjmp.
#pragma once

#include "provenance/record/event_id.hpp"

#include "pg/compat.hpp"

namespace dbnet::provenance {

enum class OwnTable : uint8 { tracked_relation, tracked_function, session, code, digest_key, used_version, count };
enum class EventTable : uint8 { activity, entity_version };

inline constexpr AttrNumber column_id = 1; // of both, of session, code and used_version

// InvalidOid: there is no such schema.
Oid own_schema();
// InvalidOid: the extension is not there.
Oid own_table(OwnTable table);
// The partition that holds an event.
Oid partition_of(EventTable table, EventId event);

// Called once per process, when the hooks are installed.
void watch_own_tables();

// As last found; InvalidOid: not yet. For callbacks of cache invalidation, which must not look anything up.
Oid own_table_if_known(OwnTable table) noexcept;

} // namespace dbnet::provenance
