// The user's table under a mirror: whether it can be one, what its columns are, and the capture trigger on it. Runs in
// backends, inside in_spi().
#pragma once

#include "mirror/definition/column_map.hpp"
#include "pg/guard.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dbnet::mirror {

struct Table {
    Oid relation = InvalidOid;
    Oid owner = InvalidOid;
    std::string name; // schema.table, quoted
    std::vector<TableColumn> columns;
};

// Finds a table by name as the caller would in SQL and keeps it from being altered or dropped until the transaction
// ends. Throws pg::error: 42P01 no such table, 42809 not an ordinary permanent table, 42501 the caller does not own it.
Table find_table(std::string_view name);
Table find_table(Oid relation);
// The same; nullopt when there is no such table.
std::optional<Table> find_table_if_any(std::string_view name);

// The key columns must be NOT NULL and together the key of one unique index. Throws pg::error 42P10.
void check_unique_key(const Table &table, const std::vector<std::string> &key_columns);

// Puts the trigger that notes changes for the worker on the table, instead of one that is there already. With the
// extension's rights.
void attach_capture(const Table &table, const ColumnMap &map, std::string_view fixed_namespace);
void detach_capture(const Table &table);

} // namespace dbnet::mirror
