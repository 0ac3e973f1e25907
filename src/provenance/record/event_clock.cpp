// The clock of event ids (see event_clock.hpp). Runs in backends and in the mirror worker.
#include "provenance/record/event_clock.hpp"

#include "pg/as_superuser.hpp"
#include "pg/shared_memory.hpp"

#include <algorithm>

extern "C" {
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace dbnet::provenance {
namespace {

const pg::Statement newest_recorded{"SELECT GREATEST((SELECT pg_catalog.max(id) FROM dbnet.activity),"
                                    " (SELECT pg_catalog.max(id) FROM dbnet.actuation))"};

std::uint64_t now() noexcept {
    return static_cast<std::uint64_t>(std::max<TimestampTz>(GetCurrentTimestamp(), 0));
}

// The clock is at least as late as what this database has on record. Looked up by the first process of the database
// after a start; by each that runs while the database has no worker.
void follow_records(pg::Shared &memory) {
    static bool has_followed = false;
    if (has_followed)
        return;
    pg::WorkerSlot *slot = pg::find_slot(MyDatabaseId, pg::WorkerKind::mirror);
    if (slot == nullptr || pg_atomic_read_u32(&slot->clock_follows_records) == 0) {
        pg::call([] { PushActiveSnapshot(GetTransactionSnapshot()); }); // at the commit there is none any more
        const EventId newest = pg::as_superuser([] { return pg::execute(newest_recorded).integer(0, 0); });
        pg::call([] { PopActiveSnapshot(); });
        std::uint64_t last = pg_atomic_read_u64(&memory.last_tick);
        while (last < tick_of(newest) && !pg_atomic_compare_exchange_u64(&memory.last_tick, &last, tick_of(newest))) {
        }
        if (slot != nullptr)
            pg_atomic_write_u32(&slot->clock_follows_records, 1);
    }
    has_followed = true;
}

} // namespace

EventId take_events(std::uint32_t count) {
    pg::Shared *memory = pg::shared();
    if (memory == nullptr)
        return 0;
    follow_records(*memory);
    pg::call([] { GetTopTransactionId(); }); // who has seen it end knows that none of these ids is still to come
    const std::uint64_t ticks = ticks_for(count);
    std::uint64_t last = pg_atomic_read_u64(&memory->last_tick), first = 0;
    do
        first = first_tick(last, now(), ticks);
    while (!pg_atomic_compare_exchange_u64(&memory->last_tick, &last, first + ticks - 1));
    return first_event(first);
}

EventId next_event() {
    pg::Shared *memory = pg::shared();
    if (memory == nullptr)
        return 0;
    follow_records(*memory);
    return first_event(first_tick(newest_tick(), now(), 1));
}

EventId event_now() noexcept {
    return first_event(now());
}

std::uint64_t newest_tick() noexcept {
    pg::Shared *memory = pg::shared();
    return memory == nullptr ? 0 : pg_atomic_read_u64(&memory->last_tick);
}

} // namespace dbnet::provenance
