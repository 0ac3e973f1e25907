// Arguments and results of SQL-callable functions in C++ types. Backends.
#pragma once

#include "pg/guard.hpp"

namespace dbnet::pg {

// Argument `index` (from 0); nullopt when it is NULL. For text, varchar, name given as text, and jsonb cast to text.
std::optional<std::string> text_argument(FunctionCallInfo fcinfo, int index);
std::optional<bool> boolean_argument(FunctionCallInfo fcinfo, int index);
std::optional<Oid> oid_argument(FunctionCallInfo fcinfo, int index); // also regclass
std::optional<int64> bigint_argument(FunctionCallInfo fcinfo, int index);
std::optional<int32> integer_argument(FunctionCallInfo fcinfo, int index);
// text[]; NULL elements are nullopt.
std::optional<std::vector<std::optional<std::string>>> text_array_argument(FunctionCallInfo fcinfo, int index);
// jsonb as its text.
std::optional<std::string> jsonb_argument(FunctionCallInfo fcinfo, int index);

// A text result in the caller's memory context.
Datum text_result(std::string_view text);
// A jsonb result from JSON text; raises 22P02 when it is not JSON.
Datum jsonb_result(const std::string &json);

// The rows of a set-returning function (RETURNS TABLE, SETOF), collected in a tuplestore:
//     SetResult result(fcinfo); result.row({"a", std::nullopt}); return result.finish();
// Values are given in text form and converted by the input functions of the columns' types.
class SetResult {
public:
    explicit SetResult(FunctionCallInfo fcinfo);
    SetResult(const SetResult &) = delete;
    SetResult &operator=(const SetResult &) = delete;

    void row(std::span<const std::optional<std::string>> values);
    void row(std::initializer_list<std::optional<std::string>> values) {
        row(std::span<const std::optional<std::string>>(values.begin(), values.size()));
    }
    Datum finish() noexcept { return Datum{0}; }

private:
    ReturnSetInfo *info_;
    AttInMetadata *input_;
    MemoryContext row_context_; // of the query: goes with it
};

} // namespace dbnet::pg
