// Whose pages may send telemetry from browsers (CORS), as dbnet.gateway_allowed_origins says. Pure C++; gateway worker
// and the setting's check.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dbnet::gateway {

// Of a list separated by commas the first entry that is not
//   scheme://host[:port]   as browsers write it: no path, no default port,
//                          with one * for a host, what its name begins with (*.example), or a port;
//   *                      any origin, also the "null" of files and sandboxed frames.
// nullopt: the list is good, or empty.
std::optional<std::string_view> bad_origin_in(std::string_view list) noexcept;

class AllowedOrigins {
public:
    AllowedOrigins() = default;                     // nobody
    explicit AllowedOrigins(std::string_view list); // which is good

    bool is_empty() const noexcept { return patterns_.empty(); }

    // Of a request's Origin. What it is true of can be sent back in a header.
    bool allow(std::string_view origin) const;

private:
    struct Pattern {
        std::string before, after; // the *
        bool has_wildcard;
    };

    std::vector<Pattern> patterns_; // in lower case
};

} // namespace dbnet::gateway
