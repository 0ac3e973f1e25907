// OTLP/HTTP's paths, methods and headers; see otlp_route.hpp. Texts of refusals are those of the OpenTelemetry
// Collector.
#include "gateway/otlp/otlp_route.hpp"

#include "gateway/http/protocol_text.hpp"

#include <algorithm>

namespace dbnet::gateway {
namespace {

using telemetry::Encoding;
using telemetry::Signal;
using Kind = OtlpRoute::Kind;

// Without parameters and blanks, in lower case.
std::string token_of(std::string_view value) {
    value = value.substr(0, value.find(';'));
    std::string token;
    for (const char c : value)
        if (c != ' ' && c != '\t')
            token += lower_case(c);
    return token;
}

OtlpRoute refused(OtlpRoute route, int status, std::string message) {
    route.kind = Kind::refused;
    route.status = status;
    route.message = std::move(message);
    return route;
}

std::optional<Encoding> encoding_of(const std::string &media) {
    if (media == "application/x-protobuf")
        return Encoding::protobuf;
    if (media == "application/json")
        return Encoding::json;
    return std::nullopt;
}

std::optional<Compression> compression_of(const std::string &coding) {
    if (coding.empty() || coding == "identity" || coding == "none")
        return Compression::none;
    if (coding == "gzip" || coding == "x-gzip")
        return Compression::gzip;
    if (coding == "zstd")
        return Compression::zstd;
    return std::nullopt;
}

} // namespace

OtlpRoute route_of(std::string_view method, std::string_view path, std::optional<std::string_view> content_type,
                   std::optional<std::string_view> content_encoding) {
    OtlpRoute route;
    route.kind = Kind::otlp;
    if (path == "/v1/traces")
        route.signal = Signal::traces;
    else if (path == "/v1/metrics")
        route.signal = Signal::metrics;
    else if (path == "/v1/logs")
        route.signal = Signal::logs;
    else if (path == "/healthz")
        route.kind = Kind::health;
    else if (path == "/readyz")
        route.kind = Kind::readiness;
    else if (path == "/metrics")
        route.kind = Kind::metrics;
    else
        return refused(route, 404, "404 page not found\n");

    if (route.kind != Kind::otlp) {
        route.allow = "GET, HEAD";
        return method == "GET" || method == "HEAD"
                   ? route
                   : refused(route, 405, "405 method not allowed, supported: [GET, HEAD]");
    }
    route.is_otlp_path = true;
    route.allow = "POST";
    const std::optional<Encoding> encoding = encoding_of(token_of(content_type.value_or("")));
    route.encoding = encoding.value_or(Encoding::protobuf);
    if (method != "POST")
        return refused(route, 405, "405 method not allowed, supported: [POST]");
    if (!encoding)
        return refused(route, 415, "415 unsupported media type, supported: [application/json, application/x-protobuf]");
    route.has_encoding = true;
    const std::optional<Compression> compression = compression_of(token_of(content_encoding.value_or("")));
    if (!compression) {
        route.field = "Content-Encoding";
        return refused(route, 400,
                       "unsupported Content-Encoding: " + std::string(content_encoding->substr(0, 100)) +
                           "; supported: gzip, zstd, identity");
    }
    route.compression = *compression;
    return route;
}

const char *media_type(Encoding encoding) noexcept {
    return encoding == Encoding::json ? "application/json" : "application/x-protobuf";
}

const char *name_of(Signal signal) noexcept {
    switch (signal) {
    case Signal::traces:
        return "traces";
    case Signal::metrics:
        return "metrics";
    case Signal::logs:
        return "logs";
    }
    return "";
}

int rpc_code(int status) noexcept {
    switch (status) {
    case 400:
        return 3; // invalid argument
    case 401:
        return 16; // unauthenticated
    case 403:
        return 7; // permission denied
    case 413:
    case 429:
        return 8; // resource exhausted
    case 503:
        return 14; // unavailable
    default:
        return status >= 500 ? 13 : 3; // internal
    }
}

} // namespace dbnet::gateway

#include "pg/no_postgres.hpp"
