// Start, waiting and end of a worker process (see worker_process.hpp).
#include "bgworker/worker_process.hpp"

#include "pg/index_plans.hpp"
#include "pg/spi.hpp"

#include <utility>

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/wait_event.h"
}

namespace dbnet::bgworker {
namespace {

using pg::WorkerSlot;
using pg::WorkerState;

// The extension as a worker serves it; set before the first transaction that must not outlive it.
struct Extension {
    Oid oid;
    char version[64];
};
Extension served{};
WorkerSlot *own_slot = nullptr;
uint64 seen_configuration = 0; // WorkerSlot::configuration when the extension was last read
Oid own_database = InvalidOid;

// Runs after the process left the list of backends of its database: who waits for the database may go on then.
void release_slot(int code, Datum) noexcept {
    pg::enter_noexcept([code] {
        pg::Shared &memory = *pg::shared();
        pg::with_shared_lock(memory, [&] {
            WorkerSlot &slot = *own_slot;
            const bool is_wanted_end = code == 0 || slot.restarting || !pg::is_wanted(own_database, slot.kind);
            if (!is_wanted_end && slot.state != WorkerState::failed)
                pg::set_last_error(slot,
                                   "ended by a FATAL error or a termination request; the server log has the reason");
            pg::set_state(slot, is_wanted_end ? WorkerState::stopped : WorkerState::failed);
            slot.pid = 0;
            pg_atomic_write_u32(&slot.process_number, 0);
        });
        pg::call([&] { ConditionVariableBroadcast(&memory.changed); });
        pg::wake_launcher();
    });
}

// Takes the slot that the launcher prepared. False: the database must stay free, or is served already.
bool attach(Oid database, pg::WorkerKind kind) {
    pg::Shared &memory = pg::require_shared();
    return pg::with_shared_lock(memory, [&] {
        WorkerSlot *slot = pg::find_slot(database, kind);
        if (slot == nullptr || slot->pid != 0 || !pg::is_wanted(database, kind))
            return false;
        own_slot = slot;
        own_database = database;
        slot->restarting = false;
        slot->pid = MyProcPid;
        pg_atomic_write_u32(&slot->process_number, static_cast<uint32>(pg::compat::my_process_number()) + 1);
        return true;
    });
}

void set_slot_state(WorkerState state, bool extension_seen) {
    pg::with_shared_lock(*pg::shared(), [&] {
        pg::set_state(*own_slot, state);
        own_slot->extension_seen = extension_seen;
    });
    pg::wake_launcher(); // it starts few at a time
}

void note_error_in_slot(std::string_view text) {
    pg::with_shared_lock(*pg::shared(), [&] { pg::set_last_error(*own_slot, text); });
}

// What a worker relies on, whatever ALTER DATABASE or ALTER ROLE set. Stays in force when the configuration is re-read.
void pin_settings() {
    static constexpr struct {
        const char *name, *value;
    } pinned[] = {
        {"search_path", "pg_catalog, pg_temp"},
        {"session_replication_role", "origin"},
        {"default_transaction_isolation", "read committed"},
        {"default_transaction_read_only", "off"},
        {"default_transaction_deferrable", "off"},
        {"statement_timeout", "0"},
        {"synchronous_commit",
         "off"},                      // nothing is lost that the server cannot tell again; see also MirrorWorker::flush
        {"lock_timeout", "200ms"},    // an idle session that holds a lock must not stop all the rest
        {"transaction_timeout", "0"}, // since 17
        {"DateStyle", "ISO, YMD"},
        {"IntervalStyle", "postgres"},
        {"bytea_output", "hex"},
        {"extra_float_digits", "1"},
    };
    for (const auto &setting : pinned)
        if (GetConfigOption(setting.name, true, false) != nullptr)
            SetConfigOption(setting.name, setting.value, PGC_SUSET, PGC_S_SESSION);
    pg::plan_by_index();
}

// Reads pg_extension inside a transaction; oid is InvalidOid when the extension is absent. May longjmp.
Extension read_extension() {
    Extension found{};
    const Relation relation = table_open(ExtensionRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("dbnet"));
    const SysScanDesc scan = systable_beginscan(relation, ExtensionNameIndexId, true, nullptr, 1, &key);
    const HeapTuple tuple = systable_getnext(scan);
    if (HeapTupleIsValid(tuple)) {
        found.oid = reinterpret_cast<Form_pg_extension>(GETSTRUCT(tuple))->oid;
        bool is_null = false;
        const Datum version = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(relation), &is_null);
        if (!is_null)
            strlcpy(found.version, TextDatumGetCString(version), sizeof found.version);
    }
    systable_endscan(scan);
    table_close(relation, AccessShareLock);
    return found;
}

// No time limit for the locks of its scope: what is done without the lock would be an error that ends the process.
struct Patience {
    int before = std::exchange(LockTimeout, 0);
    ~Patience() { LockTimeout = before; }
};

// First in each transaction, before any other lock: DROP EXTENSION waits for us or we for it, never both. While it is
// undecided there is nothing else to do.
void check_extension() {
    const Patience patience;
    const Extension found = pg::call([] {
        LockDatabaseObject(ExtensionRelationId, served.oid, 0, AccessShareLock);
        return read_extension();
    });
    if (found.oid != served.oid || strcmp(found.version, served.version) != 0)
        throw Leave{};
}

// Waits until the extension has the version of this library. False: there is no extension.
bool await_matching_extension() {
    bool is_logged = false;
    while (true) {
        pg::at_transaction_start = nullptr;
        seen_configuration = pg_atomic_read_u64(&own_slot->configuration);
        served = pg::in_transaction([] { return pg::call(read_extension); });
        if (!OidIsValid(served.oid))
            return false;
        if (strcmp(served.version, DBNET_VERSION) == 0)
            return true;
        if (!is_logged) {
            const std::string text = std::string("DBNet: the extension has version ") + served.version +
                                     ", the loaded library version " DBNET_VERSION "; the worker does nothing";
            note_error_in_slot(text);
            pg::log(text, "Run ALTER EXTENSION dbnet UPDATE, or restart the server if the library was replaced.");
            set_slot_state(WorkerState::idle, true);
            is_logged = true;
        }
        wait_for_work(-1, -1); // ALTER EXTENSION wakes us
    }
}

void serve(Oid database, void (*body)(WorkerProcess &)) {
    while (await_matching_extension()) {
        pg::at_transaction_start = check_extension;
        set_slot_state(WorkerState::running, true);
        try {
            WorkerProcess process(database, served.oid, *own_slot);
            body(process);
        } catch (const Leave &) {
            // Another version, or dropped (and created again): look anew.
        }
    }
    set_slot_state(WorkerState::stopped, false);
}

} // namespace

void accept_signals() {
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, die);
    BackgroundWorkerUnblockSignals();
}

bool wait_for_work(int descriptor, long timeout_ms) {
    return pg::call([=] {
        pgstat_report_stat(timeout_ms < 0 || timeout_ms > 1000); // forced before a long sleep
        int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
        if (timeout_ms >= 0)
            events |= WL_TIMEOUT;
        if (descriptor >= 0)
            events |= WL_SOCKET_READABLE;
        WaitLatchOrSocket(MyLatch, events, descriptor >= 0 ? descriptor : PGINVALID_SOCKET, timeout_ms,
                          PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS(); // also serves what DROP DATABASE and others wait for (ProcSignalBarrier)
        if (!ConfigReloadPending)
            return false;
        ConfigReloadPending = false;
        ProcessConfigFile(PGC_SIGHUP);
        return true;
    });
}

bool WorkerProcess::wait(int descriptor, long timeout_ms) {
    const bool is_reread = wait_for_work(descriptor, timeout_ms);
    // The mirror worker looks at its configuration itself, and has transactions without being asked.
    const uint64 configuration = pg_atomic_read_u64(&slot_.configuration);
    if (slot_.kind != pg::WorkerKind::mirror && configuration != seen_configuration) {
        seen_configuration = configuration;
        pg::in_transaction([] {}); // leaves when the extension has another version now
    }
    return is_reread;
}

void WorkerProcess::note_error(std::string_view text) {
    note_error_in_slot(text);
}

void run_worker_process(Oid database, pg::WorkerKind kind, void (*body)(WorkerProcess &)) {
    if (!attach(database, kind))
        pg::call([] { proc_exit(0); });
    // Before the connection is made: a FATAL in there must free the slot too.
    pg::call([] { on_shmem_exit(release_slot, Datum{0}); });
    try {
        pg::call([database] {
            accept_signals();
            BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
            pin_settings();
        });
        serve(database, body);
    } catch (const std::exception &caught) {
        pg::with_shared_lock(*pg::shared(), [&] {
            pg::set_last_error(*own_slot, caught.what());
            pg::set_state(*own_slot, WorkerState::failed);
        });
        throw;
    }
    pg::call([] { proc_exit(0); });
}

void run_queued_process(Oid database, void (*body)()) {
    pg::call([database] {
        accept_signals();
        BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
        pin_settings();
    });
    served = pg::in_transaction([] { return pg::call(read_extension); });
    if (OidIsValid(served.oid) && strcmp(served.version, DBNET_VERSION) == 0) {
        pg::at_transaction_start = check_extension;
        try {
            body();
        } catch (const Leave &) {
        }
    }
    pg::call([] { proc_exit(0); });
}

} // namespace dbnet::bgworker
