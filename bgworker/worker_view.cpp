// dbnet.worker_status(): what the slots in shared memory say, for the view dbnet.worker. Backends.
#include "mirror/functions/row_writer.hpp"
#include "pg/shared_memory.hpp"

extern "C" {
#include "utils/timestamp.h"
}

namespace dbnet::bgworker {
namespace {

using pg::WorkerKind;
using pg::WorkerSlot;
using pg::WorkerState;

const char *name_of(WorkerKind kind) {
    switch (kind) {
    case WorkerKind::launcher:
        return "launcher";
    case WorkerKind::mirror:
        return "mirror worker";
    case WorkerKind::gateway:
        return "gateway worker";
    case WorkerKind::policy:
        return "policy worker";
    case WorkerKind::api:
        return "api worker";
    }
    return "unknown";
}

const char *name_of(WorkerState state) {
    switch (state) {
    case WorkerState::stopped:
        return "stopped";
    case WorkerState::starting:
        return "starting";
    case WorkerState::running:
        return "running";
    case WorkerState::idle:
        return "idle";
    case WorkerState::failed:
        return "failed";
    }
    return "unknown";
}

std::string text_of(TimestampTz at) {
    std::string text;
    pg::call([&] { text = timestamptz_to_str(at); });
    return text;
}

// A copy, so that the lock is not held while rows are built.
struct SeenWorker {
    WorkerSlot slot;
    uint64 published, processed;
};

std::optional<std::string> lag_of(const SeenWorker &seen) {
    if (seen.slot.kind != WorkerKind::mirror || seen.slot.pid == 0)
        return std::nullopt;
    return std::to_string(seen.published > seen.processed ? seen.published - seen.processed : 0);
}

void add_row(mirror::RowWriter &rows, const SeenWorker &seen) {
    const WorkerSlot &slot = seen.slot;
    const std::string last_error(slot.last_error);
    rows.add({name_of(slot.kind), name_of(slot.state),
              slot.pid == 0 ? std::nullopt : std::optional<std::string>(std::to_string(slot.pid)),
              slot.since == 0 ? std::nullopt : std::optional<std::string>(text_of(slot.since)),
              last_error.empty() ? std::nullopt : std::optional<std::string>(last_error),
              std::to_string(slot.starts > 0 ? slot.starts - 1 : 0), lag_of(seen)});
}

} // namespace
} // namespace dbnet::bgworker

DBNET_FUNCTION(dbnet_worker_status) {
    using namespace dbnet;
    pg::Shared &memory = pg::require_shared();
    mirror::RowWriter rows(fcinfo);
    std::vector<bgworker::SeenWorker> seen;
    seen.reserve(pg::Shared::slot_count);
    pg::with_shared_lock(memory, [&] {
        for (const pg::WorkerSlot &slot : memory.slots) {
            auto &atomics = const_cast<pg::WorkerSlot &>(slot);
            const bool is_shown =
                slot.kind == pg::WorkerKind::launcher || pg_atomic_read_u32(&atomics.database) == MyDatabaseId;
            if (slot.used && is_shown)
                seen.push_back(
                    {slot, pg_atomic_read_u64(&atomics.published_lsn), pg_atomic_read_u64(&atomics.processed_lsn)});
        }
    });
    for (const bgworker::SeenWorker &worker : seen)
        bgworker::add_row(rows, worker);
    return Datum{0};
}
