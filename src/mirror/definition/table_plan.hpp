// The table that dbnet.mirror() makes for a kind: its columns, from the kind's schema. The same schema gives the same
// table, and a field's column has the same name whatever other versions of the kind add around it. Plain data in and
// out. Runs in backends.
#pragma once

#include "kubernetes/schema/openapi.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace dbnet::mirror {

struct PlannedColumn {
    std::string name;
    std::string path;
    std::string type;    // SQL, schema included
    std::string comment; // the schema's words, shortened, and the path
};

struct TablePlan {
    std::vector<PlannedColumn> columns; // keys first
    size_t key_columns = 0;             // how many of them are the primary key
};

// Columns: namespace (unless one namespace is mirrored) and name; fields beside spec and status (data, rules …); the
// first level below spec by its own names; the first level below status as status_…; labels and annotations. What is
// nested is one jsonb column, and so is a spec or status without declared fields. A Secret's stringData is left out.
struct PlanQuestion {
    const kubernetes::Schema *schema = nullptr;
    bool namespaced = false;
    bool one_namespace = false;
    std::string_view secret_values = {}; // mirrored_relation.secret_values; empty: the kind holds none
};
TablePlan plan_table(const PlanQuestion &question);

// The plan as a column map for build_column_map().
std::string column_map_of(const TablePlan &plan);

// The first sentences of a description in at most `most` bytes; "…" at the end when something was left out.
std::string shortened(std::string_view description, size_t most);

} // namespace dbnet::mirror
