// The types otel.trace_id (16 bytes, as uuid) and otel.span_id (8 bytes by value, most significant first): text in and
// out, and from bytea. What PostgreSQL does for uuid and xid8 it does for them, too (sql/20_telemetry_types.sql).
// Backends.
#include "pg/guard.hpp"

extern "C" {
#include "utils/builtins.h"
#include "utils/uuid.h"
}

namespace dbnet::telemetry {
namespace {

constexpr char digits[] = "0123456789abcdef";
constexpr int trace_id_size = UUID_LEN, span_id_size = 8;

int value_of_digit(char c) noexcept {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Exactly `size` bytes in hexadecimal; with `dashes`, also as a uuid is printed.
bool read_hex(const char *text, uint8 *bytes, int size, bool dashes) noexcept {
    for (int byte = 0; byte < size; ++byte) {
        if (dashes && *text == '-' && (byte == 4 || byte == 6 || byte == 8 || byte == 10))
            ++text;
        const int high = value_of_digit(text[0]);
        const int low = high < 0 ? -1 : value_of_digit(text[1]);
        if (low < 0)
            return false;
        bytes[byte] = static_cast<uint8>(high << 4 | low);
        text += 2;
    }
    return *text == '\0';
}

char *hex_of(const uint8 *bytes, int size) {
    char *text = pg::call([size] { return static_cast<char *>(palloc(size * 2 + 1)); });
    for (int byte = 0; byte < size; ++byte) {
        text[byte * 2] = digits[bytes[byte] >> 4];
        text[byte * 2 + 1] = digits[bytes[byte] & 15];
    }
    text[size * 2] = '\0';
    return text;
}

pg::error no_id(const char *type, int digit_count, const char *text) {
    return pg::error(ERRCODE_INVALID_TEXT_REPRESENTATION,
                     std::string("invalid input syntax for type otel.") + type + ": \"" + text + "\"")
        .detail("It is written as " + std::to_string(digit_count) + " hexadecimal digits.");
}

// The bytes of a bytea argument, which must be `size` of them.
const uint8 *bytes_of(const bytea *value, int size, const char *type) {
    if (static_cast<int>(VARSIZE_ANY_EXHDR(value)) != size)
        throw pg::error(ERRCODE_INVALID_BINARY_REPRESENTATION, std::string("an otel.") + type + " has " +
                                                                   std::to_string(size) + " bytes, not " +
                                                                   std::to_string(VARSIZE_ANY_EXHDR(value)));
    return reinterpret_cast<const uint8 *>(VARDATA_ANY(value));
}

Datum trace_id_of(const uint8 *bytes) {
    void *id = pg::call([] { return palloc(trace_id_size); });
    memcpy(id, bytes, trace_id_size);
    return PointerGetDatum(id);
}

Datum span_id_of(const uint8 *bytes) noexcept {
    uint64 id = 0;
    for (int byte = 0; byte < span_id_size; ++byte)
        id = id << 8 | bytes[byte];
    return UInt64GetDatum(id);
}

} // namespace

DBNET_FUNCTION(dbnet_trace_id_in) {
    const char *text = PG_GETARG_CSTRING(0);
    uint8 bytes[trace_id_size];
    if (!read_hex(text, bytes, trace_id_size, true))
        throw no_id("trace_id", 32, text);
    return trace_id_of(bytes);
}

DBNET_FUNCTION(dbnet_trace_id_out) {
    PG_RETURN_CSTRING(hex_of(PG_GETARG_UUID_P(0)->data, trace_id_size));
}

DBNET_FUNCTION(dbnet_trace_id_from_bytes) {
    const bytea *value = pg::call([fcinfo] { return PG_GETARG_BYTEA_PP(0); });
    return trace_id_of(bytes_of(value, trace_id_size, "trace_id"));
}

DBNET_FUNCTION(dbnet_span_id_in) {
    const char *text = PG_GETARG_CSTRING(0);
    uint8 bytes[span_id_size];
    if (!read_hex(text, bytes, span_id_size, false))
        throw no_id("span_id", 16, text);
    return span_id_of(bytes);
}

DBNET_FUNCTION(dbnet_span_id_out) {
    const uint64 id = DatumGetUInt64(PG_GETARG_DATUM(0));
    uint8 bytes[span_id_size];
    for (int byte = 0; byte < span_id_size; ++byte)
        bytes[byte] = static_cast<uint8>(id >> (56 - 8 * byte));
    PG_RETURN_CSTRING(hex_of(bytes, span_id_size));
}

DBNET_FUNCTION(dbnet_span_id_from_bytes) {
    const bytea *value = pg::call([fcinfo] { return PG_GETARG_BYTEA_PP(0); });
    return span_id_of(bytes_of(value, span_id_size, "span_id"));
}

} // namespace dbnet::telemetry
