// The type otel.sketch and its functions (sql/20_telemetry_types.sql). Backends.
#include "pg/memory.hpp"
#include "telemetry/panes/exponential_histogram.hpp"

#include <cmath>

extern "C" {
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
}

using namespace dbnet;
using dbnet::telemetry::ExponentialHistogram;

namespace {

std::string_view bytes_of(const bytea *value) noexcept {
    return {VARDATA_ANY(value), static_cast<size_t>(VARSIZE_ANY_EXHDR(value))};
}

const bytea *sketch_argument(FunctionCallInfo fcinfo, int number) {
    return pg::call([&] { return PG_GETARG_BYTEA_PP(number); });
}

ExponentialHistogram parsed(const bytea *value, int sqlstate = ERRCODE_DATA_CORRUPTED) {
    ExponentialHistogram sketch;
    if (!sketch.parse(bytes_of(value)))
        throw pg::error(sqlstate, "invalid bytes for type otel.sketch")
            .hint("Of values a sketch is made by otel.sketch(ARRAY[1.5, 2]::double precision[]).");
    return sketch;
}

Datum datum_of(const ExponentialHistogram &sketch) {
    const std::string bytes = sketch.serialize();
    return PointerGetDatum(
        pg::call([&] { return cstring_to_text_with_len(bytes.data(), static_cast<int>(bytes.size())); }));
}

// State of the aggregate otel.merge; nullptr: nothing yet.
ExponentialHistogram *state_argument(FunctionCallInfo fcinfo, int number) {
    return PG_ARGISNULL(number) ? nullptr : reinterpret_cast<ExponentialHistogram *>(PG_GETARG_POINTER(number));
}

MemoryContext aggregate_context(FunctionCallInfo fcinfo) {
    MemoryContext context = nullptr;
    if (!AggCheckCallContext(fcinfo, &context))
        throw pg::error(ERRCODE_WRONG_OBJECT_TYPE, "this is a function of the aggregate otel.merge");
    return context;
}

} // namespace

DBNET_FUNCTION(dbnet_sketch_in) {
    const bytea *value = pg::call([&] { return DatumGetByteaPP(DirectFunctionCall1(byteain, PG_GETARG_DATUM(0))); });
    parsed(value, ERRCODE_INVALID_TEXT_REPRESENTATION);
    return PointerGetDatum(value);
}

DBNET_FUNCTION(dbnet_sketch_recv) {
    const bytea *value = pg::call([&] { return DatumGetByteaPP(DirectFunctionCall1(bytearecv, PG_GETARG_DATUM(0))); });
    parsed(value, ERRCODE_INVALID_BINARY_REPRESENTATION);
    return PointerGetDatum(value);
}

DBNET_FUNCTION(dbnet_sketch_of) {
    const Datum *values = nullptr;
    const bool *nulls = nullptr;
    int count = 0;
    pg::call([&] {
        deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
                          const_cast<Datum **>(&values), const_cast<bool **>(&nulls), &count);
    });
    ExponentialHistogram sketch;
    for (int place = 0; place < count; ++place)
        if (!nulls[place])
            sketch.add(DatumGetFloat8(values[place]));
    return datum_of(sketch);
}

DBNET_FUNCTION(dbnet_sketch_count) {
    PG_RETURN_INT64(static_cast<int64>(parsed(sketch_argument(fcinfo, 0)).count()));
}

DBNET_FUNCTION(dbnet_sketch_quantile) {
    const float8 share = PG_GETARG_FLOAT8(1);
    if (!(share >= 0 && share <= 1))
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "a quantile is a number from 0 to 1");
    const double value = parsed(sketch_argument(fcinfo, 0)).quantile(share);
    if (std::isnan(value))
        PG_RETURN_NULL();
    PG_RETURN_FLOAT8(value);
}

DBNET_FUNCTION(dbnet_sketch_merge) {
    ExponentialHistogram sketch = parsed(sketch_argument(fcinfo, 0));
    sketch.merge(parsed(sketch_argument(fcinfo, 1)));
    return datum_of(sketch);
}

DBNET_FUNCTION(dbnet_sketch_add) {
    const MemoryContext context = aggregate_context(fcinfo);
    ExponentialHistogram *state = state_argument(fcinfo, 0);
    if (PG_ARGISNULL(1)) {
        if (state == nullptr)
            PG_RETURN_NULL();
        PG_RETURN_POINTER(state);
    }
    if (state == nullptr)
        state = pg::construct<ExponentialHistogram>(context);
    state->merge(parsed(sketch_argument(fcinfo, 1)));
    PG_RETURN_POINTER(state);
}

DBNET_FUNCTION(dbnet_sketch_combine) {
    const MemoryContext context = aggregate_context(fcinfo);
    ExponentialHistogram *state = state_argument(fcinfo, 0);
    const ExponentialHistogram *other = state_argument(fcinfo, 1);
    if (state == nullptr && other == nullptr)
        PG_RETURN_NULL();
    if (state == nullptr)
        state = pg::construct<ExponentialHistogram>(context);
    if (other != nullptr)
        state->merge(*other);
    PG_RETURN_POINTER(state);
}

DBNET_FUNCTION(dbnet_sketch_final) {
    const ExponentialHistogram *state = state_argument(fcinfo, 0);
    if (state == nullptr)
        PG_RETURN_NULL();
    return datum_of(*state);
}

DBNET_FUNCTION(dbnet_sketch_serialize) {
    aggregate_context(fcinfo);
    return datum_of(*state_argument(fcinfo, 0));
}

DBNET_FUNCTION(dbnet_sketch_deserialize) {
    const MemoryContext context = aggregate_context(fcinfo);
    ExponentialHistogram sketch = parsed(sketch_argument(fcinfo, 0));
    PG_RETURN_POINTER(pg::construct<ExponentialHistogram>(context, std::move(sketch)));
}
