// Members of clients' JSON documents (see request_fields.hpp).
#include "gateway/client_api/request_fields.hpp"

#include <algorithm>

namespace dbnet::gateway {

using nlohmann::json;

RequestFields::RequestFields(const json &object, std::string what) : object_(object), what_(std::move(what)) {
    if (!object.is_object())
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, what_ + " is not a JSON object");
}

const json *RequestFields::find(const char *name) {
    known_.insert(name);
    const auto member = object_.find(name);
    return member == object_.end() || member->is_null() ? nullptr : &*member;
}

pg::error RequestFields::wrong(const char *name, const char *wanted) const {
    return pg::error(ERRCODE_INVALID_PARAMETER_VALUE, what_ + ": \"" + name + "\" is not " + wanted);
}

std::string RequestFields::text(const char *name) {
    std::optional<std::string> value = optional_text(name);
    if (!value)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, what_ + " has no \"" + name + "\"");
    return *value;
}

std::optional<std::string> RequestFields::optional_text(const char *name) {
    const json *value = find(name);
    if (value == nullptr)
        return std::nullopt;
    if (!value->is_string())
        throw wrong(name, "a text");
    return value->get<std::string>();
}

bool RequestFields::flag(const char *name, bool absent) {
    const json *value = find(name);
    if (value == nullptr)
        return absent;
    if (!value->is_boolean())
        throw wrong(name, "true or false");
    return value->get<bool>();
}

std::vector<std::string> RequestFields::texts(const char *name) {
    std::vector<std::string> texts;
    const json *value = find(name);
    if (value == nullptr)
        return texts;
    if (!value->is_array() ||
        !std::all_of(value->begin(), value->end(), [](const json &one) { return one.is_string(); }))
        throw wrong(name, "an array of texts");
    for (const json &one : *value)
        texts.push_back(one.get<std::string>());
    return texts;
}

std::string RequestFields::word(const char *name, std::initializer_list<std::string_view> words) {
    std::optional<std::string> value = optional_text(name);
    if (!value)
        return {};
    std::transform(value->begin(), value->end(), value->begin(), [](unsigned char c) { return std::tolower(c); });
    if (std::find(words.begin(), words.end(), *value) == words.end()) {
        std::string list;
        for (const std::string_view word : words)
            list += (list.empty() ? "" : ", ") + std::string(word);
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, what_ + ": unknown " + name + " \"" + *value + "\"")
            .hint("It is one of: " + list + ".");
    }
    return *value;
}

void RequestFields::finish() const {
    for (const auto &[name, value] : object_.items())
        if (!known_.contains(name)) {
            std::string list;
            for (const std::string &known : known_)
                list += (list.empty() ? "" : ", ") + known;
            throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, what_ + " has an unknown member \"" + name + "\"")
                .hint("Known are: " + list + ".");
        }
}

const json &required_array(const json &value, const char *what) {
    if (!value.is_array())
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, std::string(what) + " is not a JSON array");
    return value;
}

} // namespace dbnet::gateway
