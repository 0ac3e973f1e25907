// From rows to versions (see row_version.hpp). Backends; inside pg::call.
#include "provenance/record/row_version.hpp"

#include "pg/report_scope.hpp"
#include "provenance/record/row_delta.hpp"
#include "provenance/record/tracked_table.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace dbnet::provenance {
namespace {

// Rows of a truncated table that are recorded one by one; of larger tables only the TRUNCATE is.
constexpr int64 most_truncated_rows = 10'000;

struct Value {
    Datum datum;
    bool is_null;
};

Value value_of(const TrackedColumn &column, TupleTableSlot *row) {
    Value value{};
    value.datum = slot_getattr(row, column.number, &value.is_null);
    return value;
}

// Equal bytes are equal values, and for a value that is stored out of line they spare fetching it.
bool is_same(const TrackedColumn &column, TupleTableSlot *left_row, TupleTableSlot *right_row) {
    const Value left = value_of(column, left_row), right = value_of(column, right_row);
    if (left.is_null || right.is_null)
        return left.is_null == right.is_null;
    if (column.by_value)
        return left.datum == right.datum;
    if (column.length == -1) {
        const auto *left_bytes = DatumGetPointer(left.datum), *right_bytes = DatumGetPointer(right.datum);
        const Size size = VARSIZE_ANY(left_bytes);
        if (size == VARSIZE_ANY(right_bytes) && memcmp(left_bytes, right_bytes, size) == 0)
            return true;
    }
    return datum_image_eq(left.datum, right.datum, column.by_value, column.length);
}

JsonbField field_of(const TrackedTable &table, const TrackedColumn &column, TupleTableSlot *row) {
    JsonbField field;
    field.name = column.name;
    const Value value = value_of(column, row);
    if (value.is_null)
        return field;
    set_value(field, column.form, value.datum);
    if (column.is_redacted)
        field.set(digest_of(table, field));
    return field;
}

// Fields of a row, in memory of the trigger's call.
JsonbField *room_for_fields(const TrackedTable &table) {
    return static_cast<JsonbField *>(palloc(sizeof(JsonbField) * (table.count + 1)));
}

// An object that is on record until the transaction ends.
Jsonb *kept_object(const JsonbField *fields, int count) {
    const MemoryContext before = MemoryContextSwitchTo(record_memory());
    Jsonb *object = make_object(fields, count);
    MemoryContextSwitchTo(before);
    return object;
}

Jsonb *kept(Jsonb *document) {
    const Size size = VARSIZE(document);
    auto *copy = static_cast<Jsonb *>(MemoryContextAlloc(record_memory(), size));
    memcpy(copy, document, size);
    return copy;
}

Jsonb *key_of(const TrackedTable &table, TupleTableSlot *row) {
    JsonbField *fields = room_for_fields(table);
    int count = 0;
    for (int index = 0; index < table.count; ++index)
        if (table.columns[index].is_key)
            fields[count++] = field_of(table, table.columns[index], row);
    return kept_object(fields, count);
}

// Without columns that are NULL; one that holds JSON's null is there.
Jsonb *image_of(const TrackedTable &table, TupleTableSlot *row) {
    JsonbField *fields = room_for_fields(table);
    int count = 0;
    for (int index = 0; index < table.count; ++index) {
        if (!value_of(table.columns[index], row).is_null)
            fields[count++] = field_of(table, table.columns[index], row);
    }
    return kept_object(fields, count);
}

struct Delta {
    Jsonb *old_row = nullptr, *new_row = nullptr; // null: nothing changed
    bool key_changed = false;
};

Delta delta_of(const TrackedTable &table, TupleTableSlot *before, TupleTableSlot *after) {
    Delta delta;
    JsonbField *old_fields = room_for_fields(table), *new_fields = room_for_fields(table);
    int count = 0;
    for (int index = 0; index < table.count; ++index) {
        const TrackedColumn &column = table.columns[index];
        if (is_same(column, before, after))
            continue;
        old_fields[count] = field_of(table, column, before);
        new_fields[count++] = field_of(table, column, after);
        delta.key_changed |= column.is_key;
    }
    if (count == 0)
        return delta;
    delta.old_row = kept_object(old_fields, count);
    delta.new_row = kept_object(new_fields, count);
    return delta;
}

// ---- which statement wrote it ----

bool is_header(HeapTuple row) noexcept {
    return row != nullptr && row->t_data != nullptr;
}

TransactionId row_transaction_of(const TrackedTable &table, const TriggerData &fired) {
    const HeapTuple row = TRIGGER_FIRED_BY_UPDATE(fired.tg_event) ? fired.tg_newtuple : fired.tg_trigtuple;
    if (!table.is_heap || !is_header(row))
        return InvalidTransactionId;
    return TRIGGER_FIRED_BY_DELETE(fired.tg_event) ? HeapTupleHeaderGetUpdateXid(row->t_data)
                                                   : HeapTupleHeaderGetRawXmin(row->t_data);
}

ActivityReference activity_of_row(const TrackedTable &table, CommandId command, bool is_report) {
    Frame *frame = command != InvalidCommandId ? find_statement(command) : nullptr;
    if (frame == nullptr)
        for (frame = top_frame(); frame != nullptr && frame->kind != ActivityKind::statement;)
            frame = frame->below;
    if (frame == nullptr)
        return activity_without_frame("replication");
    if (is_report && frame->kind == ActivityKind::statement) {
        frame->kind = ActivityKind::report;
        frame->relation = table.number;
    }
    if (table.has_redacted) {
        frame->is_withheld = true;
        withhold_texts(); // the value may stand in the text and in the arguments of everything that led to it
    }
    const ActivityReference activity = activity_of(frame);
    if (Record *record = table.has_redacted ? open_record(activity.number) : nullptr; record != nullptr)
        record->activity.is_withheld = true;
    return activity;
}

// ---- versions ----

// The row's number is one that a trigger or a foreign key before ours has been promised, if there is one.
RecordNumber add(const Version &version, Oid table, const ItemPointerData *row) {
    const Place place{table, row != nullptr ? *row : ItemPointerData{}, version.command};
    const RecordNumber promised = row != nullptr ? reserved_at(place) : 0;
    const RecordNumber number = add_version(version, promised);
    if (promised != 0 && promised != number)
        record_at(promised).version.alias = number; // open, or it would not be found
    if (row != nullptr)
        note_place(place, number);
    return number;
}

// The UPDATE that moves rows between partitions, which is a DELETE here and then an INSERT there; nullptr: another
// statement.
Frame *moving_statement(const TrackedTable &table, Oid partition, CommandId command) noexcept {
    Frame *frame = table.root != partition && command != InvalidCommandId ? find_statement(command) : nullptr;
    return frame != nullptr && frame->is_update ? frame : nullptr;
}

// A row that left one partition and came up in another by the same statement. Of a statement that may also delete and
// insert (MERGE) only the key tells; 0: it did not move.
RecordNumber moved_from(const TrackedTable &table, Oid partition, const Version &inserted) {
    if (table.root == partition)
        return 0;
    const Frame *frame = moving_statement(table, partition, inserted.command);
    const RecordNumber number = frame != nullptr ? frame->moving : newest_version(inserted.relation, inserted.key_hash);
    const Record *record = open_record(number);
    return record != nullptr && record->version.operation == 'D' && record->version.relation == inserted.relation &&
                   record->version.command == inserted.command
               ? number
               : 0;
}

// As key_hash() of the row's key: whole numbers, the commonest keys, without making the text of a numeric of them.
int64 hash_of_key(const TrackedTable &table, TupleTableSlot *row, const Jsonb *key) {
    KeyHash hash;
    char digits[MAXINT8LEN + 1];
    for (int place = 0; place < table.key_count; ++place) {
        const TrackedColumn &column = table.columns[table.keys[place]];
        const Value value = value_of(column, row);
        if (!value.is_null && column.form.kind == ValueForm::Kind::int4)
            hash.add(std::string_view(digits, pg_ltoa(DatumGetInt32(value.datum), digits)));
        else if (!value.is_null && column.form.kind == ValueForm::Kind::int8)
            hash.add(std::string_view(digits, pg_lltoa(DatumGetInt64(value.datum), digits)));
        else
            hash.add(member(key, column.name));
    }
    return hash.value();
}

// Of a mirror the key is namespace and name, or name alone.
void set_key(Version &version, const TrackedTable &table, TupleTableSlot *row, bool is_report) {
    version.key = key_of(table, row);
    version.key_hash = hash_of_key(table, row, version.key);
    if (!is_report)
        return;
    const auto part = [&](int place) -> std::string_view {
        const JsonbField field = member(version.key, table.columns[table.keys[place]].name);
        return field.kind == JsonbField::Kind::string ? std::string_view(field.bytes, field.length)
                                                      : std::string_view();
    };
    version.cause = table.key_count == 2 ? pg::report_cause(part(0), part(1)) : pg::report_cause({}, part(0));
}

capture::RowVersions record_change(const TrackedTable &table, const TriggerData &fired, Version version,
                                   bool is_report) {
    const Oid relation = RelationGetRelid(fired.tg_relation);
    TupleTableSlot *before = fired.tg_trigslot, *after = fired.tg_newslot;
    const Delta delta = delta_of(table, before, after);
    if (delta.old_row == nullptr)
        return {};
    version.operation = 'U';
    set_key(version, table, after, is_report);
    version.old_row = delta.old_row;
    version.new_row = delta.new_row;
    capture::RowVersions numbers;
    numbers.written = add(version, relation, &after->tts_tid);
    if (!delta.key_changed)
        return numbers;
    Version left = version;
    left.operation = 'R';
    set_key(left, table, before, false);
    left.old_row = left.new_row = nullptr;
    left.row_transaction = InvalidTransactionId;
    left.pair = numbers.written;
    numbers.deleted = add(left, relation, nullptr);
    record_at(numbers.written).version.pair = numbers.deleted;
    return numbers;
}

// The DELETE that is on record was an UPDATE, as what came up here shows.
void record_move(const TrackedTable &table, const TriggerData &fired, Version version, RecordNumber moved) {
    const Oid partition = RelationGetRelid(fired.tg_relation);
    TupleTableSlot *row = fired.tg_trigslot;
    Version left = record_at(moved).version;
    const ObjectDelta delta = delta_between(left.old_row, image_of(table, row));
    version.operation = 'U';
    version.old_row = kept(delta.old_row);
    version.new_row = kept(delta.new_row);
    const Place place{partition, row->tts_tid, version.command};
    if (const RecordNumber promised = reserved_at(place); promised != 0)
        record_at(promised).version.alias = moved;
    note_place(place, moved);
    if (version.key_hash == left.key_hash) {
        version.previous = left.previous;
        record_at(moved).version = version;
        return;
    }
    left.operation = 'R';
    left.old_row = left.new_row = nullptr;
    left.row_transaction = InvalidTransactionId;
    move_version(moved, version, left);
}

capture::RowVersions record_insert(const TrackedTable &table, const TriggerData &fired, Version version,
                                   bool is_report) {
    const Oid relation = RelationGetRelid(fired.tg_relation);
    TupleTableSlot *row = fired.tg_trigslot;
    version.operation = 'I';
    set_key(version, table, row, is_report);
    if (const RecordNumber moved = moved_from(table, relation, version); moved != 0) {
        record_move(table, fired, version, moved);
        return {moved, 0};
    }
    if (!is_report || pg::report_kind() != pg::ReportKind::import)
        version.new_row = image_of(table, row);
    return {add(version, relation, &row->tts_tid), 0};
}

capture::RowVersions record_delete(const TrackedTable &table, const TriggerData &fired, Version version,
                                   bool is_report) {
    const Oid relation = RelationGetRelid(fired.tg_relation);
    TupleTableSlot *row = fired.tg_trigslot;
    version.operation = 'D';
    set_key(version, table, row, is_report);
    version.old_row = image_of(table, row);
    const RecordNumber number = add(version, relation, &row->tts_tid);
    if (Frame *frame = moving_statement(table, relation, version.command); frame != nullptr)
        frame->moving = number;
    return {0, number};
}

// ---- TRUNCATE ----

constexpr int64 truncated_key = 0; // no key hashes to it but by chance

// A table that was truncated is noted at a place where no row is. All that a transaction of another server does is one
// activity; its statements are told apart by their commands.
Place place_of_truncation(Oid table, bool is_replicated) {
    Place place{table, {}, is_replicated ? GetCurrentCommandId(false) : InvalidCommandId};
    ItemPointerSetInvalid(&place.row);
    return place;
}

// PostgreSQL may ask for a table twice, and our trigger does once more.
bool is_truncated_already(const Place &place, RecordNumber activity) {
    const Record *record = open_record(version_at(place, false));
    return record != nullptr && !record->version.is_dropped && record->version.activity == activity;
}

// The TRUNCATE itself: one for the table, however many partitions it has.
RecordNumber truncation_of(const Version &truncated, const Place &place) {
    if (is_truncated_already(place, truncated.activity))
        return version_at(place, false);
    Version version = truncated;
    version.operation = 'T';
    version.key = kept_object(nullptr, 0);
    version.key_hash = truncated_key;
    const RecordNumber number = add_version(version);
    note_place(place, number);
    return number;
}

constexpr int32 first_number_of_users = 100; // dbnet.tracked_relation.number; below are our own tables

// A dump brings our configuration by COPY, and what is on record of it beside: that is nobody's change.
bool is_restored(const TrackedTable &table) noexcept {
    if (table.number >= first_number_of_users)
        return false;
    const Frame *frame = top_frame();
    while (frame != nullptr && frame->kind != ActivityKind::statement)
        frame = frame->below;
    return frame != nullptr && frame->tag != nullptr && strcmp(frame->tag, "COPY") == 0;
}

} // namespace

CommandId command_of(const TrackedTable &table, const TriggerData &fired) {
    const HeapTuple row = TRIGGER_FIRED_BY_UPDATE(fired.tg_event) ? fired.tg_newtuple : fired.tg_trigtuple;
    if (!table.is_heap || !is_header(row))
        return InvalidCommandId;
    if (TRIGGER_FIRED_BY_DELETE(fired.tg_event)) {
        if (!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(row->t_data)))
            return InvalidCommandId;
        return HeapTupleHeaderGetCmax(row->t_data);
    }
    return HeapTupleHeaderGetCmin(row->t_data);
}

capture::RowVersions record_row(const TriggerData &fired) {
    if (!is_recording())
        return {};
    const TrackedTable &table = *tracked_table(fired.tg_relation);
    if (!table.is_tracked || is_restored(table))
        return {};
    const bool is_report = pg::in_report_of(table.root);
    Version version{};
    version.relation = table.number;
    version.command = command_of(table, fired);
    version.row_transaction = row_transaction_of(table, fired);
    const ActivityReference activity = activity_of_row(table, version.command, is_report);
    version.activity = activity.number;
    version.activity_event = activity.event;
    if (TRIGGER_FIRED_BY_UPDATE(fired.tg_event))
        return record_change(table, fired, version, is_report);
    return TRIGGER_FIRED_BY_INSERT(fired.tg_event) ? record_insert(table, fired, version, is_report)
                                                   : record_delete(table, fired, version, is_report);
}

void record_truncate(Oid id) {
    if (!is_recording())
        return;
    const TrackedTable &table = *tracked_table(id);
    // PostgreSQL asks for the name before it locks the table and before it looks at rights.
    if (!table.is_tracked || pg_class_aclcheck(id, GetUserId(), ACL_TRUNCATE) != ACLCHECK_OK)
        return;
    Frame *frame = top_frame();
    while (frame != nullptr && frame->kind != ActivityKind::statement)
        frame = frame->below;
    const ActivityReference activity = frame != nullptr ? activity_of(frame) : activity_without_frame("replication");
    Version version{};
    version.relation = table.number;
    version.command = InvalidCommandId;
    version.activity = activity.number;
    version.activity_event = activity.event;

    const Relation relation = table_open(id, AccessExclusiveLock);
    const bool is_parent =
        relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE; // its partitions are told of, each by itself
    const Place place = place_of_truncation(id, frame == nullptr);
    if (is_parent || is_truncated_already(place, version.activity)) {
        table_close(relation, NoLock);
        return;
    }
    const RecordNumber truncation = truncation_of(version, place_of_truncation(table.root, frame == nullptr)),
                       last_before = record_count();
    note_place(place, truncation);
    const Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
    TupleTableSlot *row = table_slot_create(relation, nullptr);
    const TableScanDesc scan = table_beginscan(relation, snapshot, 0, nullptr);
    int64 count = 0;
    while (table_scan_getnextslot(scan, ForwardScanDirection, row) && ++count <= most_truncated_rows) {
        Version deleted = version;
        deleted.operation = 'D';
        set_key(deleted, table, row, false);
        deleted.old_row = image_of(table, row);
        add_version(deleted);
    }
    if (count > most_truncated_rows) { // some rows would be worse than none: they could not be told from all
        JsonbField unrecorded;
        unrecorded.name = "unrecorded";
        unrecorded.set(true);
        record_at(truncation).version.old_row = kept_object(&unrecorded, 1);
        for (RecordNumber number = last_before + 1; number <= record_count(); ++number)
            record_at(number).version.is_dropped = true;
    }
    table_endscan(scan);
    ExecDropSingleTupleTableSlot(row);
    UnregisterSnapshot(snapshot);
    table_close(relation, NoLock);
}

void record_truncate_by_trigger(Relation table) {
    if (table->rd_rel->relkind != RELKIND_PARTITIONED_TABLE) // of others that inherit from it nothing is known here
        return record_truncate(RelationGetRelid(table));
    const List *parts = find_all_inheritors(RelationGetRelid(table), NoLock, nullptr);
    for (int place = 0; place < list_length(parts); ++place)
        record_truncate(list_nth_oid(parts, place));
}

} // namespace dbnet::provenance
