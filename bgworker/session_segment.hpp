// The shared memory of one process that serves requests of a worker (queued_process.hpp): who it is for, and a queue
// each way. Made by the worker, gone with the last of both processes. Plain data.
#pragma once

#include "pg/guard.hpp"

extern "C" {
#include "port/atomics.h"
#include "storage/shm_mq.h"
}

namespace dbnet::bgworker {

struct SessionSegment {
    Oid database, role;            // role InvalidOid: none in particular
    pg_atomic_uint32 is_cancelled; // nobody waits for the request on its way; set by the worker before SIGINT
    // Why it could not start, when its end of the queues is gone before it was ready; set by the process.
    pg_atomic_uint32 is_ready;
    char failure_state[8];
    char failure[512];

    static constexpr Size queue_size = 64 * 1024; // larger messages pass in pieces
    static constexpr Size requests_at = 1024, answers_at = requests_at + queue_size, size = answers_at + queue_size;

    shm_mq *requests() noexcept { return reinterpret_cast<shm_mq *>(reinterpret_cast<char *>(this) + requests_at); }
    shm_mq *answers() noexcept { return reinterpret_cast<shm_mq *>(reinterpret_cast<char *>(this) + answers_at); }
};
static_assert(sizeof(SessionSegment) <= SessionSegment::requests_at &&
              SessionSegment::requests_at % MAXIMUM_ALIGNOF == 0);

} // namespace dbnet::bgworker
