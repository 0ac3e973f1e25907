// Checks of a column map, in the order a user would look: the map, the column, the path, the types, the keys. Runs in
// backends.
#include "mirror/definition/column_map.hpp"

#include "mirror/decision/stamp.hpp"
#include "mirror/definition/table_plan.hpp"
#include "mirror/values/secret_values.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>

#include <nlohmann/json.hpp>

namespace dbnet::mirror {
namespace {

using kubernetes::FieldPath;
using kubernetes::FieldSchema;
using Kind = ColumnMapError::Kind;

constexpr size_t description_bytes = 1000;

using Entry = ColumnEntry;

std::string in_quotes(std::string_view text) {
    return "\"" + std::string(text) + "\"";
}

std::string at(const Entry &entry) {
    return "column " + in_quotes(entry.column) + " (" + entry.path + ")";
}

Entry parse_entry(const std::string &column, const Json &value) {
    Entry entry{column, {}, {}, {}};
    const Json *path = &value;
    if (value.is_object()) {
        for (const auto &[name, member] : value.items())
            if (name != "path" && name != "on_drift" && name != "subresource")
                throw ColumnMapError(
                    Kind::bad_map, "column map: unknown setting " + in_quotes(name) + " of column " + in_quotes(column),
                    "A column is given as \"path\" or as {\"path\": \"...\", \"on_drift\": \"report | "
                    "enforce | follow | seed\", \"subresource\": \"status | scale\"}.");
        const auto found = value.find("path");
        path = found == value.end() ? nullptr : &*found;
        if (const auto drift = value.find("on_drift"); drift != value.end()) {
            entry.on_drift = drift->is_string() ? parse_on_drift(drift->get<std::string>()) : std::nullopt;
            if (!entry.on_drift)
                throw ColumnMapError(Kind::bad_map,
                                     "column map: on_drift of column " + in_quotes(column) + " is " + drift->dump(),
                                     "It may be \"report\", \"enforce\", \"follow\" or \"seed\".");
        }
        if (const auto subresource = value.find("subresource"); subresource != value.end()) {
            if (*subresource != "status" && *subresource != "scale")
                throw ColumnMapError(Kind::bad_map,
                                     "column map: subresource of column " + in_quotes(column) + " is " +
                                         subresource->dump(),
                                     "It may be \"status\" or \"scale\".");
            entry.subresource = subresource->get<std::string>();
        }
    }
    if (!path || !path->is_string())
        throw ColumnMapError(Kind::bad_map, "column map: column " + in_quotes(column) + " has no path",
                             "Give the path of a field as text: {\"" + column + "\": \"metadata.name\"}.");
    entry.path = path->get<std::string>();
    return entry;
}

std::vector<Entry> parse_map(std::string_view text) {
    const Json map = Json::parse(text, nullptr, false);
    if (!map.is_object() || map.empty())
        throw ColumnMapError(Kind::bad_map, "the column map is not a JSON object of columns and paths",
                             "It looks like {\"name\": \"metadata.name\", \"labels\": \"metadata.labels\"}.");
    std::vector<Entry> entries;
    for (const auto &[column, value] : map.items())
        entries.push_back(parse_entry(column, value));
    return entries;
}

const TableColumn &find_column(const ColumnMapQuestion &question, const Entry &entry) {
    const auto found = std::ranges::find(*question.columns, entry.column, &TableColumn::name);
    if (found != question.columns->end())
        return *found;
    std::vector<std::string> names;
    for (const TableColumn &column : *question.columns)
        names.push_back(column.name);
    const std::string near = nearest(entry.column, names);
    throw ColumnMapError(Kind::no_such_column,
                         "column " + in_quotes(entry.column) + " of table " + std::string(question.table) +
                             " does not exist",
                         near.empty() ? "The column map names columns of the table and the fields they mirror."
                                      : "Perhaps you meant " + near + ".");
}

FieldPath parse_path(const Entry &entry) {
    try {
        return FieldPath::parse(entry.path);
    } catch (const kubernetes::Failure &failure) {
        throw ColumnMapError(Kind::no_such_path, "the path of " + at(entry) + " cannot be read: " + failure.what(),
                             failure.hint().empty()
                                 ? "Paths look like spec.replicas, metadata.labels[\"app.kubernetes.io/name\"] or "
                                   "spec.template.spec.containers[name=app].image."
                                 : failure.hint());
    }
}

// Kubernetes keeps amounts below these, as text of a form of its own.
bool holds_quantities(const FieldPath &path) {
    static constexpr std::array names{"allocatable", "capacity", "hard", "limits", "overhead", "requests", "used"};
    const auto &segments = path.segments();
    return segments.size() > 1 && std::ranges::find(names, segments[segments.size() - 2].name) != names.end();
}

// What a field would be that a column of this type is made for.
FieldSchema assumed_field(const TableColumn &column, const FieldPath &path) {
    using Type = FieldSchema::Type;
    const std::string &type = column.base_type;
    FieldSchema field;
    if (type == "text" || type == "character varying" || type == "uuid" || type == "inet" || type == "cidr" ||
        column.category == 'E')
        field.type = holds_quantities(path) ? Type::quantity : Type::string;
    else if (type == "bytea")
        field.type = Type::string, field.format = "byte";
    else if (type == "boolean")
        field.type = Type::boolean;
    else if (type == "smallint" || type == "integer")
        field.type = Type::integer, field.format = "int32";
    else if (type == "bigint")
        field.type = Type::integer, field.format = "int64";
    else if (type == "real" || type == "double precision" || type == "numeric")
        field.type = Type::number;
    else if (type == "timestamp with time zone" || type == "timestamp without time zone")
        field.type = Type::string, field.format = "date-time";
    return field;
}

FieldSchema find_field(const ColumnMapQuestion &question, const Entry &entry, const FieldPath &path) {
    try {
        return question.schema->at(path);
    } catch (const kubernetes::Failure &failure) {
        throw ColumnMapError(Kind::no_such_path,
                             "kind " + std::string(question.kind) + " has no field for " + at(entry) + ": " +
                                 failure.what(),
                             failure.hint());
    }
}

// Types of columns that can hold a field, best first.
std::vector<std::string_view> fitting_types(ValueType type, const std::string &format) {
    switch (type) {
    case ValueType::string:
        return format == "byte" ? std::vector<std::string_view>{"bytea", "text", "character varying"}
                                : std::vector<std::string_view>{"text", "character varying", "uuid", "inet", "cidr"};
    case ValueType::integer:
        return format == "int32" ? std::vector<std::string_view>{"integer", "bigint", "numeric"}
                                 : std::vector<std::string_view>{"bigint", "numeric"};
    case ValueType::number:
        return {"double precision", "numeric"};
    case ValueType::boolean:
        return {"boolean"};
    case ValueType::time:
        return {"timestamp with time zone", "text"};
    case ValueType::quantity:
        return {"text", "character varying"};
    case ValueType::int_or_string:
        return {"jsonb", "text", "character varying"};
    case ValueType::json:
        return {"jsonb"};
    }
    return {};
}

void check_type(const Entry &entry, const TableColumn &column, const Column &mapped) {
    const std::vector<std::string_view> fitting = fitting_types(mapped.type, mapped.format);
    const bool plain_text = mapped.type == ValueType::string && mapped.format != "byte";
    const bool fits = std::ranges::find(fitting, column.base_type) != fitting.end() ||
                      (column.base_type == "jsonb" && mapped.role != Role::key) ||
                      (plain_text && column.category == 'E');
    if (fits)
        return;
    std::string hint = "Use type ";
    for (size_t i = 0; i < fitting.size(); i++)
        hint += (i == 0 ? "" : i + 1 == fitting.size() ? " or " : ", ") + std::string(fitting[i]);
    const std::string format =
        mapped.type == ValueType::integer && mapped.format.empty() ? "up to 64 bits" : mapped.format;
    const std::string field = std::string(to_text(mapped.type)) + (format.empty() ? "" : " (" + format + ")");
    throw ColumnMapError(Kind::wrong_type, at(entry) + " has type " + column.type + ", but the field holds " + field,
                         hint + ".");
}

void check_key_type(const Entry &entry, const TableColumn &column) {
    if (column.base_type != "text" && column.base_type != "character varying")
        throw ColumnMapError(Kind::wrong_type, at(entry) + " has type " + column.type + ", but names are text",
                             "Use type text or character varying.");
}

// A field inside something that has one owner cannot be owned alone: applying it would drop its neighbours.
void check_ownable(const Entry &entry, const FieldSchema &field) {
    if (!field.not_ownable.empty())
        throw ColumnMapError(Kind::no_such_path, at(entry) + " cannot be written alone: " + field.not_ownable,
                             "Map the whole to one jsonb column.");
}

// A spec that declares no fields, or whose fields have one owner, is a value like any other.
bool is_spec_of_one_piece(const kubernetes::Schema &schema, const FieldPath &path) {
    return schema.at(path).atomic || schema.children(path).empty();
}

void check_reserved(const ColumnMapQuestion &question, const Entry &entry, const FieldPath &path) {
    const auto &segments = path.segments();
    if (segments.size() == 1 &&
        (segments[0].name == "metadata" ||
         (segments[0].name == "spec" && !(question.schema && is_spec_of_one_piece(*question.schema, path)))))
        throw ColumnMapError(Kind::no_such_path, at(entry) + " is too wide: its fields have different owners",
                             "Map the fields below " + entry.path + " one by one.");
    if (segments.size() < 2 || segments[0].name != "metadata")
        return;
    if (segments[1].name == "managedFields" || segments[1].name == "generateName")
        throw ColumnMapError(Kind::no_such_path, at(entry) + " cannot be mirrored",
                             "dbnet.fields() shows who manages a field; names are the table's key.");
    if (segments.size() == 3 && segments[1].name == "annotations" && segments[2].name == stamp_annotation)
        throw ColumnMapError(Kind::no_such_path, at(entry) + " is DBNet's own annotation");
}

void check_overlaps(const std::vector<Column> &columns) {
    for (const Column &one : columns)
        for (const Column &other : columns) {
            if (&one == &other || (one.role == Role::status && other.role == Role::status) ||
                !one.field.contains(other.field))
                continue;
            if (one.field == other.field && one.name > other.name)
                continue; // told the other way round
            throw ColumnMapError(Kind::bad_map,
                                 "columns " + in_quotes(one.name) + " (" + one.path + ") and " + in_quotes(other.name) +
                                     " (" + other.path + ") hold the same field",
                                 "A field belongs to one column.");
        }
}

void check_one_scale(const std::vector<Column> &columns) {
    if (std::ranges::count(columns, "scale", &Column::subresource) > 1)
        throw ColumnMapError(Kind::bad_map, "column map: more than one column is sent through subresource \"scale\"",
                             "An object has one number of replicas.");
}

std::string key_column(const std::vector<Column> &columns, std::string_view path) {
    const auto found = std::ranges::find(columns, path, &Column::path);
    return found == columns.end() ? std::string() : found->name;
}

void check_keys(const ColumnMapQuestion &question, ColumnMap &map) {
    const std::string name = key_column(map.columns, "metadata.name");
    const std::string name_space = key_column(map.columns, "metadata.namespace");
    if (name.empty())
        throw ColumnMapError(Kind::bad_map, "no column is mapped to metadata.name",
                             "Add {\"name\": \"metadata.name\"} to the column map.");
    if (!question.namespaced && !name_space.empty())
        throw ColumnMapError(Kind::bad_map,
                             "column " + in_quotes(name_space) + " (metadata.namespace): kind " +
                                 std::string(question.kind) + " does not live in namespaces",
                             "Leave the column out of the column map.");
    if (question.namespaced && name_space.empty() && question.fixed_namespace.empty())
        throw ColumnMapError(
            Kind::bad_map,
            "kind " + std::string(question.kind) +
                " lives in namespaces, but no column is mapped to metadata.namespace",
            "Map a column to metadata.namespace, or give the argument namespace for one fixed namespace.");
    if (!name_space.empty() && !question.fixed_namespace.empty())
        throw ColumnMapError(Kind::bad_map,
                             "column " + in_quotes(name_space) +
                                 " (metadata.namespace) and the argument namespace exclude each other",
                             "Leave the argument out to mirror all namespaces, or the column to mirror one.");
    if (!name_space.empty())
        map.key_columns.push_back(name_space);
    map.key_columns.push_back(name);
}

void add_warnings(const ColumnMapQuestion &question, ColumnMap &map) {
    for (const TableColumn &column : *question.columns) {
        if (!column.not_null || column.has_default || column.generated)
            continue;
        const auto mapped = std::ranges::find(map.columns, column.name, &Column::name);
        if (mapped == map.columns.end())
            map.warnings.push_back("column " + in_quotes(column.name) +
                                   " is NOT NULL without a default and mirrors nothing: objects that "
                                   "others create cannot be imported unless a trigger fills it");
        else if (mapped->role != Role::key && question.schema && !question.schema->at(mapped->field).required)
            map.warnings.push_back("column " + in_quotes(column.name) + " is NOT NULL, but field " + mapped->path +
                                   " may be absent: such objects cannot be imported unless a trigger fills it");
    }
}

// Written through a subresource is what it takes; the server ignores the rest.
void check_subresource(const ColumnMapQuestion &question, const Entry &entry, const FieldPath &path,
                       const FieldSchema &field) {
    const auto &[subresource, segments] = std::tie(entry.subresource, path.segments());
    if (question.subresources && std::ranges::find(*question.subresources, subresource) == question.subresources->end())
        throw ColumnMapError(Kind::bad_map, "kind " + std::string(question.kind) + " has no subresource " +
                                                in_quotes(subresource) + " for " + at(entry));
    if (subresource == "status" && (segments.size() < 2 || segments[0].name != "status"))
        throw ColumnMapError(Kind::bad_map,
                             at(entry) + " is no field below status, which is all that subresource "
                                         "\"status\" takes",
                             "Leave \"subresource\" out: the object itself takes the field.");
    if (subresource != "scale")
        return;
    const auto is_replicas = [](const auto &child) { return child.first == "replicas"; };
    const bool has_replicas =
        question.schema && std::ranges::any_of(question.schema->children(FieldPath::parse("spec")), is_replicas);
    if (segments.size() != 2 || segments[0].name != "spec" || field.type != FieldSchema::Type::integer ||
        (has_replicas && segments[1].name != "replicas"))
        throw ColumnMapError(Kind::bad_map,
                             at(entry) + " is no number of replicas, which is all that subresource \"scale\" takes",
                             "Most kinds have it at spec.replicas.");
    if (field.required)
        throw ColumnMapError(Kind::bad_map,
                             at(entry) +
                                 " cannot be sent through subresource \"scale\": no object can be made without it",
                             "Leave \"subresource\" out: the object itself takes the field.");
}

// A secret: its digest is the device's word alone, and no value that a field's type takes.
void check_secret(const ColumnMapQuestion &question, const Entry &entry, Column &mapped) {
    if (is_write_only_field(mapped.field))
        throw ColumnMapError(Kind::no_such_path, at(entry) + " cannot be mirrored: no server ever shows it",
                             "Map data, whose values are base64.");
    if (question.secret_values != digest_values)
        return;
    mapped.role = Role::status;
    if (mapped.column_type != "jsonb" && mapped.column_type != "text")
        throw ColumnMapError(Kind::wrong_type,
                             at(entry) + " would hold digests, which are text: it cannot be " + mapped.column_type,
                             "Make it jsonb or text; secret_values => 'plain' mirrors the values themselves.");
}

size_t edit_distance(std::string_view left, std::string_view right) {
    std::vector<size_t> row(right.size() + 1);
    for (size_t i = 0; i <= right.size(); i++)
        row[i] = i;
    for (size_t i = 1; i <= left.size(); i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= right.size(); j++) {
            const size_t changed = diagonal + (left[i - 1] != right[j - 1]);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
        }
    }
    return row.back();
}

} // namespace

Role role_of(const FieldPath &path, bool read_only) {
    static constexpr std::array server_side{
        "uid",        "creationTimestamp", "generation", "resourceVersion",           "ownerReferences",
        "finalizers", "deletionTimestamp", "selfLink",   "deletionGracePeriodSeconds"};
    const auto &segments = path.segments();
    const std::string &first = segments.front().name;
    if (first == "metadata" && segments.size() > 1) {
        const std::string &second = segments[1].name;
        if (segments.size() == 2 && (second == "name" || second == "namespace"))
            return Role::key;
        if (second == "labels" || second == "annotations")
            return Role::meta;
        if (std::ranges::find(server_side, second) != server_side.end())
            return Role::status;
    }
    if (first == "status" || first == "apiVersion" || first == "kind" || read_only)
        return Role::status;
    return Role::spec;
}

std::string nearest(std::string_view misspelt, const std::vector<std::string> &words) {
    misspelt = misspelt.substr(0, 64); // longer than any name; bounds the work
    std::vector<std::pair<size_t, std::string>> near;
    for (const std::string &word : words)
        if (const size_t distance = edit_distance(misspelt, word); distance <= 1 + misspelt.size() / 3)
            near.emplace_back(distance, word);
    std::ranges::sort(near);
    std::string list;
    for (size_t i = 0; i < near.size() && i < 3; i++)
        list += (i == 0 ? "" : ", ") + in_quotes(near[i].second);
    return list;
}

ValueType value_type_of(const FieldSchema &field) {
    using Type = FieldSchema::Type;
    switch (field.type) {
    case Type::string:
        return field.format == "date-time" || field.format == "micro-time" ? ValueType::time : ValueType::string;
    case Type::integer:
        return ValueType::integer;
    case Type::number:
        return ValueType::number;
    case Type::boolean:
        return ValueType::boolean;
    case Type::quantity:
        return ValueType::quantity;
    case Type::int_or_string:
        return ValueType::int_or_string;
    case Type::any:
    case Type::object:
    case Type::array:
        break;
    }
    return ValueType::json;
}

MappedColumn map_column(const ColumnMapQuestion &question, const ColumnEntry &entry) {
    const TableColumn &column = find_column(question, entry);
    Column mapped;
    mapped.name = entry.column;
    mapped.field = parse_path(entry);
    mapped.path = mapped.field.text();
    const FieldSchema field =
        question.schema ? find_field(question, entry, mapped.field) : assumed_field(column, mapped.field);
    check_reserved(question, entry, mapped.field);
    mapped.role = role_of(mapped.field, field.read_only);
    if (!entry.subresource.empty()) {
        check_subresource(question, entry, mapped.field, field);
        mapped.role = Role::spec; // a user's word, also below status
    }
    mapped.subresource = entry.subresource;
    mapped.type = value_type_of(field);
    mapped.format = field.format;
    mapped.column_type = column.type;
    mapped.on_drift = entry.on_drift;
    if (!question.secret_values.empty() && is_secret_field(mapped.field))
        check_secret(question, entry, mapped);
    if (column.generated)
        throw ColumnMapError(Kind::wrong_type, at(entry) + " is a generated column, which no report can write",
                             "Map the field to an ordinary column.");
    if (mapped.role == Role::key)
        check_key_type(entry, column);
    else
        check_type(entry, column, mapped);
    if (mapped.role == Role::spec || mapped.role == Role::meta)
        check_ownable(entry, field);
    else if (entry.on_drift)
        throw ColumnMapError(Kind::bad_map, "on_drift of " + at(entry) + " has no meaning: users cannot set the field");
    ColumnDescription description{shortened(field.description, description_bytes), field.required,
                                  question.schema ? question.schema->rules(mapped.field).dump() : ""};
    return {std::move(mapped), std::move(description)};
}

ColumnMap build_column_map(const ColumnMapQuestion &question) {
    const std::vector<Entry> entries = parse_map(question.map);
    ColumnMap map;
    for (const Entry &entry : entries) {
        MappedColumn mapped = map_column(question, entry);
        map.descriptions[mapped.column.name] = std::move(mapped.description);
        map.columns.push_back(std::move(mapped.column));
    }
    std::ranges::sort(map.columns, {}, [&](const Column &column) {
        return std::ranges::find(*question.columns, column.name, &TableColumn::name) - question.columns->begin();
    });
    check_overlaps(map.columns);
    check_one_scale(map.columns);
    check_keys(question, map);
    add_warnings(question, map);
    return map;
}

} // namespace dbnet::mirror

#include "pg/no_postgres.hpp"
