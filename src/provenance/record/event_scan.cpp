// Events by an index (see event_scan.hpp). Backends; inside pg::call.
#include "provenance/record/event_scan.hpp"

#include "pg/guard.hpp"
#include "provenance/record/event_clock.hpp"

#include <algorithm>

extern "C" {
#include "access/stratnum.h"
#include "access/table.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
}

namespace dbnet::provenance {
namespace {

constexpr int ring_places = 16;

ScanKeyData condition(AttrNumber column, StrategyNumber strategy, RegProcedure comparison, Datum value) {
    ScanKeyData key;
    ScanKeyInit(&key, column, strategy, comparison, value);
    return key;
}

} // namespace

EventScan::EventScan(EventTable source, EventId first, ScanDirection direction)
    : EventScan(source, first, direction, "id_idx",
                {condition(column_id, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(first))}) {}

EventScan EventScan::newest_first(int32 relation) {
    return EventScan(EventTable::entity_version, 0, BackwardScanDirection, "relation_key_hash_id_idx",
                     {condition(version_column::relation, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(relation))});
}

EventScan EventScan::newest_first(int32 relation, int64 key_hash) {
    return EventScan(EventTable::entity_version, 0, BackwardScanDirection, "relation_key_hash_id_idx",
                     {condition(version_column::relation, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(relation)),
                      condition(version_column::key_hash, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(key_hash))});
}

EventScan::EventScan(EventTable source, EventId first, ScanDirection direction, const char *index,
                     std::initializer_list<ScanKeyData> wanted)
    : source_(source), direction_(direction), index_name_(index), wanted_count_(static_cast<int>(wanted.size())),
      memory_(CurrentMemoryContext) {
    std::copy(wanted.begin(), wanted.end(), wanted_);
    // At most once around the ring: what is older has been emptied.
    const EventId now = next_event();
    const int64 newest = now == 0 ? ring_places - 1 : now >> stretch_bits;
    const int64 oldest = now == 0 ? 0 : std::max<int64>(first >> stretch_bits, newest - (ring_places - 1));
    const bool is_forward = ScanDirectionIsForward(direction);
    period_ = is_forward ? oldest : newest;
    end_ = is_forward ? std::max(newest, oldest) + 1 : std::min(newest, oldest) - 1;
}

void EventScan::open() {
    const Oid table = partition_of(source_, period_ << stretch_bits);
    const Oid index = OidIsValid(table)
                          ? get_relname_relid(psprintf("%s_%s", get_rel_name(table), index_name_), own_schema())
                          : InvalidOid;
    if (!OidIsValid(index))
        throw pg::error(ERRCODE_UNDEFINED_TABLE, "a table of DBNet's provenance is not there");
    table_ = table_open(table, AccessShareLock);
    index_ = index_open(index, AccessShareLock);
    begin(wanted_count_);
}

void EventScan::begin(int conditions) {
    ScanKeyData keys[std::size(wanted_)]; // they are changed
    std::copy_n(wanted_, conditions, keys);
    scan_ = systable_beginscan_ordered(table_, index_, GetActiveSnapshot(), conditions, keys);
}

void EventScan::skip_row(int64 key_hash) {
    systable_endscan_ordered(scan_);
    wanted_[1] = condition(version_column::key_hash, BTLessStrategyNumber, F_INT8LT, Int64GetDatum(key_hash));
    const MemoryContext before = MemoryContextSwitchTo(memory_);
    begin(2);
    MemoryContextSwitchTo(before);
}

void EventScan::close_partition() {
    systable_endscan_ordered(scan_);
    index_close(index_, AccessShareLock);
    table_close(table_, AccessShareLock);
    scan_ = nullptr;
}

void EventScan::close() {
    if (scan_ != nullptr)
        close_partition();
    period_ = end_;
}

HeapTuple EventScan::next() {
    CHECK_FOR_INTERRUPTS();
    const MemoryContext before = MemoryContextSwitchTo(memory_);
    HeapTuple tuple = nullptr;
    for (; period_ != end_; period_ += direction_) {
        if (scan_ == nullptr)
            open();
        tuple = systable_getnext_ordered(scan_, direction_);
        if (HeapTupleIsValid(tuple))
            break;
        close_partition();
    }
    MemoryContextSwitchTo(before);
    return tuple;
}

} // namespace dbnet::provenance
