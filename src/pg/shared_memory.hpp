// What DBNet's processes share: one slot per worker, the cookie of this server start, and the latches to wake them.
// Exists only when the library is in shared_preload_libraries. Plain data: no pointers, no descriptors, no std::.
#pragma once

#include "pg/guard.hpp"

extern "C" {
#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
}

namespace dbnet::pg {

// Every database with the extension has a mirror worker. The others are its companions, there while they are wanted.
enum class WorkerKind : uint8 { launcher, mirror, gateway, policy, api };
inline constexpr WorkerKind companion_kinds[] = {WorkerKind::gateway, WorkerKind::policy, WorkerKind::api};

enum class WorkerState : uint8 {
    stopped,  // no process, none wanted at the moment
    starting, // registered, not yet connected to its database; has a time limit
    running,  // connected, extension present and of the library's version
    idle,   // extension of another version than the library: does nothing until ALTER EXTENSION … UPDATE or a restart
    failed, // ended with an error or could not be registered; started again after a delay
};

// What a committed CREATE or DROP EXTENSION asks the launcher to do with a database.
enum class WorkerRequest : uint8 { none, start, stop };

// What a mirror worker has not settled yet of one mirror; relation 0: of all that have no place of their own.
struct Unsettled {
    Oid relation;
    XLogRecPtr from; // commits from here on; 0: everything, a compare has yet to tell
};

// How far a mirror worker had got when it was asked. A commit is settled when dbnet.object tells how it stands: done,
// waiting or refused.
struct Progress {
    static constexpr int places = 16;

    uint64 question; // the last that this answers
    XLogRecPtr tail; // every commit up to here has been taken in
    int32 count;     // of places in use
    Unsettled unsettled[places];
};

// One worker of one database (slot 0: the launcher, database 0). Free when `used` is false.
// Fields are read and written under Shared::lock, atomics also without.
struct WorkerSlot {
    bool used;
    WorkerKind kind;
    WorkerState state;
    WorkerRequest request;
    bool extension_seen; // a worker found the extension in this database: shown in dbnet.worker
    int32 pid;           // 0: no process. Reset after the process has left the list of backends of its database
    int32 holds;         // of a mirror worker: transactions that need the database free of all workers until they end
                         // (DROP DATABASE …)
    bool restarting;     // told to end so that another process takes its place at once
    int32 starts;        // processes registered since the slot was taken
    TimestampTz since;   // of `state`
    char last_error[256];
    Progress progress; // written when somebody asks

    pg_atomic_uint32 database;
    pg_atomic_uint32 process_number; // 1 + index in ProcGlobal->allProcs; 0: no process
    pg_atomic_uint64
        configuration; // counts changes: of servers, mappings and wrappers (mirror); of extensions and tokens (others)
    pg_atomic_uint32 companions;       // of a mirror worker: bits (1 << kind) of those its database wants; outlives it
    pg_atomic_uint64 published_lsn;    // end of the newest commit record of a backend that wrote messages of ours
    pg_atomic_uint64 processed_lsn;    // tail position: every commit up to here has been taken in
    pg_atomic_uint64 questions;        // counts those who want to know the progress
    pg_atomic_uint64 recorded_commits; // of a policy worker: commits with something on record, of which it wants to be
                                       // told; 0: it does not
    pg_atomic_uint32 clock_follows_records; // 1: Shared::last_tick is no earlier than what the database has on record
};

struct Shared {
    static constexpr int slot_count = 256; // the launcher and one per worker; more databases wait, with a WARNING

    uint8 cookie[16];           // random per server start; proves that a WAL message is ours
    LWLock lock;                // guards the slots; held for a few instructions, never across anything that can raise
    ConditionVariable changed;  // broadcast when a slot loses its process
    pg_atomic_uint64 rescan;    // counts requests to look at the list of databases again
    pg_atomic_uint64 overflow;  // counts CREATE EXTENSIONs that found every slot taken
    pg_atomic_uint64 last_tick; // microseconds since 2000 of the newest event id (see provenance/event_clock.hpp)
    pg_atomic_uint64 provenance_failures; // what could not be recorded since the server's start
    pg_atomic_uint32 slots_in_use;        // none from this index on is in use, or was since the server's start
    WorkerSlot slots[slot_count];
};

// Called once from _PG_init while shared_preload_libraries are loaded.
void reserve_shared_memory();

// nullptr when the library is not preloaded.
Shared *shared() noexcept;
// Raises 55000 with a HINT for postgresql.conf when the library is not preloaded.
Shared &require_shared();

// Runs f with Shared::lock held exclusively. f must not raise, allocate or wait.
template<class F> auto with_shared_lock(Shared &memory, F &&f) {
    call([&] { LWLockAcquire(&memory.lock, LW_EXCLUSIVE); });
    struct Release {
        LWLock *lock;
        ~Release() { LWLockRelease(lock); }
    } release{&memory.lock};
    return f();
}

// The slot of a worker, nullptr when there is none. Reads atomics only: needs no lock, may be used in transaction
// callbacks; who needs other fields than atomics takes the lock and asks again.
WorkerSlot *find_slot(Oid database, WorkerKind kind) noexcept;
// Same, taking a free slot if there is none; nullptr when all are taken. Under the lock.
WorkerSlot *find_or_take_slot(Shared &memory, Oid database, WorkerKind kind) noexcept;
// Under the lock.
void free_slot(WorkerSlot &slot) noexcept;
void set_state(WorkerSlot &slot, WorkerState state) noexcept;
void set_last_error(WorkerSlot &slot, std::string_view text) noexcept;

// Calls f(slot) for each slot of the database. Under the lock.
template<class F> void for_each_slot(Shared &memory, Oid database, F &&f) {
    for (WorkerSlot &slot : memory.slots)
        if (slot.used && slot.kind != WorkerKind::launcher && pg_atomic_read_u32(&slot.database) == database)
            f(slot);
}

// Whether a worker of this kind is to run in the database: nobody holds or stops it, and of a companion that it is
// asked for. Under the lock.
bool is_wanted(Oid database, WorkerKind kind) noexcept;
// Says which companions the database of the mirror worker wants (bits 1 << kind); the launcher sees to it.
void want_companions(WorkerSlot &mirror_worker, uint32 kinds) noexcept;
// Ends the workers of the database; the launcher starts others in their place, which see settings made since.
void restart_workers(Oid database);

// Set a latch: no lock, no allocation, cannot raise; nothing happens when there is no such process.
void wake_worker(Oid database, WorkerKind kind = WorkerKind::mirror) noexcept;
void wake_launcher() noexcept;
// After a commit with something on record: counts it and wakes the policy worker of the database, if it wants that.
void tell_recorded_commit(Oid database) noexcept;
void want_recorded_commits(WorkerSlot &policy_worker, bool wanted) noexcept;
// 0: nobody counts them.
uint64 recorded_commits(Oid database) noexcept;
// Asks the launcher to look at the list of databases again.
void request_rescan() noexcept;
// Asks the mirror worker of the database how far it is; progress_of() has the answer once it has got this number.
// 0: there is no worker.
uint64 ask_progress(Oid database) noexcept;
Progress progress_of(Oid database);
// Every commit up to here is settled, as far as it concerns the mirror (InvalidOid: any mirror).
XLogRecPtr settled_up_to(const Progress &progress, Oid relation) noexcept;

// After a commit that wrote messages: raises published_lsn to `lsn` and wakes the worker of the database.
void publish_commit(Oid database, XLogRecPtr lsn) noexcept;

} // namespace dbnet::pg
