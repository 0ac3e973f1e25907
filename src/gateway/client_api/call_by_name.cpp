// Calls of clients (see call_by_name.hpp). The caller's search_path decides what a name means, and PostgreSQL checks
// the right to call. No C++ object with a destructor is alive while PostgreSQL runs.
#include "gateway/client_api/call_by_name.hpp"

#include "gateway/client_api/run_statement.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"
}

namespace dbnet::gateway {
namespace {

// A function or procedure, and how the given arguments go to it.
struct Target {
    Oid function;
    char kind;
    bool returns_set, returns_nothing, is_variadic;
    bool is_polymorphic; // takes any type of a kind: the last choice, as no JSON value says which
    int count;           // of arguments in a call: those of a procedure include OUT
    const char **names;  // nullptr: it has none
    Oid *types;
    bool *is_out, *is_given;
    int given;
};

int json_count(Jsonb *arguments) {
    return arguments == nullptr ? 0 : static_cast<int>(JB_ROOT_COUNT(arguments));
}

bool has_member(Jsonb *object, const char *name) {
    JsonbValue found;
    return getKeyJsonValueFromContainer(&object->root, name, static_cast<int>(strlen(name)), &found) != nullptr;
}

// Whether it takes these arguments.
bool fits(Target &target, int defaults, Jsonb *arguments) {
    const int given = json_count(arguments);
    const bool by_name = arguments != nullptr && JB_ROOT_IS_OBJECT(arguments);
    int last_input = 0, inputs = 0;
    for (int index = 0; index < target.count; ++index)
        if (!target.is_out[index])
            last_input = ++inputs;
    target.given = 0;
    for (int index = 0, input = 0; index < target.count; ++index) {
        if (target.is_out[index])
            continue;
        target.is_given[index] =
            by_name ? target.names[index] != nullptr && has_member(arguments, target.names[index]) : input < given;
        target.given += target.is_given[index];
        if (!target.is_given[index] && input < last_input - defaults)
            return false;
        ++input;
    }
    return target.given == given;
}

Target target_of(HeapTuple tuple) {
    const auto *function = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
    Target target{};
    target.function = function->oid;
    target.kind = function->prokind;
    target.returns_set = function->proretset;
    target.returns_nothing = function->prorettype == VOIDOID;
    target.is_variadic = OidIsValid(function->provariadic);
    Oid *types = nullptr;
    char **names = nullptr, *modes = nullptr;
    const int all = get_func_arg_info(tuple, &types, &names, &modes);
    target.names = static_cast<const char **>(palloc0(sizeof(char *) * (all + 1)));
    target.types = static_cast<Oid *>(palloc0(sizeof(Oid) * (all + 1)));
    target.is_out = static_cast<bool *>(palloc0(all + 1));
    target.is_given = static_cast<bool *>(palloc0(all + 1));
    for (int index = 0; index < all; ++index) {
        const char mode = modes != nullptr ? modes[index] : PROARGMODE_IN;
        if (mode == PROARGMODE_TABLE || (mode == PROARGMODE_OUT && target.kind != PROKIND_PROCEDURE))
            continue;
        const int place = target.count++;
        if (names != nullptr && names[index] != nullptr && names[index][0] != '\0')
            target.names[place] = names[index];
        target.is_polymorphic |= IsPolymorphicType(types[index]);
        target.types[place] = IsPolymorphicType(types[index]) ? TEXTOID : types[index];
        target.is_out[place] = mode == PROARGMODE_OUT;
    }
    return target;
}

const char *word_for(char kind) noexcept {
    return kind == PROKIND_PROCEDURE ? "procedure" : "function";
}

Target find_target(const char *name, Jsonb *arguments, int misfit) {
    char *schema = nullptr, *function = nullptr;
    DeconstructQualifiedName(textToQualifiedNameList(cstring_to_text(name)), &schema, &function);
    const Oid space = schema != nullptr ? LookupExplicitNamespace(schema, false) : InvalidOid;
    CatCList *found = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(function));
    Target chosen{};
    int fitting = 0, known = 0;
    StringInfoData list;
    initStringInfo(&list);
    for (int index = 0; index < found->n_members; ++index) {
        const HeapTuple tuple = &found->members[index]->tuple;
        const auto *row = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
        if ((row->prokind != PROKIND_FUNCTION && row->prokind != PROKIND_PROCEDURE) ||
            (OidIsValid(space) ? row->pronamespace != space : !FunctionIsVisible(row->oid)))
            continue;
        ++known;
        appendStringInfo(
            &list, "%s%s %s(%s)", list.len > 0 ? ", " : "", word_for(row->prokind), name,
            TextDatumGetCString(DirectFunctionCall1(pg_get_function_arguments, ObjectIdGetDatum(row->oid))));
        Target target = target_of(tuple);
        if (!fits(target, row->pronargdefaults, arguments) ||
            (fitting > 0 && target.is_polymorphic && !chosen.is_polymorphic))
            continue;
        fitting = fitting > 0 && chosen.is_polymorphic && !target.is_polymorphic ? 1 : fitting + 1;
        chosen = target;
    }
    ReleaseSysCacheList(found);
    if (fitting == 1)
        return chosen;
    const char *shown =
        arguments == nullptr
            ? "{}"
            : pnstrdup(JsonbToCString(nullptr, &arguments->root, static_cast<int>(VARSIZE(arguments))), 200);
    if (fitting > 1)
        throw pg::error(ERRCODE_AMBIGUOUS_FUNCTION,
                        std::string("more than one function called ") + name + " takes these arguments")
            .detail("There are " + std::string(list.data) + ".")
            .hint("Give all arguments by name.");
    if (known > 0)
        throw pg::error(misfit, std::string(name) + " does not take these arguments")
            .detail("There is " + std::string(list.data) + "; given: " + shown + ".")
            .hint("Give arguments as an object by name, or as an array by place.");
    throw pg::error(ERRCODE_UNDEFINED_FUNCTION, std::string("there is no function or procedure called ") + name);
}

// net.rebalance("zone" => $1, …); values of the given ones in `values`.
struct Call {
    const char *text;
    int count;
    Oid *types;
    ConvertedValues values;
};
Call call_of(const Target &target, Jsonb *arguments) {
    const bool by_name = arguments != nullptr && JB_ROOT_IS_OBJECT(arguments);
    Call call{};
    call.types = static_cast<Oid *>(palloc0(sizeof(Oid) * (target.count + 1)));
    auto **names = static_cast<const char **>(palloc0(sizeof(char *) * (target.count + 1)));
    StringInfoData text;
    initStringInfo(&text);
    appendStringInfo(&text, "%s(",
                     quote_qualified_identifier(get_namespace_name(get_func_namespace(target.function)),
                                                get_func_name(target.function)));
    bool is_first = true;
    for (int index = 0; index < target.count; ++index) {
        if (!target.is_out[index] && !target.is_given[index])
            continue;
        if (!is_first)
            appendStringInfoString(&text, ", ");
        is_first = false;
        if (target.is_variadic && index == target.count - 1 && !target.is_out[index])
            appendStringInfoString(&text, "VARIADIC ");
        if (by_name && target.names[index] != nullptr)
            appendStringInfo(&text, "%s => ", quote_identifier(target.names[index]));
        if (target.is_out[index]) {
            appendStringInfoString(&text, "NULL");
            continue;
        }
        names[call.count] = target.names[index];
        call.types[call.count] = target.types[index];
        appendStringInfo(&text, "$%d", ++call.count);
    }
    appendStringInfoChar(&text, ')');
    call.text = text.data;
    if (call.count > 0)
        call.values = converted(arguments, by_name ? names : nullptr, call.types, call.count);
    return call;
}

// The row that is left of the statement, as a document; nullptr: there is none.
Jsonb *returned_row(MemoryContext context) {
    if (SPI_processed != 1 || SPI_tuptable == nullptr)
        return nullptr;
    BlessTupleDesc(SPI_tuptable->tupdesc);
    const text *json = DatumGetTextPP(
        DirectFunctionCall1(row_to_json, heap_copy_tuple_as_datum(SPI_tuptable->vals[0], SPI_tuptable->tupdesc)));
    const MemoryContext before = MemoryContextSwitchTo(context);
    Jsonb *result = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text_to_cstring(json))));
    MemoryContextSwitchTo(before);
    return result;
}

Jsonb *returned_value(MemoryContext context) {
    bool is_null = true;
    if (SPI_processed != 1)
        return nullptr;
    const Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    if (is_null)
        return nullptr;
    const MemoryContext before = MemoryContextSwitchTo(context);
    Jsonb *result = DatumGetJsonbPCopy(value);
    MemoryContextSwitchTo(before);
    return result;
}

} // namespace

Jsonb *call_by_name(const char *name, Jsonb *arguments, int misfit) {
    if (arguments != nullptr &&
        (JB_ROOT_IS_SCALAR(arguments) || (!JB_ROOT_IS_OBJECT(arguments) && !JB_ROOT_IS_ARRAY(arguments))))
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "arguments is neither a JSON object nor an array");
    const MemoryContext context = CurrentMemoryContext;
    const Target target = find_target(name, arguments, misfit);
    SPI_connect();
    const Call call = call_of(target, arguments);
    const char *sql =
        target.kind == PROKIND_PROCEDURE ? psprintf("CALL %s", call.text)
        : target.returns_nothing         ? psprintf("SELECT %s", call.text)
        : target.returns_set
            // A name that no column has: it would be taken for the row.
            ? psprintf("SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(\"returned row\")), "
                       "'[]'::pg_catalog.jsonb) FROM %s AS \"returned row\"",
                       call.text)
            : psprintf("SELECT pg_catalog.to_jsonb(\"returned row\") FROM %s AS \"returned row\"", call.text);
    const int code =
        SPI_execute_with_args(sql, call.count, call.types, call.values.values, call.values.nulls, false, 0);
    if (code < 0)
        throw pg::error(ERRCODE_INTERNAL_ERROR, std::string("SPI: ") + SPI_result_code_string(code));
    Jsonb *result = target.kind == PROKIND_PROCEDURE ? returned_row(context)
                    : target.returns_nothing         ? nullptr
                                                     : returned_value(context);
    SPI_finish();
    return result;
}

} // namespace dbnet::gateway
