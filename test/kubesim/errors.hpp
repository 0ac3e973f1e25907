// Errors of the API as Status bodies, worded as a real server words them.
#pragma once

#include "json.hpp"

#include <stdexcept>
#include <string>
#include <vector>

namespace kubesim {

struct Cause {
    std::string reason;
    std::string message;
    std::string field;
    bool operator==(const Cause &) const = default;
};

// One rejected field. `message` carries the kind of error ("Invalid value: …", "Forbidden: …"), as in a cause.
struct FieldError {
    std::string field;
    std::string reason; // FieldValueInvalid, FieldValueForbidden, …
    std::string message;

    static FieldError invalid(const std::string &field, const std::string &printed_value, const std::string &why);
    static FieldError forbidden(const std::string &field, const std::string &why);
    static FieldError required(const std::string &field, const std::string &why);
    static FieldError duplicate(const std::string &field, const std::string &printed_value);
    static FieldError not_found(const std::string &field, const std::string &printed_value);
    static FieldError too_long(const std::string &field, size_t bytes);
    static FieldError not_supported(const std::string &field, const std::string &printed_value,
                                    const std::vector<std::string> &allowed);
};

// Thrown by handlers, turned into the response by the router.
class ApiError : public std::runtime_error {
public:
    ApiError(int code, std::string reason, const std::string &message, json details = nullptr);

    static ApiError bad_request(const std::string &message);
    static ApiError unauthorized();
    static ApiError forbidden(const std::string &group, const std::string &plural, const std::string &name,
                              const std::string &why);
    static ApiError not_found(const std::string &group, const std::string &plural, const std::string &name);
    static ApiError conflict(const std::string &group, const std::string &kind_or_plural, const std::string &name,
                             const std::string &why);
    static ApiError already_exists(const std::string &group, const std::string &plural, const std::string &name,
                                   bool being_deleted);
    static ApiError invalid(const std::string &group, const std::string &kind, const std::string &name,
                            const std::vector<FieldError> &errors);
    static ApiError internal(const std::string &message); // 500 without a reason
    static ApiError expired(const std::string &message);
    static ApiError too_large_resource_version(uint64_t wanted, uint64_t current, bool retry = true);
    // Answers the server gives with an empty details object: 404, 405, 406, 415 of the path and media type.
    static ApiError generic(int code, const std::string &reason, const std::string &message);

    int code() const { return code_; }
    const std::string &reason() const { return reason_; }
    json body() const;
    int retry_after() const { return retry_after_; } // seconds, 0 = no header
    // Sets the header and details.retryAfterSeconds.
    void retry_after(int seconds);

    json details;
    std::string continue_token; // goes to metadata.continue of a 410

private:
    int code_;
    std::string reason_;
    int retry_after_ = 0;
};

// Go's %q for the strings that appear in messages.
std::string go_quoted(std::string_view text);
// Go's %v (plain) and %#v (syntax) of a decoded JSON value, and the name of its Go type.
std::string go_value(const json &value, bool syntax);
std::string go_type(const json &value);

} // namespace kubesim
