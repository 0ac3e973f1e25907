// The transaction and its records (see recorder.hpp): what savepoints take back, and what is written when. Backends.
#include "provenance/record/recorder.hpp"

#include "pg/guard.hpp"
#include "pg/shared_counters.hpp"
#include "pg/shared_memory.hpp"
#include "provenance/hooks/function_hooks.hpp"
#include "provenance/hooks/function_info.hpp"
#include "provenance/record/event_clock.hpp"
#include "provenance/record/failures.hpp"
#include "provenance/record/own_tables.hpp"
#include "provenance/record/records.hpp"
#include "provenance/record/store.hpp"
#include "provenance/record/tracked_table.hpp"
#include "settings.hpp"

#include <algorithm>

extern "C" {
#include "access/parallel.h"
#include "access/xact.h"
#include "commands/extension.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace dbnet::provenance {
namespace {

constexpr Size savepoint_allowance =
    8; // times dbnet.provenance_buffer_limit, where a savepoint keeps it from being written

bool is_flushing = false;

// Activities that are gone leave no trace, unless they are calls: that a procedure was tried tells something. True:
// there was something.
bool drop_since(uint32 first, SubTransactionId subtransaction) noexcept {
    bool has_dropped = false;
    for (uint32 index = first > records->flushed ? first - records->flushed : 0; index < records->in_part(); ++index) {
        Record &record = records->list[index];
        if (record.kind == Record::Kind::version) {
            record.version.is_dropped = has_dropped = true;
        } else if (record.kind == Record::Kind::activity) {
            Activity &activity = record.activity;
            if (activity.subtransaction < subtransaction)
                continue;
            has_dropped = true;
            activity.status = activity.status == ActivityStatus::done || activity.status == ActivityStatus::partly
                                  ? ActivityStatus::rolled_back
                                  : ActivityStatus::failed;
        }
    }
    return has_dropped;
}

// Frames that go on (a procedure that commits) know from now on under which event they are on record.
void settle_frames() noexcept {
    for (Frame *frame = top_frame(); frame != nullptr; frame = frame->below)
        if (frame->recorded_in == transaction_serial() && frame->activity != 0) {
            if (const EventId event = event_of(frame->activity); event != 0)
                frame->event = event;
            frame->activity = 0;
        }
}

// What is still running keeps no more than its event.
void release_frames() noexcept {
    for (uint32 index = 0; index < records->in_part(); ++index) {
        Record &record = records->list[index];
        if (record.kind != Record::Kind::activity || record.activity.frame == nullptr)
            continue;
        release_frame(record.activity.frame);
        record.activity.frame = nullptr;
    }
}

void forget_transaction() noexcept {
    // Definitions that were replaced end with the transaction, calls of them need not.
    for (Frame *frame = top_frame(); frame != nullptr; frame = frame->below)
        if (frame->function != nullptr)
            frame->version = frame->function->version;
    if (records != nullptr)
        release_frames();
    forget_records();
    forget_note();
    is_flushing = false;
    forget_stale_tables();
    forget_stale_functions();
}

extern "C" void dbnet_provenance_transaction(XactEvent event, void *) {
    switch (event) {
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_PREPARE:
    case XACT_EVENT_ABORT:
        if (records != nullptr && event == XACT_EVENT_COMMIT) {
            settle_frames();
            pg::tell_recorded_commit(MyDatabaseId);
        }
        store_ended(event == XACT_EVENT_COMMIT);
        forget_statements(InvalidSubTransactionId);
        forget_transaction();
        break;
    default:
        break;
    }
}

extern "C" void dbnet_provenance_subtransaction(SubXactEvent event, SubTransactionId id, SubTransactionId, void *) {
    const int level = GetCurrentTransactionNestLevel();
    if (event == SUBXACT_EVENT_START_SUB) {
        begin_savepoint(level);
    } else if (event == SUBXACT_EVENT_ABORT_SUB) {
        const bool has_dropped = records != nullptr && !is_flushing && drop_since(records_before_savepoint(level), id);
        if (has_dropped || is_writing(id))
            for (Frame *frame = top_frame(); frame != nullptr; frame = frame->below)
                frame->has_lost_writes = true; // and its text or arguments may tell of what was to be written
        forget_statements(id);
    }
}

// By the clock that the transaction reads anyway; a step of it counts as time, backwards as none.
void count_written(uint32 events, TimestampTz start) noexcept {
    if (pg::SharedCounters *counters = pg::find_counters(MyDatabaseId)) {
        pg_atomic_fetch_add_u64(&counters->provenance_events, events);
        const TimestampTz microseconds = std::max<TimestampTz>(0, GetCurrentTimestamp() - start);
        counters->provenance_writes.add(static_cast<double>(microseconds) / USECS_PER_SEC);
    }
}

} // namespace

bool is_recording() noexcept {
    return settings::provenance && pg::shared() != nullptr && !is_flushing && !creating_extension &&
           !IsParallelWorker() && !RecoveryInProgress() && !HistoricSnapshotActive() &&
           (records == nullptr || !records->is_overfull);
}

EventId flush() {
    if (records == nullptr || records->in_part() == 0 || records->is_written || is_flushing)
        return 0;
    if (!choose_what_is_written()) {
        records->is_written = true;
        return 0;
    }
    if (!has_activity()) // all that was written here belongs to activities of an earlier part
        pg::call([] { record_at(activity_without_frame("continued").number).is_written = true; });
    records->is_written = true;
    if (!pg::call([] { return OidIsValid(own_table(OwnTable::code)); })) { // the transaction has dropped the extension
        number_them(0);
        release_frames();
        return 0;
    }
    const uint32 count = count_them();
    EventId transaction = take_events(count);
    number_them(transaction);
    is_flushing = true;
    const TimestampTz start = GetCurrentTimestamp();
    const MemoryContext memory = CurrentMemoryContext;
    if constexpr (pg::compat::inserting_wants_snapshot) // at the commit there is none
        pg::call([] { PushActiveSnapshot(GetTransactionSnapshot()); });
    try {
        pg::call([&] { store(transaction, count); });
    } catch (const pg::error &error) { // nothing is written yet: see store()
        MemoryContextSwitchTo(memory);
        if (settings::provenance_on_error == settings::OnError::error)
            throw;
        transaction = 0;
        number_them(transaction);
        count_failure("a transaction", error.what());
    }
    if constexpr (pg::compat::inserting_wants_snapshot)
        pg::call([] { PopActiveSnapshot(); });
    is_flushing = false;
    if (transaction != 0)
        count_written(count, start);
    if (records->first_part == 0)
        records->first_part = transaction;
    release_frames();
    return transaction;
}

void flush_if_large() {
    if (records == nullptr || records->is_overfull)
        return;
    const Size limit = static_cast<Size>(settings::provenance_buffer_limit) * 1024;
    const Size size = MemoryContextMemAllocated(records->part, false);
    if (size <= limit)
        return;
    // What a savepoint may still take back is not written before that is decided.
    if (GetCurrentTransactionNestLevel() == 1) {
        flush();
        pg::call([] { retire(); });
    } else if (size > limit * savepoint_allowance) {
        const pg::error overfull(
            ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            "more has changed inside a savepoint than dbnet.provenance_buffer_limit lets be remembered");
        if (settings::provenance_on_error == settings::OnError::error)
            throw overfull; // whoever catches it meets it again: nothing goes by unrecorded
        records->is_overfull = true;
        count_failure("the rest of a transaction", overfull.what());
    }
}

void install_recorder() {
    RegisterXactCallback(dbnet_provenance_transaction, nullptr);
    RegisterSubXactCallback(dbnet_provenance_subtransaction, nullptr);
}

} // namespace dbnet::provenance
