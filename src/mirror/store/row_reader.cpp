// Reads mirrored rows (see row_reader.hpp). Mirror worker.
#include "mirror/store/row_reader.hpp"

#include <map>
#include <memory>

#include "mirror/store/table_lock.hpp"
#include "pg/as_role.hpp"
#include "pg/deadline.hpp"
#include "pg/spi.hpp"
#include "settings.hpp"

namespace dbnet::mirror {

namespace {

// Statements are kept as long as the process; their number is bounded by how often mirrors change. A plan belongs to
// the owner it was made for.
const pg::Statement &statement(uint32_t owner, const std::string &sql) {
    static auto &kept = *new std::map<std::pair<uint32_t, std::string>, std::unique_ptr<pg::Statement>>;
    const auto [entry, is_new] = kept.try_emplace({owner, sql});
    if (is_new)
        entry->second = std::make_unique<pg::Statement>(entry->first.second.c_str());
    return *entry->second;
}

// `v`: one row of the mapped columns, keys excepted, under their own names.
std::string mapped_columns(const Mirror &mirror) {
    std::string columns;
    for (const Column &column : mirror.mapping.columns) {
        if (column.role != Role::spec && column.role != Role::meta)
            continue;
        const std::string name = pg::quoted_name(column.name);
        columns += (columns.empty() ? "r." : ", r.") + name + " AS " + name;
    }
    return "(SELECT " + columns + ") AS v";
}

// Whether a status column holds something: of a row that was renamed it was another object's.
std::string any_status(const Mirror &mirror) {
    std::string condition = "false";
    for (const Column &column : mirror.mapping.columns)
        if (column.role == Role::status)
            condition += " OR r." + pg::quoted_name(column.name) + " IS NOT NULL";
    return condition;
}

// A cast that a user defined may run.
template<class F> pg::Result as_owner(const Mirror &mirror, F &&f) {
    lock_table(mirror, false);
    pg::Deadline deadline(settings::report_statement_timeout);
    return pg::as_owner(mirror.owner, f, pg::Plans::by_index);
}

std::string column_reference(const std::string &column) {
    return "r." + pg::quoted_name(column);
}

RowFields row_fields(const Mirror &mirror, const char *row) {
    const std::string_view text(row);
    RowFields fields = mirror.mapping.to_object_form(Json::parse(text, nullptr, false));
    fields.bytes = text.size();
    return fields;
}

pg::Statement largest_partition{R"sql(
    SELECT greatest(pg_relation_size($1::regclass),
                    (SELECT max(pg_relation_size(relid)) FROM pg_partition_tree($1::regclass)))
           / current_setting('block_size')::bigint
)sql"};

std::string place_text(uint64_t place) {
    return "(" + std::to_string(place / places_per_block) + "," + std::to_string(place % places_per_block) + ")";
}

// Namespace, name and `columns` of the rows in a slice; a row without a name is nobody's.
pg::Result slice(const Mirror &mirror, const std::string &columns, const std::string &joined, uint64_t first,
                 uint64_t count) {
    const std::string name = column_reference(mirror.name_column);
    const std::string sql =
        "SELECT " + (mirror.namespace_column.empty() ? "''" : column_reference(mirror.namespace_column)) + ", " + name +
        columns + " FROM " + mirror.qualified_name + " AS r" + joined +
        " WHERE r.ctid OPERATOR(pg_catalog.>=) $1::pg_catalog.tid AND r.ctid OPERATOR(pg_catalog.<) $2::pg_catalog.tid"
        " AND " +
        name + " IS NOT NULL";
    const pg::Statement &select = statement(mirror.owner, sql);
    const std::string from = place_text(first), to = place_text(first + count);
    return as_owner(mirror, [&] { return pg::execute(select, from, to); });
}

Key key_of(const Mirror &mirror, const pg::Result &rows, size_t row) {
    return {mirror.relation, mirror.namespace_column.empty() ? mirror.name_space : std::string(rows.text(row, 0)),
            std::string(rows.text(row, 1))};
}

} // namespace

const uint64_t places_per_block = BLCKSZ / 16; // a row takes more: its header and its line pointer

std::vector<std::optional<RowFields>> read_rows(const Mirror &mirror, std::span<const Key> keys) {
    std::vector<std::string> name_spaces, names;
    for (const Key &key : keys) {
        name_spaces.push_back(key.name_space);
        names.push_back(key.name);
    }
    const std::string sql =
        "SELECT k.number, pg_catalog.to_jsonb(v), " + any_status(mirror) +
        " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY AS k (namespace, name, number) "
        "JOIN " +
        mirror.qualified_name + " AS r ON " + column_reference(mirror.name_column) + " OPERATOR(pg_catalog.=) k.name" +
        (mirror.namespace_column.empty()
             ? ""
             : " AND " + column_reference(mirror.namespace_column) + " OPERATOR(pg_catalog.=) k.namespace") +
        " CROSS JOIN LATERAL " + mapped_columns(mirror);
    const pg::Statement &select = statement(mirror.owner, sql);
    const pg::Result rows = as_owner(mirror, [&] { return pg::execute(select, name_spaces, names); });
    std::vector<std::optional<RowFields>> found(keys.size());
    for (size_t row = 0; row < rows.rows(); row++) {
        RowFields &fields = found[rows.integer(row, 0) - 1].emplace(row_fields(mirror, rows.at(row, 1)));
        fields.has_status = rows.boolean(row, 2);
    }
    return found;
}

std::vector<std::pair<Key, RowFields>> read_slice(const Mirror &mirror, uint64_t first, uint64_t count) {
    const pg::Result rows =
        slice(mirror, ", pg_catalog.to_jsonb(v)", " CROSS JOIN LATERAL " + mapped_columns(mirror), first, count);
    std::vector<std::pair<Key, RowFields>> found;
    for (size_t row = 0; row < rows.rows(); row++)
        found.emplace_back(key_of(mirror, rows, row), row_fields(mirror, rows.at(row, 2)));
    return found;
}

std::vector<Key> read_slice_keys(const Mirror &mirror, uint64_t first, uint64_t count) {
    const pg::Result rows = slice(mirror, "", "", first, count);
    std::vector<Key> found;
    for (size_t row = 0; row < rows.rows(); row++)
        found.push_back(key_of(mirror, rows, row));
    return found;
}

uint64_t count_places(const Mirror &mirror) {
    return pg::execute(largest_partition, Oid{mirror.relation}).integer(0, 0) * places_per_block;
}

} // namespace dbnet::mirror
