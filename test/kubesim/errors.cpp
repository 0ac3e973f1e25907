// Errors of the API as Status bodies, worded as a real server words them.
#include "errors.hpp"

#include <set>

namespace kubesim {

namespace {

json make_details(const std::string &group, const std::string &kind, const std::string &name) {
    json details = json::object();
    if (!name.empty())
        details["name"] = name;
    if (!group.empty())
        details["group"] = group;
    if (!kind.empty())
        details["kind"] = kind;
    return details;
}

std::string qualified(const std::string &kind, const std::string &group) {
    return group.empty() ? kind : kind + "." + group;
}

} // namespace

std::string go_quoted(std::string_view text) {
    std::string out = "\"";
    for (char c : text) {
        switch (c) {
        case '"':
            out += "\\\"";
            break;
        case '\\':
            out += "\\\\";
            break;
        case '\n':
            out += "\\n";
            break;
        case '\t':
            out += "\\t";
            break;
        case '\r':
            out += "\\r";
            break;
        case '\a':
            out += "\\a";
            break;
        default:
            out += c;
        }
    }
    return out + "\"";
}

std::string go_type(const json &value) {
    if (value.is_string())
        return "string";
    if (value.is_boolean())
        return "bool";
    if (value.is_number_float())
        return "float64";
    if (value.is_number())
        return "int64";
    if (value.is_array())
        return "[]interface {}";
    return "map[string]interface {}";
}

// Go's %v (plain) and %#v (syntax) of a decoded value.
std::string go_value(const json &value, bool syntax) {
    if (value.is_string())
        return syntax ? go_quoted(value.get<std::string>()) : value.get<std::string>();
    if (value.is_null())
        return syntax ? "interface {}(nil)" : "<nil>";
    std::string out;
    if (value.is_array()) {
        for (const auto &item : value)
            out += (out.empty() ? "" : syntax ? ", " : " ") + go_value(item, syntax);
        return syntax ? "[]interface {}{" + out + "}" : "[" + out + "]";
    }
    if (value.is_object()) {
        for (const auto &[name, item] : value.items())
            out += (out.empty() ? ""
                    : syntax    ? ", "
                                : " ") +
                   (syntax ? go_quoted(name) : name) + ":" + go_value(item, syntax);
        return syntax ? "map[string]interface {}{" + out + "}" : "map[" + out + "]";
    }
    return dump(value);
}

FieldError FieldError::invalid(const std::string &field, const std::string &printed_value, const std::string &why) {
    return {field, "FieldValueInvalid", "Invalid value: " + printed_value + ": " + why};
}
FieldError FieldError::forbidden(const std::string &field, const std::string &why) {
    return {field, "FieldValueForbidden", "Forbidden: " + why};
}
FieldError FieldError::required(const std::string &field, const std::string &why) {
    return {field, "FieldValueRequired", why.empty() ? "Required value" : "Required value: " + why};
}
FieldError FieldError::duplicate(const std::string &field, const std::string &printed_value) {
    return {field, "FieldValueDuplicate", "Duplicate value: " + printed_value};
}
FieldError FieldError::not_found(const std::string &field, const std::string &printed_value) {
    return {field, "FieldValueNotFound", "Not found: " + printed_value};
}
FieldError FieldError::too_long(const std::string &field, size_t bytes) {
    return {field, "FieldValueTooLong", "Too long: must have at most " + std::to_string(bytes) + " bytes"};
}
FieldError FieldError::not_supported(const std::string &field, const std::string &printed_value,
                                     const std::vector<std::string> &allowed) {
    std::string list;
    for (const auto &one : allowed)
        list += (list.empty() ? "" : ", ") + go_quoted(one);
    return {field, "FieldValueNotSupported", "Unsupported value: " + printed_value + ": supported values: " + list};
}

ApiError::ApiError(int code, std::string reason, const std::string &message, json details)
    : std::runtime_error(message), details(std::move(details)), code_(code), reason_(std::move(reason)) {}

ApiError ApiError::bad_request(const std::string &message) {
    return {400, "BadRequest", message};
}
ApiError ApiError::unauthorized() {
    return {401, "Unauthorized", "Unauthorized"};
}
ApiError ApiError::internal(const std::string &message) {
    return {500, "", message};
}
ApiError ApiError::expired(const std::string &message) {
    return {410, "Expired", message};
}

ApiError ApiError::forbidden(const std::string &group, const std::string &plural, const std::string &name,
                             const std::string &why) {
    std::string subject = qualified(plural, group);
    if (!name.empty())
        subject += " " + go_quoted(name);
    return {403, "Forbidden", subject + " is forbidden: " + why, make_details(group, plural, name)};
}

ApiError ApiError::not_found(const std::string &group, const std::string &plural, const std::string &name) {
    return {404, "NotFound", qualified(plural, group) + " " + go_quoted(name) + " not found",
            make_details(group, plural, name)};
}

ApiError ApiError::conflict(const std::string &group, const std::string &kind_or_plural, const std::string &name,
                            const std::string &why) {
    return {409, "Conflict",
            "Operation cannot be fulfilled on " + qualified(kind_or_plural, group) + " " + go_quoted(name) + ": " + why,
            make_details(group, kind_or_plural, name)};
}

ApiError ApiError::already_exists(const std::string &group, const std::string &plural, const std::string &name,
                                  bool being_deleted) {
    return {409, "AlreadyExists",
            std::string(being_deleted ? "object is being deleted: " : "") + qualified(plural, group) + " " +
                go_quoted(name) + " already exists",
            make_details(group, plural, name)};
}

ApiError ApiError::invalid(const std::string &group, const std::string &kind, const std::string &name,
                           const std::vector<FieldError> &errors) {
    // Causes keep repeats (an update validates metadata twice), the message does not.
    json causes = json::array();
    std::vector<std::string> messages;
    std::set<std::string> seen;
    for (const auto &error : errors) {
        causes.push_back({{"reason", error.reason}, {"message", error.message}, {"field", error.field}});
        std::string text = error.field + ": " + error.message;
        if (seen.insert(text).second)
            messages.push_back(text);
    }
    std::string all;
    for (const auto &message : messages)
        all += (all.empty() ? "" : ", ") + message;
    if (messages.size() > 1)
        all = "[" + all + "]";
    json details = make_details(group, kind, name);
    details["causes"] = causes;
    return {422, "Invalid", qualified(kind, group) + " " + go_quoted(name) + " is invalid: " + all, details};
}

ApiError ApiError::too_large_resource_version(uint64_t wanted, uint64_t current, bool retry) {
    ApiError error(504, "Timeout",
                   "Timeout: Too large resource version: " + std::to_string(wanted) +
                       ", current: " + std::to_string(current));
    error.details = {
        {"causes", json::array({{{"reason", "ResourceVersionTooLarge"}, {"message", "Too large resource version"}}})}};
    if (retry)
        error.retry_after(1);
    return error;
}

void ApiError::retry_after(int seconds) {
    details["retryAfterSeconds"] = seconds;
    retry_after_ = seconds;
}

ApiError ApiError::generic(int code, const std::string &reason, const std::string &message) {
    return {code, reason, message, json::object()};
}

json ApiError::body() const {
    json metadata = json::object();
    if (!continue_token.empty())
        metadata["continue"] = continue_token;
    json body = {{"kind", "Status"},    {"apiVersion", "v1"}, {"metadata", metadata},
                 {"status", "Failure"}, {"message", what()},  {"code", code_}};
    if (!reason_.empty())
        body["reason"] = reason_;
    if (!details.is_null())
        body["details"] = details;
    return body;
}

} // namespace kubesim
