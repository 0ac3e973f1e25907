// Shared memory of DBNet (see shared_memory.hpp): reserved by the postmaster, used by every process.
#include "pg/shared_memory.hpp"

#include "pg/shared_counters.hpp"

#include <algorithm>
#include <csignal>

extern "C" {
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"
}

namespace dbnet::pg {
namespace {

struct SharedAndCounters : Shared {
    SharedCounters counters[slot_count]; // of the database of a mirror worker's slot
};

constexpr const char *rendezvous_name = "dbnet shared memory";
Shared *attached = nullptr;
shmem_request_hook_type previous_request = nullptr;
shmem_startup_hook_type previous_startup = nullptr;

SharedCounters &counters_of(const WorkerSlot &slot) noexcept {
    return static_cast<SharedAndCounters *>(attached)->counters[&slot - attached->slots];
}

template<class Use> void each_counter(SharedCounters &counters, Use use) noexcept {
    const auto durations = [&](SharedDurations &of) {
        for (pg_atomic_uint64 &count : of.counts)
            use(&count);
        use(&of.nanoseconds);
    };
    for (pg_atomic_uint64 &count : counters.watch_events)
        use(&count);
    durations(counters.watch_records);
    for (pg_atomic_uint64 &count : counters.events)
        use(&count);
    use(&counters.provenance_events);
    durations(counters.provenance_writes);
}

void initialize(SharedAndCounters &memory) {
    MemSet(static_cast<void *>(&memory), 0, sizeof memory);
    for (SharedCounters &counters : memory.counters)
        each_counter(counters, [](pg_atomic_uint64 *counter) { pg_atomic_init_u64(counter, 0); });
    if (!pg_strong_random(memory.cookie, sizeof memory.cookie))
        ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("DBNet could not generate random bytes")));
    LWLockInitialize(&memory.lock, LWLockNewTrancheId());
    ConditionVariableInit(&memory.changed);
    pg_atomic_init_u64(&memory.rescan, 1);
    pg_atomic_init_u64(&memory.overflow, 0);
    pg_atomic_init_u64(&memory.last_tick, 0);
    pg_atomic_init_u64(&memory.provenance_failures, 0);
    pg_atomic_init_u32(&memory.slots_in_use, 1);
    for (WorkerSlot &slot : memory.slots) {
        pg_atomic_init_u32(&slot.database, InvalidOid);
        pg_atomic_init_u32(&slot.process_number, 0);
        pg_atomic_init_u64(&slot.configuration, 0);
        pg_atomic_init_u32(&slot.companions, 0);
        pg_atomic_init_u64(&slot.published_lsn, 0);
        pg_atomic_init_u64(&slot.recorded_commits, 0);
        pg_atomic_init_u64(&slot.processed_lsn, 0);
        pg_atomic_init_u64(&slot.questions, 0);
        pg_atomic_init_u32(&slot.clock_follows_records, 0);
    }
    WorkerSlot &launcher = memory.slots[0];
    launcher.used = true;
    launcher.kind = WorkerKind::launcher;
}

extern "C" void dbnet_shmem_request() {
    enter([] {
        call([] {
            if (previous_request)
                previous_request();
            RequestAddinShmemSpace(MAXALIGN(sizeof(SharedAndCounters)));
        });
    });
}

extern "C" void dbnet_shmem_startup() {
    enter([] {
        call([] {
            if (previous_startup)
                previous_startup();
            bool found = false;
            LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
            auto *const memory =
                static_cast<SharedAndCounters *>(ShmemInitStruct("dbnet", sizeof(SharedAndCounters), &found));
            attached = memory;
            if (!found)
                initialize(*memory);
            LWLockRelease(AddinShmemInitLock);
            LWLockRegisterTranche(attached->lock.tranche, "dbnet");
            *find_rendezvous_variable(rendezvous_name) = attached;
        });
    });
}

void set_latch_of(const WorkerSlot &slot) noexcept {
    const uint32 number = pg_atomic_read_u32(const_cast<pg_atomic_uint32 *>(&slot.process_number));
    if (number != 0)
        SetLatch(&GetPGProcByNumber(number - 1)->procLatch); // of another process by now: wakes it for nothing
}

void clear(WorkerSlot &slot, Oid database, WorkerKind kind, bool used) noexcept {
    // Not readable as this slot by find_slot() while its fields change.
    pg_atomic_write_u32(&slot.database, InvalidOid);
    pg_atomic_write_u32(&slot.process_number, 0);
    pg_atomic_write_u64(&slot.configuration, 0);
    pg_atomic_write_u32(&slot.companions, 0);
    pg_atomic_write_u64(&slot.published_lsn, 0);
    pg_atomic_write_u64(&slot.recorded_commits, 0);
    pg_atomic_write_u64(&slot.processed_lsn, 0);
    pg_atomic_write_u64(&slot.questions, 0);
    pg_atomic_write_u32(&slot.clock_follows_records, 0);
    each_counter(counters_of(slot), [](pg_atomic_uint64 *counter) { pg_atomic_write_u64(counter, 0); });
    slot.progress = {};
    slot.used = used;
    slot.kind = kind;
    slot.request = WorkerRequest::none;
    slot.extension_seen = slot.restarting = false;
    slot.pid = slot.holds = slot.starts = 0;
    slot.last_error[0] = '\0';
    set_state(slot, WorkerState::stopped);
    pg_write_barrier();
    pg_atomic_write_u32(&slot.database, database);
}

} // namespace

void reserve_shared_memory() {
    previous_request = shmem_request_hook;
    shmem_request_hook = dbnet_shmem_request;
    previous_startup = shmem_startup_hook;
    shmem_startup_hook = dbnet_shmem_startup;
}

Shared *shared() noexcept {
    // A second library with this code (the one for tests) finds what the preloaded one has set up.
    static bool has_looked = false;
    if (attached == nullptr && !has_looked) {
        has_looked = true;
        call_noexcept([] { attached = static_cast<Shared *>(*find_rendezvous_variable(rendezvous_name)); });
    }
    return attached;
}

Shared &require_shared() {
    if (shared() == nullptr)
        throw error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "DBNet is not loaded at server start")
            .hint("Add dbnet to shared_preload_libraries in postgresql.conf (shared_preload_libraries = 'dbnet') "
                  "and restart the server.");
    return *attached;
}

WorkerSlot *find_slot(Oid database, WorkerKind kind) noexcept {
    if (shared() == nullptr)
        return nullptr;
    if (kind == WorkerKind::launcher)
        return &attached->slots[0];
    const uint32 end = pg_atomic_read_u32(&attached->slots_in_use);
    for (uint32 i = 1; i < end; ++i) {
        WorkerSlot &slot = attached->slots[i];
        if (pg_atomic_read_u32(&slot.database) == database && OidIsValid(database) && slot.kind == kind)
            return &slot;
    }
    return nullptr;
}

SharedCounters *find_counters(Oid database) noexcept {
    const WorkerSlot *slot = find_slot(database, WorkerKind::mirror);
    return slot != nullptr ? &counters_of(*slot) : nullptr;
}

WorkerSlot *find_or_take_slot(Shared &memory, Oid database, WorkerKind kind) noexcept {
    if (WorkerSlot *slot = find_slot(database, kind))
        return slot;
    for (int i = 1; i < Shared::slot_count; ++i) {
        if (!memory.slots[i].used) {
            clear(memory.slots[i], database, kind, true);
            if (const uint32 end = static_cast<uint32>(i) + 1; end > pg_atomic_read_u32(&memory.slots_in_use))
                pg_atomic_write_u32(&memory.slots_in_use, end);
            return &memory.slots[i];
        }
    }
    return nullptr;
}

void free_slot(WorkerSlot &slot) noexcept {
    clear(slot, InvalidOid, WorkerKind::mirror, false);
}

void set_state(WorkerSlot &slot, WorkerState state) noexcept {
    slot.state = state;
    slot.since = GetCurrentTimestamp();
}

void set_last_error(WorkerSlot &slot, std::string_view text) noexcept {
    size_t length = std::min(text.size(), sizeof slot.last_error - 1);
    while (length > 0 && length < text.size() && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80)
        --length; // not inside a UTF-8 character
    memcpy(slot.last_error, text.data(), length);
    slot.last_error[length] = '\0';
}

bool is_wanted(Oid database, WorkerKind kind) noexcept {
    WorkerSlot *main = find_slot(database, WorkerKind::mirror);
    if (main == nullptr)
        return kind == WorkerKind::mirror; // a look whether it has the extension
    if (main->holds > 0 || main->request == WorkerRequest::stop)
        return false;
    return kind == WorkerKind::mirror || (pg_atomic_read_u32(&main->companions) & 1u << static_cast<uint32>(kind)) != 0;
}

void want_companions(WorkerSlot &mirror_worker, uint32 kinds) noexcept {
    if (pg_atomic_exchange_u32(&mirror_worker.companions, kinds) != kinds)
        wake_launcher();
}

void restart_workers(Oid database) {
    with_shared_lock(*attached, [&] {
        for_each_slot(*attached, database, [](WorkerSlot &slot) {
            if (slot.pid == 0)
                return;
            slot.restarting = true;
            kill(slot.pid, SIGTERM);
        });
    });
}

void wake_worker(Oid database, WorkerKind kind) noexcept {
    if (const WorkerSlot *slot = find_slot(database, kind))
        set_latch_of(*slot);
}

void wake_launcher() noexcept {
    if (attached)
        set_latch_of(attached->slots[0]);
}

void request_rescan() noexcept {
    if (attached == nullptr)
        return;
    pg_atomic_fetch_add_u64(&attached->rescan, 1);
    wake_launcher();
}

uint64 ask_progress(Oid database) noexcept {
    WorkerSlot *slot = find_slot(database, WorkerKind::mirror);
    if (slot == nullptr)
        return 0;
    const uint64 question = pg_atomic_add_fetch_u64(&slot->questions, 1);
    set_latch_of(*slot);
    return question;
}

Progress progress_of(Oid database) {
    return with_shared_lock(require_shared(), [&] {
        const WorkerSlot *slot = find_slot(database, WorkerKind::mirror);
        return slot ? slot->progress : Progress{};
    });
}

XLogRecPtr settled_up_to(const Progress &progress, Oid relation) noexcept {
    XLogRecPtr settled = progress.tail;
    for (int i = 0; i < progress.count; ++i) {
        const Unsettled &one = progress.unsettled[i];
        if (!OidIsValid(relation) || !OidIsValid(one.relation) || one.relation == relation)
            settled = std::min<XLogRecPtr>(settled, one.from > 0 ? one.from - 1 : 0);
    }
    return settled;
}

void publish_commit(Oid database, XLogRecPtr lsn) noexcept {
    WorkerSlot *slot = find_slot(database, WorkerKind::mirror);
    if (slot == nullptr)
        return;
    uint64 published = pg_atomic_read_u64(&slot->published_lsn);
    while (published < lsn && !pg_atomic_compare_exchange_u64(&slot->published_lsn, &published, lsn)) {
    }
    set_latch_of(*slot);
}

void tell_recorded_commit(Oid database) noexcept {
    WorkerSlot *slot = find_slot(database, WorkerKind::policy);
    if (slot == nullptr || pg_atomic_read_u64(&slot->recorded_commits) == 0)
        return;
    pg_atomic_fetch_add_u64(&slot->recorded_commits, 1);
    wake_worker(database, WorkerKind::policy);
}

void want_recorded_commits(WorkerSlot &policy_worker, bool wanted) noexcept {
    const bool does = pg_atomic_read_u64(&policy_worker.recorded_commits) != 0;
    if (does != wanted)
        pg_atomic_write_u64(&policy_worker.recorded_commits, wanted ? 1 : 0);
}

uint64 recorded_commits(Oid database) noexcept {
    WorkerSlot *slot = find_slot(database, WorkerKind::policy);
    return slot != nullptr ? pg_atomic_read_u64(&slot->recorded_commits) : 0;
}

} // namespace dbnet::pg
