// Decoded telemetry into the tables of schema otel (sql/21_telemetry_tables.sql), with the panes that count it. Any
// process that takes telemetry: a backend that calls otel.ingest_…, the gateway worker.
#pragma once

#include "telemetry/batch.hpp"

namespace dbnet::telemetry {

// Writes the batch in the running transaction; to be called from C++ frames, with or without SPI connected. Throws
// PostgreSQL's errors as pg::pg_error, after which the (sub)transaction is to be aborted; nothing of the batch refers
// to PostgreSQL's memory, so it may be written again.
//
// Rows go straight into heap and indexes. A table with triggers (or constraints, generated columns) is written by an
// INSERT as the current user instead, who needs the right to; in a background worker, which is a superuser, as
// dbnet_ingest. Procedures of otel.on_batch run as their owners; one that fails costs a WARNING and nothing else.
//
// Ids of resources and the like that are new are known to later batches only once the transaction has committed. At the
// commit of a transaction that wrote something the policy worker is woken.
void write(Batch &batch);

} // namespace dbnet::telemetry
