// Reading JSON from outside; see the header. Runs in the mirror worker and in backends.
#include "kubernetes/json_access.hpp"

namespace dbnet::kubernetes {
namespace {

constexpr size_t deepest =
    1000; // nested objects and lists; PostgreSQL's jsonb takes more, its default stack not much more

bool is_too_deep(std::string_view text) noexcept {
    size_t depth = 0;
    for (size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (c == '{' || c == '[') {
            if (++depth > deepest)
                return true;
        } else if (c == '}' || c == ']') {
            depth -= depth > 0 ? 1 : 0;
        } else if (c == '"') {
            for (++at; at < text.size() && text[at] != '"'; ++at)
                at += text[at] == '\\' ? 1 : 0;
        }
    }
    return false;
}

} // namespace

nlohmann::json parse_json(std::string_view text) {
    if (is_too_deep(text))
        return nlohmann::json(nlohmann::json::value_t::discarded);
    return nlohmann::json::parse(text, nullptr, false);
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
