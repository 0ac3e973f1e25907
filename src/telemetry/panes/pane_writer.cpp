// Panes into tables (see pane_writer.hpp).
//
// A pane's row is looked for by index and replaced in place (a HOT update: nothing indexed changes). It is this
// process's own, so nobody else changes it, with one exception: a transaction of this process that is prepared. Then
// the row is left alone and another one begun, which is as good: readers add rows up.
#include "telemetry/panes/pane_writer.hpp"

#include "pg/guard.hpp"
#include "telemetry/tables/jsonb_bytes.hpp"

extern "C" {
#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
}

namespace dbnet::telemetry {
namespace {

// Columns of both tables by which a row is found, in the order of the index; what they are compared with.
constexpr int key_columns = 5;
constexpr const char *span_pane_key[key_columns] = {"bucket", "resource_id", "rule", "kind", "worker"};
constexpr const char *log_pane_key[key_columns] = {"bucket", "resource_id", "rule", "severity_number", "worker"};
constexpr RegProcedure equalities[key_columns] = {F_TIMESTAMPTZ_EQ, F_INT4EQ, F_INT4EQ, F_INT2EQ, F_INT2EQ};

int16 worker_number() noexcept {
    return static_cast<int16>(pg::compat::my_process_number() % PG_INT16_MAX);
}

// The index of a partition by which panes are found; InvalidOid: somebody has dropped it.
Oid key_index(Relation partition, const char *const *columns) {
    const ::List *indexes = RelationGetIndexList(partition);
    for (int place = 0; place < list_length(indexes); ++place) {
        const Oid oid = list_nth_oid(indexes, place);
        const Relation index = index_open(oid, AccessShareLock);
        const Form_pg_index form = index->rd_index;
        bool is_key = index->rd_rel->relam == BTREE_AM_OID && form->indnkeyatts == key_columns && form->indisvalid &&
                      heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, nullptr);
        for (int column = 0; column < key_columns && is_key; ++column)
            is_key =
                form->indkey.values[column] > 0 &&
                strcmp(NameStr(TupleDescAttr(RelationGetDescr(partition), form->indkey.values[column] - 1)->attname),
                       columns[column]) == 0;
        index_close(index, AccessShareLock);
        if (is_key)
            return oid;
    }
    return InvalidOid;
}

// Finds rows of one partition after the other.
class Finder {
public:
    Finder(const char *const *columns, int grouping) noexcept : columns_(columns), grouping_(grouping) {}

    // The row of a key; nullptr: there is none. Its values are valid until the next call.
    TupleTableSlot *find(Relation partition, const Datum *key, Jsonb grouping) {
        if (partition != partition_)
            open(partition);
        if (index_ == nullptr)
            return nullptr;
        ScanKeyData conditions[key_columns];
        for (int column = 0; column < key_columns; ++column)
            ScanKeyInit(&conditions[column], static_cast<AttrNumber>(column + 1), BTEqualStrategyNumber,
                        equalities[column], key[column]);
        index_rescan(scan_, conditions, key_columns, nullptr, 0);
        while (index_getnext_slot(scan_, ForwardScanDirection, slot_)) {
            slot_getallattrs(slot_);
            auto *found = reinterpret_cast<::Jsonb *>(PG_DETOAST_DATUM(slot_->tts_values[grouping_]));
            auto *wanted =
                reinterpret_cast<::Jsonb *>(const_cast<char *>(grouping == nullptr ? empty_object : grouping));
            if (compareJsonbContainers(&found->root, &wanted->root) == 0)
                return slot_;
        }
        return nullptr;
    }
    void close() {
        if (index_ != nullptr) {
            index_endscan(scan_);
            index_close(index_, NoLock);
            ExecDropSingleTupleTableSlot(slot_);
        }
        index_ = nullptr;
        partition_ = nullptr;
    }

private:
    void open(Relation partition) {
        close();
        partition_ = partition;
        const Oid index = key_index(partition, columns_);
        if (!OidIsValid(index))
            return;
        index_ = index_open(index, AccessShareLock);
        slot_ = table_slot_create(partition, nullptr);
        scan_ = DBNET_BEGIN_INDEX_SCAN(partition, index_, SnapshotSelf, key_columns);
    }

    const char *const *columns_;
    int grouping_; // its place among the columns
    Relation partition_ = nullptr, index_ = nullptr;
    TupleTableSlot *slot_ = nullptr;
    IndexScanDesc scan_ = nullptr;
};

// Where a table of panes has its columns; bucket is the first.
struct Layout {
    const char *const *key;
    int rule, resource, kind, worker, grouping, end;
};
namespace span_pane {
enum {
    bucket,
    count,
    error_count,
    duration_sum,
    duration_min,
    duration_max,
    rule,
    resource,
    kind,
    worker,
    grouping,
    durations,
    end
};
constexpr Layout layout{span_pane_key, rule, resource, kind, worker, grouping, end};
} // namespace span_pane
namespace log_pane {
enum { bucket, count, rule, resource, severity, worker, grouping, end };
constexpr Layout layout{log_pane_key, rule, resource, severity, worker, grouping, end};
} // namespace log_pane
constexpr int most_columns = std::max<int>(span_pane::end, log_pane::end);

template<class Pane> void sort(std::vector<Pane> &panes, const std::vector<int64_t> &resources) {
    std::sort(panes.begin(), panes.end(), [&](const Pane &one, const Pane &other) {
        return std::tuple(one.key.second, resources[one.key.resource], one.key.rule, one.key.kind) <
               std::tuple(other.key.second, resources[other.key.resource], other.key.rule, other.key.kind);
    });
}

void add_row(PartitionedTable &table, Instant bucket, const Datum *values, int count) {
    Row row = table.begin(bucket);
    for (int place = 1; place < count; ++place) // begin() has filled the first
        row.datum(values[place]);
    table.add();
}

// fill_counts(values, pane, stored): the columns that are no key, of the pane and, unless nullptr, the stored values.
template<class Pane, class FillCounts>
void write_panes(PartitionedTable &table, std::vector<Pane> &panes, const Groupings &groupings,
                 const std::vector<int64_t> &resources, const Layout &at, FillCounts fill_counts) {
    sort(panes, resources);
    Finder finder(at.key, at.grouping);
    Datum values[most_columns];
    const bool nulls[most_columns] = {};
    for (const Pane &pane : panes) {
        const Jsonb group = groupings.jsonb(pane.key.grouping);
        values[0] = TimestampTzGetDatum(pane.key.second);
        values[at.rule] = Int32GetDatum(pane.key.rule);
        values[at.resource] = Int32GetDatum(static_cast<int32>(resources[pane.key.resource]));
        values[at.kind] = Int16GetDatum(pane.key.kind);
        values[at.worker] = Int16GetDatum(worker_number());
        values[at.grouping] = PointerGetDatum(group == nullptr ? empty_object : group);
        const Datum key[] = {values[0], values[at.resource], values[at.rule], values[at.kind], values[at.worker]};
        const Relation partition = table.partition_of(pane.key.second);
        if (TupleTableSlot *stored = partition != nullptr ? finder.find(partition, key, group) : nullptr) {
            fill_counts(values, pane, stored->tts_values);
            if (table.replace(pane.key.second, stored->tts_tid, values, nulls))
                continue;
        }
        fill_counts(values, pane, nullptr);
        add_row(table, pane.key.second, values, at.end);
    }
    finder.close();
}

// Adds what stands in a row of otel.span_pane. A sketch that is not readable counts for nothing.
void add_stored(SpanPane &pane, const Datum *stored, ExponentialHistogram &sketch) {
    pane.count += static_cast<uint64_t>(DatumGetInt64(stored[span_pane::count]));
    pane.error_count += static_cast<uint64_t>(DatumGetInt64(stored[span_pane::error_count]));
    pane.duration_sum += DatumGetFloat8(stored[span_pane::duration_sum]);
    pane.duration_min = std::min<int64_t>(pane.duration_min, DatumGetInt64(stored[span_pane::duration_min]));
    pane.duration_max = std::max<int64_t>(pane.duration_max, DatumGetInt64(stored[span_pane::duration_max]));
    const auto *bytes = reinterpret_cast<const varlena *>(PG_DETOAST_DATUM_PACKED(stored[span_pane::durations]));
    if (sketch.parse({VARDATA_ANY(bytes), static_cast<size_t>(VARSIZE_ANY_EXHDR(bytes))}))
        pane.durations.merge(sketch);
}

void fill(Datum *values, const SpanPane &pane, std::string &bytes, RowMemory &memory) {
    values[span_pane::count] = Int64GetDatum(pinned(pane.count));
    values[span_pane::error_count] = Int64GetDatum(pinned(pane.error_count));
    values[span_pane::duration_sum] = Float8GetDatum(pane.duration_sum);
    values[span_pane::duration_min] = Int64GetDatum(pane.duration_min);
    values[span_pane::duration_max] = Int64GetDatum(pane.duration_max);
    bytes = pane.durations.serialize();
    values[span_pane::durations] = text_datum(bytes, memory);
}

} // namespace

void write_span_panes(PartitionedTable &table, std::vector<SpanPane> &panes, const Groupings &groupings,
                      const std::vector<int64_t> &resources, PaneScratch &scratch, RowMemory &memory) {
    write_panes(table, panes, groupings, resources, span_pane::layout,
                [&](Datum *values, const SpanPane &pane, const Datum *stored) {
                    if (stored == nullptr)
                        return fill(values, pane, scratch.bytes, memory);
                    scratch.merged = pane;
                    add_stored(scratch.merged, stored, scratch.stored);
                    fill(values, scratch.merged, scratch.bytes, memory);
                });
}

void write_log_panes(PartitionedTable &table, std::vector<LogPane> &panes, const Groupings &groupings,
                     const std::vector<int64_t> &resources) {
    write_panes(table, panes, groupings, resources, log_pane::layout,
                [](Datum *values, const LogPane &pane, const Datum *stored) {
                    const int64_t before = stored == nullptr ? 0 : DatumGetInt64(stored[log_pane::count]);
                    values[log_pane::count] = Int64GetDatum(pinned(pane.count) + before);
                });
}

} // namespace dbnet::telemetry
