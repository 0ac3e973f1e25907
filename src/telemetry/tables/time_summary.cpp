// Earliest and latest times into their indexes (see time_summary.hpp).
#include "telemetry/tables/time_summary.hpp"

#include <algorithm>
#include <new>

extern "C" {
#include "access/brin.h"
#include "access/brin_internal.h"
#include "access/genam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"
}

namespace dbnet::telemetry {
namespace {

bool is_summary(Relation heap, Relation index, const IndexInfo &info) {
    if (index->rd_rel->relam != BRIN_AM_OID || info.ii_Predicate != nullptr || info.ii_Expressions != nullptr)
        return false;
    for (int place = 0; place < info.ii_NumIndexAttrs; ++place) {
        const Form_pg_attribute column =
            TupleDescAttr(RelationGetDescr(heap), info.ii_IndexAttrNumbers[place] - 1); // no expression: a column
        if (column->atttypid != TIMESTAMPTZOID || !column->attnotnull ||
            index_getprocid(index, static_cast<AttrNumber>(place + 1), BRIN_PROCNUM_OPCINFO) != F_BRIN_MINMAX_OPCINFO)
            return false;
    }
    return true;
}

} // namespace

TimeSummary *TimeSummary::take_from(ResultRelInfo &table) {
    TimeSummary *taken = nullptr;
    int kept = 0;
    for (int place = 0; place < table.ri_NumIndices; ++place) {
        const Relation index = table.ri_IndexRelationDescs[place];
        IndexInfo *const info = table.ri_IndexRelationInfo[place];
        if (is_summary(table.ri_RelationDesc, index, *info)) {
            taken = new (palloc(sizeof(TimeSummary))) TimeSummary(index, info, taken);
        } else {
            table.ri_IndexRelationDescs[kept] = index;
            table.ri_IndexRelationInfo[kept++] = info;
        }
    }
    table.ri_NumIndices = kept;
    return taken;
}

void TimeSummary::add(Relation heap, TupleTableSlot *const *rows, int count) {
    for (TimeSummary *summary = this; summary != nullptr; summary = summary->next_) {
        const BlockNumber pages = BrinGetPagesPerRange(summary->index_);
        const auto range_of = [&](int row) { return ItemPointerGetBlockNumber(&rows[row]->tts_tid) / pages; };
        for (int first = 0, end = 0; first < count; first = end) {
            while (end < count && range_of(end) == range_of(first))
                ++end;
            summary->add_range(heap, rows + first, end - first);
        }
    }
}

void TimeSummary::add_range(Relation heap, TupleTableSlot *const *rows, int count) {
    Datum earliest[INDEX_MAX_KEYS], latest[INDEX_MAX_KEYS];
    bool nulls[INDEX_MAX_KEYS] = {};
    for (int place = 0; place < info_->ii_NumIndexAttrs; ++place) {
        const int column = info_->ii_IndexAttrNumbers[place] - 1;
        TimestampTz low = DatumGetTimestampTz(rows[0]->tts_values[column]), high = low;
        for (int row = 1; row < count; ++row) {
            low = std::min(low, DatumGetTimestampTz(rows[row]->tts_values[column]));
            high = std::max(high, DatumGetTimestampTz(rows[row]->tts_values[column]));
        }
        earliest[place] = TimestampTzGetDatum(low);
        latest[place] = TimestampTzGetDatum(high);
    }
    for (Datum *times : {earliest, latest})
        index_insert(index_, times, nulls, &rows[0]->tts_tid, heap, UNIQUE_CHECK_NO, false, info_);
}

void TimeSummary::close() {
    for (TimeSummary *summary = this; summary != nullptr; summary = summary->next_) {
        DBNET_END_INDEX_INSERTIONS(summary->index_, summary->info_);
        index_close(summary->index_, RowExclusiveLock);
    }
}

} // namespace dbnet::telemetry
