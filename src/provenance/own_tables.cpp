// DBNet's tables by name (see own_tables.hpp). Backends.
#include "provenance/own_tables.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "utils/lsyscache.h"
}

namespace dbnet::provenance {
namespace {

constexpr const char *table_names[] = {"tracked_relation", "tracked_function", "session", "code",
                                       "digest_key",       "used_version"};
static_assert(std::size(table_names) == static_cast<size_t>(OwnTable::count));
constexpr const char *ring_names[] = {"transaction", "activity", "entity_version"};

Oid known[static_cast<size_t>(OwnTable::count)];

} // namespace

Oid own_schema() {
    return get_namespace_oid("dbnet", true);
}

Oid own_table(OwnTable table) {
    const Oid schema = own_schema();
    const auto place = static_cast<size_t>(table);
    return known[place] = OidIsValid(schema) ? get_relname_relid(table_names[place], schema) : InvalidOid;
}

Oid own_table_if_known(OwnTable table) noexcept {
    return known[static_cast<size_t>(table)];
}

Oid partition_of(Ring ring, EventId event) {
    const Oid schema = own_schema();
    if (!OidIsValid(schema))
        return InvalidOid;
    char name[NAMEDATALEN];
    const int place = ring_place(event);
    const char *ring_name = ring_names[static_cast<size_t>(ring)];
    const size_t length = strlen(ring_name);
    memcpy(name, ring_name, length);
    name[length] = '_';
    name[length + 1] = static_cast<char>('0' + place / 10);
    name[length + 2] = static_cast<char>('0' + place % 10);
    name[length + 3] = '\0';
    return get_relname_relid(name, schema);
}

} // namespace dbnet::provenance
