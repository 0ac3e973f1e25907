// Implementation of table_lock.hpp. Mirror worker.
#include "mirror/store/table_lock.hpp"

#include "pg/spi.hpp"

extern "C" {
#include "storage/lmgr.h"
}

namespace dbnet::mirror {

namespace {

const pg::Statement select_owner{"SELECT relowner FROM pg_catalog.pg_class WHERE oid = $1"};
const pg::Statement select_not_null{"SELECT attname FROM pg_catalog.pg_attribute"
                                    " WHERE attrelid = $1 AND attnum > 0 AND attnotnull AND NOT attisdropped"};

} // namespace

void lock_table(const Mirror &mirror, bool for_writing) {
    pg::call([&] { LockRelationOid(mirror.relation, for_writing ? RowExclusiveLock : AccessShareLock); });
    const pg::Result owner = pg::execute(select_owner, Oid{mirror.relation});
    if (owner.rows() != 1 || owner.oid(0, 0) != mirror.owner ||
        pg::qualified_name(mirror.relation) != mirror.qualified_name)
        throw ConfigurationChanged("owner or name of " + mirror.qualified_name + " changed");
}

std::set<std::string> not_null_columns(const Mirror &mirror) {
    const pg::Result found = pg::execute(select_not_null, Oid{mirror.relation});
    std::set<std::string> columns;
    for (size_t row = 0; row < found.rows(); row++)
        columns.emplace(found.text(row, 0));
    return columns;
}

} // namespace dbnet::mirror
