// What a mirror recorded of its kind's schema against the schema that the server has now: for dbnet.refresh_schema().
// Plain data in and out. Runs in backends.
#pragma once

#include "mirror/definition/column_map.hpp"
#include "mirror/definition/table_plan.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dbnet::mirror {

struct SchemaChange {
    enum class Kind {
        gone,        // the field is not there any more
        no_column,   // the table has lost the column
        type,        // of the field; the column may or may not hold it
        role,        // users may write what they could not, or the other way round
        rules,       // which values the field takes
        required,    // whether the object must have it
        description, // the schema's words
        added        // a field that the kind did not have
    };
    std::string column;
    std::string path;
    Kind kind = Kind::gone;
    std::string detail; // one line: what was and what is, and what to do where something is to be done
};

const char *to_text(SchemaChange::Kind kind);

struct SchemaQuestion {
    ColumnMapQuestion map; // its schema and columns; the map itself is of no account
    const std::vector<MappedColumn> *stored = nullptr;
    const TablePlan *plan = nullptr;                                // of the schema
    const std::optional<std::vector<std::string>> *known = nullptr; // paths of the plan of the recorded schema, if any
    bool generated = false;                                         // the table is one that DBNet made
};

struct SchemaComparison {
    std::vector<SchemaChange> changes; // of mapped columns in their order, then new fields
    ColumnMap map;                     // to be recorded: without the fields that are gone; warnings and keys are empty
    std::vector<std::string> gone;     // paths
    std::vector<Column> retyped;       // as they are now
    std::vector<PlannedColumn> added;  // columns that a generated table lacks
    bool has_other_columns = false;    // the map has other columns or roles than what was recorded
};

SchemaComparison compare_schema(const SchemaQuestion &question);

// The differences between two forms of Schema::rules(), one line; empty when they say the same.
std::string rules_difference(std::string_view before, std::string_view after);

} // namespace dbnet::mirror
