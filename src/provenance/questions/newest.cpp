// Of each row of a table that is on record its newest version, and what its columns hold by that (see
// dbnet.newest_versions() in sql/17_care.sql). Runs in backends.
//
// Each row's versions are read from the newest on: of a column the value that is met first counts, and what lies before
// the row's INSERT, or before its end, is not looked at.
#include "provenance/record/event_scan.hpp"
#include "provenance/record/jsonb_object.hpp"

#include "pg/guard.hpp"

#include <algorithm>

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
}

namespace dbnet::provenance {
namespace {

struct NewestVersion {
    int64 key_hash; // key of the table of them
    EventId event;
    char operation;
    bool is_complete, has_row_transaction;
    TransactionId row_transaction;
    Jsonb *key;
    int count, capacity;
    JsonbField *fields; // what the columns hold
};

template<class T> T *copied(const T *bytes, Size size) {
    auto *copy = static_cast<T *>(palloc(size));
    memcpy(static_cast<void *>(copy), bytes, size);
    return copy;
}

// Values of columns that are not known yet.
void add_columns(NewestVersion &row, const Jsonb *values) {
    JsonbIterator *iterator = JsonbIteratorInit(const_cast<JsonbContainer *>(&values->root));
    JsonbValue value;
    for (JsonbIteratorToken token; (token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE;) {
        if (token != WJB_KEY)
            continue;
        const std::string_view name(value.val.string.val, value.val.string.len);
        if (std::any_of(row.fields, row.fields + row.count,
                        [&](const JsonbField &known) { return known.name == name; }))
            continue;
        if (row.count == row.capacity) {
            row.capacity = std::max(4, row.capacity * 2);
            const Size size = sizeof(JsonbField) * row.capacity;
            row.fields = static_cast<JsonbField *>(row.fields == nullptr ? palloc(size) : repalloc(row.fields, size));
        }
        JsonbField &field = row.fields[row.count++] = member(values, name);
        field.name = {copied(name.data(), name.size()), name.size()};
        if (field.length > 0)
            field.bytes = copied(field.bytes, field.length);
    }
}

HTAB *new_table() {
    HASHCTL control{};
    control.keysize = sizeof(int64);
    control.entrysize = sizeof(NewestVersion);
    control.hcxt = CurrentMemoryContext;
    return hash_create("DBNet newest versions", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

// Versions of all tables, roughly.
int64 estimated_versions() {
    constexpr int64 ring_places = 16, versions_per_page = 50;
    int64 pages = 0;
    for (int64 place = 0; place < ring_places; ++place) {
        const Relation versions =
            table_open(partition_of(EventTable::entity_version, place << stretch_bits), AccessShareLock);
        pages += RelationGetNumberOfBlocks(versions);
        table_close(versions, AccessShareLock);
    }
    return pages * versions_per_page;
}

// False: there are more than `most`.
bool read_events(HTAB *rows, EventScan scan, int32 number, int64 most) {
    int64 count = 0;
    while (const HeapTuple tuple = scan.next()) {
        bool is_null = false;
        const auto value = [&](int column) { return heap_getattr(tuple, column, scan.columns(), &is_null); };
        if (DatumGetInt32(value(version_column::relation)) != number)
            continue;
        if (++count > most) {
            scan.close();
            return false;
        }
        const char operation = DatumGetChar(value(version_column::operation));
        if (operation == 'T') // the rows are told of, each by itself
            continue;
        const int64 key_hash = DatumGetInt64(value(version_column::key_hash));
        bool is_found = false;
        auto &row = *static_cast<NewestVersion *>(hash_search(rows, &key_hash, HASH_ENTER, &is_found));
        if (!is_found) {
            row = {};
            row.key_hash = key_hash;
            row.event = DatumGetInt64(value(version_column::id));
            row.operation = operation;
            row.row_transaction = DatumGetTransactionId(value(version_column::row_transaction));
            row.has_row_transaction = !is_null;
            const Datum stored = value(version_column::key);
            const Jsonb *key = DatumGetJsonbP(stored);
            row.key = copied(key, VARSIZE(key));
        }
        if (row.is_complete)
            continue;
        // Before an update that gave the row this key it was on record under another one.
        value(version_column::pair);
        row.is_complete = operation != 'U' || !is_null;
        if (const Datum stored = value(version_column::new_row); !is_null) {
            const Jsonb *values = DatumGetJsonbP(stored);
            add_columns(row, values);
            if (DatumGetPointer(stored) != reinterpret_cast<const char *>(values))
                pfree(const_cast<Jsonb *>(values));
        }
    }
    return true;
}

// A version takes several times longer by the index on keys than in the order of events, which is that of the pages.
HTAB *newest_versions(int32 number) {
    constexpr int64 times_longer = 6;
    HTAB *rows = new_table();
    if (read_events(rows, EventScan::newest_first(number), number, estimated_versions() / times_longer))
        return rows;
    hash_destroy(rows);
    rows = new_table();
    read_events(rows, EventScan(EventTable::entity_version, 0, BackwardScanDirection), number, PG_INT64_MAX);
    return rows;
}

} // namespace

// tracked_relation.number
DBNET_FUNCTION(dbnet_newest) {
    pg::call([&] {
        InitMaterializedSRF(fcinfo, 0);
        HTAB *rows = newest_versions(PG_GETARG_INT32(0));
        const auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
        HASH_SEQ_STATUS all;
        hash_seq_init(&all, rows);
        while (auto *row = static_cast<NewestVersion *>(hash_seq_search(&all))) {
            std::sort(row->fields, row->fields + row->count,
                      [](const JsonbField &left, const JsonbField &right) { return is_before(left.name, right.name); });
            Jsonb *known = make_object(row->fields, row->count);
            Datum values[] = {Int64GetDatum(row->key_hash),
                              PointerGetDatum(row->key),
                              Int64GetDatum(row->event),
                              CharGetDatum(row->operation),
                              TransactionIdGetDatum(row->row_transaction),
                              PointerGetDatum(known)};
            bool nulls[] = {false, false, false, false, !row->has_row_transaction, false};
            tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
            pfree(known);
        }
    });
    return Datum{0};
}

} // namespace dbnet::provenance
