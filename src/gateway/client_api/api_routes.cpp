// Routes and OpenAPI document of the client API (see api_routes.hpp).
#include "gateway/client_api/api_routes.hpp"

#include "gateway/http/protocol_text.hpp"

#include <nlohmann/json.hpp>

namespace dbnet::gateway {
namespace {

using json = nlohmann::ordered_json;

constexpr const char *column_schema =
    R"json({"type": "object", "required": ["name", "type"], "additionalProperties": false, "properties": {
    "name": {"type": "string"}, "type": {"type": "string", "description": "SQL type"}, "not_null": {"type": "boolean"},
    "primary_key": {"type": "boolean"}, "unique": {"type": "boolean"}, "default": {"type": "string", "description": "SQL expression"},
    "check": {"type": "string", "description": "SQL expression"}, "generated": {"type": "string", "description": "SQL expression"},
    "references": {"type": "string", "description": "table"}, "columns": {"type": "array", "items": {"type": "string"}},
    "on_delete": {"$ref": "#/components/schemas/ReferentialAction"}, "on_update": {"$ref": "#/components/schemas/ReferentialAction"},
    "comment": {"type": "string"}}})json";
constexpr const char *constraint_schema = R"json({"type": "object", "additionalProperties": false, "properties": {
    "name": {"type": "string"}, "primary_key": {"type": "array", "items": {"type": "string"}},
    "unique": {"type": "array", "items": {"type": "string"}}, "check": {"type": "string", "description": "SQL expression"},
    "foreign_key": {"type": "array", "items": {"type": "string"}}, "references": {"type": "string"},
    "columns": {"type": "array", "items": {"type": "string"}},
    "on_delete": {"$ref": "#/components/schemas/ReferentialAction"}, "on_update": {"$ref": "#/components/schemas/ReferentialAction"}}})json";
constexpr const char *argument_schema =
    R"json({"type": "object", "required": ["type"], "additionalProperties": false, "properties": {
    "name": {"type": "string"}, "type": {"type": "string", "description": "SQL type"},
    "mode": {"enum": ["in", "out", "inout", "variadic"]}, "default": {"type": "string", "description": "SQL expression"}}})json";
constexpr const char *error_schema =
    R"json({"type": "object", "required": ["error"], "properties": {"error": {"type": "object", "required": ["message"], "properties": {
    "sqlstate": {"type": "string"}, "message": {"type": "string"}, "detail": {"type": "string"}, "hint": {"type": "string"},
    "position": {"type": "integer", "description": "character of the statement, counted from 1"}, "statement": {"type": "string"},
    "context": {"type": "string"}}}}})json";

constexpr const char *create_schema_body =
    R"json({"required": ["name"], "properties": {"name": {"type": "string"}, "if_not_exists": {"type": "boolean"}, "comment": {"type": "string"}}})json";
constexpr const char *create_table_body = R"json({"required": ["name", "columns"], "properties": {
    "name": {"type": "string", "description": "as in SQL: net.nodes"}, "columns": {"type": "array", "items": {"$ref": "#/components/schemas/Column"}},
    "constraints": {"type": "array", "items": {"$ref": "#/components/schemas/Constraint"}}, "if_not_exists": {"type": "boolean"},
    "comment": {"type": "string"}, "track": {"type": "boolean", "description": "record every change from now on"}}})json";
constexpr const char *create_procedure_body = R"json({"required": ["name", "body"], "properties": {
    "name": {"type": "string"}, "body": {"type": "string"}, "arguments": {"type": "array", "items": {"$ref": "#/components/schemas/Argument"}},
    "returns": {"type": "string", "description": "SQL type of a function's result, or trigger; absent: a procedure"},
    "language": {"type": "string", "default": "plpgsql"}, "replace": {"type": "boolean"}, "comment": {"type": "string"}}})json";
constexpr const char *create_trigger_body = R"json({"required": ["name", "relation", "procedure"], "properties": {
    "name": {"type": "string"}, "relation": {"type": "string"}, "procedure": {"type": "string"},
    "events": {"type": "array", "items": {"enum": ["insert", "update", "delete", "truncate"]}},
    "columns": {"type": "array", "items": {"type": "string"}}, "timing": {"enum": ["before", "after", "instead of"]},
    "level": {"enum": ["row", "statement"]}, "condition": {"type": "string", "description": "SQL expression of NEW and OLD"},
    "arguments": {"type": "array", "items": {"type": "string"}}, "old_table": {"type": "string"}, "new_table": {"type": "string"},
    "replace": {"type": "boolean"}}})json";
constexpr const char *call_body = R"json({"required": ["name"], "properties": {"name": {"type": "string"},
    "arguments": {"type": ["object", "array"], "description": "by name, or by place"}}})json";
constexpr const char *transaction_body =
    R"json({"required": ["operations"], "properties": {"operations": {"type": "array", "items": {
    "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false, "properties": {
    "create_schema": {"$ref": "#/components/schemas/CreateSchema"}, "create_table": {"$ref": "#/components/schemas/CreateTable"},
    "create_procedure": {"$ref": "#/components/schemas/CreateProcedure"}, "create_trigger": {"$ref": "#/components/schemas/CreateTrigger"},
    "call_procedure": {"$ref": "#/components/schemas/CallProcedure"}, "execute": {"$ref": "#/components/schemas/Execute"}}}}}})json";
constexpr const char *query_body = R"json({"required": ["statement"], "properties": {"statement": {"type": "string"},
    "parameters": {"type": "array", "items": {}, "description": "values of $1, $2, ..."},
    "row_limit": {"type": "integer", "minimum": 0, "description": "at most dbnet.api_row_limit"},
    "timeout": {"type": "integer", "minimum": 1, "description": "milliseconds, at most dbnet.api_statement_timeout"}}})json";
constexpr const char *execute_body =
    R"json({"required": ["statement"], "properties": {"statement": {"type": "string"}, "parameters": {"type": "array", "items": {}}}})json";

constexpr const char *text_outcome = R"json({"type": "string"})json";
constexpr const char *any_outcome = R"json({})json";
constexpr const char *list_outcome = R"json({"type": "array", "items": {"type": "object"}})json";
constexpr const char *array_outcome = R"json({"type": "array", "items": {}})json";

// What the role may use; of PostgreSQL's own schemas nothing.
constexpr const char *list_schemas = R"sql(
    SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', n.nspname, 'owner', pg_catalog.pg_get_userbyid(n.nspowner),
        'comment', pg_catalog.obj_description(n.oid, 'pg_namespace')) ORDER BY n.nspname), '[]'::pg_catalog.jsonb)
    FROM pg_catalog.pg_namespace AS n
    WHERE n.nspname OPERATOR(pg_catalog.!~) '^pg_' AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema' AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
      AND ($1 IS NULL OR n.nspname OPERATOR(pg_catalog.=) $1::pg_catalog.name))sql";
constexpr const char *list_tables = R"sql(
    SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('schema', n.nspname, 'name', c.relname,
        'kind', CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END,
        'owner', pg_catalog.pg_get_userbyid(c.relowner), 'comment', pg_catalog.obj_description(c.oid, 'pg_class'),
        'columns', (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', a.attname,
            'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull,
            'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid), 'comment', pg_catalog.col_description(a.attrelid, a.attnum)) ORDER BY a.attnum), '[]'::pg_catalog.jsonb)
            FROM pg_catalog.pg_attribute AS a LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid OPERATOR(pg_catalog.=) a.attrelid AND d.adnum OPERATOR(pg_catalog.=) a.attnum
            WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped)) ORDER BY n.nspname, c.relname), '[]'::pg_catalog.jsonb)
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f}'::"char"[]) AND NOT c.relispartition
      AND n.nspname OPERATOR(pg_catalog.!~) '^pg_' AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema'
      AND ($1 IS NOT NULL OR n.nspname OPERATOR(pg_catalog.<>) ALL ('{dbnet,otel}'::pg_catalog.name[]))
      AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
      AND (pg_catalog.has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE') OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT'))
      AND ($1 IS NULL OR n.nspname OPERATOR(pg_catalog.=) $1::pg_catalog.name))sql";
constexpr const char *list_procedures = R"sql(
    SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('schema', n.nspname, 'name', p.proname,
        'kind', CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, 'arguments', pg_catalog.pg_get_function_arguments(p.oid),
        'returns', pg_catalog.pg_get_function_result(p.oid), 'language', l.lanname, 'owner', pg_catalog.pg_get_userbyid(p.proowner),
        'comment', pg_catalog.obj_description(p.oid, 'pg_proc')) ORDER BY n.nspname, p.proname, p.oid), '[]'::pg_catalog.jsonb)
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
    JOIN pg_catalog.pg_language AS l ON l.oid OPERATOR(pg_catalog.=) p.prolang
    WHERE p.prokind OPERATOR(pg_catalog.=) ANY ('{f,p}'::"char"[]) AND n.nspname OPERATOR(pg_catalog.!~) '^pg_'
      AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema'
      AND ($1 IS NOT NULL OR n.nspname OPERATOR(pg_catalog.<>) ALL ('{dbnet,otel}'::pg_catalog.name[]))
      AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')
      AND ($1 IS NULL OR n.nspname OPERATOR(pg_catalog.=) $1::pg_catalog.name))sql";
constexpr const char *list_triggers = R"sql(
    SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', t.tgname, 'schema', n.nspname, 'relation', c.relname,
        'procedure', t.tgfoid::pg_catalog.regprocedure::pg_catalog.text, 'enabled', t.tgenabled OPERATOR(pg_catalog.<>) 'D',
        'definition', pg_catalog.pg_get_triggerdef(t.oid)) ORDER BY n.nspname, c.relname, t.tgname), '[]'::pg_catalog.jsonb)
    FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) t.tgrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE NOT t.tgisinternal AND t.tgparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid AND n.nspname OPERATOR(pg_catalog.!~) '^pg_'
      AND ($1 IS NOT NULL OR n.nspname OPERATOR(pg_catalog.<>) ALL ('{dbnet,otel}'::pg_catalog.name[]))
      AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRIGGER')
      AND ($1 IS NULL OR n.nspname OPERATOR(pg_catalog.=) $1::pg_catalog.name))sql";

using enum ApiAction;
constexpr ApiRoute routes[] = {
    {"GET", "/api/v1/openapi.json", document, "", "", 200, "document", "This document", "", any_outcome},
    {"GET", "/api/v1/schemas", list, list_schemas, "schemas", 200, "schemas", "Schemas that the role may use", "",
     list_outcome},
    {"POST", "/api/v1/schemas", create_or_call, "dbnet.create_schema", "schema", 201, "schemas", "Create a schema",
     create_schema_body, text_outcome},
    {"GET", "/api/v1/tables", list, list_tables, "tables", 200, "tables",
     "Tables and views that the role may read or write", "", list_outcome},
    {"POST", "/api/v1/tables", create_or_call, "dbnet.create_table", "table", 201, "tables", "Create a table",
     create_table_body, text_outcome},
    {"GET", "/api/v1/procedures", list, list_procedures, "procedures", 200, "procedures",
     "Procedures and functions that the role may call", "", list_outcome},
    {"POST", "/api/v1/procedures", create_or_call, "dbnet.create_procedure", "procedure", 201, "procedures",
     "Create a stored procedure or function", create_procedure_body, text_outcome},
    {"GET", "/api/v1/triggers", list, list_triggers, "triggers", 200, "triggers",
     "Triggers on tables that the role may use", "", list_outcome},
    {"POST", "/api/v1/triggers", create_or_call, "dbnet.create_trigger", "trigger", 201, "triggers", "Create a trigger",
     create_trigger_body, text_outcome},
    {"POST", "/api/v1/calls", create_or_call, "dbnet.call_procedure", "result", 200, "calls",
     "Call a procedure or function", call_body, any_outcome},
    {"POST", "/api/v1/transactions", create_or_call, "dbnet.wrap_transaction", "results", 200, "transactions",
     "Run several operations in one transaction", transaction_body, array_outcome},
    {"POST", "/api/v1/query", query, "", "", 200, "query", "Run one read-only statement", query_body, any_outcome},
};

json object_schema(const char *members) {
    json schema = json::parse(members);
    json object = {{"type", "object"}, {"additionalProperties", false}};
    object.update(schema);
    return object;
}

json content(const json &schema) {
    return {{"application/json", {{"schema", schema}}}};
}

json answer_schema(const ApiRoute &route) {
    if (route.action == document)
        return json{{"type", "object"}};
    if (route.action == query)
        return json{{"$ref", "#/components/schemas/Rows"}};
    return json{
        {"type", "object"}, {"required", {route.result}}, {"properties", {{route.result, json::parse(route.outcome)}}}};
}

json operation_of(const ApiRoute &route) {
    json operation = {
        {"operationId", std::string(route.action == list ? "list_" : "") + (route.action == list ? route.result
                                                                            : *route.target      ? route.target + 6
                                                                                                 : route.tag)},
        {"summary", route.summary},
        {"tags", {route.tag}}};
    if (route.action == document)
        operation["security"] = json::array();
    else
        operation["parameters"] = json::array({{{"$ref", "#/components/parameters/traceparent"}}});
    if (route.action == list)
        operation["parameters"].push_back({{"$ref", "#/components/parameters/schema"}});
    if (*route.body)
        operation["requestBody"] = {{"required", true}, {"content", content(object_schema(route.body))}};
    json good = {{"description", "done"}, {"content", content(answer_schema(route))}};
    if (route.action == query) {
        good["content"]["text/csv"] = {{"schema", {{"type", "string"}}}};
        good["headers"][truncated_header] = {
            {"description", "with text/csv: true when there are more rows than row_limit"},
            {"schema", {{"type", "string"}}}};
    }
    operation["responses"] = {{std::to_string(route.status), good}};
    if (route.action != document)
        operation["responses"]["default"] = {{"$ref", "#/components/responses/Error"}};
    return operation;
}

} // namespace

std::span<const ApiRoute> api_routes() noexcept {
    return routes;
}

int find_route(std::string_view method, std::string_view path, std::string &allowed) {
    allowed.clear();
    for (size_t index = 0; index < std::size(routes); ++index) {
        if (path != routes[index].path)
            continue;
        if (method == routes[index].method)
            return static_cast<int>(index);
        allowed += (allowed.empty() ? "" : ", ") + std::string(routes[index].method);
    }
    return allowed.empty() ? -1 : -2;
}

std::string openapi_document(std::string_view version) {
    json document = {{"openapi", "3.1.0"},
                     {"info",
                      {{"title", "DBNet client API"},
                       {"version", version},
                       {"description", "Each request runs in one transaction with the rights of the token's role."}}},
                     {"security", json::array({{{"token", json::array()}}})}};
    for (const ApiRoute &route : routes)
        document["paths"][route.path][in_lower_case(route.method)] = operation_of(route);
    json &components = document["components"];
    components["securitySchemes"]["token"] = {
        {"type", "http"}, {"scheme", "bearer"}, {"description", "made by dbnet.create_token()"}};
    components["parameters"]["traceparent"] = {
        {"name", "traceparent"},
        {"in", "header"},
        {"required", false},
        {"description", "W3C trace context, goes on record with what the request changes"},
        {"schema", {{"type", "string"}}}};
    components["parameters"]["schema"] = {{"name", "schema"},
                                          {"in", "query"},
                                          {"required", false},
                                          {"description", "this schema alone"},
                                          {"schema", {{"type", "string"}}}};
    json &schemas = components["schemas"];
    schemas["Column"] = json::parse(column_schema);
    schemas["Constraint"] = json::parse(constraint_schema);
    schemas["Argument"] = json::parse(argument_schema);
    schemas["ReferentialAction"] = {{"enum", {"cascade", "restrict", "set_null", "set_default", "no_action"}}};
    schemas["CreateSchema"] = object_schema(create_schema_body);
    schemas["CreateTable"] = object_schema(create_table_body);
    schemas["CreateProcedure"] = object_schema(create_procedure_body);
    schemas["CreateTrigger"] = object_schema(create_trigger_body);
    schemas["CallProcedure"] = object_schema(call_body);
    schemas["Execute"] = object_schema(execute_body);
    schemas["Rows"] = json::parse(
        R"json({"type": "object", "required": ["command", "columns", "rows", "row_count", "truncated"], "properties": {
        "command": {"type": "string"}, "columns": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "type": {"type": "string"}}}},
        "rows": {"type": "array", "items": {"type": "object"}}, "row_count": {"type": "integer"},
        "truncated": {"type": "boolean", "description": "there are more rows than row_limit"}}})json");
    schemas["Error"] = json::parse(error_schema);
    components["responses"]["Error"] = {{"description", "what went wrong; nothing was changed"},
                                        {"content", content({{"$ref", "#/components/schemas/Error"}})}};
    return document.dump(2) + "\n";
}

} // namespace dbnet::gateway

#include "pg/no_postgres.hpp"
