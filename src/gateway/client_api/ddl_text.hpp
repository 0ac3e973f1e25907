// The statements behind dbnet.create_table() and its kin, from the JSON that clients give. Backends.
#pragma once

#include "pg/guard.hpp"

#include <nlohmann/json.hpp>

namespace dbnet::gateway {

// What stands in the parentheses of CREATE TABLE. Comments on columns come as statements of their own.
struct TableText {
    std::string elements;
    std::vector<std::pair<std::string, std::string>> comments; // quoted column, text
};
// columns: [{"name", "type", "not_null", "primary_key", "unique", "default", "check", "references", "generated",
// "comment"}]; constraints: [{"name", "primary_key": [columns] | "unique": [columns] | "check": expression |
//                "foreign_key": [columns] with "references": table, "columns", "on_delete", "on_update"}].
TableText table_text(const nlohmann::json &columns, const nlohmann::json &constraints);

// Arguments of a function: [{"name", "type", "mode", "default"}]; without parentheses.
struct ArgumentsText {
    std::string declared;
    std::string types; // of those that tell it from others of its name
};
ArgumentsText arguments_text(const nlohmann::json &arguments);

// "INSERT OR UPDATE OF cpu" of ["insert", "update"] and ["cpu"].
std::string events_text(const std::vector<std::string> &events, const std::vector<std::string> &columns);

} // namespace dbnet::gateway
