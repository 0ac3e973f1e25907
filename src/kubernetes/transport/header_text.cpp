// Response headers taken apart; see the header. Runs in the mirror worker and in backends.
#include "kubernetes/transport/header_text.hpp"

#include <charconv>

namespace dbnet::kubernetes {
namespace {

constexpr size_t longest_warning = 1024; // bytes

char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string_view trimmed(std::string_view text) noexcept {
    constexpr std::string_view blanks = " \t\r\n";
    const size_t begin = text.find_first_not_of(blanks);
    if (begin == std::string_view::npos)
        return {};
    return text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

} // namespace

std::optional<std::string_view> header_value(std::string_view line, std::string_view name) noexcept {
    if (line.size() <= name.size() || line[name.size()] != ':')
        return std::nullopt;
    for (size_t i = 0; i < name.size(); ++i)
        if (lower(line[i]) != name[i])
            return std::nullopt;
    return trimmed(line.substr(name.size() + 1));
}

int retry_after_seconds(std::string_view value) noexcept {
    int seconds = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
    return error == std::errc() && end == value.data() + value.size() && seconds >= 0 ? seconds : -1;
}

std::string warning_text(std::string_view value) {
    if (!value.starts_with("299 "))
        return {};
    size_t at = value.find('"');
    if (at == std::string_view::npos)
        return {};
    std::string text;
    for (++at; at < value.size() && value[at] != '"' && text.size() < longest_warning; ++at) {
        if (value[at] == '\\' && at + 1 < value.size())
            ++at;
        text += value[at];
    }
    return text;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
