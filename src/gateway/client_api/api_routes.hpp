// The routes of the client API, in one table from which requests are recognised and the OpenAPI document is made. Pure
// C++; api worker and its sessions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace dbnet::gateway {

enum class ApiAction : uint8_t {
    document,       // the OpenAPI document; needs no token
    list,           // a query without arguments but the schema
    create_or_call, // one function of dbnet, with the members of the body as arguments
    query,          // one statement in a read-only transaction
};

struct ApiRoute {
    const char *method, *path;
    ApiAction action;
    const char *target; // list: its SQL, of which $1 is the schema or NULL; create_or_call: the function's name
    const char *result; // member of the answer that holds what came out
    int status;         // when all went well
    const char *tag, *summary;
    const char *body;    // JSON Schema of the body's members, with "required"; empty: there is none
    const char *outcome; // JSON Schema of the member `result`
};

std::span<const ApiRoute> api_routes() noexcept;

// Header of an answer in CSV that row_limit has cut short: nothing in CSV could say so.
inline constexpr const char *truncated_header = "DBNet-Truncated";

// Index of the route; -1: no such path, -2: the path takes other methods, which `allowed` then lists.
int find_route(std::string_view method, std::string_view path, std::string &allowed);

// OpenAPI 3.1.
std::string openapi_document(std::string_view version);

} // namespace dbnet::gateway
