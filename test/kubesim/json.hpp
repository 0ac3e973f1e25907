// The JSON type used all over the simulator (a part of build/kubesim, a test server that runs alone).
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace kubesim {

using json = nlohmann::json;

// The member, or nullptr when `object` is not an object or lacks it.
inline const json *find(const json &object, std::string_view key) {
    if (!object.is_object())
        return nullptr;
    auto it = object.find(key);
    return it == object.end() ? nullptr : &*it;
}

// The member's text, or "" when it is missing or no string.
inline std::string text_of(const json &object, std::string_view key) {
    const json *value = find(object, key);
    return value && value->is_string() ? value->get<std::string>() : std::string();
}

// Compact text as the API server writes it; bytes that are not UTF-8 become U+FFFD instead of throwing.
inline std::string dump(const json &value) {
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace kubesim
