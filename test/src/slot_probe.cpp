// Test-only SQL functions about the slots of workers: what no view shows, and slots that are all taken. Backends.
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

// dbnet_test_fill_slots(boolean): takes all free slots for databases that do not exist, or gives them back; how many.
DBNET_FUNCTION(dbnet_test_fill_slots) {
    using namespace dbnet;
    constexpr Oid first_invented = 4000000000;
    const bool fill = PG_GETARG_BOOL(0);
    pg::Shared &memory = pg::require_shared();
    int32 count = 0;
    pg::with_shared_lock(memory, [&] {
        for (Oid number = 0; number < pg::Shared::slot_count; ++number) {
            if (fill) {
                count += pg::find_or_take_slot(memory, first_invented + number, pg::WorkerKind::mirror) != nullptr;
            } else if (pg::WorkerSlot *slot = pg::find_slot(first_invented + number, pg::WorkerKind::mirror)) {
                pg::free_slot(*slot);
                ++count;
            }
        }
    });
    PG_RETURN_INT32(count);
}

// dbnet_test_has_slot(oid): whether a mirror worker of that database has a slot.
DBNET_FUNCTION(dbnet_test_has_slot) {
    using namespace dbnet;
    const Oid database = PG_GETARG_OID(0);
    bool has_slot = false;
    pg::Shared &memory = pg::require_shared();
    pg::with_shared_lock(memory, [&] { has_slot = pg::find_slot(database, pg::WorkerKind::mirror) != nullptr; });
    PG_RETURN_BOOL(has_slot);
}
