// Errors of the client API as HTTP has them: the status for an SQLSTATE (as PostgREST maps them, save that what may
// succeed when it is tried again says so) and the JSON body. Pure C++; api worker and its sessions.
#pragma once

#include <string>
#include <string_view>

namespace dbnet::gateway {

// "23505" → 409. Five characters; SQLSTATE PTnnn of a RAISE asks for status nnn.
int http_status(std::string_view sqlstate) noexcept;

struct ApiError {
    std::string sqlstate; // empty: not from the database
    std::string message, detail, hint, context;
    std::string statement; // in which `position` counts; empty: the request's
    int position = 0;      // in characters from 1; 0: none
};

// {"error": {"sqlstate", "message", "detail", "hint", "position", "statement", "context"}}: what is known of these.
std::string error_body(const ApiError &error);

} // namespace dbnet::gateway
