// A partitioned table of telemetry, opened to be written. Rows are collected per partition and go into its heap
// together and into its indexes, whichever these are. What only the executor can do (triggers, constraints, generated
// columns, columns that we do not know) is left to it: such rows are kept for an INSERT. Inside pg::call; may longjmp;
// owns nothing that an error would not give back.
#pragma once

#include "telemetry/tables/event_time.hpp"
#include "telemetry/tables/row.hpp"
#include "telemetry/tables/time_summary.hpp"

#include "pg/compat.hpp"

extern "C" {
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
}

namespace dbnet::telemetry {

// How a column must be: `type` is that of PostgreSQL's own, or one of those of schema otel.
struct Column {
    static constexpr Oid trace_id = 1, span_id = 2, sketch = 3;

    const char *name;
    Oid type;
    bool is_nullable = false;
};

struct TableForm {
    const char *name;
    std::span<const Column> columns; // the first one is what partitions go by
};

class PartitionedTable {
public:
    // `is_kept`: all rows are wanted in kept(), too. Throws pg::error when the table is not as DBNet made it.
    PartitionedTable(const TableForm &form, RowMemory &memory, bool is_kept);

    // A row for a time that has a partition; columns are to be filled in order, then add().
    Row begin(Instant bucket);
    void add();
    // Replaces a row, found in a partition of this table, by one with these values. Waits for nobody: false, when
    // the row is somebody else's to change.
    bool replace(Instant bucket, ItemPointerData place, const Datum *values, const bool *nulls);
    // Everything collected is in the heap. The values of rows are not needed any more.
    void flush();
    void close();

    // The partition of a time; nullptr: there is none.
    Relation partition_of(Instant bucket);

    const TableForm &form() const noexcept { return form_; }
    Relation relation() const noexcept { return parent_; }
    // Both in the memory context that was current at the construction; nullptr: none.
    Tuplestorestate *left() const noexcept { return left_; } // for the executor; of the columns of the form
    Tuplestorestate *kept() const noexcept { return kept_; } // of all columns of the table
    TupleDesc columns() const noexcept { return columns_; }

private:
    static constexpr int most_together = 256;

    struct Leaf {
        Instant from, to;
        Relation relation;
        ResultRelInfo *target;  // nullptr: rows are left to the executor
        TimeSummary *summaries; // of its indexes; nullptr: there are none
        TupleTableSlot *slots[most_together];
        int made, filled;
        Leaf *next;
    };

    Leaf *leaf_of(Instant bucket);
    Leaf *open_leaf(Oid partition, Instant from, Instant to);
    bool is_plain(Relation relation) const;
    void flush(Leaf &leaf);
    void add_to_indexes(const Leaf &leaf, TupleTableSlot *const *rows, int count, DBNET_INDEXES_TO_UPDATE indexes);
    Tuplestorestate *new_store() const;

    const TableForm &form_;
    RowMemory &memory_;
    MemoryContext context_, tuples_;
    Relation parent_;
    TupleDesc columns_; // as the form says
    EState *state_;
    Leaf *leaves_ = nullptr, *current_ = nullptr;
    bool is_plain_;
    Datum *values_; // of the row that begin() gave out, and room for all columns of the table
    bool *nulls_;
    Tuplestorestate *left_ = nullptr, *kept_ = nullptr;
};

} // namespace dbnet::telemetry
