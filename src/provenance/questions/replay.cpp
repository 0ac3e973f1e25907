// A table backwards in time: what its rows held before everything that is on record since an event. Runs in backends.
//
// Events are read in their order. Of each row that was there at the start the first old value of a column counts; a row
// that is deleted is complete with its image, and what comes up under its key later is another row. Keys that change
// are followed.
#include "provenance/record/event_scan.hpp"
#include "provenance/record/tracked_table.hpp"

#include "pg/guard.hpp"

#include <algorithm>

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/tuplestore.h"
}

namespace dbnet::provenance {
namespace {

// A row: of those that were there at the start, what is known of that time.
struct PastRow {
    bool existed = false;
    bool is_gone = false;
    int64 place = 0; // key_hash under which it is now
    int count = 0, capacity = 0;
    JsonbField *fields = nullptr;
    PastRow *next = nullptr; // of all
};

struct Slot {
    int64 key_hash; // key
    PastRow *row;   // that is there now; nullptr: none
};

struct Replay {
    TrackedTable table; // keys alone
    MemoryContext memory;
    HTAB *slots;
    HTAB *leaving; // rows that have left their key for another row, by the event that gives them their new one
    PastRow *rows = nullptr;
    EventId truncated = 0; // a TRUNCATE whose rows are not on record
};

JsonbField copied(JsonbField field) {
    if (field.length > 0) {
        auto *bytes = static_cast<char *>(palloc(field.length));
        memcpy(bytes, field.bytes, field.length);
        field.bytes = bytes;
    }
    auto *name = static_cast<char *>(palloc(field.name.size()));
    memcpy(name, field.name.data(), field.name.size());
    field.name = {name, field.name.size()};
    return field;
}

// Values of `old` for columns of which none is known yet. What is known first came first.
void remember(Replay &replay, PastRow &row, const Jsonb *old) {
    if (!row.existed || row.is_gone || old == nullptr)
        return;
    const MemoryContext before = MemoryContextSwitchTo(replay.memory);
    JsonbIterator *iterator = JsonbIteratorInit(const_cast<JsonbContainer *>(&old->root));
    JsonbValue value;
    for (JsonbIteratorToken token; (token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE;) {
        if (token != WJB_KEY)
            continue;
        const std::string_view name(value.val.string.val, value.val.string.len);
        bool is_known = false;
        for (int index = 0; index < row.count && !is_known; ++index)
            is_known = row.fields[index].name == name;
        if (is_known)
            continue;
        if (row.count == row.capacity) {
            row.capacity = row.capacity == 0 ? 4 : row.capacity * 2;
            const Size size = sizeof(JsonbField) * row.capacity;
            row.fields = static_cast<JsonbField *>(row.fields == nullptr ? palloc(size) : repalloc(row.fields, size));
        }
        row.fields[row.count++] = copied(member(old, name));
    }
    MemoryContextSwitchTo(before);
}

Slot *slot_of(Replay &replay, int64 key_hash, bool &is_found) {
    return static_cast<Slot *>(hash_search(replay.slots, &key_hash, HASH_ENTER, &is_found));
}

PastRow *new_row(Replay &replay, int64 place, bool existed) {
    auto *row = new (MemoryContextAlloc(replay.memory, sizeof(PastRow))) PastRow;
    row->existed = existed;
    row->place = place;
    row->next = replay.rows;
    replay.rows = row;
    return row;
}

// The row under this key. Who has not been seen has been there from the start.
PastRow &row_at(Replay &replay, int64 key_hash) {
    bool is_found = false;
    Slot *slot = slot_of(replay, key_hash, is_found);
    if (!is_found || slot->row == nullptr)
        slot->row = new_row(replay, key_hash, true);
    return *slot->row;
}

// The key that the row had before, if the update changed it.
Jsonb *old_key(const Replay &replay, const Jsonb *key, const Jsonb *old) {
    auto *fields = static_cast<JsonbField *>(palloc(sizeof(JsonbField) * replay.table.key_count));
    bool is_other = false;
    for (int index = 0; index < replay.table.key_count; ++index) {
        const std::string_view name = replay.table.columns[index].name;
        fields[index] = member(old, name);
        if (fields[index].kind == JsonbField::Kind::null)
            fields[index] = member(key, name);
        else
            is_other = true;
    }
    if (!is_other)
        return nullptr;
    std::sort(fields, fields + replay.table.key_count,
              [](const JsonbField &left, const JsonbField &right) { return is_before(left.name, right.name); });
    return make_object(fields, replay.table.key_count);
}

// The row that the update gives another key, taken from the one that it had.
PastRow &leaving_row(Replay &replay, EventId event, int64 left) {
    bool is_found = false;
    if (const auto *before = static_cast<Slot *>(hash_search(replay.leaving, &event, HASH_FIND, nullptr));
        before != nullptr)
        return *before->row;
    PastRow &row = row_at(replay, left);
    slot_of(replay, left, is_found)->row = nullptr;
    return row;
}

void take_back(Replay &replay, EventId event, char operation, int64 hash, const Jsonb *key, const Jsonb *old,
               EventId pair) {
    bool is_found = false;
    switch (operation) {
    case 'I':
        slot_of(replay, hash, is_found)->row = new_row(replay, hash, false);
        break;
    case 'U':
        if (const Jsonb *before = old != nullptr ? old_key(replay, key, old) : nullptr; before != nullptr) {
            PastRow &row = leaving_row(replay, event, key_hash(replay.table, before));
            remember(replay, row, old);
            row.place = hash;
            slot_of(replay, hash, is_found)->row = &row;
        } else {
            remember(replay, row_at(replay, hash), old);
        }
        break;
    case 'D': {
        PastRow &row = row_at(replay, hash);
        remember(replay, row, old);
        row.is_gone = true;
        slot_of(replay, hash, is_found)->row = nullptr;
        break;
    }
    case 'T': // the rows follow, unless there were too many
        if (old != nullptr)
            replay.truncated = event;
        break;
    case 'R': // told with the update that gave the row its new key; but first where another row came in its place
        if (pair > event) {
            PastRow &row = row_at(replay, hash);
            slot_of(replay, hash, is_found)->row = nullptr;
            static_cast<Slot *>(hash_search(replay.leaving, &pair, HASH_ENTER, nullptr))->row = &row;
        }
        break;
    default:
        break;
    }
}

void read_events(Replay &replay, int32 number, EventId since) {
    const MemoryContext event_memory =
        AllocSetContextCreateInternal(CurrentMemoryContext, "DBNet replayed event", ALLOCSET_DEFAULT_SIZES);
    EventScan scan(EventTable::entity_version, since, ForwardScanDirection);
    while (const HeapTuple tuple = scan.next()) {
        bool is_null = false, no_old = false;
        const auto value = [&](int column, bool &null) { return heap_getattr(tuple, column, scan.columns(), &null); };
        if (DatumGetInt32(value(version_column::relation, is_null)) != number)
            continue;
        const MemoryContext before = MemoryContextSwitchTo(event_memory);
        const Datum old = value(version_column::old_row, no_old);
        bool no_pair = false;
        const Datum pair = value(version_column::pair, no_pair);
        take_back(replay, DatumGetInt64(value(version_column::id, is_null)),
                  DatumGetChar(value(version_column::operation, is_null)),
                  DatumGetInt64(value(version_column::key_hash, is_null)),
                  DatumGetJsonbP(value(version_column::key, is_null)), no_old ? nullptr : DatumGetJsonbP(old),
                  no_pair ? 0 : DatumGetInt64(pair));
        MemoryContextSwitchTo(before);
        MemoryContextReset(event_memory);
    }
    MemoryContextDelete(event_memory);
}

void put_rows(const Replay &replay, ReturnSetInfo *result) {
    for (PastRow *row = replay.rows; row != nullptr; row = row->next) {
        if (!row->existed && row->is_gone)
            continue;
        std::sort(row->fields, row->fields + row->count,
                  [](const JsonbField &left, const JsonbField &right) { return is_before(left.name, right.name); });
        Datum values[] = {BoolGetDatum(row->existed), Int64GetDatum(row->place),
                          PointerGetDatum(make_object(row->fields, row->count))};
        bool nulls[] = {false, row->is_gone, false};
        tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    }
}

} // namespace

// number, key columns, first event
DBNET_FUNCTION(dbnet_replay) {
    pg::call([&] {
        InitMaterializedSRF(fcinfo, 0);
        Replay replay{};
        replay.memory = CurrentMemoryContext;
        Datum *names = nullptr;
        deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &names, nullptr,
                          &replay.table.key_count);
        replay.table.columns =
            static_cast<TrackedColumn *>(palloc0(sizeof(TrackedColumn) * (replay.table.key_count + 1)));
        replay.table.keys = static_cast<int *>(palloc0(sizeof(int) * (replay.table.key_count + 1)));
        for (int index = 0; index < replay.table.key_count; ++index) {
            replay.table.columns[index].name = NameStr(*DatumGetName(names[index]));
            replay.table.keys[index] = index;
        }
        HASHCTL control{};
        control.keysize = sizeof(int64);
        control.entrysize = sizeof(Slot);
        control.hcxt = CurrentMemoryContext;
        replay.slots = hash_create("DBNet replay", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
        replay.leaving = hash_create("DBNet rows that leave", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
        read_events(replay, PG_GETARG_INT32(0), PG_GETARG_INT64(2));
        if (replay.truncated != 0)
            throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                            "the table has been truncated since, and had too many rows for them to be recorded")
                .hint("Ask for a later time, or look into a backup.");
        put_rows(replay, reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo));
    });
    return Datum{0};
}

} // namespace dbnet::provenance
