// Records of the running transaction (see recorder.hpp). Backends.
#include "provenance/record/recorder.hpp"

#include "pg/guard.hpp"
#include "pg/shared_counters.hpp"
#include "pg/shared_memory.hpp"
#include "provenance/hooks/function_hooks.hpp"
#include "provenance/hooks/function_info.hpp"
#include "provenance/hooks/traceparent.hpp"
#include "provenance/record/event_clock.hpp"
#include "provenance/record/failures.hpp"
#include "provenance/record/number_index.hpp"
#include "provenance/record/own_tables.hpp"
#include "provenance/record/store.hpp"
#include "settings.hpp"

#include <chrono>
#include <new>

extern "C" {
#include "access/parallel.h"
#include "access/xact.h"
#include "commands/extension.h"
#include "storage/itemptr.h"
#include "tcop/tcopprot.h"
#include "utils/snapmgr.h"
}

namespace dbnet::provenance {
namespace {

constexpr uint32 index_limit = 1 << 20; // entries of an index, 32 MB; later rows are recorded, but no longer found
constexpr int text_limit = 10 * 1024;   // bytes of a statement's text
constexpr Size savepoint_allowance =
    8; // times dbnet.provenance_buffer_limit, where a savepoint keeps it from being written

// Lives in a context that is emptied when the transaction ends; no destructor runs. A transaction that changes very
// much is written in parts, of which only the events are remembered.
struct Records {
    Records(MemoryContext context, MemoryContext part)
        : context(context), part(part), places(context, index_limit), keys(context, index_limit),
          reserved(context, index_limit) {}

    MemoryContext context, part;
    Record *list = nullptr;         // of the part; list[0] is number flushed + 1; in its memory
    uint32 count = 0, capacity = 0; // count: of all parts, capacity: of the list
    uint32 flushed = 0;             // records of parts that are done with
    EventId *events = nullptr;      // theirs
    EventId first_part = 0;         // its transaction id
    bool is_written = false;        // the part is, and is kept for final_number()
    bool is_overfull = false;       // a savepoint holds more than may be remembered: nothing more is recorded
    NumberIndex places, keys, reserved;

    uint32 in_part() const noexcept { return count - flushed; }
};

Records *records = nullptr;
TransactionNote note;
uint64 serial = 1;
bool is_flushing = false;
// Records before the subtransaction of each nesting level; grows in TopMemoryContext.
uint32 *level_starts = nullptr;
int level_count = 0;
const char *role_name = nullptr; // of the last activity's role
Oid role_of_name = InvalidOid;

Records &begun() {
    if (records == nullptr) {
        static const MemoryContext context = lasting_context("DBNet provenance");
        static const MemoryContext part = lasting_context("DBNet provenance part");
        records = new (MemoryContextAlloc(context, sizeof(Records))) Records(context, part);
        // Savepoints that are open began before anything was recorded.
        for (int level = 0; level < level_count; ++level)
            level_starts[level] = 0;
    }
    return *records;
}

// The part is done with: its events are all that is remembered of it.
void retire() {
    Records &all = *records;
    const Size size = sizeof(EventId) * (all.count + 1);
    all.events =
        static_cast<EventId *>(all.events == nullptr ? MemoryContextAllocExtended(all.context, size, MCXT_ALLOC_HUGE)
                                                     : repalloc_huge(all.events, size));
    for (RecordNumber number = all.flushed + 1; number <= all.count; ++number)
        all.events[number - 1] = event_of(number);
    MemoryContextReset(all.part);
    all.list = nullptr;
    all.capacity = 0;
    all.flushed = all.count;
    all.is_written = false;
    role_name = nullptr;
}

RecordNumber append(const Record &record) {
    Records &all = begun();
    if (all.is_written)
        retire();
    if (all.in_part() == all.capacity) {
        const uint32 capacity = all.capacity == 0 ? 8 : all.capacity * 2;
        const MemoryContext before = MemoryContextSwitchTo(all.part);
        all.list = static_cast<Record *>(all.list == nullptr ? palloc(sizeof(Record) * capacity)
                                                             : repalloc_huge(all.list, sizeof(Record) * capacity));
        MemoryContextSwitchTo(before);
        all.capacity = capacity;
    }
    all.list[all.in_part()] = record;
    return ++all.count;
}

// Fingerprints of what an index is asked for.
uint64 place_key(const Place &place) noexcept {
    const uint64 block = ItemPointerGetBlockNumberNoCheck(&place.row),
                 offset = ItemPointerGetOffsetNumberNoCheck(&place.row);
    return (static_cast<uint64>(place.table) * UINT64CONST(0x9e3779b97f4a7c15)) ^
           (static_cast<uint64>(place.command) * UINT64CONST(0xc2b2ae3d27d4eb4f)) ^ (block << 16 | offset);
}

uint64 version_key(int32 relation, int64 key_hash) noexcept {
    return static_cast<uint64>(key_hash) ^ (static_cast<uint64>(relation) * UINT64CONST(0x9e3779b97f4a7c15));
}

// Where one statement exchanges keys, a row leaves its key before another one comes under it, whichever was met first.
bool goes_before(const Version &version, const Version &other) noexcept {
    const bool leaves = version.operation == 'R' || version.operation == 'D';
    const bool arrives = other.operation == 'I' || (other.operation == 'U' && other.pair != 0);
    return other.command > version.command || (other.command == version.command && leaves && arrives);
}

// Into the chain of versions of its key, newest first. A trigger of the row that ran before ours, or one of another row
// of the same statement, may have changed it again: that is recorded first and was made by a later command.
void link_version(RecordNumber number) {
    Version &version = record_at(number).version;
    const uint64 key = version_key(version.relation, version.key_hash);
    RecordNumber later = 0;
    auto before = static_cast<RecordNumber>(records->keys.find(key));
    while (before > records->flushed && version.command != InvalidCommandId &&
           record_at(before).version.command != InvalidCommandId && goes_before(version, record_at(before).version)) {
        later = before;
        before = record_at(before).version.previous;
    }
    version.previous = before;
    if (later != 0)
        record_at(later).version.previous = number;
    else
        records->keys.put(key, number);
}

const char *name_of_role(Oid role) {
    if (role_name == nullptr || role_of_name != role) {
        const char *name = GetUserNameFromId(role, true);
        role_name = MemoryContextStrdup(record_memory(), name != nullptr ? name : "");
        role_of_name = role;
    }
    return role_name;
}

const char *copied_for_transaction(std::string_view text) {
    auto *copy = static_cast<char *>(MemoryContextAlloc(TopTransactionContext, text.size() + 1));
    memcpy(copy, text.data(), text.size());
    copy[text.size()] = '\0';
    return copy;
}

const char *copied(const char *text, int length) {
    if (text == nullptr)
        return nullptr;
    auto *copy = static_cast<char *>(MemoryContextAlloc(record_memory(), length + 1));
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

// What a client asked for names its trace in a comment /*traceparent='…'*/: in the statement, else elsewhere in the
// string of statements that it sent. A string that has none is searched for its first statement alone: it may be long,
// and so may be the list of its statements. Another one may be at the same address later.
void note_traceparent(const Frame *frame) {
    static const char *vain = nullptr;
    static TimestampTz vain_at = 0;
    if (note.traceparent != nullptr || frame->text == nullptr)
        return;
    std::string_view found = find_traceparent({frame->text, static_cast<size_t>(frame->text_length)});
    const TimestampTz sent_at = GetCurrentStatementStartTimestamp();
    if (found.empty() && debug_query_string != nullptr && (vain != debug_query_string || vain_at != sent_at)) {
        const bool is_start = frame->text == debug_query_string;
        found = find_traceparent(debug_query_string + (is_start ? frame->text_length : 0));
        if (found.empty()) {
            vain = debug_query_string;
            vain_at = sent_at;
        }
    }
    if (!found.empty())
        note.traceparent = copied_for_transaction(found);
}

// The transactions of a procedure that commits have the same.
void note_traceparent_again(const Frame *frame) {
    while (frame->within != nullptr)
        frame = frame->within;
    if (note.asked == frame)
        return;
    note.asked = frame;
    note_traceparent(frame);
}

void describe(Activity &activity, Frame *frame) {
    activity.role = name_of_role(frame->role);
    activity.role_id = frame->role;
    activity.outer_role = frame->outer_role;
    activity.session_user = frame->session_user;
    activity.line = frame->line;
    activity.started_at = frame->started_at;
    if (frame->function != nullptr) {
        activity.function = frame->function;
        activity.version = frame->version;
        activity.name = frame->version->name;
        describe_call(activity, *frame);
        return;
    }
    activity.name = frame->tag != nullptr ? frame->tag : "";
    if (frame->foreign_key != nullptr) {
        const MemoryContext before = MemoryContextSwitchTo(record_memory());
        JsonbField field;
        field.name = "foreign_key";
        field.set(std::string_view(frame->foreign_key));
        activity.detail = make_object(&field, 1);
        activity.started_by = frame->recorded_in == serial ? frame->started_by : 0;
        MemoryContextSwitchTo(before);
    }
    if (frame->text == nullptr)
        return;
    if (frame->within == nullptr)
        note_traceparent(frame);
    activity.text_length = frame->text_length < text_limit ? frame->text_length : text_limit;
    activity.text = copied(frame->text, activity.text_length);
}

void take_over(Activity &activity, const Frame &frame) noexcept {
    if (activity.status == ActivityStatus::running)
        activity.status = frame.status;
    if ((activity.status == ActivityStatus::done || activity.status == ActivityStatus::running) &&
        frame.has_lost_writes)
        activity.status = ActivityStatus::partly;
    activity.duration = frame.duration;
    activity.rows = frame.rows;
    activity.is_withheld |= frame.is_withheld;
    activity.kind = frame.kind;
    activity.relation = frame.relation;
}

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

// From the last to the first: who has something on record below is on record.
bool choose_what_is_written() noexcept {
    bool is_worth_it = false;
    for (uint32 index = records->in_part(); index-- > 0;) {
        Record &record = records->list[index];
        RecordNumber above = 0;
        switch (record.kind) {
        case Record::Kind::version:
            record.is_written = record.version.operation != '\0' && !record.version.is_dropped;
            above = record.version.activity;
            is_worth_it |= record.is_written;
            break;
        case Record::Kind::use:
            record.is_written = true;
            above = record.use.activity;
            is_worth_it = true;
            break;
        case Record::Kind::activity: {
            const Activity &activity = record.activity;
            const bool is_call = activity.kind == ActivityKind::call || activity.kind == ActivityKind::activation;
            record.is_written = record.is_written || activity.is_kept || (is_call && activity.has_followed);
            above = activity.parent;
            is_worth_it |= activity.is_kept;
            break;
        }
        }
        if (record.is_written && above > records->flushed)
            record_at(above).is_written = true;
    }
    return is_worth_it;
}

bool has_activity() noexcept {
    for (uint32 index = 0; index < records->in_part(); ++index)
        if (records->list[index].is_written && records->list[index].kind == Record::Kind::activity)
            return true;
    return false;
}

uint32 count_them() noexcept {
    uint32 count = 0;
    for (uint32 index = 0; index < records->in_part(); ++index) {
        Record &record = records->list[index];
        count += record.is_written ? 1 : 0;
        if (record.kind == Record::Kind::activity && record.activity.frame != nullptr)
            take_over(record.activity, *record.activity.frame);
    }
    return count;
}

// Gives the record its id, after the activities within which it is: a number that was promised before anything else was
// there may be lower than theirs; and after earlier versions of the same row: they may have been recorded later.
void number_one(uint32 index, EventId &next) noexcept {
    Record &record = records->list[index];
    if (!record.is_written || record.event != 0)
        return;
    const RecordNumber above = record.kind == Record::Kind::version    ? record.version.activity
                               : record.kind == Record::Kind::activity ? record.activity.parent
                                                                       : record.use.activity;
    if (above > records->flushed && records->list[above - records->flushed - 1].event == 0)
        number_one(above - records->flushed - 1, next);
    if (record.kind == Record::Kind::version) {
        RecordNumber before = record.version.previous;
        while (before > records->flushed && !record_at(before).is_written)
            before = record_at(before).version.previous;
        if (before > records->flushed && record_at(before).event == 0)
            number_one(before - records->flushed - 1, next);
    }
    record.event = next++;
}

// In order of recording. The first id, which the transaction goes by, is an activity's, whatever was promised before.
void number_them(EventId transaction) noexcept {
    for (uint32 index = 0; index < records->in_part(); ++index)
        records->list[index].event = 0;
    if (transaction == 0)
        return;
    EventId next = transaction;
    for (uint32 index = 0; index < records->in_part() && next == transaction; ++index)
        if (records->list[index].kind == Record::Kind::activity)
            number_one(index, next);
    for (uint32 index = 0; index < records->in_part(); ++index)
        number_one(index, next);
}

// Frames that go on (a procedure that commits) know from now on under which event they are on record.
void settle_frames() noexcept {
    for (Frame *frame = top_frame(); frame != nullptr; frame = frame->below)
        if (frame->recorded_in == serial && frame->activity != 0) {
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
    if (records != nullptr) {
        release_frames();
        MemoryContextReset(records->part);
        MemoryContextReset(records->context); // and with it *records
    }
    records = nullptr;
    role_name = nullptr;
    note = {};
    is_flushing = false;
    ++serial;
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
        while (level >= level_count) {
            const int count = level_count == 0 ? 16 : level_count * 2;
            level_starts = static_cast<uint32 *>(level_starts == nullptr
                                                     ? MemoryContextAllocZero(TopMemoryContext, sizeof(uint32) * count)
                                                     : repalloc(level_starts, sizeof(uint32) * count));
            level_count = count;
        }
        level_starts[level] = record_count();
    } else if (event == SUBXACT_EVENT_ABORT_SUB) {
        const bool has_dropped =
            records != nullptr && !is_flushing && drop_since(level < level_count ? level_starts[level] : 0, id);
        if (has_dropped || is_writing(id))
            for (Frame *frame = top_frame(); frame != nullptr; frame = frame->below)
                frame->has_lost_writes = true; // and its text or arguments may tell of what was to be written
        forget_statements(id);
    }
}

} // namespace

bool is_recording() noexcept {
    return settings::provenance && pg::shared() != nullptr && !is_flushing && !creating_extension &&
           !IsParallelWorker() && !RecoveryInProgress() && !HistoricSnapshotActive() &&
           (records == nullptr || !records->is_overfull);
}

MemoryContext lasting_context(const char *name) {
    return AllocSetContextCreateInternal(TopMemoryContext, name, ALLOCSET_DEFAULT_SIZES);
}

MemoryContext record_memory() {
    if (begun().is_written)
        retire(); // before anything of the next part is there
    return records->part;
}

uint32 record_count() noexcept {
    return records != nullptr ? records->count : 0;
}

Record &record_at(RecordNumber number) noexcept {
    return records->list[number - records->flushed - 1];
}

Record *open_record(RecordNumber number) noexcept {
    return records != nullptr && number > records->flushed && !records->is_written ? &record_at(number) : nullptr;
}

uint64 transaction_serial() noexcept {
    return serial;
}

ActivityReference activity_of(Frame *frame) {
    if (frame->recorded_in == serial && frame->activity != 0)
        return {frame->activity, 0};
    if (frame->event != 0) {
        note_traceparent_again(frame);
        return {0, frame->event};
    }
    ActivityReference parent{0, 0};
    if (frame->within != nullptr)
        parent = activity_of(frame->within);
    Record record{};
    record.kind = Record::Kind::activity;
    record.activity = Activity{};
    Activity &activity = record.activity;
    activity.kind = frame->kind;
    activity.status = ActivityStatus::running;
    activity.parent = parent.number;
    activity.parent_event = parent.event;
    activity.subtransaction = frame->subtransaction;
    activity.duration = activity.rows = -1;
    record_memory(); // the part that it belongs to has begun
    describe(activity, frame);
    if (frame->duration < 0) {
        activity.frame = frame;
        ++frame->references;
    } else {
        take_over(activity, *frame);
    }
    frame->activity = append(record);
    frame->recorded_in = serial;
    if (Record *above = open_record(parent.number); above != nullptr)
        above->activity.has_followed = true;
    return {frame->activity, 0};
}

void keep_activity(Frame *frame) {
    if (Record *record = open_record(activity_of(frame).number); record != nullptr)
        record->activity.is_kept = true;
}

void finish_activity(Frame *frame) noexcept {
    if (frame->recorded_in != serial || frame->activity == 0)
        return;
    Record *record = open_record(frame->activity);
    if (record == nullptr || record->activity.frame == nullptr)
        return;
    take_over(record->activity, *frame);
    record->activity.frame = nullptr;
    release_frame(frame);
}

ActivityReference activity_without_frame(const char *name) {
    static RecordNumber last = 0;
    static uint64 last_serial = 0;
    if (last_serial == serial && open_record(last) != nullptr)
        return {last, 0};
    Record record{};
    record.kind = Record::Kind::activity;
    record.activity = Activity{};
    Activity &activity = record.activity;
    activity.kind = ActivityKind::statement;
    activity.status = ActivityStatus::done;
    activity.name = name;
    activity.role_id = GetUserId();
    activity.role = name_of_role(activity.role_id);
    activity.outer_role = GetOuterUserId();
    activity.session_user = GetSessionUserId();
    activity.started_at = GetCurrentTransactionStartTimestamp();
    activity.duration = activity.rows = -1;
    activity.subtransaction = InvalidSubTransactionId;
    last = append(record);
    last_serial = serial;
    return {last, 0};
}

RecordNumber add_version(const Version &version, RecordNumber promised) {
    Record record{};
    record.kind = Record::Kind::version;
    record.version = version;
    RecordNumber number = reserved_version(version.relation, version.key_hash);
    if (number == 0 || version.operation == 'I')
        number = promised;
    if (number != 0)
        record_at(number).version = version;
    else
        number = append(record);
    link_version(number);
    if (Record *above = open_record(version.activity); above != nullptr)
        above->activity.has_followed = true;
    return number;
}

void move_version(RecordNumber number, const Version &moved, const Version &left) {
    Record record{};
    record.kind = Record::Kind::version;
    record.version = left;
    record.version.pair = number;
    record.version.previous = record_at(number).version.previous;
    const RecordNumber gone = append(record);
    // In the chain of its key the new one takes the place of the old one.
    const uint64 key = version_key(left.relation, left.key_hash);
    auto later = static_cast<RecordNumber>(records->keys.find(key));
    if (later == number)
        records->keys.put(key, gone);
    for (; later > records->flushed && later != number; later = record_at(later).version.previous)
        if (record_at(later).version.previous == number)
            record_at(later).version.previous = gone;
    record_at(number).version = moved;
    record_at(number).version.pair = gone;
    link_version(number);
}

RecordNumber add_use(const Use &use) {
    Record record{};
    record.kind = Record::Kind::use;
    record.use = use;
    return append(record);
}

RecordNumber version_at(const Place &place, bool reserve) {
    const uint64 key = place_key(place);
    if (records != nullptr)
        if (const auto number = static_cast<RecordNumber>(records->places.find(key)); number != 0)
            return number;
    if (!reserve)
        return 0;
    Record record{};
    record.kind = Record::Kind::version;
    record.version = Version{};
    const RecordNumber number = append(record);
    records->places.put(key, number);
    return number;
}

void note_place(const Place &place, RecordNumber version) {
    begun().places.put(place_key(place), version);
}

RecordNumber reserved_at(const Place &place) {
    if (records == nullptr)
        return 0;
    const auto number = static_cast<RecordNumber>(records->places.find(place_key(place)));
    const Record *record = open_record(number);
    return record != nullptr && record->version.operation == '\0' ? number : 0;
}

RecordNumber newest_version(int32 relation, int64 key_hash) {
    if (records == nullptr)
        return 0;
    auto number = static_cast<RecordNumber>(records->keys.find(version_key(relation, key_hash)));
    while (number > records->flushed && record_at(number).version.is_dropped)
        number = record_at(number).version.previous;
    return number;
}

RecordNumber reserve_version(int32 relation, int64 key_hash) {
    if (const RecordNumber number = reserved_version(relation, key_hash); number != 0)
        return number;
    Record record{};
    record.kind = Record::Kind::version;
    record.version = Version{};
    const RecordNumber number = append(record);
    records->reserved.put(version_key(relation, key_hash), number);
    return number;
}

RecordNumber reserved_version(int32 relation, int64 key_hash) {
    if (records == nullptr)
        return 0;
    const auto number = static_cast<RecordNumber>(records->reserved.find(version_key(relation, key_hash)));
    const Record *record = open_record(number);
    return record != nullptr && record->version.operation == '\0' ? number : 0;
}

void set_cause(EventId event, const char *reason) {
    if (event != 0)
        note.cause = event;
    if (reason != nullptr)
        note.reason = MemoryContextStrdup(TopTransactionContext, reason);
}

TransactionNote &transaction_note() noexcept {
    return note;
}

namespace {

void count_written(uint32 events, std::chrono::duration<double> seconds) noexcept {
    if (pg::SharedCounters *counters = pg::find_counters(MyDatabaseId)) {
        pg_atomic_fetch_add_u64(&counters->provenance_events, events);
        counters->provenance_writes.add(seconds.count());
    }
}

} // namespace

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
    const auto start = std::chrono::steady_clock::now();
    const MemoryContext memory = CurrentMemoryContext;
    pg::call([] { PushActiveSnapshot(GetTransactionSnapshot()); }); // long values want one; at the commit there is none
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
    pg::call([] { PopActiveSnapshot(); });
    is_flushing = false;
    if (transaction != 0)
        count_written(count, std::chrono::steady_clock::now() - start);
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

EventId first_part() noexcept {
    return records != nullptr ? records->first_part : 0;
}

EventId event_of(RecordNumber number) noexcept {
    if (records == nullptr || number == 0 || number > records->count)
        return 0;
    if (number <= records->flushed)
        return records->events[number - 1];
    const Record &record = record_at(number);
    return record.kind == Record::Kind::version && record.version.alias != 0 ? event_of(record.version.alias)
                                                                             : record.event;
}

RecordNumber first_unwritten() noexcept {
    return records != nullptr ? records->flushed + 1 : 1;
}

void install_recorder() {
    RegisterXactCallback(dbnet_provenance_transaction, nullptr);
    RegisterSubXactCallback(dbnet_provenance_subtransaction, nullptr);
}

} // namespace dbnet::provenance
