// Processes with queues (see queued_process.hpp).
#include "bgworker/queued_process.hpp"

#include "bgworker/worker_process.hpp"

#include <csignal>

extern "C" {
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/memutils.h"
}

namespace dbnet::bgworker {

bool QueuedProcess::start(Oid database, Oid role, const char *type, const char *main_function) {
    try {
        const bool is_started = pg::call([&] { return try_to_start(database, role, type, main_function); });
        if (!is_started)
            release(false);
        return is_started;
    } catch (...) {
        release(true);
        throw;
    }
}

// May longjmp: what there is by then, release() lets go of.
bool QueuedProcess::try_to_start(Oid database, Oid role, const char *type, const char *main_function) {
    const MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
    mapped = dsm_create(SessionSegment::size, DSM_CREATE_NULL_IF_MAXSEGMENTS);
    bool is_registered = false;
    if (mapped != nullptr) {
        segment = static_cast<SessionSegment *>(dsm_segment_address(mapped));
        memset(static_cast<void *>(segment), 0, sizeof(SessionSegment));
        segment->database = database;
        segment->role = role;
        pg_atomic_init_u32(&segment->is_ready, 0);
        pg_atomic_init_u32(&segment->is_cancelled, 0);
        shm_mq_set_sender(shm_mq_create(segment->requests(), SessionSegment::queue_size), MyProc);
        shm_mq_set_receiver(shm_mq_create(segment->answers(), SessionSegment::queue_size), MyProc);

        BackgroundWorker worker{};
        strlcpy(worker.bgw_name, type, sizeof worker.bgw_name);
        strlcpy(worker.bgw_type, type, sizeof worker.bgw_type);
        strlcpy(worker.bgw_library_name, "dbnet", sizeof worker.bgw_library_name);
        strlcpy(worker.bgw_function_name, main_function, sizeof worker.bgw_function_name);
        worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
        worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
        worker.bgw_restart_time = BGW_NEVER_RESTART;
        worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(mapped));
        worker.bgw_notify_pid = MyProcPid;
        is_registered = RegisterDynamicBackgroundWorker(&worker, &process);
        if (is_registered) {
            requests = shm_mq_attach(segment->requests(), mapped, process);
            answers = shm_mq_attach(segment->answers(), mapped, process);
        }
    }
    MemoryContextSwitchTo(before);
    return is_registered;
}

void QueuedProcess::signal(int number) const noexcept {
    pid_t pid = 0;
    pg::call_noexcept([&] {
        if (GetBackgroundWorkerPid(process, &pid) == BGWH_STARTED)
            kill(pid, number);
    });
}

void QueuedProcess::release(bool is_told_to_end) noexcept {
    if (mapped == nullptr)
        return;
    if (is_told_to_end && process != nullptr)
        pg::call_noexcept([&] { TerminateBackgroundWorker(process); });
    pg::call_noexcept([&] {
        for (shm_mq_handle *queue : {requests, answers})
            if (queue != nullptr)
                shm_mq_detach(queue);
        dsm_detach(mapped);
        if (process != nullptr)
            pfree(process);
    });
    *this = {};
}

RequestQueues attach_queues(dsm_handle handle) {
    dsm_segment *mapped = dsm_attach(handle);
    if (mapped == nullptr)
        proc_exit(0);
    dsm_pin_mapping(mapped);
    auto *segment = static_cast<SessionSegment *>(dsm_segment_address(mapped));
    shm_mq_set_receiver(segment->requests(), MyProc);
    shm_mq_set_sender(segment->answers(), MyProc);
    const MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
    const RequestQueues queues{segment, shm_mq_attach(segment->requests(), mapped, nullptr),
                               shm_mq_attach(segment->answers(), mapped, nullptr)};
    MemoryContextSwitchTo(before);
    return queues;
}

bool receive_request(const RequestQueues &queues, std::string &bytes) {
    while (true) {
        Size size = 0;
        void *data = nullptr;
        const shm_mq_result result = pg::call([&] { return shm_mq_receive(queues.requests, &size, &data, true); });
        if (result == SHM_MQ_SUCCESS) {
            bytes.assign(static_cast<const char *>(data), size);
            return true;
        }
        if (result == SHM_MQ_DETACHED)
            return false;
        try {
            wait_for_work(-1, -1);
        } catch (const pg::pg_error &caught) {
            if (caught.sqlstate() != ERRCODE_QUERY_CANCELED) // one that came when the request was over already
                throw;
        }
    }
}

bool send_answer(const RequestQueues &queues, const std::string &bytes) {
    return pg::call([&] { return shm_mq_send(queues.answers, bytes.size(), bytes.data(), false, true); }) ==
           SHM_MQ_SUCCESS;
}

} // namespace dbnet::bgworker
