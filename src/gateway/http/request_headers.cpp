// Headers of requests (see request_headers.hpp).
#include "gateway/http/request_headers.hpp"

#include "gateway/http/protocol_text.hpp"

namespace dbnet::gateway {
namespace {

// `lower` is in lower case.
bool is_same(std::string_view text, std::string_view lower) noexcept {
    if (text.size() != lower.size())
        return false;
    for (size_t index = 0; index < text.size(); ++index)
        if (lower_case(text[index]) != lower[index])
            return false;
    return true;
}

std::string_view type_of(std::string_view text) noexcept {
    return trimmed(text.substr(0, text.find(';')));
}

} // namespace

std::optional<std::string_view> bearer_token(std::string_view authorization) noexcept {
    constexpr std::string_view word = "bearer ";
    if (!is_same(authorization.substr(0, word.size()), word))
        return std::nullopt;
    const std::string_view token = trimmed(authorization.substr(word.size()));
    return token.empty() ? std::nullopt : std::optional(token);
}

bool is_json_type(std::string_view content_type) noexcept {
    return is_same(type_of(content_type), "application/json");
}

bool prefers_csv(std::string_view accept) noexcept {
    while (!accept.empty()) {
        const size_t comma = accept.find(',');
        const std::string_view type = type_of(accept.substr(0, comma));
        if (is_same(type, "text/csv"))
            return true;
        if (is_same(type, "application/json") || is_same(type, "*/*"))
            return false;
        accept = comma == accept.npos ? std::string_view() : accept.substr(comma + 1);
    }
    return false;
}

} // namespace dbnet::gateway

#include "pg/no_postgres.hpp"
