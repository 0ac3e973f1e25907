// The launcher process (see launcher.hpp).
//
// Which databases have the extension is written only inside each database, and a process can connect to one database in
// its life: somebody must start a process per database to know. The mirror worker itself is that process. Started in a
// database without the extension it ends at once, and the launcher remembers that: no second kind of process, and no
// time between "looked" and "started" in which things change. At server start this costs one short process per
// database, two at a time; later only databases that a hook reports (created, extension created, connections allowed)
// are looked at.
//
// The companions of a mirror worker are started when it has said that its database wants them.
//
// What the launcher knows beyond the slots in shared memory is only when to try again: if it dies, its successor finds
// the running workers in their slots and tries the others at once. It sleeps without a time limit when nothing is due.
#include "bgworker/launcher/launcher.hpp"

#include "bgworker/launcher/database_worker.hpp"
#include "bgworker/worker_process.hpp"
#include "pg/spi.hpp"

#include <algorithm>
#include <list>
#include <map>

extern "C" {
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"
}

namespace dbnet::bgworker {
namespace {

using pg::Shared;
using pg::WorkerKind;
using pg::WorkerRequest;
using pg::WorkerSlot;
using pg::WorkerState;

constexpr int starting_at_once = 2;
constexpr int restart_seconds = 5; // of the launcher itself, by the postmaster

// Of one database.
struct DatabaseWorkers {
    explicit DatabaseWorkers(Oid database) : mirror(database, WorkerKind::mirror) {
        for (const WorkerKind kind : pg::companion_kinds)
            companions.emplace_back(database, kind);
    }
    DatabaseWorker mirror;
    std::list<DatabaseWorker> companions;

    // The database is gone. True when nothing of it is left.
    bool forget() {
        bool is_gone = mirror.forget(); // first, so that none of the others is wanted any more
        for (DatabaseWorker &companion : companions)
            is_gone &= companion.forget();
        return is_gone;
    }
};

using Workers = std::map<Oid, DatabaseWorkers>;

// The databases that may have workers: no templates, connections allowed, not half dropped.
std::vector<Oid> list_databases() {
    std::vector<Oid> databases;
    pg::in_transaction([&] {
        pg::call([&] {
            const Relation relation = table_open(DatabaseRelationId, AccessShareLock);
            const TableScanDesc scan = table_beginscan_catalog(relation, 0, nullptr);
            while (const HeapTuple tuple = heap_getnext(scan, ForwardScanDirection)) {
                const auto *database = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
                if (!database->datistemplate && database->datallowconn && database->datconnlimit >= -1)
                    databases.push_back(database->oid);
            }
            table_endscan(scan);
            table_close(relation, AccessShareLock);
        });
    });
    return databases;
}

// Brings `workers` in line with the list of databases. False: one that is gone still has a process.
bool compare_databases(Workers &workers) {
    const std::vector<Oid> databases = list_databases();
    bool is_complete = true;
    for (auto worker = workers.begin(); worker != workers.end();) {
        const bool is_listed = std::find(databases.begin(), databases.end(), worker->first) != databases.end();
        if (is_listed) {
            ++worker;
        } else if (worker->second.forget()) {
            worker = workers.erase(worker);
        } else {
            is_complete = false;
            ++worker;
        }
    }
    for (const Oid database : databases)
        workers.try_emplace(database, database);
    return is_complete;
}

// Takes over what committed CREATE and ALTER EXTENSION asked for.
void take_requests(Shared &memory, Workers &workers) {
    std::vector<Oid> databases;
    databases.reserve(Shared::slot_count); // no allocation under the lock
    pg::with_shared_lock(memory, [&] {
        for (WorkerSlot &slot : memory.slots) {
            if (!slot.used || slot.request != WorkerRequest::start)
                continue;
            slot.request = WorkerRequest::none;
            databases.push_back(pg_atomic_read_u32(&slot.database));
        }
    });
    for (const Oid database : databases)
        workers.try_emplace(database, database).first->second.mirror.request();
    // In some database the extension was created, and no slot was left to say which: look into all that have none.
    static uint64 seen_overflow = 0;
    if (const uint64 overflow = pg_atomic_read_u64(&memory.overflow); overflow != seen_overflow) {
        seen_overflow = overflow;
        for (auto &[database, worker] : workers)
            worker.mirror.reconsider();
    }
}

// How long there is nothing to do (ms), -1: until woken.
long step_all(Workers &workers) {
    const int64 now = GetCurrentTimestamp() / 1000;
    int64 due = DatabaseWorker::never;
    int starting = 0;
    const auto step_one = [&](DatabaseWorker &worker) {
        const DatabaseWorker::Step step = worker.step(now, starting < starting_at_once);
        starting += step.is_starting;
        if (step.due_ms != DatabaseWorker::never && (due == DatabaseWorker::never || step.due_ms < due))
            due = step.due_ms;
    };
    for (auto &[database, worker] : workers) {
        step_one(worker.mirror);
        for (DatabaseWorker &companion : worker.companions)
            step_one(companion);
    }
    return due == DatabaseWorker::never ? -1 : static_cast<long>(std::max<int64>(due - now, 0));
}

void release_own_slot(int, Datum) noexcept {
    WorkerSlot &slot = pg::shared()->slots[0];
    pg::enter_noexcept([&] {
        pg::with_shared_lock(*pg::shared(), [&] {
            slot.pid = 0;
            pg_atomic_write_u32(&slot.process_number, 0);
            pg::set_state(slot, WorkerState::failed);
        });
    });
}

void take_own_slot(Shared &memory) {
    pg::call([] { before_shmem_exit(release_own_slot, Datum{0}); });
    pg::with_shared_lock(memory, [&] {
        WorkerSlot &slot = memory.slots[0];
        slot.pid = MyProcPid;
        pg_atomic_write_u32(&slot.process_number, static_cast<uint32>(pg::compat::my_process_number()) + 1);
        pg::set_state(slot, WorkerState::running);
        ++slot.starts;
    });
}

void run_launcher() {
    Shared &memory = pg::require_shared();
    take_own_slot(memory);
    pg::call([] {
        accept_signals();
        BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
    });
    Workers workers;
    uint64 compared = 0; // Shared::rescan starts with 1
    while (true) {
        const uint64 wanted = pg_atomic_read_u64(&memory.rescan);
        if (compared != wanted && compare_databases(workers))
            compared = wanted;
        take_requests(memory, workers);
        wait_for_work(-1, step_all(workers));
    }
}

} // namespace

void register_launcher() {
    pg::call([] {
        BackgroundWorker worker{};
        strlcpy(worker.bgw_name, "dbnet launcher", sizeof worker.bgw_name);
        strlcpy(worker.bgw_type, "dbnet launcher", sizeof worker.bgw_type);
        strlcpy(worker.bgw_library_name, "dbnet", sizeof worker.bgw_library_name);
        strlcpy(worker.bgw_function_name, "dbnet_launcher_main", sizeof worker.bgw_function_name);
        worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
        worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
        worker.bgw_restart_time = restart_seconds;
        RegisterBackgroundWorker(&worker);
    });
}

} // namespace dbnet::bgworker

DBNET_WORKER_MAIN(dbnet_launcher_main) {
    dbnet::bgworker::run_launcher();
}
