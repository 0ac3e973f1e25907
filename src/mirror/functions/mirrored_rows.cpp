// The rows of a mirror as the caller may read them (see mirrored_rows.hpp); backends.
#include "mirror/functions/mirrored_rows.hpp"

#include "mirror/definition/mirror_store.hpp"
#include "mirror/functions/as_extension.hpp"

#include <set>
#include <unordered_map>

namespace dbnet::mirror {
namespace {

const pg::Statement has_update_right{"SELECT has_any_column_privilege($1, 'UPDATE')"};
const pg::Statement hides_rows{"SELECT row_security_active($1)"};

const pg::Statement foreign_columns{
    "WITH RECURSIVE base AS ("
    " SELECT attname, type.oid, typbasetype FROM pg_attribute JOIN pg_type AS type ON type.oid = atttypid"
    "  WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped"
    " UNION ALL"
    " SELECT attname, type.oid, type.typbasetype FROM base JOIN pg_type AS type ON type.oid = base.typbasetype)"
    " SELECT attname FROM base WHERE typbasetype = 0::oid AND oid >= 16384::oid"};

std::string key_columns(const Mirror &mirror) {
    const std::string name = "r." + pg::quoted_name(mirror.name_column) + "::text";
    return mirror.namespace_column.empty() ? "''::text, " + name
                                           : "r." + pg::quoted_name(mirror.namespace_column) + "::text, " + name;
}

std::string select_list(const Mirror &mirror) {
    const std::set<std::string> foreign = columns_of_foreign_types(mirror);
    std::string columns;
    for (const Column &column : mirror.mapping.columns) {
        const std::string name = pg::quoted_name(column.name), value = "r." + name;
        columns += columns.empty() ? "" : ", ";
        if (foreign.contains(column.name))
            columns += "CASE WHEN " + value + " IS NOT NULL THEN format('%s', " + value + ") END AS " + name;
        else
            columns += value + " AS " + name;
    }
    return "SELECT " + key_columns(mirror) + ", to_jsonb(v) FROM ONLY " + mirror.qualified_name +
           " AS r CROSS JOIN LATERAL (SELECT " + columns + ") AS v";
}

std::vector<MirroredRow> collect(const Mirror &mirror, const pg::Result &found) {
    std::vector<MirroredRow> rows;
    for (size_t i = 0; i < found.rows(); i++) {
        const std::string_view name_space = mirror.namespace_column.empty() ? mirror.name_space : found.text(i, 0);
        rows.push_back({Key{mirror.relation, std::string(name_space), std::string(found.text(i, 1))},
                        Json::parse(found.at(i, 2), nullptr, false)});
    }
    return rows;
}

} // namespace

std::set<std::string> columns_of_foreign_types(const Mirror &mirror) {
    const pg::Result found = pg::execute(foreign_columns, Oid{mirror.relation});
    std::set<std::string> names;
    for (size_t i = 0; i < found.rows(); i++)
        names.emplace(found.text(i, 0));
    return names;
}

Mirror readable_mirror(Oid relation) {
    std::optional<Mirror> mirror = as_extension([&] {
        required_mirror(relation);
        return load_mirror(relation);
    });
    if (!mirror)
        throw pg::error(ERRCODE_UNDEFINED_TABLE, "the table of the mirror is gone");
    if (!mirror->problem.empty())
        throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                        "the table does not fit the mirror any more: " + mirror->problem)
            .hint("Give a new column map with dbnet.alter_mirror().");
    if (pg::execute(hides_rows, relation).boolean(0, 0))
        throw pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE,
                        "row-level security hides rows of " + mirror->qualified_name + " from you")
            .hint("Ask the owner of the table, or a role with BYPASSRLS.");
    return std::move(*mirror);
}

std::vector<MirroredRow> next_rows(const Mirror &mirror, const Key *after, int limit) {
    const std::string keys = key_columns(mirror);
    const std::optional<std::string> name_space =
        after ? std::optional(mirror.namespace_column.empty() ? "" : after->name_space) : std::nullopt;
    const std::optional<std::string> name = after ? std::optional(after->name) : std::nullopt;
    const pg::Argument arguments[] = {name_space, name};
    return collect(mirror, pg::execute_once(select_list(mirror) + " WHERE $2 IS NULL OR (" + keys +
                                                ") > ($1, $2) ORDER BY " + keys + " LIMIT " + std::to_string(limit),
                                            arguments));
}

std::optional<MirroredRow> find_row(const Mirror &mirror, const Key &key) {
    const std::string name_space = mirror.namespace_column.empty() ? "" : key.name_space;
    const pg::Argument arguments[] = {name_space, key.name};
    std::vector<MirroredRow> rows = collect(
        mirror, pg::execute_once(select_list(mirror) + " WHERE (" + key_columns(mirror) + ") = ($1, $2)", arguments));
    return rows.empty() ? std::nullopt : std::optional(std::move(rows.front()));
}

std::vector<std::optional<Json>> find_rows(const Mirror &mirror, std::span<const Key> keys) {
    std::vector<std::string> name_spaces, names;
    std::unordered_map<Key, size_t, KeyHash> places;
    for (const Key &key : keys) {
        places.emplace(key, names.size());
        name_spaces.push_back(mirror.namespace_column.empty() ? "" : key.name_space);
        names.push_back(key.name);
    }
    const pg::Argument arguments[] = {name_spaces, names};
    const pg::Result found = pg::execute_once(
        select_list(mirror) + " WHERE (" + key_columns(mirror) + ") IN (SELECT * FROM unnest($1, $2))", arguments);
    std::vector<std::optional<Json>> rows(keys.size());
    for (MirroredRow &row : collect(mirror, found))
        if (const auto place = places.find(row.key); place != places.end())
            rows[place->second] = std::move(row.row);
    return rows;
}

Key parse_key(const Mirror &mirror, std::string_view text) {
    const size_t slash = text.find('/');
    const bool has_namespace = slash != std::string_view::npos;
    Key key{mirror.relation, mirror.name_space, std::string(has_namespace ? text.substr(slash + 1) : text)};
    const bool fits =
        has_namespace ? mirror.resource.namespaced : !mirror.resource.namespaced || !mirror.name_space.empty();
    if (!fits || key.name.empty())
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE,
                        "\"" + std::string(text) + "\" is not a key of " + mirror.qualified_name)
            .hint(mirror.resource.namespaced ? "Keys of this mirror look like 'namespace/name'."
                                             : "Keys of this mirror are names.");
    if (has_namespace)
        key.name_space = text.substr(0, slash);
    return key;
}

bool may_update_some_column(Oid relation) {
    return pg::execute(has_update_right, relation).boolean(0, 0);
}

} // namespace dbnet::mirror
