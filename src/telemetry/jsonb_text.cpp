// Writing it; see the header. Backends.
#include "telemetry/jsonb_text.hpp"

extern "C" {
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
}

namespace dbnet::telemetry {
namespace {

bool needs_escape(char c) noexcept {
    return static_cast<unsigned char>(c) < ' ' || c == '"' || c == '\\';
}

void put_string(StringInfo to, const char *text, int size) {
    appendStringInfoCharMacro(to, '"');
    for (const char *const end = text + size; text != end;) {
        const char *const plain = text;
        while (text != end && !needs_escape(*text))
            ++text;
        appendBinaryStringInfo(to, plain, static_cast<int>(text - plain));
        if (text != end)
            appendStringInfo(to, "\\u%04x", static_cast<unsigned>(*text++));
    }
    appendStringInfoCharMacro(to, '"');
}

void put_scalar(StringInfo to, const JsonbValue &value) {
    switch (value.type) {
    case jbvString:
        return put_string(to, value.val.string.val, value.val.string.len);
    case jbvNumeric:
        return appendStringInfoString(
            to, DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric))));
    case jbvBool:
        return appendStringInfoString(to, value.val.boolean ? "true" : "false");
    default:
        return appendStringInfoString(to, "null");
    }
}

} // namespace

std::string_view json_text(::Jsonb *document) {
    StringInfoData text;
    initStringInfo(&text);
    enlargeStringInfo(&text, static_cast<int>(VARSIZE(document)));
    JsonbIterator *position = JsonbIteratorInit(&document->root);
    JsonbValue value;
    bool follows_value = false;
    for (JsonbIteratorToken token; (token = JsonbIteratorNext(&position, &value, false)) != WJB_DONE;) {
        const bool is_end = token == WJB_END_ARRAY || token == WJB_END_OBJECT;
        if (follows_value && !is_end)
            appendStringInfoCharMacro(&text, ',');
        follows_value = is_end || token == WJB_ELEM || token == WJB_VALUE;
        switch (token) {
        case WJB_BEGIN_ARRAY:
            appendStringInfoCharMacro(&text, '[');
            break;
        case WJB_END_ARRAY:
            appendStringInfoCharMacro(&text, ']');
            break;
        case WJB_BEGIN_OBJECT:
            appendStringInfoCharMacro(&text, '{');
            break;
        case WJB_END_OBJECT:
            appendStringInfoCharMacro(&text, '}');
            break;
        case WJB_KEY:
            put_scalar(&text, value);
            appendStringInfoCharMacro(&text, ':');
            break;
        default: // WJB_ELEM, WJB_VALUE
            put_scalar(&text, value);
        }
    }
    return {text.data, static_cast<size_t>(text.len)};
}

} // namespace dbnet::telemetry
