// What a fired row trigger says about a mirror's row: which key, and did anything change that the mirror watches.
// Runs in backends, inside pg::call: may longjmp, and owns nothing that has a destructor when it does.
#pragma once

#include "pg/compat.hpp"

extern "C" {
#include "commands/trigger.h"
}

namespace dbnet::capture {

// One row, in memory of the caller's context. Absent texts: the key had a NULL.
struct Key {
    bool is_set;
    std::string_view name_space, name;
};

struct RowChange {
    Oid relation = InvalidOid;           // the mirror: the partitioned table if the trigger was made on one
    Oid owner = InvalidOid;              // of the trigger function: the extension's owner
    Key deleted{};                       // key that is no more: of a deleted row, the old one of a renamed row
    Key written{};                       // key whose row was inserted or changed
    char operation = 0;                  // of `written`: I or U
    const char *status_column = nullptr; // that was written, which only reports may; nullptr: none
    const char *table = nullptr;         // with status_column: schema.table …
    Key status_key{};                    // … and the row's key
    std::uint32_t *cause = nullptr;      // of all changes of the statement, for record_change()
};

// The mirror whose capture trigger was fired. Throws as examine_row().
Oid mirror_of_trigger(FunctionCallInfo fcinfo);

// Compares the images of a row, column by column, without any user-definable operator. Throws pg::error: 23502 for a
// key that is NULL, 42703 for a column that is no more, 39P01 when not called as the trigger it is made for.
RowChange examine_row(FunctionCallInfo fcinfo);

} // namespace dbnet::capture
