// Decisions of the launcher about one worker of a database (see database_worker.hpp).
#include "bgworker/launcher/database_worker.hpp"

#include <algorithm>
#include <csignal>

extern "C" {
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
}

namespace dbnet::bgworker {
namespace {

using pg::WorkerKind;
using pg::WorkerRequest;
using pg::WorkerSlot;
using pg::WorkerState;

// For all databases together: of background worker slots, of slots in shared memory.
bool is_shortage_reported = false;
bool is_overflow_reported = false;

// Indexed by WorkerKind.
constexpr struct {
    const char *name, *function;
} processes[] = {
    {"dbnet launcher", "dbnet_launcher_main"},
    {"dbnet mirror worker", "dbnet_mirror_worker_main"},
    {"dbnet gateway worker", "dbnet_gateway_worker_main"},
    {"dbnet policy worker", "dbnet_policy_worker_main"},
    {"dbnet api worker", "dbnet_api_worker_main"},
};

} // namespace

// A copy of what the slot says.
struct DatabaseWorker::View {
    enum class Process { none, alive, unwanted } process = Process::none; // unwanted: on its way out
    WorkerState state = WorkerState::stopped;
    bool extension_seen = false;
    bool is_wanted = true;
    bool is_stopped = false; // a stop is complete, the slot is free again
    int64 since_ms = 0;
};

void DatabaseWorker::request() noexcept {
    is_absent_ = false;
    is_requested_ = true;
    delay_ms_ = first_delay_ms;
    due_ms_ = 0;
}

DatabaseWorker::Step DatabaseWorker::step(int64 now_ms, bool may_start) {
    if (is_absent_)
        return {never, false};
    const View view = look();
    if (view.is_stopped) {
        drop_handle();
        is_absent_ = kind_ == WorkerKind::mirror;
        is_started_ = false;
        return {never, false};
    }
    if (view.process == View::Process::unwanted)
        return {never, false}; // its end, or the end of the transaction that wants it, wakes us
    if (view.process == View::Process::alive)
        return watch(view, now_ms);
    if (!view.is_wanted)
        return {never, false}; // what makes it wanted wakes us
    if (is_started_)
        judge_end(view, now_ms);
    if (is_absent_)
        return {never, false};
    if (due_ms_ > now_ms)
        return {due_ms_, false};
    return may_start ? start(now_ms) : Step{never, false};
}

bool DatabaseWorker::forget() {
    const bool is_gone = pg::with_shared_lock(*pg::shared(), [this] {
        WorkerSlot *slot = pg::find_slot(database_, kind_);
        if (slot == nullptr)
            return true;
        if (slot->pid == 0 && slot->state != WorkerState::starting && slot->holds == 0) {
            pg::free_slot(*slot);
            return true;
        }
        slot->request = WorkerRequest::stop;
        return false;
    });
    if (is_gone)
        drop_handle();
    return is_gone;
}

DatabaseWorker::View DatabaseWorker::look() {
    return pg::with_shared_lock(*pg::shared(), [this] {
        View view;
        view.is_wanted = pg::is_wanted(database_, kind_);
        WorkerSlot *slot = pg::find_slot(database_, kind_);
        if (slot == nullptr)
            return view;
        view.state = slot->state;
        view.extension_seen = slot->extension_seen;
        view.since_ms = slot->since / 1000;
        const bool is_over =
            kind_ == WorkerKind::mirror ? slot->request == WorkerRequest::stop && slot->holds == 0 : !view.is_wanted;
        if (is_over && slot->pid == 0) {
            pg::free_slot(*slot); // one that is registered but not attached finds no slot and ends
            view.is_stopped = true;
        } else if (!view.is_wanted) {
            if (slot->pid != 0)
                kill(slot->pid, SIGTERM);
            view.process = View::Process::unwanted;
        } else if (slot->pid != 0 || slot->state == WorkerState::starting) {
            view.process = View::Process::alive;
        }
        return view;
    });
}

DatabaseWorker::Step DatabaseWorker::watch(const View &view, int64 now_ms) {
    is_started_ = true;
    if (view.state != WorkerState::starting) {
        if (running_since_ms_ == 0)
            running_since_ms_ = now_ms;
        return {never, false};
    }
    if (has_died_unseen()) {
        give_up_start("the process ended before it could connect; the server log has the reason");
        return {now_ms, false};
    }
    const int64 limit = view.since_ms + starting_limit_ms;
    if (limit > now_ms)
        return {limit, true};
    if (!is_told_to_end_) {
        is_told_to_end_ = true;
        if (handle_)
            pg::call([this] { TerminateBackgroundWorker(handle_); });
        give_up_start("the process did not start within 30 s");
    }
    return {never, true};
}

// An absent extension, an end that somebody wanted (start again now), or a failure (start again later).
void DatabaseWorker::judge_end(const View &view, int64 now_ms) {
    if (running_since_ms_ != 0 && now_ms - running_since_ms_ >= healthy_ms)
        delay_ms_ = first_delay_ms;
    drop_handle();
    is_started_ = is_told_to_end_ = false;
    running_since_ms_ = 0;
    due_ms_ = now_ms;
    if (view.state == WorkerState::failed)
        delay_next_try(now_ms);
    else if (kind_ == WorkerKind::mirror && !view.extension_seen && !is_requested_)
        is_absent_ = pg::with_shared_lock(*pg::shared(), [this] {
            WorkerSlot *slot = pg::find_slot(database_, kind_);
            if (slot && (slot->request != WorkerRequest::none || slot->holds > 0))
                return false;
            if (slot)
                pg::free_slot(*slot);
            return true;
        });
}

DatabaseWorker::Step DatabaseWorker::start(int64 now_ms) {
    enum class Slot { ready, unwanted, none };
    const Slot found = pg::with_shared_lock(*pg::shared(), [this] {
        WorkerSlot *slot = pg::find_or_take_slot(*pg::shared(), database_, kind_);
        if (slot == nullptr)
            return Slot::none;
        if (slot->pid != 0 || !pg::is_wanted(database_, kind_))
            return Slot::unwanted;
        pg::set_state(*slot, WorkerState::starting);
        slot->extension_seen = false;
        ++slot->starts;
        return Slot::ready;
    });
    if (found == Slot::unwanted)
        return {now_ms, false};
    if (found == Slot::none) {
        if (!is_overflow_reported)
            pg::warning(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
                        "DBNet runs no more than " + std::to_string(pg::Shared::slot_count - 1) +
                            " workers on a server: further ones wait",
                        "Drop the extension where it is not needed, or move databases to another server.");
        is_overflow_reported = true;
        delay_next_try(now_ms);
        return {due_ms_, false};
    }
    is_overflow_reported = false;
    is_requested_ = false;
    is_started_ = register_process();
    if (is_started_)
        return {now_ms + starting_limit_ms, true};
    give_up_start("no free background worker: max_worker_processes is reached");
    delay_next_try(now_ms);
    return {due_ms_, false};
}

bool DatabaseWorker::register_process() {
    const bool is_registered = pg::call([this] {
        BackgroundWorker worker{};
        const auto &process = processes[static_cast<size_t>(kind_)];
        strlcpy(worker.bgw_name, process.name, sizeof worker.bgw_name);
        strlcpy(worker.bgw_type, process.name, sizeof worker.bgw_type);
        strlcpy(worker.bgw_library_name, "dbnet", sizeof worker.bgw_library_name);
        strlcpy(worker.bgw_function_name, process.function, sizeof worker.bgw_function_name);
        worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
        worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
        worker.bgw_restart_time = BGW_NEVER_RESTART; // the launcher does it, with delays
        worker.bgw_main_arg = ObjectIdGetDatum(database_);
        worker.bgw_notify_pid = MyProcPid;
        const MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
        const bool done = RegisterDynamicBackgroundWorker(&worker, &handle_);
        MemoryContextSwitchTo(before);
        return done;
    });
    if (!is_registered && !is_shortage_reported)
        pg::warning(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
                    "DBNet cannot start a worker: all background worker slots are in use",
                    "Raise max_worker_processes: DBNet takes one for its launcher and, for each database with the "
                    "extension, one and one more for each of gateway, policies and client API in use. It goes on "
                    "trying.");
    is_shortage_reported = !is_registered;
    return is_registered;
}

bool DatabaseWorker::has_died_unseen() const {
    pid_t pid = 0;
    return handle_ && pg::call([&] { return GetBackgroundWorkerPid(handle_, &pid) == BGWH_STOPPED; });
}

void DatabaseWorker::give_up_start(const char *reason) {
    pg::with_shared_lock(*pg::shared(), [&] {
        WorkerSlot *slot = pg::find_slot(database_, kind_);
        if (slot == nullptr || slot->state != WorkerState::starting)
            return;
        pg::set_last_error(*slot, reason);
        if (slot->pid != 0)
            kill(slot->pid, SIGTERM); // its end sets the state
        else
            pg::set_state(*slot, WorkerState::failed);
    });
}

void DatabaseWorker::drop_handle() {
    if (handle_)
        pg::call([this] { pfree(handle_); });
    handle_ = nullptr;
}

void DatabaseWorker::delay_next_try(int64 now_ms) noexcept {
    due_ms_ = now_ms + delay_ms_;
    delay_ms_ = std::min(delay_ms_ * 2, longest_delay_ms);
}

} // namespace dbnet::bgworker
