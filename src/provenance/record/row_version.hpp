// Versions of rows, from what a row trigger is told. Backends.
#pragma once

#include "provenance/record/recorder.hpp"
#include "provenance/record/tracked_table.hpp"

#include "capture/recorder.hpp"

namespace dbnet::provenance {

// Records what became of the row. Numbers of the running transaction; 0: the table is not tracked, or nothing changed.
// Inside pg::call, may longjmp; throws pg::error.
capture::RowVersions record_row(const TriggerData &fired);

// The command that wrote the row; InvalidCommandId: it is not known.
CommandId command_of(const TrackedTable &table, const TriggerData &fired);

// Before a TRUNCATE: every row, as far as the table is small enough, and the TRUNCATE itself. As record_row().
void record_truncate(Oid table);
// The same by the trigger BEFORE TRUNCATE, which alone tells of one that logical replication applies.
void record_truncate_by_trigger(Relation table);

} // namespace dbnet::provenance
