// Rows into heap and indexes (see own_heap.hpp). Backends; inside pg::call.
#include "provenance/own_heap.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
}

namespace dbnet::provenance {

namespace {

pg::error unfit(Oid table, const char *why) {
    const char *name = get_rel_name(table);
    return pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                     std::string("table ") + (name != nullptr ? name : "") + " of DBNet " + why);
}

Relation opened(Oid table) {
    if (!OidIsValid(table))
        throw pg::error(ERRCODE_UNDEFINED_TABLE, "a table of DBNet's provenance is not there");
    // A wait could end in an error of PostgreSQL's, which nothing but the end of the transaction would mend.
    if (!ConditionalLockRelationOid(table, RowExclusiveLock))
        throw unfit(table, "is locked by another session");
    const Relation heap = try_relation_open(table, NoLock);
    if (heap == nullptr)
        throw pg::error(ERRCODE_UNDEFINED_TABLE, "a table of DBNet's provenance is not there");
    return heap;
}

} // namespace

OwnHeap::OwnHeap(Oid table, std::span<const Oid> types) : heap_(opened(table)) {
    const TupleDesc columns = RelationGetDescr(heap_);
    bool is_as_made = columns->natts == static_cast<int>(types.size());
    for (int index = 0; index < columns->natts && is_as_made; ++index)
        is_as_made =
            TupleDescAttr(columns, index)->atttypid == types[index] && !TupleDescAttr(columns, index)->attisdropped;
    if (!is_as_made)
        reject("has other columns than DBNet made");
    const List *ids = RelationGetIndexList(heap_);
    if (list_length(ids) > most_indexes)
        reject("has indexes of somebody else");
    for (int index = 0; index < list_length(ids); ++index) {
        indexes_[index] = index_open(list_nth_oid(ids, index), RowExclusiveLock);
        is_partial_[index] = !heap_attisnull(indexes_[index]->rd_indextuple, Anum_pg_index_indpred, nullptr);
        ++index_count_;
        if (indexes_[index]->rd_rel->relam != BTREE_AM_OID || indexes_[index]->rd_index->indisunique ||
            !heap_attisnull(indexes_[index]->rd_indextuple, Anum_pg_index_indexprs, nullptr))
            reject("has indexes of somebody else");
    }
}

void OwnHeap::reject(const char *why) {
    const Oid table = RelationGetRelid(heap_);
    close();
    throw unfit(table, why);
}

void OwnHeap::close() {
    finish();
    for (int index = 0; index < index_count_; ++index)
        index_close(indexes_[index], NoLock);
    table_close(heap_, NoLock);
}

void OwnHeap::insert(Datum *values, bool *nulls) {
    rows_[row_count_++] = heap_form_tuple(RelationGetDescr(heap_), values, nulls);
    if (row_count_ == most_together)
        finish();
}

void OwnHeap::finish() {
    if (row_count_ == 0)
        return;
    const CommandId command = GetCurrentCommandId(true);
    if (row_count_ == 1) {
        heap_insert(heap_, rows_[0], command, 0, nullptr);
    } else {
        TupleTableSlot *slots[most_together];
        for (int row = 0; row < row_count_; ++row) {
            slots[row] = MakeSingleTupleTableSlot(RelationGetDescr(heap_), &TTSOpsHeapTuple);
            ExecStoreHeapTuple(rows_[row], slots[row], false);
        }
        heap_multi_insert(heap_, slots, row_count_, command, 0, nullptr);
        for (int row = 0; row < row_count_; ++row) {
            rows_[row]->t_self = slots[row]->tts_tid;
            ExecDropSingleTupleTableSlot(slots[row]);
        }
    }
    for (int row = 0; row < row_count_; ++row) {
        insert_into_indexes(rows_[row]);
        heap_freetuple(rows_[row]);
    }
    row_count_ = 0;
}

void OwnHeap::insert_into_indexes(HeapTuple row) {
    for (int index = 0; index < index_count_; ++index) {
        const Relation relation = indexes_[index];
        const Form_pg_index form = relation->rd_index;
        Datum values[INDEX_MAX_KEYS];
        bool nulls[INDEX_MAX_KEYS];
        for (int column = 0; column < form->indnkeyatts; ++column)
            values[column] = heap_getattr(row, form->indkey.values[column], RelationGetDescr(heap_), &nulls[column]);
        if (is_partial_[index] && nulls[0])
            continue;
        IndexInfo info{}; // a btree looks at none of it
        info.type = T_IndexInfo;
        info.ii_NumIndexAttrs = info.ii_NumIndexKeyAttrs = form->indnkeyatts;
        index_insert(relation, values, nulls, &row->t_self, heap_, UNIQUE_CHECK_NO, false, &info);
    }
}

} // namespace dbnet::provenance
