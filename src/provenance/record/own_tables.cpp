// DBNet's tables by name (see own_tables.hpp). Backends.
#include "provenance/record/own_tables.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace dbnet::provenance {
namespace {

constexpr const char *table_names[] = {"tracked_relation", "tracked_function", "session", "code",
                                       "digest_key",       "used_version"};
static_assert(std::size(table_names) == static_cast<size_t>(OwnTable::count));
constexpr const char *event_table_names[] = {"activity", "entity_version"};

Oid known[static_cast<size_t>(OwnTable::count)];
bool is_current[static_cast<size_t>(OwnTable::count)]; // nothing has been renamed, made or dropped since
uint64 table_changes = 0;                              // that invalidations have told of

// Where the last events went: nearly always where the next ones go.
constexpr int nowhere = -1;
struct Partition {
    int place = nowhere;
    Oid table = InvalidOid;
};
Partition last_partition[std::size(event_table_names)];

extern "C" void dbnet_own_tables_changed(Datum, int, uint32) {
    ++table_changes;
    for (bool &one : is_current)
        one = false;
    for (Partition &partition : last_partition)
        partition.place = nowhere;
}

} // namespace

Oid own_schema() {
    return get_namespace_oid("dbnet", true);
}

Oid own_table(OwnTable table) {
    const auto place = static_cast<size_t>(table);
    if (is_current[place])
        return known[place];
    const uint64 before = table_changes;
    const Oid schema = own_schema();
    known[place] = OidIsValid(schema) ? get_relname_relid(table_names[place], schema) : InvalidOid;
    is_current[place] = OidIsValid(known[place]) && table_changes == before;
    return known[place];
}

Oid own_table_if_known(OwnTable table) noexcept {
    return known[static_cast<size_t>(table)];
}

Oid partition_of(EventTable table, EventId event) {
    Partition &last = last_partition[static_cast<size_t>(table)];
    const int place = ring_place(event);
    if (last.place == place)
        return last.table;
    const uint64 before = table_changes;
    const Oid schema = own_schema();
    if (!OidIsValid(schema))
        return InvalidOid;
    char name[NAMEDATALEN];
    const char *table_name = event_table_names[static_cast<size_t>(table)];
    const size_t length = strlen(table_name);
    memcpy(name, table_name, length);
    name[length] = '_';
    name[length + 1] = static_cast<char>('0' + place / 10);
    name[length + 2] = static_cast<char>('0' + place % 10);
    name[length + 3] = '\0';
    last.table = get_relname_relid(name, schema);
    last.place = OidIsValid(last.table) && table_changes == before ? place : nowhere;
    return last.table;
}

void watch_own_tables() {
    CacheRegisterSyscacheCallback(RELNAMENSP, dbnet_own_tables_changed, Datum{0});
    CacheRegisterSyscacheCallback(NAMESPACENAME, dbnet_own_tables_changed, Datum{0});
}

} // namespace dbnet::provenance
