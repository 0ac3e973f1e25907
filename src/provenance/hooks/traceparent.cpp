// Trace context in comments (see traceparent.hpp). Pure C++.
#include "provenance/hooks/traceparent.hpp"

#include <algorithm>

namespace dbnet::provenance {
namespace {

constexpr size_t length = 2 + 1 + 32 + 1 + 16 + 1 + 2;

bool is_hexadecimal(std::string_view text) noexcept {
    return text.find_first_not_of("0123456789abcdef") == text.npos;
}

bool is_zero(std::string_view text) noexcept {
    return text.find_first_not_of('0') == text.npos;
}

} // namespace

bool is_traceparent(std::string_view text) noexcept {
    if (text.size() != length || text[2] != '-' || text[35] != '-' || text[52] != '-')
        return false;
    const std::string_view version = text.substr(0, 2), trace = text.substr(3, 32), span = text.substr(36, 16),
                           flags = text.substr(53, 2);
    return is_hexadecimal(version) && version != "ff" && is_hexadecimal(trace) && !is_zero(trace) &&
           is_hexadecimal(span) && !is_zero(span) && is_hexadecimal(flags);
}

std::string_view find_traceparent(std::string_view statement) noexcept {
    constexpr std::string_view start = "traceparent='";
    for (size_t comment = statement.find("/*"); comment != statement.npos;
         comment = statement.find("/*", comment + 2)) {
        const std::string_view rest = statement.substr(comment);
        const std::string_view inside = rest.substr(0, rest.find("*/"));
        const size_t found = inside.find(start);
        if (found == inside.npos)
            continue;
        const std::string_view value = inside.substr(found + start.size(), length);
        if (is_traceparent(value))
            return value;
    }
    return {};
}

size_t start_of_comments(std::string_view text) noexcept {
    size_t start = text.size();
    for (std::string_view before = text;;) {
        before = before.substr(0, before.find_last_not_of(" \t\r\n") + 1);
        if (!before.ends_with("*/")) // nearly always: all that was sent before is not looked through then
            return start;
        const size_t open = before.rfind("/*");
        if (open == before.npos || open + 4 > before.size() || before.find("*/", open + 2) != before.size() - 2)
            return start;
        before = before.substr(0, open);
        start = open;
    }
}

} // namespace dbnet::provenance

#include "pg/no_postgres.hpp"
