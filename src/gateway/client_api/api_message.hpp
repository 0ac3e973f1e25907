// What the api worker and its sessions tell each other, as bytes for a queue in shared memory. Both are of one library,
// so the form is of no importance; lengths are checked all the same. Pure C++.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dbnet::gateway {

struct ApiRequest {
    uint32_t route = 0;      // place in api_routes()
    bool wants_csv = false;  // Accept: text/csv
    std::string client;      // address
    std::string token;       // its name, not the token
    std::string traceparent; // W3C trace context; empty: none
    std::string schema;      // of a list: this schema alone; empty: all
    std::string body;

    std::string to_bytes() const;
    static std::optional<ApiRequest> from_bytes(std::string_view bytes);
};

struct ApiAnswer {
    uint32_t status = 200;
    bool is_csv = false;     // else JSON
    bool is_cut_csv = false; // there are more rows; JSON says so itself
    bool try_again = false;
    std::string body;

    std::string to_bytes() const;
    static std::optional<ApiAnswer> from_bytes(std::string_view bytes);
};

} // namespace dbnet::gateway
