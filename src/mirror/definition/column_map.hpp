// Turns the column map of dbnet.mirror() into checked columns: the table's columns against the kind's schema. Plain
// data in and out. Runs in backends.
#pragma once

#include "kubernetes/failure.hpp"
#include "kubernetes/schema/openapi.hpp"
#include "mirror/values/mapping.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dbnet::mirror {

// One column of the user's table as the system catalogs describe it.
struct TableColumn {
    std::string name;
    std::string type;      // format_type: character varying(20)
    std::string base_type; // of the domain's base or the type itself, without modifier: character varying
    char category = 'U';   // pg_type.typcategory of the base type
    bool not_null = false;
    bool has_default = false;
    bool generated = false; // a generated column or GENERATED ALWAYS AS IDENTITY: nobody can write it
};

class ColumnMapError : public kubernetes::Failure {
public:
    enum Kind { bad_map, no_such_column, no_such_path, wrong_type };
    ColumnMapError(Kind kind, const std::string &message, std::string hint = {})
        : Failure(message, std::move(hint)), kind_(kind) {}
    Kind kind() const noexcept { return kind_; }

private:
    Kind kind_;
};

struct ColumnMapQuestion {
    std::string_view map; // JSON text: {"column": "path", "column": {"path": "…", "on_drift": "…", "subresource": "…"}}
    std::string_view table;
    std::string_view kind;
    const std::vector<TableColumn> *columns = nullptr;
    const kubernetes::Schema *schema = nullptr; // nullptr: nobody can be asked, the columns' types say what fields hold
    bool namespaced = false;
    std::string_view fixed_namespace;                       // empty: all namespaces
    const std::vector<std::string> *subresources = nullptr; // of the kind; nullptr: not known
    std::string_view secret_values = {}; // mirrored_relation.secret_values; empty: the kind holds none
};

// What dbnet.describe() tells of a column beside what the mapping needs.
struct ColumnDescription {
    std::string description; // the schema's words
    bool required = false;
    std::string rules; // as JSON text
};

struct ColumnMap {
    std::vector<Column> columns;                           // in the table's order
    std::map<std::string, ColumnDescription> descriptions; // by column
    std::vector<std::string> key_columns;
    std::vector<std::string> warnings; // what will make reports fail
};

// Throws ColumnMapError naming column and path.
ColumnMap build_column_map(const ColumnMapQuestion &question);

// One entry of a map, as the user writes it.
struct ColumnEntry {
    std::string column;
    std::string path;
    std::optional<OnDrift> on_drift;
    std::string subresource; // empty: none
};
struct MappedColumn {
    Column column;
    ColumnDescription description;
};
// The entry checked by itself; the question's map is of no account. Throws as build_column_map() does.
MappedColumn map_column(const ColumnMapQuestion &question, const ColumnEntry &entry);

// What the schema's field holds, as it is stored with a column.
ValueType value_type_of(const kubernetes::FieldSchema &field);

// What a user may do with a field: decided by the path alone, but for fields the schema calls read-only.
Role role_of(const kubernetes::FieldPath &path, bool read_only);

// The words (at most three, nearest first) that a misspelt one may stand for, as `"a", "b"`; empty when none is near.
std::string nearest(std::string_view misspelt, const std::vector<std::string> &words);

} // namespace dbnet::mirror
