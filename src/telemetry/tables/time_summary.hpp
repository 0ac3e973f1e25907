// An index of partitions that keeps the earliest and latest times per range of pages (BRIN, minmax). What a batch adds
// to a range is given to it at once: asked row by row it takes as long as a fifth of the index by trace, and answers
// the same. Inside pg::call; may longjmp.
#pragma once

#include "pg/compat.hpp"

extern "C" {
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"
}

namespace dbnet::telemetry {

class TimeSummary {
public:
    // Takes those indexes that are such summaries from the ones that the executor has opened, in the current memory
    // context; nullptr: there is none. Closed with close().
    static TimeSummary *take_from(ResultRelInfo &table);

    // Rows that the heap has taken, in the order in which they lie there.
    void add(Relation heap, TupleTableSlot *const *rows, int count);
    void close();

private:
    TimeSummary(Relation index, IndexInfo *info, TimeSummary *next) noexcept
        : index_(index), info_(info), next_(next) {}
    void add_range(Relation heap, TupleTableSlot *const *rows, int count);

    Relation index_;
    IndexInfo *info_;
    TimeSummary *next_;
};

} // namespace dbnet::telemetry
