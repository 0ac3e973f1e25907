// Rows on their way into DBNet's tables, as the stores of this folder write them. Mirror worker and backends; inside
// in_spi().
#pragma once

#include "pg/spi.hpp"
#include "pg/text_columns.hpp"

#include <string>

namespace dbnet::mirror {

// Words of the network as a text of the database, without what is not UTF-8 and without U+0000. Empty: NULL.
pg::TextColumns::Cell words(const std::string &text);

// Executes the statement with a text[] per column; nothing where there are no rows.
void write_rows(const pg::Statement &statement, const pg::TextColumns &rows);

} // namespace dbnet::mirror
