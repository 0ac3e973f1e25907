// Statements from JSON (see ddl_text.hpp).
#include "gateway/client_api/ddl_text.hpp"

#include "gateway/client_api/request_fields.hpp"
#include "gateway/client_api/sql_text.hpp"

namespace dbnet::gateway {
namespace {

using nlohmann::json;

std::string upper(std::string word) {
    for (char &c : word)
        c = c == '_' ? ' ' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return word;
}

std::string list_of(const std::vector<std::string> &names) {
    std::string list;
    for (const std::string &name : names)
        list += (list.empty() ? "" : ", ") + quoted(name);
    return "(" + list + ")";
}

// REFERENCES net.pods (name) ON DELETE CASCADE
std::string references_text(RequestFields &fields, const std::string &table) {
    std::string text = " REFERENCES " + qualified_name(table);
    if (const std::vector<std::string> columns = fields.texts("columns"); !columns.empty())
        text += " " + list_of(columns);
    for (const char *event : {"on_delete", "on_update"})
        if (const std::string action =
                fields.word(event, {"cascade", "restrict", "set_null", "set_default", "no_action"});
            !action.empty())
            text += " " + upper(event) + " " + upper(action);
    return text;
}

std::string column_text(const json &column, size_t number, TableText &table) {
    RequestFields fields(column, "column " + std::to_string(number));
    const std::string name = quoted(fields.text("name"));
    std::string text = name + " " + type_name(fields.text("type"));
    if (const auto value = fields.optional_text("default"))
        text += " DEFAULT " + expression(*value);
    if (const auto value = fields.optional_text("generated"))
        text += " GENERATED ALWAYS AS " + expression(*value) + " STORED";
    if (fields.flag("not_null"))
        text += " NOT NULL";
    if (fields.flag("primary_key"))
        text += " PRIMARY KEY";
    if (fields.flag("unique"))
        text += " UNIQUE";
    if (const auto value = fields.optional_text("check"))
        text += " CHECK " + expression(*value);
    if (const auto value = fields.optional_text("references"))
        text += references_text(fields, *value);
    if (const auto value = fields.optional_text("comment"))
        table.comments.emplace_back(name, *value);
    fields.finish();
    return text;
}

std::string constraint_text(const json &constraint, size_t number) {
    RequestFields fields(constraint, "constraint " + std::to_string(number));
    const auto name = fields.optional_text("name");
    const std::vector<std::string> primary_key = fields.texts("primary_key"), unique = fields.texts("unique"),
                                   foreign_key = fields.texts("foreign_key");
    const auto check = fields.optional_text("check");
    if (!primary_key.empty() + !unique.empty() + !foreign_key.empty() + check.has_value() != 1)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE,
                        fields.what() + " is not one of primary_key, unique, foreign_key and check");
    std::string text = name ? "CONSTRAINT " + quoted(*name) + " " : "";
    if (!primary_key.empty())
        text += "PRIMARY KEY " + list_of(primary_key);
    else if (!unique.empty())
        text += "UNIQUE " + list_of(unique);
    else if (check)
        text += "CHECK " + expression(*check);
    else
        text += "FOREIGN KEY " + list_of(foreign_key) + references_text(fields, fields.text("references"));
    fields.finish();
    return text;
}

} // namespace

TableText table_text(const json &columns, const json &constraints) {
    TableText table;
    size_t number = 0;
    const auto add = [&](const std::string &element) {
        table.elements += (table.elements.empty() ? "" : ", ") + element;
    };
    for (const json &column : required_array(columns, "columns"))
        add(column_text(column, ++number, table));
    number = 0;
    for (const json &constraint : required_array(constraints, "constraints"))
        add(constraint_text(constraint, ++number));
    return table;
}

ArgumentsText arguments_text(const json &arguments) {
    ArgumentsText text;
    size_t number = 0;
    for (const json &argument : required_array(arguments, "arguments")) {
        RequestFields fields(argument, "argument " + std::to_string(++number));
        if (!text.declared.empty())
            text.declared += ", ";
        const std::string mode = fields.word("mode", {"in", "out", "inout", "variadic"});
        if (!mode.empty())
            text.declared += upper(mode) + " ";
        if (const auto name = fields.optional_text("name"))
            text.declared += quoted(*name) + " ";
        const std::string type = type_name(fields.text("type"));
        text.declared += type;
        if (mode != "out")
            text.types += (text.types.empty() ? "" : ", ") + type;
        if (const auto value = fields.optional_text("default"))
            text.declared += " DEFAULT " + expression(*value);
        fields.finish();
    }
    return text;
}

std::string events_text(const std::vector<std::string> &events, const std::vector<std::string> &columns) {
    std::string text;
    bool has_update = false;
    for (const std::string &event : events) {
        const std::string word = upper(event);
        if (word != "INSERT" && word != "UPDATE" && word != "DELETE" && word != "TRUNCATE")
            throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "unknown event \"" + event + "\"")
                .hint("They are insert, update, delete and truncate.");
        text += (text.empty() ? "" : " OR ") + word;
        if (word != "UPDATE" || columns.empty())
            continue;
        has_update = true;
        const std::string list = list_of(columns);
        text += " OF " + list.substr(1, list.size() - 2);
    }
    if (text.empty())
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "a trigger needs an event")
            .hint("They are insert, update, delete and truncate.");
    if (!columns.empty() && !has_update)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "columns are for the event update");
    return text;
}

} // namespace dbnet::gateway
