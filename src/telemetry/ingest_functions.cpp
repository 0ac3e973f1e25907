// SQL functions by which a session delivers telemetry, otel.ingest_traces and the like: the same decoders and the same
// writer as the gateway's. Backends.
#include "pg/guard.hpp"
#include "telemetry/database_text.hpp"
#include "telemetry/jsonb_text.hpp"
#include "telemetry/otlp/otlp.hpp"
#include "telemetry/tables/table_writer.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/guc.h"
}

namespace dbnet::telemetry {
namespace {

// A batch from the process's last call: what it has allocated serves again. A call within a call (a hook that delivers
// telemetry itself) gets one of its own.
class BatchInUse {
public:
    BatchInUse() : batch_(std::exchange(spare, nullptr)) {
        if (batch_ == nullptr)
            batch_ = new Batch;
    }
    ~BatchInUse() {
        batch_->clear();
        if (spare == nullptr)
            spare = batch_;
        else
            delete batch_;
    }
    BatchInUse(const BatchInUse &) = delete;
    BatchInUse &operator=(const BatchInUse &) = delete;

    Batch &operator*() noexcept { return *batch_; }

private:
    static Batch *spare;

    Batch *batch_;
};

Batch *BatchInUse::spare = nullptr;

// The session as a sender.
Sender sender() {
    const char *role = pg::call([] { return GetUserNameFromId(GetSessionUserId(), true); });
    return {.client = role != nullptr ? role : "",
            .token = {},
            .user_agent = application_name != nullptr ? application_name : ""};
}

std::string_view body_of(FunctionCallInfo fcinfo, Encoding &encoding) {
    return pg::call([&]() -> std::string_view {
        const Oid type = get_fn_expr_argtype(fcinfo->flinfo, 0);
        if (type == JSONBOID) {
            encoding = Encoding::json;
            return json_text(reinterpret_cast<::Jsonb *>(PG_DETOAST_DATUM(PG_GETARG_DATUM(0))));
        }
        encoding = type == JSONOID ? Encoding::json : Encoding::protobuf; // json is the text that was sent
        const bytea *bytes = PG_GETARG_BYTEA_PP(0);
        return {VARDATA_ANY(bytes), static_cast<size_t>(VARSIZE_ANY_EXHDR(bytes))};
    });
}

Datum ingest(FunctionCallInfo fcinfo, Signal signal) {
    Encoding encoding;
    std::string_view body = body_of(fcinfo, encoding);
    BatchInUse batch;
    (*batch).encode = database_text_encoder();
    std::string utf8; // JSON in another encoding is decoded as what it would be in UTF-8
    if (encoding == Encoding::json && (*batch).encode != nullptr)
        body = utf8 = utf8_of_database_text(body);
    const Decoded decoded = decode(signal, encoding, body, sender(), *batch);
    if (!decoded.is_readable)
        throw pg::error(encoding == Encoding::json ? ERRCODE_INVALID_TEXT_REPRESENTATION
                                                   : ERRCODE_INVALID_BINARY_REPRESENTATION,
                        "the request cannot be read: " + decoded.message);
    write(*batch);
    return pg::call([&] {
        TupleDesc columns = nullptr;
        if (get_call_result_type(fcinfo, nullptr, &columns) != TYPEFUNC_COMPOSITE)
            throw pg::error(ERRCODE_INTERNAL_ERROR, "the result is not a row");
        Datum values[3] = {Int64GetDatum(decoded.taken), Int64GetDatum(decoded.rejected), Datum{0}};
        bool nulls[3] = {false, false, decoded.message.empty()};
        if (!nulls[2])
            values[2] = PointerGetDatum(
                cstring_to_text_with_len(decoded.message.data(), static_cast<int>(decoded.message.size())));
        return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls));
    });
}

} // namespace

DBNET_FUNCTION(dbnet_ingest_traces) {
    return ingest(fcinfo, Signal::traces);
}

DBNET_FUNCTION(dbnet_ingest_metrics) {
    return ingest(fcinfo, Signal::metrics);
}

DBNET_FUNCTION(dbnet_ingest_logs) {
    return ingest(fcinfo, Signal::logs);
}

} // namespace dbnet::telemetry
