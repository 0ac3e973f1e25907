// Where a listener is asked to be: 'host:port' as in dbnet.gateway_listen. Pure C++.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dbnet::gateway {

struct ListenAddress {
    std::string host; // numeric IPv4 or IPv6 address (without brackets)
    uint16_t port;    // 1 to 65535

    bool is_loopback() const noexcept; // 127.0.0.0/8 or ::1
    bool operator==(const ListenAddress &) const = default;
};

// 'localhost:4318', '127.0.0.1:4318' or '[::1]:4318'; nothing else than numeric addresses beside localhost, which is
// 127.0.0.1. nullopt: not such a text.
std::optional<ListenAddress> parse_listen_address(std::string_view text);

} // namespace dbnet::gateway
