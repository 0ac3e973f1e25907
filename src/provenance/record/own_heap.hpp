// One table of ours, opened to be written: rows go into the heap and into its indexes, which are plain btrees on
// columns, not unique, and partial only where their first column is not null. Backends; inside pg::call, may longjmp.
#pragma once

#include "provenance/record/own_row.hpp"

extern "C" {
#include "access/relation.h"
#include "utils/rel.h"
}

namespace dbnet::provenance {

// What was found of a table when it was opened first: fit to be written, and with these indexes. Kept for the process,
// until the table or an index of it changes.
struct HeapForm {
    static constexpr int most_indexes = 8; // REINDEX TABLE CONCURRENTLY doubles them for a while

    Oid table = InvalidOid; // InvalidOid: not known, or not any more
    int index_count = 0;
    Oid indexes[most_indexes]{};
    bool is_by_id[most_indexes]{};       // rows come in its order, or nearly
    AttrNumber not_null[most_indexes]{}; // of a partial index, the column that must not be null; 0: every row is in it
};

class OwnHeap {
public:
    // Throws pg::error, with nothing written and nothing left open, when the table is not as `types` (of its columns)
    // say, has an index more than we know, or is locked by somebody.
    OwnHeap(Oid table, std::span<const Oid> types);
    void close(); // no destructor: what an error of PostgreSQL's leaves open the transaction closes

    void insert(OwnRow &row);
    // Writes the rows that insert() has collected.
    void finish();
    // A row that the caller has seen; it stays where another transaction has removed it, or is about to.
    void remove(ItemPointerData &row);

private:
    static constexpr int most_together = 256;

    [[noreturn]] void reject(const char *why);
    HeapForm examine(std::span<const Oid> types);
    Relation index(int place);
    void insert_into_indexes(HeapTuple row);

    Relation heap_;
    HeapForm form_;
    Relation indexes_[HeapForm::most_indexes]{}; // opened with the first row that is to go into them
    HeapTuple rows_[most_together];
    int row_count_ = 0;
};

// Called once per process, when the hooks are installed.
void watch_own_heaps();

} // namespace dbnet::provenance
