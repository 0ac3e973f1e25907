// dbnet.release(): claimed fields are given up. It records what is to be given up; the mirror worker sees to it after
// the commit. Runs in backends.
#include "capture/capture.hpp"
#include "mirror/as_extension.hpp"
#include "mirror/intent.hpp"
#include "mirror/merge.hpp"
#include "mirror/mirrored_rows.hpp"
#include "mirror/object_store.hpp"
#include "mirror/sql_arguments.hpp"

namespace dbnet::mirror {
namespace {

const pg::Statement may_update{"SELECT has_column_privilege($1, $2, 'UPDATE')"};
const pg::Statement insert_requests{
    "INSERT INTO dbnet.release_request (relation, namespace, name, path, value)"
    " SELECT $1, $2, $3, path, value::jsonb FROM unnest($4, $5) AS released(path, value)"};

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
std::vector<const Column *> chosen_columns(const Mirror &mirror, const Key &key,
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

// What DBNet owns, and what the row asks for and has not been sent or was refused.
std::set<std::string> claimed_paths(const Mirror &mirror, const Key &key, const RowFields &row) {
    const StoredObject stored = as_extension([&] { return std::move(load_objects({{key}}, false).front()); });
    const ObjectRecord *object = stored.object ? &*stored.object : nullptr;
    if (!object || object->uid.empty() || object->phase == Phase::absent)
        throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                        "there is no object of " + of_row(mirror, key) + " at the server: nothing of it is owned")
            .hint("dbnet.object_status says how it stands.");
    std::set<std::string> paths = object->claimed;
    if (!is_import_under_way(mirror.mapping, *object))
        paths.merge(claims(mirror.mapping, row, object));
    return paths;
}

} // namespace

DBNET_FUNCTION(dbnet_release) {
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
        const std::vector<const Column *> columns =
            chosen_columns(mirror, key, names, claimed_paths(mirror, key, fields));
        std::vector<std::string> paths;
        std::vector<std::optional<std::string>> values;
        for (const Column *column : columns) {
            if (!pg::execute(may_update, relation, column->name).boolean(0, 0))
                throw pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE,
                                "permission denied for column \"" + column->name + "\" of " + mirror.qualified_name)
                    .hint("Who may UPDATE a column may let go of its field.");
            const Json *value = find_field(fields.values, column->path);
            paths.push_back(column->path);
            values.push_back(value
                                 ? std::optional(storable(*value).dump(-1, ' ', false, Json::error_handler_t::replace))
                                 : std::nullopt);
        }
        as_extension([&] { pg::execute(insert_requests, relation, key.name_space, key.name, paths, values); });
        count = paths.size();
    });
    capture::record_change(relation, 'U', key.name_space, key.name);
    PG_RETURN_INT64(static_cast<int64>(count));
}

} // namespace dbnet::mirror
