// One table of ours, opened to be written: rows go into the heap and into its indexes, which are plain btrees on
// columns, not unique, and partial only where their first column is not null. Backends; inside pg::call, may longjmp.
#pragma once

#include "pg/compat.hpp"

extern "C" {
#include "access/htup.h"
#include "access/relation.h"
#include "utils/rel.h"
}

namespace dbnet::provenance {

class OwnHeap {
public:
    // Throws pg::error, with nothing written and nothing left open, when the table is not as `types` (of its columns)
    // say, has an index more than we know, or is locked by somebody.
    OwnHeap(Oid table, std::span<const Oid> types);
    void close(); // no destructor: what an error of PostgreSQL's leaves open the transaction closes

    TupleDesc columns() const { return RelationGetDescr(heap_); }
    // Values and nulls as columns() has them.
    void insert(Datum *values, bool *nulls);
    // Writes the rows that insert() has collected.
    void finish();

private:
    static constexpr int most_indexes = 4, most_together = 256;

    [[noreturn]] void reject(const char *why);
    void insert_into_indexes(HeapTuple row);

    Relation heap_;
    Relation indexes_[most_indexes];
    bool is_partial_[most_indexes];
    int index_count_ = 0;
    HeapTuple rows_[most_together];
    int row_count_ = 0;
};

} // namespace dbnet::provenance
