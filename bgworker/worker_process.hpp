// What every worker process of a database has in common: its start, its waiting, and when it leaves.
//
//     DBNET_WORKER_MAIN(dbnet_mirror_worker_main) { run_worker_process(DatumGetObjectId(argument), WorkerKind::mirror,
//     body); }
//
// Rules for body(process):
//   - it returns never: its loop calls process.wait() once per turn, outside any transaction, and waits nowhere else;
//   - every transaction is a pg::in_transaction(): that locks the extension against DROP first and leaves the process
//     (by throwing Leave through body) when the extension is gone or was changed. So catch std::exception, not (...);
//   - an exception that leaves body ends the process: it is shown in dbnet.worker and logged, and the launcher starts a
//     new process after a delay;
//   - SIGTERM ends the process inside wait() or any call of PostgreSQL, without destructors of C++ objects.
#pragma once

#include "pg/shared_memory.hpp"

namespace dbnet::bgworker {

// Thrown at the start of a transaction; not a std::exception, so that handlers of errors do not stop it.
struct Leave {};

class WorkerProcess {
public:
    WorkerProcess(Oid database, Oid extension, pg::WorkerSlot &slot) noexcept
        : database_(database), extension_(extension), slot_(slot) {}

    Oid database() const noexcept { return database_; }
    Oid extension() const noexcept { return extension_; }
    pg::WorkerSlot &slot() noexcept { return slot_; }

    // Sleeps until woken (wake_worker), `descriptor` (-1: none) is readable or `timeout_ms` (-1: none) is over; then
    // serves interrupts and re-reads the configuration when asked to. True when the configuration was re-read.
    bool wait(int descriptor, long timeout_ms);

    // Shows `text` as last_error in dbnet.worker without ending the process.
    void note_error(std::string_view text);

private:
    Oid database_, extension_;
    pg::WorkerSlot &slot_;
};

// Runs the process until it is told to end. Called first in the main function of a worker registered by the launcher.
void run_worker_process(Oid database, pg::WorkerKind kind, void (*body)(WorkerProcess &));

// Connects a process that a worker of the database has started (queued_process.hpp) as workers are connected, and runs
// body(), whose transactions are theirs too, until it returns or the extension is gone or another.
void run_queued_process(Oid database, void (*body)());

// The sleeping of WorkerProcess::wait, also for the launcher.
bool wait_for_work(int descriptor, long timeout_ms);

// Registers the handlers of SIGHUP and SIGTERM and lets signals in.
void accept_signals();

} // namespace dbnet::bgworker
