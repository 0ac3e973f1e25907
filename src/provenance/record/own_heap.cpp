// Rows into heap and indexes (see own_heap.hpp). Backends; inside pg::call.
#include "provenance/record/own_heap.hpp"

#include "pg/guard.hpp"
#include "provenance/record/own_tables.hpp"

extern "C" {
#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/relcache.h"
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
    const Relation heap = RelationIdGetRelation(table);
    if (!RelationIsValid(heap))
        throw pg::error(ERRCODE_UNDEFINED_TABLE, "a table of DBNet's provenance is not there");
    pgstat_init_relation(heap);
    return heap;
}

// Ids grow: where the last one went the next one goes. Of trees of three levels and more PostgreSQL remembers that leaf
// itself; in smaller ones, too, it looks there first once it is told, and finds the way from the root when that is not
// the place.
void remember_last_leaf(Relation index) {
    if (BlockNumberIsValid(RelationGetTargetBlock(index)))
        return;
    const Buffer leaf = DBNET_LAST_LEAF(index);
    if (!BufferIsValid(leaf))
        return;
    RelationSetTargetBlock(index, BufferGetBlockNumber(leaf));
    _bt_relbuf(index, leaf);
}

// Of the tables that were written last; a transaction writes at most five.
HeapForm forms[8];
size_t next_form = 0;
uint64 heap_changes = 0; // that invalidations have told of

bool is_about(const HeapForm &form, Oid relation) noexcept {
    if (!OidIsValid(relation) || form.table == relation)
        return true;
    for (int place = 0; place < form.index_count; ++place)
        if (form.indexes[place] == relation)
            return true;
    return false;
}

extern "C" void dbnet_own_heap_changed(Datum, Oid relation) {
    ++heap_changes;
    for (HeapForm &form : forms)
        if (is_about(form, relation))
            form.table = InvalidOid;
}

const HeapForm *find_form(Oid table) noexcept {
    for (const HeapForm &form : forms)
        if (form.table == table)
            return &form;
    return nullptr;
}

} // namespace

OwnHeap::OwnHeap(Oid table, std::span<const Oid> types) : heap_(opened(table)) {
    if (const HeapForm *known = find_form(table); known != nullptr) {
        form_ = *known;
        return;
    }
    const uint64 before = heap_changes;
    form_ = examine(types);
    if (heap_changes == before)
        forms[next_form++ % std::size(forms)] = form_;
}

HeapForm OwnHeap::examine(std::span<const Oid> types) {
    const TupleDesc columns = RelationGetDescr(heap_);
    bool is_as_made = columns->natts == static_cast<int>(types.size());
    for (int place = 0; place < columns->natts && is_as_made; ++place)
        is_as_made =
            TupleDescAttr(columns, place)->atttypid == types[place] && !TupleDescAttr(columns, place)->attisdropped;
    if (!is_as_made)
        reject("has other columns than DBNet made");
    HeapForm form;
    form.table = RelationGetRelid(heap_);
    const List *ids = RelationGetIndexList(heap_);
    if (list_length(ids) > HeapForm::most_indexes)
        reject("has indexes of somebody else");
    for (int place = 0; place < list_length(ids); ++place) {
        form.indexes[place] = list_nth_oid(ids, place);
        form_ = form;
        form_.index_count = place + 1;
        const Relation opened = index(place);
        if (opened->rd_rel->relam != BTREE_AM_OID || opened->rd_index->indisunique ||
            !heap_attisnull(opened->rd_indextuple, Anum_pg_index_indexprs, nullptr))
            reject("has indexes of somebody else");
        const AttrNumber first_column = opened->rd_index->indkey.values[0];
        form.is_by_id[place] = first_column == column_id;
        if (!heap_attisnull(opened->rd_indextuple, Anum_pg_index_indpred, nullptr))
            form.not_null[place] = first_column;
    }
    form.index_count = list_length(ids);
    return form;
}

// Without a lock of its own, which every commit would pay for three times: who drops or rebuilds an index locks the
// table against us, or, CONCURRENTLY, waits for all who hold it.
Relation OwnHeap::index(int place) {
    if (indexes_[place] != nullptr)
        return indexes_[place];
    Relation index = RelationIdGetRelation(form_.indexes[place]);
    if (!RelationIsValid(index))
        index = index_open(form_.indexes[place], RowExclusiveLock); // raises: it is gone
    pgstat_init_relation(index);
    return indexes_[place] = index;
}

void OwnHeap::reject(const char *why) {
    const Oid table = RelationGetRelid(heap_);
    close();
    throw unfit(table, why);
}

void OwnHeap::close() {
    finish();
    for (const Relation opened : indexes_)
        if (opened != nullptr)
            RelationClose(opened);
    table_close(heap_, NoLock);
}

void OwnHeap::insert(OwnRow &row) {
    rows_[row_count_++] = row.tuple();
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

void OwnHeap::remove(ItemPointerData &row) {
    TM_FailureData failure;
    heap_delete(heap_, &row, GetCurrentCommandId(true), InvalidSnapshot, false, &failure, false);
}

void OwnHeap::insert_into_indexes(HeapTuple row) {
    for (int place = 0; place < form_.index_count; ++place) {
        if (form_.not_null[place] != 0 && heap_attisnull(row, form_.not_null[place], RelationGetDescr(heap_)))
            continue;
        const Relation relation = index(place);
        const Form_pg_index form = relation->rd_index;
        if (!form->indisready) // CREATE or REINDEX … CONCURRENTLY has yet to build it
            continue;
        Datum values[INDEX_MAX_KEYS];
        bool nulls[INDEX_MAX_KEYS];
        for (int column = 0; column < form->indnkeyatts; ++column)
            values[column] = heap_getattr(row, form->indkey.values[column], RelationGetDescr(heap_), &nulls[column]);
        IndexInfo info{}; // a btree looks at none of it
        info.type = T_IndexInfo;
        info.ii_NumIndexAttrs = info.ii_NumIndexKeyAttrs = form->indnkeyatts;
        index_insert(relation, values, nulls, &row->t_self, heap_, UNIQUE_CHECK_NO, false, &info);
        if (form_.is_by_id[place])
            remember_last_leaf(relation);
    }
}

void watch_own_heaps() {
    CacheRegisterRelcacheCallback(dbnet_own_heap_changed, Datum{0});
}

} // namespace dbnet::provenance
