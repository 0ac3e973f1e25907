// Implementation of json_text.hpp. Runs in the mirror worker.
#include "kubernetes/json_text.hpp"

namespace dbnet::kubernetes {
namespace {

constexpr std::string_view space = " \t\r\n";

size_t skip_space(std::string_view text, size_t at) {
    at = text.find_first_not_of(space, at);
    return at == std::string_view::npos ? text.size() : at;
}

// Behind the string that begins at `at`: at the first quotation mark with an even number of backslashes before it.
size_t skip_string(std::string_view text, size_t at) {
    for (size_t end = at + 1;; ++end) {
        end = text.find('"', end);
        if (end == std::string_view::npos)
            return text.size();
        size_t backslashes = 0;
        while (text[end - 1 - backslashes] == '\\')
            ++backslashes;
        if (backslashes % 2 == 0)
            return end + 1;
    }
}

size_t skip_value(std::string_view text, size_t at) {
    if (at < text.size() && text[at] == '"')
        return skip_string(text, at);
    for (size_t depth = 0; at < text.size();) {
        const char c = text[at];
        if (c == '"') {
            at = skip_string(text, at);
            continue;
        }
        if (c == '{' || c == '[') {
            ++depth;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return at; // behind a number or word: the object's own end
            if (--depth == 0)
                return at + 1;
        } else if (depth == 0 && (c == ',' || space.find(c) != std::string_view::npos)) {
            return at;
        }
        ++at;
    }
    return text.size();
}

} // namespace

void find_members(std::string_view object, std::span<const std::string_view> names,
                  std::span<std::optional<MemberText>> found) {
    size_t at = skip_space(object, 0), missing = names.size();
    if (at >= object.size() || object[at] != '{')
        return;
    MemberText member;
    member.is_first = true;
    for (++at; missing > 0 && !member.is_last; ++at, member.is_first = false) {
        member.begin = skip_space(object, at);
        if (member.begin >= object.size() || object[member.begin] != '"')
            return;
        const size_t name_end = skip_string(object, member.begin);
        at = skip_space(object, name_end);
        if (at >= object.size() || object[at] != ':')
            return;
        member.value = skip_space(object, at + 1);
        member.end = skip_value(object, member.value);
        at = skip_space(object, member.end);
        member.is_last = at >= object.size() || object[at] != ',';
        const std::string_view name = object.substr(member.begin + 1, name_end - member.begin - 2);
        for (size_t i = 0; i < names.size(); ++i)
            if (names[i] == name && !found[i]) {
                found[i] = member;
                --missing;
            }
    }
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
