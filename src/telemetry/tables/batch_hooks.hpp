// Users' code that comes with a batch: triggers of the tables, and the functions of otel.on_batch. Any process that
// takes telemetry.
#pragma once

#include "telemetry/tables/partitioned_table.hpp"

namespace dbnet::telemetry {

// Rows that only the executor may write: an INSERT as the current user, in a background worker as dbnet_ingest. From
// C++ frames. Throws PostgreSQL's errors.
void insert_left_rows(const PartitionedTable &table);

// Calls the functions that wait for rows of this table, each as its owner and in a subtransaction. One that fails costs
// a WARNING.
void call_batch_hooks(const PartitionedTable &table);

} // namespace dbnet::telemetry
