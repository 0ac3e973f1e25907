// Origins and patterns of them (see allowed_origins.hpp). As in the OpenTelemetry Collector one * stands for any text;
// here it stands where a name or a number begins, so that "https://*shop.example" is not everybody's.
#include "gateway/otlp/allowed_origins.hpp"

#include "gateway/http/protocol_text.hpp"

#include <algorithm>

namespace dbnet::gateway {
namespace {

constexpr std::string_view blanks = " \t\r\n"; // of a configuration file

// The next entry, taken off `rest`, whose data() is nullptr after the last one.
std::string_view next_entry(std::string_view &rest) noexcept {
    const size_t comma = rest.find(',');
    const std::string_view entry = trimmed(rest.substr(0, comma), blanks);
    rest = comma == rest.npos ? std::string_view() : rest.substr(comma + 1);
    return entry;
}

bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

bool is_letter(char c) noexcept {
    return lower_case(c) >= 'a' && lower_case(c) <= 'z';
}

bool holds_only(std::string_view text, std::string_view others) noexcept {
    return std::all_of(text.begin(), text.end(),
                       [&](char c) { return is_digit(c) || is_letter(c) || others.find(c) != others.npos; });
}

struct Origin {
    std::string_view scheme, host, port;
};

// nullopt: no origin. What may stand in its parts are letters and digits, a few marks, and *, wherever it is.
std::optional<Origin> split(std::string_view text) noexcept {
    const size_t colon = text.find("://");
    if (colon == text.npos)
        return std::nullopt;
    Origin origin{text.substr(0, colon), text.substr(colon + 3), {}};
    const size_t end = origin.host.starts_with('[') ? origin.host.find(']') : 0; // of a numeric IPv6 address
    if (end == text.npos)
        return std::nullopt;
    if (const size_t mark = origin.host.find(':', end); mark != text.npos) {
        origin.port = origin.host.substr(mark + 1);
        origin.host = origin.host.substr(0, mark);
        if (origin.port.empty() ||
            !(origin.port == "*" || std::all_of(origin.port.begin(), origin.port.end(), is_digit)))
            return std::nullopt;
    }
    const bool is_host = end > 0 ? origin.host.size() == end + 1 && holds_only(origin.host.substr(1, end - 1), ":.")
                                 : !origin.host.empty() && holds_only(origin.host, "-._*");
    return is_host && !origin.scheme.empty() && is_letter(origin.scheme[0]) && holds_only(origin.scheme, "+-.")
               ? std::optional(origin)
               : std::nullopt;
}

bool is_pattern(std::string_view entry) noexcept {
    if (entry == "*")
        return true;
    const std::optional<Origin> origin = split(entry);
    if (!origin || std::count(entry.begin(), entry.end(), '*') > 1)
        return false;
    const size_t wildcard = origin->host.find('*');
    const bool is_name = wildcard == origin->host.npos || origin->host == "*" || origin->host.starts_with("*.");
    const auto is_scheme = [&](std::string_view scheme) {
        return std::equal(scheme.begin(), scheme.end(), origin->scheme.begin(), origin->scheme.end(),
                          [](char one, char other) { return one == lower_case(other); });
    };
    const bool is_default_port =
        (is_scheme("http") && origin->port == "80") || (is_scheme("https") && origin->port == "443");
    return is_name && !is_default_port;
}

bool is_origin(std::string_view text) noexcept {
    return text == "null" || (text.find('*') == text.npos && split(text));
}

} // namespace

std::optional<std::string_view> bad_origin_in(std::string_view list) noexcept {
    if (trimmed(list, blanks).empty())
        return std::nullopt;
    while (list.data() != nullptr)
        if (const std::string_view entry = next_entry(list); !is_pattern(entry))
            return entry;
    return std::nullopt;
}

AllowedOrigins::AllowedOrigins(std::string_view list) {
    if (trimmed(list, blanks).empty())
        return;
    while (list.data() != nullptr) {
        const std::string entry = in_lower_case(next_entry(list));
        const size_t wildcard = entry.find('*');
        if (wildcard == entry.npos)
            patterns_.push_back({entry, {}, false});
        else
            patterns_.push_back({entry.substr(0, wildcard), entry.substr(wildcard + 1), true});
    }
}

bool AllowedOrigins::allow(std::string_view origin) const {
    if (patterns_.empty() || !is_origin(origin))
        return false;
    const std::string text = in_lower_case(origin);
    return std::any_of(patterns_.begin(), patterns_.end(), [&](const Pattern &pattern) {
        if (!pattern.has_wildcard)
            return text == pattern.before;
        return text.size() > pattern.before.size() + pattern.after.size() && text.starts_with(pattern.before) &&
               text.ends_with(pattern.after);
    });
}

} // namespace dbnet::gateway

#include "pg/no_postgres.hpp"
