// dbnet.release(), adopt() and expect(): claimed fields are given up, fields of others are taken over, a change is
// bound to the object's version. They record what is wanted; the mirror worker sees to it after the commit. Runs in
// backends.
#include "capture/capture.hpp"
#include "mirror/decision/intent.hpp"
#include "mirror/decision/merge.hpp"
#include "mirror/functions/as_extension.hpp"
#include "mirror/functions/mirrored_rows.hpp"
#include "mirror/functions/sql_arguments.hpp"
#include "mirror/store/object_store.hpp"

extern "C" {
#include "utils/builtins.h"
}

namespace dbnet::mirror {
namespace {

const pg::Statement may_update{"SELECT has_column_privilege($1, $2, 'UPDATE')"};
// Of one field only the newest request stands.
const pg::Statement delete_requests{
    "DELETE FROM dbnet.ownership_request WHERE relation = $1 AND namespace = $2 AND name = $3"
    " AND (path = ANY ($4) OR path IS NULL AND operation = 'adopt' AND $5)"};
const pg::Statement insert_requests{
    "INSERT INTO dbnet.ownership_request (relation, namespace, name, operation, path, value)"
    " SELECT $1, $2, $3, $4, path, value::jsonb FROM unnest($5, $6) AS request(path, value)"};
const pg::Statement delete_expectations{"DELETE FROM dbnet.ownership_request WHERE relation = $1 AND namespace = $2 "
                                        "AND name = $3 AND operation = 'expect'"};
const pg::Statement insert_expectation{
    "INSERT INTO dbnet.ownership_request (relation, namespace, name, operation, value)"
    " VALUES ($1, $2, $3, 'expect', to_jsonb($4::text))"};

std::string of_row(const Mirror &mirror, const Key &key) {
    return "\"" + key.text() + "\" of " + mirror.qualified_name;
}

const Column &settable_column(const Mirror &mirror, const std::string &name) {
    const Column *column = mirror.mapping.by_name(name);
    if (!column)
        throw pg::error(ERRCODE_UNDEFINED_COLUMN,
                        "column \"" + name + "\" of " + mirror.qualified_name + " mirrors no field")
            .hint("SELECT * FROM dbnet.describe() shows which columns do.");
    if (column->role == Role::key || column->role == Role::status)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "column \"" + name + "\" (" + column->path +
                                                             ") is nothing that DBNet could own: it is a " +
                                                             to_text(column->role) + " column");
    return *column;
}

// The columns whose fields are given up, in the mapping's order.
std::vector<const Column *> claimed_columns(const Mirror &mirror, const Key &key,
                                            const std::optional<std::vector<std::string>> &names,
                                            const std::set<std::string> &claimed) {
    std::vector<const Column *> columns;
    if (!names) {
        for (const Column &column : mirror.mapping.columns)
            if (claimed.contains(column.path))
                columns.push_back(&column);
        if (columns.empty())
            throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                            "no field of " + of_row(mirror, key) + " is claimed")
                .hint("All its columns follow the device already; dbnet.fields() shows who owns what.");
        return columns;
    }
    std::set<const Column *> chosen;
    for (const std::string &name : *names) {
        const Column &column = settable_column(mirror, name);
        if (!claimed.contains(column.path))
            throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "column \"" + name + "\" (" + column.path +
                                                                          ") of " + of_row(mirror, key) +
                                                                          " is not claimed")
                .hint("It follows the device already; dbnet.fields() shows who owns what.");
        if (chosen.insert(&column).second)
            columns.push_back(&column);
    }
    return columns;
}

// Of a row that has an object.
ObjectRecord recorded_object(const Mirror &mirror, const Key &key, const char *consequence) {
    StoredObject stored = as_extension([&] { return std::move(load_objects({{key}}, false).front()); });
    if (!stored.object || !stored.object->exists())
        throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                        "there is no object of " + of_row(mirror, key) + " at the server: " + consequence)
            .hint("dbnet.object_status says how it stands.");
    return std::move(*stored.object);
}

// What DBNet owns, and what the row asks for and has not been sent or was refused.
std::set<std::string> claimed_paths(const Mirror &mirror, const Key &key, const RowFields &row) {
    const ObjectRecord object = recorded_object(mirror, key, "nothing of it is owned");
    std::set<std::string> paths = object.claimed;
    if (!is_import_under_way(mirror.mapping, object))
        paths.merge(claims(mirror.mapping, row, &object));
    return paths;
}

// The columns whose fields are taken over, in the mapping's order.
std::vector<const Column *> adopted_columns(const Mirror &mirror, const Key &key,
                                            const std::optional<std::vector<std::string>> &names,
                                            const RowFields &row) {
    std::set<const Column *> chosen;
    if (names)
        for (const std::string &name : *names) {
            const Column &column = settable_column(mirror, name);
            if (!find_field(row.values, column.path))
                throw pg::error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "column \"" + name + "\" (" + column.path + ") of " +
                                                                    of_row(mirror, key) +
                                                                    " is NULL: there is no value to claim")
                    .hint("Set one, in the same transaction.");
            chosen.insert(&column);
        }
    std::vector<const Column *> columns;
    for (const Column &column : mirror.mapping.columns)
        if (names ? chosen.contains(&column) : find_field(row.values, column.path) != nullptr)
            columns.push_back(&column);
    if (columns.empty())
        throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                        "no column of " + of_row(mirror, key) + " that users set has a value")
            .hint("Set what DBNet is to own.");
    return columns;
}

using Choice = std::vector<const Column *> (*)(const Mirror &mirror, const Key &key,
                                               const std::optional<std::vector<std::string>> &names,
                                               const RowFields &row);

// Records the request and wakes the worker by a change of the row. Returns the number of fields.
Datum request_ownership(FunctionCallInfo fcinfo, const char *operation, Choice choose, bool takes_over) {
    const Oid relation = required_relation(fcinfo, 0, "relation");
    const std::string text = required(text_argument(fcinfo, 1), "key");
    const std::optional<std::vector<std::string>> names = names_argument(fcinfo, 2, "columns");
    Key key;
    size_t count = 0;
    pg::in_spi([&] {
        const Mirror mirror = readable_mirror(relation);
        key = parse_key(mirror, text);
        const std::optional<MirroredRow> row = find_row(mirror, key);
        if (!row)
            throw pg::error(ERRCODE_UNDEFINED_OBJECT, mirror.qualified_name + " has no row \"" + key.text() + "\"");
        const RowFields fields = mirror.mapping.to_object_form(row->row);
        std::vector<std::string> paths;
        std::vector<std::optional<std::string>> requested, values;
        for (const Column *column : choose(mirror, key, names, fields)) {
            if (!pg::execute(may_update, relation, column->name).boolean(0, 0))
                throw pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE,
                                "permission denied for column \"" + column->name + "\" of " + mirror.qualified_name)
                    .hint("Who may UPDATE a column may release and adopt its field.");
            const Json *value = takes_over ? nullptr : find_field(fields.values, column->path);
            paths.push_back(column->path);
            requested.push_back(column->path);
            values.push_back(value
                                 ? std::optional(storable(*value).dump(-1, ' ', false, Json::error_handler_t::replace))
                                 : std::nullopt);
        }
        const bool is_whole = takes_over && !names;
        count = paths.size();
        if (is_whole) {
            requested.push_back(std::nullopt);
            values.push_back(std::nullopt);
        }
        as_extension([&] {
            pg::execute(delete_requests, relation, key.name_space, key.name, paths, is_whole);
            pg::execute(insert_requests, relation, key.name_space, key.name, operation, requested, values);
        });
    });
    capture::record_change(relation, 'U', key.name_space, key.name);
    PG_RETURN_INT64(static_cast<int64>(count));
}

std::vector<const Column *> released_columns(const Mirror &mirror, const Key &key,
                                             const std::optional<std::vector<std::string>> &names,
                                             const RowFields &row) {
    return claimed_columns(mirror, key, names, claimed_paths(mirror, key, row));
}

std::vector<const Column *> columns_to_adopt(const Mirror &mirror, const Key &key,
                                             const std::optional<std::vector<std::string>> &names,
                                             const RowFields &row) {
    recorded_object(mirror, key, "nothing of it can be adopted, and the row claims what it sets anyway");
    return adopted_columns(mirror, key, names, row);
}

} // namespace

DBNET_FUNCTION(dbnet_release) {
    return request_ownership(fcinfo, "release", released_columns, false);
}

DBNET_FUNCTION(dbnet_adopt) {
    return request_ownership(fcinfo, "adopt", columns_to_adopt, true);
}

DBNET_FUNCTION(dbnet_expect) {
    const Oid relation = required_relation(fcinfo, 0, "relation");
    const std::string text = required(text_argument(fcinfo, 1), "key");
    std::optional<std::string> version = text_argument(fcinfo, 2);
    if (version && version->empty())
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "argument version is empty")
            .hint("Leave it out for the version that was last seen; 'any' withdraws the condition.");
    Key key;
    pg::in_spi([&] {
        const Mirror mirror = readable_mirror(relation);
        key = parse_key(mirror, text);
        // Of a deleted row, whose object was of another version, the next word must be possible, too.
        if (!find_row(mirror, key) && !as_extension([&] { return load_objects({{key}}, false).front().tombstone; }))
            throw pg::error(ERRCODE_UNDEFINED_OBJECT, mirror.qualified_name + " has no row \"" + key.text() + "\"");
        if (!may_update_some_column(relation))
            throw pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for table " + mirror.qualified_name)
                .hint("Who may UPDATE a column may say of which version.");
        const ObjectRecord object = recorded_object(mirror, key, "it has no version");
        if (!version)
            version = object.resource_version;
        as_extension([&] {
            pg::execute(delete_expectations, relation, key.name_space, key.name);
            if (version != "any")
                pg::execute(insert_expectation, relation, key.name_space, key.name, *version);
        });
    });
    capture::record_change(relation, 'U', key.name_space, key.name);
    return pg::call([&] { return PointerGetDatum(cstring_to_text_with_len(version->data(), version->size())); });
}

} // namespace dbnet::mirror
