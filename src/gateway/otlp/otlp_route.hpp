// What a request to the gateway is for, told by its method, path and headers. Pure C++; gateway worker.
#pragma once

#include "telemetry/otlp/otlp.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace dbnet::gateway {

enum class Compression : uint8_t { none, gzip, zstd };

struct OtlpRoute {
    enum class Kind : uint8_t { otlp, health, readiness, metrics, refused };

    Kind kind = Kind::refused;
    telemetry::Signal signal{};
    telemetry::Encoding encoding{};
    Compression compression{};
    // Of what is refused. Where `has_encoding` says that the sender reads it, the body is a google.rpc.Status, else
    // plain text.
    bool is_otlp_path = false, has_encoding = false;
    int status = 0;
    std::string message;
    const char *field = ""; // of 400: what is wrong
    const char *allow = ""; // of 405: the methods that are served
};

// nullopt: there is no such header. Media types and codings are compared without regard to case and parameters.
OtlpRoute route_of(std::string_view method, std::string_view path, std::optional<std::string_view> content_type,
                   std::optional<std::string_view> content_encoding);

const char *media_type(telemetry::Encoding encoding) noexcept;
const char *name_of(telemetry::Signal signal) noexcept;

// The code of google.rpc.Code that goes with a status of HTTP.
int rpc_code(int status) noexcept;

} // namespace dbnet::gateway
