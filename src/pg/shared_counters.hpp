// What the processes of a database count in shared memory, for /metrics of its gateway worker: since the server's
// start, or since the extension is there. Plain data: no pointers, no descriptors, no std::.
#pragma once

#include "durations.hpp"
#include "pg/guard.hpp"

extern "C" {
#include "port/atomics.h"
}

namespace dbnet::pg {

struct SharedDurations {
    static constexpr int buckets = static_cast<int>(duration_bounds.size()) + 1; // see duration_bucket()

    pg_atomic_uint64 counts[buckets];
    pg_atomic_uint64 nanoseconds; // of all

    void add(double seconds) noexcept {
        pg_atomic_fetch_add_u64(&counts[duration_bucket(seconds)], 1);
        pg_atomic_fetch_add_u64(&nanoseconds, static_cast<int64>(seconds * 1e9));
    }
};

// Of Kubernetes Events about objects: told, refused or not answered, not sent.
enum class EventResult { written, failed, dropped };

struct SharedCounters {
    pg_atomic_uint64 watch_events[5]; // as watches brought them, by kubernetes::Event::Type
    SharedDurations watch_records; // from such an event, or the first of its object that waits, to its record's commit
    pg_atomic_uint64 events[3];    // by EventResult
    pg_atomic_uint64 provenance_events; // written by transactions
    SharedDurations provenance_writes;  // for each transaction
};

// Where the processes of the database count; nullptr when it has no workers.
SharedCounters *find_counters(Oid database) noexcept;

} // namespace dbnet::pg
