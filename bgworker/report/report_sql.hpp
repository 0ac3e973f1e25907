// SQL on a user's table: how a report reads, locks and writes rows of a mirror. Text only, built from quoted names;
// values always travel as arguments. Pure C++; used by the mirror worker.
#pragma once

#include "mirror/store/catalog.hpp"

#include <string>
#include <vector>

namespace dbnet::bgworker {

// Quotes like quote_identifier(), always with quotation marks.
std::string quoted(const std::string &name);

enum class RowLock {
    none,
    update, // FOR NO KEY UPDATE SKIP LOCKED: leaves sessions alone that only refer to the row by a foreign key
    remove  // FOR UPDATE SKIP LOCKED
};

// $1 namespaces, $2 names (text[], parallel) → position from 1, mapped columns but the keys as jsonb.
std::string select_rows(const mirror::Mirror &mirror, RowLock lock);

// One column of a statement that writes.
struct WrittenColumn {
    const mirror::Column *column;
    bool is_default = false; // DEFAULT instead of a value: NULL for a column that is NOT NULL
    auto operator<=>(const WrittenColumn &) const = default;
};

// $1 rows as a JSON array with the key columns and `columns` → namespace, name, mapped columns as jsonb of what was
// written. A row that somebody inserted meanwhile (or that another unique constraint refuses) is not returned.
std::string insert_rows(const mirror::Mirror &mirror, const std::vector<WrittenColumn> &columns, bool skip_conflicts);

// $1 names, $2 namespaces where the table has a column for them, then the values of each of `columns`: text[],
// parallel, in the form that PostgreSQL reads → the count alone.
std::string import_rows(const mirror::Mirror &mirror, const std::vector<const mirror::Column *> &columns);

// The same for rows that are there.
std::string update_rows(const mirror::Mirror &mirror, const std::vector<WrittenColumn> &columns);

// $1 namespaces, $2 names → namespace, name.
std::string delete_rows(const mirror::Mirror &mirror);

} // namespace dbnet::bgworker
