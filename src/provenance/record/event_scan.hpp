// Reads what is on record: a ring of partitions, one by one, by an index. Backends; inside pg::call, may longjmp.
#pragma once

#include "provenance/record/own_tables.hpp"

#include <initializer_list>

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
    // Versions of one table's rows (tracked_relation.number): of each row the newest first. Of a row that has versions
    // in several partitions those of each partition come together.
    static EventScan newest_first(int32 relation);
    // The same of one row.
    static EventScan newest_first(int32 relation, int64 key_hash);
    // Of a scan by newest_first() that has given a version of this row: what it gives next is another row's, or in
    // another partition. Costs as much as some steps.
    void skip_row(int64 key_hash);
    // Valid until the next one; nullptr: that was the last one, and all is closed.
    HeapTuple next();
    void close();                                                  // before its end
    TupleDesc columns() const { return RelationGetDescr(table_); } // of the event that next() gave

private:
    void open();
    void begin(int conditions);
    void close_partition();

    EventScan(EventTable source, EventId first, ScanDirection direction, const char *index,
              std::initializer_list<ScanKeyData> wanted);

    EventTable source_;
    ScanDirection direction_;
    const char *index_name_; // after the partition's
    ScanKeyData wanted_[2];
    int wanted_count_;
    MemoryContext memory_; // of the scan
    int64 period_, end_;   // of the partition that is open, or comes next; after the last one
    Relation table_ = nullptr, index_ = nullptr;
    SysScanDesc scan_ = nullptr;
};

} // namespace dbnet::provenance
