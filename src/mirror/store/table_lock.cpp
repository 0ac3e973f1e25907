// Implementation of table_lock.hpp. Mirror worker.
#include "mirror/store/table_lock.hpp"

#include "pg/spi.hpp"

extern "C" {
#include "storage/lmgr.h"
}

namespace dbnet::mirror {

namespace {

const pg::Statement select_owner{"SELECT relowner FROM pg_catalog.pg_class WHERE oid = $1"};

} // namespace

void lock_table(const Mirror &mirror, bool for_writing) {
    pg::call([&] { LockRelationOid(mirror.relation, for_writing ? RowExclusiveLock : AccessShareLock); });
    const pg::Result owner = pg::execute(select_owner, Oid{mirror.relation});
    if (owner.rows() != 1 || owner.oid(0, 0) != mirror.owner ||
        pg::qualified_name(mirror.relation) != mirror.qualified_name)
        throw ConfigurationChanged("owner or name of " + mirror.qualified_name + " changed");
}

} // namespace dbnet::mirror
