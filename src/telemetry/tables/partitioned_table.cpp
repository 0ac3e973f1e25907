// Rows into the partitions of a table (see partitioned_table.hpp).
#include "telemetry/tables/partitioned_table.hpp"

#include "pg/guard.hpp"

#include <algorithm>

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
}

namespace dbnet::telemetry {
namespace {

pg::error unfit(const char *table, const char *why) {
    return pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, std::string("table otel.") + table + ' ' + why);
}

bool is_of_type(const Form_pg_attribute column, Oid type) noexcept {
    switch (type) {
    case Column::trace_id:
        return column->attlen == 16 && !column->attbyval && column->atttypid >= FirstNormalObjectId;
    case Column::span_id:
        return column->attlen == 8 && column->attbyval && column->atttypid >= FirstNormalObjectId;
    case Column::sketch:
        return column->attlen == -1 && column->atttypid >= FirstNormalObjectId;
    default:
        return column->atttypid == type;
    }
}

// The first columns of `found`, which are as the form has them.
TupleDesc own_columns(const TableForm &form, TupleDesc found) {
    const int count = static_cast<int>(form.columns.size());
    bool is_as_made = found->natts >= count;
    for (int place = 0; place < count && is_as_made; ++place) {
        const Form_pg_attribute column = TupleDescAttr(found, place);
        is_as_made = !column->attisdropped && strcmp(NameStr(column->attname), form.columns[place].name) == 0 &&
                     is_of_type(column, form.columns[place].type);
    }
    if (!is_as_made)
        throw unfit(form.name, "has other columns than DBNet made");
    const TupleDesc columns = CreateTemplateTupleDesc(count);
    for (int place = 0; place < count; ++place)
        TupleDescCopyEntry(columns, place + 1, found, place + 1);
    return columns;
}

bool is_same_layout(TupleDesc one, TupleDesc other) noexcept {
    if (one->natts != other->natts)
        return false;
    for (int place = 0; place < one->natts; ++place) {
        const Form_pg_attribute a = TupleDescAttr(one, place), b = TupleDescAttr(other, place);
        if (a->atttypid != b->atttypid || b->attisdropped || strcmp(NameStr(a->attname), NameStr(b->attname)) != 0)
            return false;
    }
    return true;
}

} // namespace

PartitionedTable::PartitionedTable(const TableForm &form, RowMemory &memory, bool is_kept)
    : form_(form), memory_(memory), context_(CurrentMemoryContext) {
    const Oid schema = get_namespace_oid("otel", true);
    const Oid table = OidIsValid(schema) ? get_relname_relid(form.name, schema) : InvalidOid;
    if (!OidIsValid(table))
        throw pg::error(ERRCODE_UNDEFINED_TABLE, std::string("table otel.") + form.name + " is not there");
    parent_ = table_open(table, RowExclusiveLock);
    if (parent_->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
        throw unfit(form.name, "is not partitioned");
    columns_ = own_columns(form, RelationGetDescr(parent_));
    tuples_ = AllocSetContextCreateInternal(context_, "DBNet telemetry tuples", ALLOCSET_DEFAULT_SIZES);
    state_ = CreateExecutorState();
    is_plain_ = is_plain(parent_);
    const auto count = static_cast<size_t>(RelationGetDescr(parent_)->natts);
    values_ = static_cast<Datum *>(palloc(sizeof(Datum) * count));
    nulls_ = static_cast<bool *>(palloc(sizeof(bool) * count));
    std::fill_n(nulls_, count, true);
    if (is_kept)
        kept_ = new_store();
}

Tuplestorestate *PartitionedTable::new_store() const {
    const MemoryContext before = MemoryContextSwitchTo(context_);
    Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
    MemoryContextSwitchTo(before);
    return store;
}

// Whether rows may go into it as they are: nobody else's code or condition is to be asked.
bool PartitionedTable::is_plain(Relation relation) const {
    const TupleDesc found = RelationGetDescr(relation);
    const TriggerDesc *triggers = relation->trigdesc;
    if (triggers != nullptr &&
        (triggers->trig_insert_before_row || triggers->trig_insert_after_row || triggers->trig_insert_instead_row ||
         triggers->trig_insert_before_statement || triggers->trig_insert_after_statement))
        return false;
    if (found->constr != nullptr && (found->constr->num_check > 0 || found->constr->has_generated_stored))
        return false;
    if (!is_same_layout(columns_, found))
        return false;
    for (int place = 0; place < found->natts; ++place)
        if (form_.columns[place].is_nullable && TupleDescAttr(found, place)->attnotnull)
            return false;
    return true;
}

Relation PartitionedTable::partition_of(Instant bucket) {
    Leaf *leaf = leaf_of(bucket);
    return leaf != nullptr ? leaf->relation : nullptr;
}

PartitionedTable::Leaf *PartitionedTable::leaf_of(Instant bucket) {
    for (Leaf *leaf = leaves_; leaf != nullptr; leaf = leaf->next)
        if (bucket >= leaf->from && bucket < leaf->to)
            return leaf;
    const PartitionDesc partitions = RelationGetPartitionDesc(parent_, true);
    if (partitions->nparts == 0)
        return nullptr;
    const PartitionKey key = RelationGetPartitionKey(parent_);
    const PartitionBoundInfo bounds = partitions->boundinfo;
    Datum value = TimestampTzGetDatum(bucket);
    bool is_equal = false;
    const int lower = partition_range_datum_bsearch(key->partsupfunc, key->partcollation, bounds, 1, &value, &is_equal);
    const int place = bounds->indexes[lower + 1] >= 0 ? bounds->indexes[lower + 1] : bounds->default_index;
    if (place < 0)
        return nullptr;
    const auto bound = [&](int at, Instant otherwise) -> Instant {
        return at >= 0 && at < bounds->ndatums && bounds->kind[at][0] == PARTITION_RANGE_DATUM_VALUE
                   ? DatumGetTimestampTz(bounds->datums[at][0])
                   : otherwise;
    };
    return open_leaf(partitions->oids[place], bound(lower, PG_INT64_MIN), bound(lower + 1, PG_INT64_MAX));
}

PartitionedTable::Leaf *PartitionedTable::open_leaf(Oid partition, Instant from, Instant to) {
    const MemoryContext before = MemoryContextSwitchTo(context_);
    auto *leaf = static_cast<Leaf *>(palloc(sizeof(Leaf)));
    leaf->from = from;
    leaf->to = to;
    leaf->relation = table_open(partition, RowExclusiveLock);
    leaf->target = nullptr;
    leaf->summaries = nullptr;
    leaf->made = leaf->filled = 0;
    leaf->next = leaves_;
    leaves_ = leaf;
    if (is_plain_ && leaf->relation->rd_rel->relkind == RELKIND_RELATION && is_plain(leaf->relation)) {
        leaf->target = makeNode(ResultRelInfo);
        InitResultRelInfo(leaf->target, leaf->relation, 0, nullptr, 0);
        ExecOpenIndices(leaf->target, false);
        for (int index = 0; index < leaf->target->ri_NumIndices; ++index)
            if (!leaf->target->ri_IndexRelationDescs[index]->rd_index->indimmediate) { // is checked by a trigger
                ExecCloseIndices(leaf->target);
                leaf->target = nullptr;
                break;
            }
        if (leaf->target != nullptr)
            leaf->summaries = TimeSummary::take_from(*leaf->target);
    }
    MemoryContextSwitchTo(before);
    return leaf;
}

Row PartitionedTable::begin(Instant bucket) {
    if (current_ == nullptr || bucket < current_->from || bucket >= current_->to) {
        current_ = leaf_of(bucket);
        if (current_ == nullptr)
            throw unfit(form_.name, "has no partition for the time of a row");
    }
    Datum *values = values_;
    bool *nulls = nulls_;
    if (current_->target != nullptr) {
        if (current_->filled == current_->made) {
            const MemoryContext before = MemoryContextSwitchTo(context_);
            current_->slots[current_->made++] = MakeSingleTupleTableSlot(columns_, &TTSOpsVirtual);
            MemoryContextSwitchTo(before);
        }
        TupleTableSlot *slot = current_->slots[current_->filled];
        ExecClearTuple(slot);
        values = slot->tts_values;
        nulls = slot->tts_isnull;
    }
    Row row(values, nulls, memory_);
    row.big(bucket);
    return row;
}

void PartitionedTable::add() {
    Datum *values = values_;
    bool *nulls = nulls_;
    if (current_->target != nullptr) {
        TupleTableSlot *slot = current_->slots[current_->filled++];
        ExecStoreVirtualTuple(slot);
        values = slot->tts_values;
        nulls = slot->tts_isnull;
    } else {
        if (left_ == nullptr)
            left_ = new_store();
        tuplestore_putvalues(left_, columns_, values, nulls);
    }
    if (kept_ != nullptr) {
        if (values != values_) {
            std::copy_n(values, columns_->natts, values_);
            std::copy_n(nulls, columns_->natts, nulls_);
        }
        tuplestore_putvalues(kept_, RelationGetDescr(parent_), values_, nulls_);
    }
    if (current_->filled == most_together)
        flush(*current_);
}

bool PartitionedTable::replace(Instant bucket, ItemPointerData place, const Datum *values, const bool *nulls) {
    const Leaf *leaf = leaf_of(bucket);
    if (leaf == nullptr || leaf->target == nullptr)
        return false;
    const MemoryContext before = MemoryContextSwitchTo(tuples_);
    TupleTableSlot *slot = MakeSingleTupleTableSlot(columns_, &TTSOpsVirtual);
    std::copy_n(values, columns_->natts, slot->tts_values);
    std::copy_n(nulls, columns_->natts, slot->tts_isnull);
    ExecStoreVirtualTuple(slot);
    TM_FailureData failure;
    LockTupleMode lock;
    DBNET_INDEXES_TO_UPDATE indexes = DBNET_NO_INDEX_TO_UPDATE;
    // Nobody is waited for: a lock that cannot be had at once leaves the row to whoever holds it. The update itself
    // must be told to wait, though it never has to (heap_update() asserts that).
    TupleTableSlot *held = table_slot_create(leaf->relation, nullptr);
    const CommandId command = GetCurrentCommandId(true);
    TM_Result result = table_tuple_lock(leaf->relation, &place, SnapshotSelf, held, command, LockTupleNoKeyExclusive,
                                        LockWaitSkip, 0, &failure);
    ExecDropSingleTupleTableSlot(held);
    if (result == TM_Ok)
        result = table_tuple_update(leaf->relation, &place, slot, command, SnapshotSelf, InvalidSnapshot, true,
                                    &failure, &lock, &indexes);
    if (result == TM_Ok && indexes != DBNET_NO_INDEX_TO_UPDATE)
        add_to_indexes(*leaf, &slot, 1, indexes);
    ExecDropSingleTupleTableSlot(slot);
    MemoryContextSwitchTo(before);
    return result == TM_Ok;
}

void PartitionedTable::flush() {
    for (Leaf *leaf = leaves_; leaf != nullptr; leaf = leaf->next)
        if (leaf->filled > 0)
            flush(*leaf);
}

void PartitionedTable::flush(Leaf &leaf) {
    const MemoryContext before = MemoryContextSwitchTo(tuples_);
    table_multi_insert(leaf.relation, leaf.slots, leaf.filled, GetCurrentCommandId(true), 0, nullptr);
    add_to_indexes(leaf, leaf.slots, leaf.filled, DBNET_ALL_INDEXES_TO_UPDATE);
    leaf.filled = 0;
    MemoryContextSwitchTo(before);
    MemoryContextReset(tuples_);
}

void PartitionedTable::add_to_indexes(const Leaf &leaf, TupleTableSlot *const *rows, int count,
                                      [[maybe_unused]] DBNET_INDEXES_TO_UPDATE indexes) {
    if (leaf.target->ri_NumIndices > 0)
        for (int place = 0; place < count; ++place) {
            DBNET_INSERT_INTO_INDEXES(leaf.target, rows[place], state_, indexes);
            ResetPerTupleExprContext(state_);
        }
    if (leaf.summaries != nullptr)
        leaf.summaries->add(leaf.relation, rows, count);
}

void PartitionedTable::close() {
    flush();
    for (Leaf *leaf = leaves_; leaf != nullptr; leaf = leaf->next) {
        for (int place = 0; place < leaf->made; ++place)
            ExecDropSingleTupleTableSlot(leaf->slots[place]);
        if (leaf->target != nullptr)
            ExecCloseIndices(leaf->target);
        if (leaf->summaries != nullptr)
            leaf->summaries->close();
        table_close(leaf->relation, NoLock);
    }
    leaves_ = current_ = nullptr;
    FreeExecutorState(state_);
    table_close(parent_, NoLock);
}

} // namespace dbnet::telemetry
