// Arguments and results of SQL-callable functions (see arguments.hpp).
#include "pg/arguments.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"
}

namespace dbnet::pg {
namespace {

// Appends the bytes of a text value; may longjmp while it is detoasted, before `target` is touched.
void assign_text(std::string &target, Datum value) {
    const text *detoasted = DatumGetTextPP(value);
    target.assign(VARDATA_ANY(detoasted), VARSIZE_ANY_EXHDR(detoasted));
}

} // namespace

std::optional<std::string> text_argument(FunctionCallInfo fcinfo, int index) {
    if (PG_ARGISNULL(index))
        return std::nullopt;
    std::string value;
    call([&] { assign_text(value, PG_GETARG_DATUM(index)); });
    return value;
}

std::optional<bool> boolean_argument(FunctionCallInfo fcinfo, int index) {
    return PG_ARGISNULL(index) ? std::nullopt : std::optional<bool>(PG_GETARG_BOOL(index));
}

std::optional<Oid> oid_argument(FunctionCallInfo fcinfo, int index) {
    return PG_ARGISNULL(index) ? std::nullopt : std::optional<Oid>(PG_GETARG_OID(index));
}

std::optional<int64> bigint_argument(FunctionCallInfo fcinfo, int index) {
    return PG_ARGISNULL(index) ? std::nullopt : std::optional<int64>(PG_GETARG_INT64(index));
}

std::optional<int32> integer_argument(FunctionCallInfo fcinfo, int index) {
    return PG_ARGISNULL(index) ? std::nullopt : std::optional<int32>(PG_GETARG_INT32(index));
}

std::optional<std::vector<std::optional<std::string>>> text_array_argument(FunctionCallInfo fcinfo, int index) {
    if (PG_ARGISNULL(index))
        return std::nullopt;
    std::vector<std::optional<std::string>> values;
    call([&] {
        Datum *elements = nullptr;
        bool *nulls = nullptr;
        int count = 0;
        deconstruct_array(PG_GETARG_ARRAYTYPE_P(index), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
        for (int i = 0; i < count; ++i) {
            values.emplace_back();
            if (!nulls[i])
                assign_text(values.back().emplace(), elements[i]);
        }
    });
    return values;
}

std::optional<std::string> jsonb_argument(FunctionCallInfo fcinfo, int index) {
    if (PG_ARGISNULL(index))
        return std::nullopt;
    std::string value;
    call([&] {
        Jsonb *json = PG_GETARG_JSONB_P(index);
        value = JsonbToCString(nullptr, &json->root, static_cast<int>(VARSIZE(json)));
    });
    return value;
}

Datum text_result(std::string_view text) {
    return call([text] {
        return PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size())));
    });
}

Datum jsonb_result(const std::string &json) {
    return call([&] { return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.c_str())); });
}

SetResult::SetResult(FunctionCallInfo fcinfo) : info_(reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo)) {
    call([&] {
        InitMaterializedSRF(fcinfo, 0); // raises when the caller takes no set
        const MemoryContext query = info_->econtext->ecxt_per_query_memory;
        const MemoryContext before = MemoryContextSwitchTo(query);
        input_ = TupleDescGetAttInMetadata(info_->setDesc);
        row_context_ = AllocSetContextCreateInternal(query, "DBNet result row", ALLOCSET_SMALL_SIZES);
        MemoryContextSwitchTo(before);
    });
}

void SetResult::row(std::span<const std::optional<std::string>> values) {
    call([&] {
        if (values.size() != static_cast<size_t>(info_->setDesc->natts))
            elog(ERROR, "DBNet function returns %zu columns instead of %d", values.size(), info_->setDesc->natts);
        const MemoryContext before = MemoryContextSwitchTo(row_context_);
        auto **texts = static_cast<char **>(palloc(sizeof(char *) * (values.size() + 1)));
        for (size_t i = 0; i < values.size(); ++i)
            texts[i] = values[i] ? const_cast<char *>(values[i]->c_str()) : nullptr; // input functions do not write
        tuplestore_puttuple(info_->setResult, BuildTupleFromCStrings(input_, texts));
        MemoryContextSwitchTo(before);
        MemoryContextReset(row_context_);
    });
}

} // namespace dbnet::pg
