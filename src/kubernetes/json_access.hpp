// Reading members of documents that others wrote: a missing member or one of another type is simply not there. Used by
// the other files of the client.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dbnet::kubernetes {

// Reads JSON that came from outside. Discarded (is_discarded()) when it is no JSON or nested deeper than anything a
// server accepts: what walks documents recursively may rely on that.
nlohmann::json parse_json(std::string_view text);

// The member, or nullptr when `object` is null, no object, or has none.
inline const nlohmann::json *member(const nlohmann::json *object, const char *key) {
    if (object == nullptr || !object->is_object())
        return nullptr;
    const auto found = object->find(key);
    return found == object->end() ? nullptr : &*found;
}

inline const nlohmann::json *array_member(const nlohmann::json *object, const char *key) {
    const nlohmann::json *found = member(object, key);
    return found != nullptr && found->is_array() ? found : nullptr;
}

inline std::string text_member(const nlohmann::json *object, const char *key) {
    const nlohmann::json *found = member(object, key);
    return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

inline bool bool_member(const nlohmann::json *object, const char *key) {
    const nlohmann::json *found = member(object, key);
    return found != nullptr && found->is_boolean() && found->get<bool>();
}

inline int64_t integer_member(const nlohmann::json *object, const char *key, int64_t otherwise) {
    const nlohmann::json *found = member(object, key);
    if (found == nullptr || !found->is_number_integer())
        return otherwise;
    if (found->is_number_unsigned() && found->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
        return otherwise;
    return found->get<int64_t>();
}

// The strings of a list; what is no string is left out.
inline std::vector<std::string> texts_member(const nlohmann::json *object, const char *key) {
    std::vector<std::string> texts;
    if (const nlohmann::json *list = array_member(object, key))
        for (const nlohmann::json &entry : *list)
            if (entry.is_string())
                texts.push_back(entry.get<std::string>());
    return texts;
}

} // namespace dbnet::kubernetes
