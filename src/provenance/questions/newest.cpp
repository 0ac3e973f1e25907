// Of each row of a table that is on record its newest version (dbnet.newest_versions() in sql/17_care.sql), and of some
// rows what their columns hold by their versions (dbnet.known_values()). Runs in backends.
//
// Each row's versions are read from the newest on: of a column the value that is met first counts, and what lies before
// the row's INSERT, or before its end, is not looked at. A version takes several times longer by the index on keys than
// in the order of events, which is that of the pages: where that would be too many, all are read in that order.
#include "provenance/record/event_scan.hpp"
#include "provenance/record/jsonb_object.hpp"

#include "pg/guard.hpp"

#include <algorithm>

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "storage/bufmgr.h"
#include "utils/array.h"
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
    bool has_row_transaction;
    TransactionId row_transaction;
    Jsonb *key;
    // What the columns hold, as far as it was read.
    bool is_complete;
    int count, capacity;
    JsonbField *fields;
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

constexpr int64 times_longer = 6; // a version by the index on keys
// A row that is looked for by itself, also in a partition that holds none: about as many steps.
constexpr int64 steps_of_a_look = 20;

// Columns of a version, read as they are asked for.
class Columns {
public:
    Columns(HeapTuple tuple, TupleDesc columns) : tuple_(tuple), columns_(columns) {}
    Datum operator[](int column) { return heap_getattr(tuple_, column, columns_, &is_null); }
    bool is_null = false;

private:
    HeapTuple tuple_;
    TupleDesc columns_;
};

// The version, if none of its row was met before.
void take_newest(HTAB *rows, Columns version, char operation, int64 key_hash) {
    bool is_found = false;
    auto &row = *static_cast<NewestVersion *>(hash_search(rows, &key_hash, HASH_ENTER, &is_found));
    if (is_found)
        return;
    row = {};
    row.key_hash = key_hash;
    row.event = DatumGetInt64(version[version_column::id]);
    row.operation = operation;
    row.row_transaction = DatumGetTransactionId(version[version_column::row_transaction]);
    row.has_row_transaction = !version.is_null;
    const Jsonb *key = DatumGetJsonbP(version[version_column::key]);
    row.key = copied(key, VARSIZE(key));
}

// A row's next older version.
void take_values(NewestVersion &row, Columns version, char operation) {
    // Before an update that gave the row this key it was on record under another one.
    version[version_column::pair];
    row.is_complete = operation != 'U' || !version.is_null;
    if (const Datum stored = version[version_column::new_row]; !version.is_null) {
        const Jsonb *values = DatumGetJsonbP(stored);
        add_columns(row, values);
        if (DatumGetPointer(stored) != reinterpret_cast<const char *>(values))
            pfree(const_cast<Jsonb *>(values));
    }
}

// f(version, operation, hash of its key) for every version of the table, the newest first; but not for a TRUNCATE: its
// rows are told of, each by itself.
template<class F> void for_each_version(int32 number, F f) {
    EventScan scan(EventTable::entity_version, 0, BackwardScanDirection);
    while (const HeapTuple tuple = scan.next()) {
        Columns version(tuple, scan.columns());
        if (DatumGetInt32(version[version_column::relation]) != number)
            continue;
        if (const char operation = DatumGetChar(version[version_column::operation]); operation != 'T')
            f(version, operation, DatumGetInt64(version[version_column::key_hash]));
    }
}

HTAB *newest_versions(int32 number) {
    HTAB *rows = new_table();
    int64 looks = estimated_versions() / steps_of_a_look;
    EventScan scan = EventScan::newest_first(number);
    while (const HeapTuple tuple = scan.next()) {
        if (--looks < 0) {
            scan.close();
            hash_destroy(rows);
            rows = new_table();
            for_each_version(number, [&](Columns version, char operation, int64 key_hash) {
                take_newest(rows, version, operation, key_hash);
            });
            break;
        }
        Columns version(tuple, scan.columns());
        const char operation = DatumGetChar(version[version_column::operation]);
        const int64 key_hash = DatumGetInt64(version[version_column::key_hash]);
        if (operation == 'T')
            continue;
        take_newest(rows, version, operation, key_hash);
        scan.skip_row(key_hash);
    }
    return rows;
}

// False: it takes more than `most` versions, which are counted down.
bool read_row(NewestVersion &row, int32 number, int64 &most) {
    EventScan scan = EventScan::newest_first(number, row.key_hash);
    most -= steps_of_a_look / times_longer;
    while (const HeapTuple tuple = row.is_complete ? nullptr : scan.next()) {
        if (--most < 0)
            break;
        Columns version(tuple, scan.columns());
        if (const char operation = DatumGetChar(version[version_column::operation]); operation != 'T')
            take_values(row, version, operation);
    }
    scan.close();
    return most >= 0;
}

HTAB *known_values(int32 number, const Datum *hashes, int count) {
    HTAB *rows = new_table();
    const auto empty_rows = [&] {
        for (int place = 0; place < count; ++place) {
            const int64 key_hash = DatumGetInt64(hashes[place]);
            auto &row = *static_cast<NewestVersion *>(hash_search(rows, &key_hash, HASH_ENTER, nullptr));
            row = {};
            row.key_hash = key_hash;
        }
    };
    empty_rows();
    int64 most = estimated_versions() / times_longer;
    HASH_SEQ_STATUS all;
    hash_seq_init(&all, rows);
    while (auto *row = static_cast<NewestVersion *>(hash_seq_search(&all))) {
        if (read_row(*row, number, most))
            continue;
        hash_seq_term(&all);
        empty_rows();
        for_each_version(number, [&](Columns version, char operation, int64 key_hash) {
            auto *found = static_cast<NewestVersion *>(hash_search(rows, &key_hash, HASH_FIND, nullptr));
            if (found != nullptr && !found->is_complete)
                take_values(*found, version, operation);
        });
        break;
    }
    return rows;
}

template<class F> void for_each_row(HTAB *rows, F f) {
    HASH_SEQ_STATUS all;
    hash_seq_init(&all, rows);
    while (auto *row = static_cast<NewestVersion *>(hash_seq_search(&all)))
        f(*row);
}

} // namespace

// tracked_relation.number
DBNET_FUNCTION(dbnet_newest) {
    pg::call([&] {
        InitMaterializedSRF(fcinfo, 0);
        const auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
        for_each_row(newest_versions(PG_GETARG_INT32(0)), [&](const NewestVersion &row) {
            Datum values[] = {Int64GetDatum(row.key_hash), PointerGetDatum(row.key), Int64GetDatum(row.event),
                              CharGetDatum(row.operation), TransactionIdGetDatum(row.row_transaction)};
            bool nulls[] = {false, false, false, false, !row.has_row_transaction};
            tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
        });
    });
    return Datum{0};
}

// tracked_relation.number, hashes of keys
DBNET_FUNCTION(dbnet_known_values) {
    pg::call([&] {
        InitMaterializedSRF(fcinfo, 0);
        const auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
        Datum *hashes = nullptr;
        int count = 0;
        deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &hashes,
                          nullptr, &count);
        if (count == 0)
            return;
        for_each_row(known_values(PG_GETARG_INT32(0), hashes, count), [&](NewestVersion &row) {
            std::sort(row.fields, row.fields + row.count,
                      [](const JsonbField &left, const JsonbField &right) { return is_before(left.name, right.name); });
            Jsonb *known = make_object(row.fields, row.count);
            Datum values[] = {Int64GetDatum(row.key_hash), PointerGetDatum(known)};
            bool nulls[] = {false, false};
            tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
            pfree(known);
        });
    });
    return Datum{0};
}

} // namespace dbnet::provenance
