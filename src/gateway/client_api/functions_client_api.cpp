// The client API as SQL functions (sql/51_client_api.sql): statements are made from JSON and run with the caller's
// rights and search_path, like those that the caller would write. Runs in backends and in sessions of the client API.
#include "gateway/client_api/call_by_name.hpp"
#include "gateway/client_api/ddl_text.hpp"
#include "gateway/client_api/request_fields.hpp"
#include "gateway/client_api/run_statement.hpp"
#include "gateway/client_api/sql_text.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
}

namespace dbnet::gateway {
namespace {

using nlohmann::json;

std::optional<std::string> text_or_null(FunctionCallInfo fcinfo, int number) {
    if (PG_ARGISNULL(number))
        return std::nullopt;
    return std::string(pg::call([&]() -> const char * { return text_to_cstring(PG_GETARG_TEXT_PP(number)); }));
}

std::string required_text(FunctionCallInfo fcinfo, int number, const char *argument) {
    std::optional<std::string> value = text_or_null(fcinfo, number);
    if (!value)
        throw pg::error(ERRCODE_NULL_VALUE_NOT_ALLOWED, std::string(argument) + " must not be NULL");
    return *value;
}

bool flag(FunctionCallInfo fcinfo, int number) {
    return !PG_ARGISNULL(number) && PG_GETARG_BOOL(number);
}

// NULL is an empty array.
json document(FunctionCallInfo fcinfo, int number) {
    if (PG_ARGISNULL(number))
        return json::array();
    return json::parse(pg::call([&]() -> const char * {
        Jsonb *value = PG_GETARG_JSONB_P(number);
        return JsonbToCString(nullptr, &value->root, static_cast<int>(VARSIZE(value)));
    }));
}

std::vector<std::string> words(FunctionCallInfo fcinfo, int number, const char *argument) {
    const json list = {{argument, document(fcinfo, number)}};
    return RequestFields(list, "the request").texts(argument);
}

void comment_on(const std::string &object, const std::optional<std::string> &comment) {
    if (comment)
        pg::execute_once("COMMENT ON " + object + " IS " + literal(*comment));
}

// By the input function of regclass or another of its kind.
Oid oid_of(const std::string &name, PGFunction input) {
    return pg::call([&] { return DatumGetObjectId(DirectFunctionCall1(input, CStringGetDatum(name.c_str()))); });
}

} // namespace

DBNET_FUNCTION(dbnet_create_schema) {
    const std::string name = quoted(required_text(fcinfo, 0, "name"));
    const bool if_not_exists = flag(fcinfo, 1);
    const auto comment = text_or_null(fcinfo, 2);
    Oid schema = InvalidOid;
    pg::in_spi([&] {
        pg::execute_once(std::string("CREATE SCHEMA ") + (if_not_exists ? "IF NOT EXISTS " : "") + name);
        comment_on("SCHEMA " + name, comment);
        schema = oid_of(name, regnamespacein);
    });
    PG_RETURN_OID(schema);
}

DBNET_FUNCTION(dbnet_create_table) {
    const std::string name = qualified_name(required_text(fcinfo, 0, "name"));
    const TableText table = table_text(document(fcinfo, 1), document(fcinfo, 2));
    const bool if_not_exists = flag(fcinfo, 3);
    const auto comment = text_or_null(fcinfo, 4);
    const bool is_tracked = flag(fcinfo, 5);
    Oid relation = InvalidOid;
    pg::in_spi([&] {
        pg::execute_once(std::string("CREATE TABLE ") + (if_not_exists ? "IF NOT EXISTS " : "") + name + " (" +
                         table.elements + ")");
        comment_on("TABLE " + name, comment);
        for (const auto &[column, text] : table.comments)
            comment_on("COLUMN " + name + "." + column, text);
        if (is_tracked)
            pg::execute_once("SELECT dbnet.track(" + literal(name) + ")");
        relation = oid_of(name, regclassin);
    });
    PG_RETURN_OID(relation);
}

DBNET_FUNCTION(dbnet_create_procedure) {
    const std::string name = qualified_name(required_text(fcinfo, 0, "name"));
    const std::string body = literal(required_text(fcinfo, 1, "body"));
    const ArgumentsText arguments = arguments_text(document(fcinfo, 2));
    const auto returns = text_or_null(fcinfo, 3);
    const std::string language = quoted(required_text(fcinfo, 4, "language"));
    const bool is_replacing = flag(fcinfo, 5);
    const auto comment = text_or_null(fcinfo, 6);
    const std::string kind = returns ? "FUNCTION " : "PROCEDURE ";
    Oid procedure = InvalidOid;
    pg::in_spi([&] {
        pg::execute_once(std::string("CREATE ") + (is_replacing ? "OR REPLACE " : "") + kind + name + "(" +
                         arguments.declared + ")" + (returns ? " RETURNS " + type_name(*returns) : " ") + "LANGUAGE " +
                         language + " AS " + body);
        procedure = oid_of(name + "(" + arguments.types + ")", regprocedurein);
        comment_on(kind + name + "(" + arguments.types + ")", comment);
    });
    PG_RETURN_OID(procedure);
}

DBNET_FUNCTION(dbnet_create_trigger) {
    const std::string given_name = required_text(fcinfo, 0, "name"), name = quoted(given_name);
    const std::string relation = qualified_name(required_text(fcinfo, 1, "relation"));
    std::string function = required_text(fcinfo, 2, "procedure");
    if (function.ends_with("()")) // as dbnet.create_procedure() returns it
        function.resize(function.size() - 2);
    const std::string procedure = qualified_name(function);
    const std::string events = events_text(words(fcinfo, 3, "events"), words(fcinfo, 4, "columns"));
    const json when = {{"timing", required_text(fcinfo, 5, "timing")}, {"level", required_text(fcinfo, 6, "level")}};
    RequestFields fields(when, "trigger " + name);
    const std::string timing = fields.word("timing", {"before", "after", "instead of"});
    const std::string level = fields.word("level", {"row", "statement"});
    const auto condition = text_or_null(fcinfo, 7);
    std::string arguments;
    for (const std::string &argument : words(fcinfo, 8, "arguments"))
        arguments += (arguments.empty() ? "" : ", ") + literal(argument);
    const auto old_table = text_or_null(fcinfo, 9), new_table = text_or_null(fcinfo, 10);
    const bool is_replacing = flag(fcinfo, 11);
    std::string referencing;
    if (old_table)
        referencing += " OLD TABLE AS " + quoted(*old_table);
    if (new_table)
        referencing += " NEW TABLE AS " + quoted(*new_table);
    const std::string statement =
        std::string("CREATE ") + (is_replacing ? "OR REPLACE " : "") + "TRIGGER " + name + " " + timing + " " + events +
        " ON " + relation + (referencing.empty() ? "" : " REFERENCING" + referencing) + " FOR EACH " + level +
        (condition ? " WHEN " + expression(*condition) : "") + " EXECUTE FUNCTION " + procedure + "(" + arguments + ")";
    pg::in_spi([&] { pg::execute_once(statement); });
    PG_RETURN_TEXT_P(pg::call([&] { return cstring_to_text(given_name.c_str()); }));
}

DBNET_FUNCTION(dbnet_call_procedure) {
    const std::string name = required_text(fcinfo, 0, "name");
    Jsonb *result = nullptr;
    pg::call([&] { result = call_by_name(name.c_str(), PG_ARGISNULL(1) ? nullptr : PG_GETARG_JSONB_P(1)); });
    if (result == nullptr)
        PG_RETURN_NULL();
    PG_RETURN_JSONB_P(result);
}

DBNET_FUNCTION(dbnet_execute) {
    const std::string statement = required_text(fcinfo, 0, "statement");
    Datum result = 0;
    pg::call([&] {
        StatementLimits limits;
        StringInfoData answer;
        initStringInfo(&answer);
        run_statement(statement.c_str(), PG_ARGISNULL(1) ? nullptr : PG_GETARG_JSONB_P(1), limits,
                      StatementFormat::json, &answer);
        result = DirectFunctionCall1(jsonb_in, CStringGetDatum(answer.data));
    });
    PG_RETURN_DATUM(result);
}

namespace {

// For error messages: which of the operations failed.
struct Operation {
    size_t number, count;
    const char *name;
};

extern "C" void dbnet_operation_context(void *argument) {
    const auto &operation = *static_cast<const Operation *>(argument);
    errcontext("operation %zu of %zu, %s", operation.number, operation.count, operation.name);
}

// One member: what to do, with the arguments of the function dbnet.NAME.
struct Step {
    const char *name;
    Jsonb *arguments;
};
Step step_of(JsonbValue &element, size_t number) {
    if (element.type != jbvBinary || !JsonContainerIsObject(element.val.binary.data) ||
        JsonContainerSize(element.val.binary.data) != 1)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE,
                        "operation " + std::to_string(number) + " is not an object with one member")
            .hint("For example {\"call_procedure\": {\"name\": \"net.rebalance\", \"arguments\": {\"zone\": \"a\"}}}.");
    JsonbIterator *members = JsonbIteratorInit(element.val.binary.data);
    JsonbValue key, value;
    JsonbIteratorNext(&members, &key, true);
    JsonbIteratorNext(&members, &key, true);
    JsonbIteratorNext(&members, &value, true);
    const std::string_view name(key.val.string.val, static_cast<size_t>(key.val.string.len));
    for (const char *known :
         {"create_schema", "create_table", "create_procedure", "create_trigger", "call_procedure", "execute"})
        if (name == known)
            return {known, JsonbValueToJsonb(&value)};
    throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "unknown operation \"" + std::string(name) + "\"")
        .hint("They are create_schema, create_table, create_procedure, create_trigger, call_procedure and execute.");
}

// What is wrong with the arguments themselves is said here, and has no context yet.
Jsonb *run_step(const Step &step, const Operation &operation) {
    try {
        return call_by_name(psprintf("dbnet.%s", step.name), step.arguments, ERRCODE_INVALID_PARAMETER_VALUE);
    } catch (const pg::error &caught) {
        throw pg::error(caught.sqlstate(), "operation " + std::to_string(operation.number) + " of " +
                                               std::to_string(operation.count) + ": " + caught.what())
            .detail(caught.detail_text())
            .hint(caught.hint_text());
    }
}

Jsonb *run_operations(Jsonb *operations) {
    if (operations == nullptr || !JB_ROOT_IS_ARRAY(operations) || JB_ROOT_IS_SCALAR(operations))
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "operations is not a JSON array");
    JsonbParseState *state = nullptr;
    pushJsonbValue(&state, WJB_BEGIN_ARRAY, nullptr);
    Operation operation{0, JB_ROOT_COUNT(operations), ""};
    ErrorContextCallback context{error_context_stack, dbnet_operation_context, &operation};
    for (uint32 index = 0; index < operation.count; ++index) {
        operation.number = index + 1;
        const Step step = step_of(*getIthJsonbValueFromContainer(&operations->root, index), operation.number);
        operation.name = step.name;
        error_context_stack = &context;
        Jsonb *result = run_step(step, operation);
        error_context_stack = context.previous;
        JsonbValue value;
        if (result == nullptr)
            value.type = jbvNull;
        else
            JsonbToJsonbValue(result, &value);
        if (value.type == jbvBinary && JsonContainerIsScalar(value.val.binary.data))
            JsonbExtractScalar(value.val.binary.data, &value);
        pushJsonbValue(&state, WJB_ELEM, &value);
    }
    return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, nullptr));
}

} // namespace

DBNET_FUNCTION(dbnet_wrap_transaction) {
    Jsonb *result = nullptr;
    pg::call([&] { result = run_operations(PG_ARGISNULL(0) ? nullptr : PG_GETARG_JSONB_P(0)); });
    PG_RETURN_JSONB_P(result);
}

} // namespace dbnet::gateway
