// Test-only SQL function that shows what no view does of the mirror worker's slot. Backends.
#include "pg/shared_memory.hpp"

// dbnet_test_configuration(): how often servers, user mappings or foreign-data wrappers of this database have changed.
DBNET_FUNCTION(dbnet_test_configuration) {
    using namespace dbnet;
    pg::require_shared();
    pg::WorkerSlot *slot = pg::find_slot(MyDatabaseId, pg::WorkerKind::mirror);
    if (slot == nullptr)
        PG_RETURN_NULL();
    PG_RETURN_INT64(static_cast<int64>(pg_atomic_read_u64(&slot->configuration)));
}
