// The rows of a mirror as the caller of a SQL function may read them, in the order of their keys. Runs in backends,
// inside in_spi(), in functions with search_path = pg_catalog, pg_temp.
#pragma once

#include "mirror/key.hpp"
#include "mirror/store/catalog.hpp"
#include "pg/guard.hpp"

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace dbnet::mirror {

struct MirroredRow {
    Key key;
    Json row; // mapped columns by name, in row form; discarded when it holds a number that no double holds
};

// The configuration of one mirror. Throws pg::error 42704 when the table is none, 42501 when the caller's view of the
// table would be incomplete because of row-level security.
Mirror readable_mirror(Oid relation);

bool may_update_some_column(Oid relation); // the caller

// At most `limit` rows with keys after `after` (nullptr: from the start), read with the caller's rights.
std::vector<MirroredRow> next_rows(const Mirror &mirror, const Key *after, int limit);

// The row with that key.
std::optional<MirroredRow> find_row(const Mirror &mirror, const Key &key);

// The rows with these keys as the caller sees them, in their order; row-level security may hide some.
std::vector<std::optional<Json>> find_rows(const Mirror &mirror, std::span<const Key> keys);

// Columns whose base type is not PostgreSQL's own. to_jsonb() would call a cast to json that a user has made for such a
// type, with the rights of whoever looks; above they come as text by the type's output function, which calls nobody's
// code.
std::set<std::string> columns_of_foreign_types(const Mirror &mirror);

// 'namespace/name' or 'name' as a key of the mirror. Throws pg::error 22023.
Key parse_key(const Mirror &mirror, std::string_view text);

} // namespace dbnet::mirror
