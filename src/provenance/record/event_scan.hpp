// Reads what is on record: a ring of partitions, one by one, by an index. Backends; inside pg::call, may longjmp.
#pragma once

#include "provenance/record/own_tables.hpp"

extern "C" {
#include "access/genam.h"
#include "utils/rel.h"
}

namespace dbnet::provenance {

// Columns of dbnet.entity_version.
namespace version_column {
enum { id = 1, activity, relation, key_hash, key, operation, old_row, new_row, cause, pair, row_transaction, checksum };
}

// No destructor: what an error leaves open the transaction closes.
class EventScan {
public:
    // Events from `first` on, in their order or against it. Throws pg::error when a table is not there.
    EventScan(EventTable source, EventId first, ScanDirection direction);
    // Versions of one table's rows (tracked_relation.number): of each row the newest first.
    static EventScan newest_first(int32 relation);
    // Valid until the next one; nullptr: that was the last one, and all is closed.
    HeapTuple next();
    void close();                                                  // before its end
    TupleDesc columns() const { return RelationGetDescr(table_); } // of the event that next() gave

private:
    void open();
    void close_partition();

    EventScan(EventTable source, EventId first, ScanDirection direction, const char *index, const ScanKeyData &wanted);

    EventTable source_;
    ScanDirection direction_;
    const char *index_name_; // after the partition's
    ScanKeyData wanted_;
    MemoryContext memory_; // of the scan
    int64 period_, end_;   // of the partition that is open, or comes next; after the last one
    Relation table_ = nullptr, index_ = nullptr;
    SysScanDesc scan_ = nullptr;
};

} // namespace dbnet::provenance
