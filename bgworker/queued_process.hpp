// A background worker that a worker starts and gives requests to, one after the other, and the queues between both: a
// session of the client API, a process that runs actions of policies. It ends when the other side lets go of the
// queues.
#pragma once

#include "bgworker/session_segment.hpp"

#include <string>

extern "C" {
#include "storage/dsm.h"
}

struct BackgroundWorkerHandle;

namespace dbnet::bgworker {

// The side of the worker that starts it. Plain data: who has started it calls release().
struct QueuedProcess {
    dsm_segment *mapped = nullptr; // nullptr: not started, or released
    SessionSegment *segment = nullptr;
    shm_mq_handle *requests = nullptr, *answers = nullptr;
    BackgroundWorkerHandle *process = nullptr;

    // Its main function gets the handle of the segment. False: max_worker_processes or the number of segments is
    // reached. Throws pg::pg_error when there is no shared memory or none of this process. Both leave nothing behind.
    bool start(Oid database, Oid role, const char *type, const char *main_function);
    void signal(int number) const noexcept;
    // Lets go of it: it ends when it sees that, at once when it is told to.
    void release(bool is_told_to_end) noexcept;

private:
    bool try_to_start(Oid database, Oid role, const char *type, const char *main_function);
};

// The side of the process that was started.
struct RequestQueues {
    SessionSegment *segment;
    shm_mq_handle *requests, *answers;
};

// May longjmp; ends the process when the other side is gone.
RequestQueues attach_queues(dsm_handle handle);

// Waits for the next request; a cancel that comes late is passed over. False: the other side has let go.
bool receive_request(const RequestQueues &queues, std::string &bytes);

// False: the other side has let go.
bool send_answer(const RequestQueues &queues, const std::string &bytes);

} // namespace dbnet::bgworker
