// Addresses of listeners (see listen_address.hpp). Pure C++.
#include "gateway/http/listen_address.hpp"

#include <arpa/inet.h>

#include <charconv>

#include "pg/no_postgres.hpp"

namespace dbnet::gateway {
namespace {

bool is_numeric(int family, const std::string &host) {
    unsigned char parsed[sizeof(in6_addr)];
    return inet_pton(family, host.c_str(), parsed) == 1;
}

} // namespace

bool ListenAddress::is_loopback() const noexcept {
    in_addr four{};
    if (inet_pton(AF_INET, host.c_str(), &four) == 1)
        return (ntohl(four.s_addr) >> 24) == 127;
    in6_addr six{};
    return inet_pton(AF_INET6, host.c_str(), &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

std::optional<ListenAddress> parse_listen_address(std::string_view text) {
    const size_t colon = text.rfind(':');
    if (colon == text.npos)
        return std::nullopt;
    const std::string_view digits = text.substr(colon + 1);
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size() || port == 0)
        return std::nullopt;
    std::string_view host = text.substr(0, colon);
    if (host == "localhost")
        return ListenAddress{"127.0.0.1", port};
    const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (is_bracketed)
        host = host.substr(1, host.size() - 2);
    ListenAddress address{std::string(host), port};
    if (!is_numeric(is_bracketed ? AF_INET6 : AF_INET, address.host))
        return std::nullopt;
    return address;
}

} // namespace dbnet::gateway
