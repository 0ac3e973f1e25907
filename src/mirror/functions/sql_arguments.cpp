// Arguments of SQL functions (see sql_arguments.hpp); backends.
#include "mirror/functions/sql_arguments.hpp"

#include <algorithm>

extern "C" {
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
}

namespace dbnet::mirror {
namespace {

// `convert` gives a zero-terminated text in PostgreSQL's memory.
template<class F> std::optional<std::string> converted(FunctionCallInfo call_info, int number, F convert) {
    if (call_info->args[number].isnull)
        return std::nullopt;
    const Datum value = call_info->args[number].value;
    return std::string(pg::call([&]() -> const char * { return convert(value); }));
}

} // namespace

std::optional<std::string> text_argument(FunctionCallInfo call_info, int number) {
    return converted(call_info, number, [](Datum value) { return TextDatumGetCString(value); });
}

std::optional<std::string> name_argument(FunctionCallInfo call_info, int number) {
    return converted(call_info, number, [](Datum value) { return NameStr(*DatumGetName(value)); });
}

std::optional<std::string> jsonb_argument(FunctionCallInfo call_info, int number) {
    return converted(call_info, number,
                     [](Datum value) { return DatumGetCString(DirectFunctionCall1(jsonb_out, value)); });
}

std::optional<std::vector<std::string>> names_argument(FunctionCallInfo call_info, int number, const char *argument) {
    if (call_info->args[number].isnull)
        return std::nullopt;
    struct Elements {
        Datum *values;
        bool *nulls;
        int count;
    };
    const Elements elements = pg::call([&] {
        Elements found{};
        deconstruct_array(DatumGetArrayTypeP(call_info->args[number].value), NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR,
                          &found.values, &found.nulls, &found.count);
        return found;
    });
    std::vector<std::string> names;
    for (int i = 0; i < elements.count; i++) {
        if (elements.nulls[i])
            throw pg::error(ERRCODE_NULL_VALUE_NOT_ALLOWED,
                            std::string("argument ") + argument + " has a NULL element");
        names.emplace_back(NameStr(*DatumGetName(elements.values[i])));
    }
    return names;
}

std::string required(std::optional<std::string> value, const char *argument) {
    if (!value)
        throw pg::error(ERRCODE_NULL_VALUE_NOT_ALLOWED, std::string("argument ") + argument + " must not be NULL");
    return std::move(*value);
}

Oid required_relation(FunctionCallInfo call_info, int number, const char *argument) {
    if (call_info->args[number].isnull)
        required(std::nullopt, argument);
    return DatumGetObjectId(call_info->args[number].value);
}

void check_word(const std::optional<std::string> &value, const char *argument,
                std::initializer_list<const char *> words) {
    if (!value || std::ranges::any_of(words, [&](const char *word) { return *value == word; }))
        return;
    std::string list;
    for (const char *word : words)
        list += (list.empty() ? "'" : ", '") + std::string(word) + "'";
    throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, std::string("argument ") + argument + " is '" + *value + "'")
        .hint("It may be " + list + ".");
}

} // namespace dbnet::mirror
