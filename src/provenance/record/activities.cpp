// Activities among the records (see recorder.hpp): what frames did, and what is said of the transaction. Backends.
#include "pg/as_role.hpp"
#include "provenance/hooks/function_hooks.hpp"
#include "provenance/hooks/function_info.hpp"
#include "provenance/hooks/traceparent.hpp"
#include "provenance/record/records.hpp"

extern "C" {
#include "access/xact.h"
#include "tcop/tcopprot.h"
}

namespace dbnet::provenance {
namespace {

constexpr int text_limit = 10 * 1024; // bytes of a statement's text

TransactionNote note;

const char *name_of_role(Oid role) {
    const MemoryContext memory = record_memory();
    if (records->role_name == nullptr || records->role_of_name != role) {
        const char *name = GetUserNameFromId(role, true);
        records->role_name = MemoryContextStrdup(memory, name != nullptr ? name : "");
        records->role_of_name = role;
    }
    return records->role_name;
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
        activity.started_by = frame->recorded_in == transaction_serial() ? frame->started_by : 0;
        MemoryContextSwitchTo(before);
    }
    if (frame->text == nullptr)
        return;
    if (frame->within == nullptr)
        note_traceparent(frame);
    activity.text_length = frame->text_length < text_limit ? frame->text_length : text_limit;
    activity.text = copied(frame->text, activity.text_length);
}

} // namespace

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

ActivityReference activity_of(Frame *frame) {
    if (frame->recorded_in == transaction_serial() && frame->activity != 0)
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
    frame->recorded_in = transaction_serial();
    if (Record *above = open_record(parent.number); above != nullptr)
        above->activity.has_followed = true;
    return {frame->activity, 0};
}

void keep_activity(Frame *frame) {
    if (Record *record = open_record(activity_of(frame).number); record != nullptr)
        record->activity.is_kept = true;
}

void finish_activity(Frame *frame) noexcept {
    if (frame->recorded_in != transaction_serial() || frame->activity == 0)
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
    if (last_serial == transaction_serial() && open_record(last) != nullptr)
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
    activity.outer_role = pg::acting_role();
    activity.session_user = GetSessionUserId();
    activity.started_at = GetCurrentTransactionStartTimestamp();
    activity.duration = activity.rows = -1;
    activity.subtransaction = InvalidSubTransactionId;
    last = append(record);
    last_serial = transaction_serial();
    return {last, 0};
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

void forget_note() noexcept {
    note = {};
}

} // namespace dbnet::provenance
