// Makes the table of a mirror that has none yet. Runs in backends, inside in_spi(), with the caller's rights.
#pragma once

#include "mirror/definition/table_plan.hpp"
#include "pg/guard.hpp"

#include <string>
#include <string_view>

namespace dbnet::mirror {

// 'schema.table', quoted, for a table that does not exist yet: in the schema that CREATE TABLE would take. Throws
// pg::error: 3F000 no such schema, 42501 no right to create in it.
std::string name_for_new_table(std::string_view name);

// CREATE TABLE and its comments. The caller owns the table.
void create_table(const std::string &name, const std::string &comment, const TablePlan &plan);

// ALTER TABLE … ADD COLUMN and its comment. `name`: of the table, quoted.
void add_column(const std::string &name, const PlannedColumn &column);

} // namespace dbnet::mirror
