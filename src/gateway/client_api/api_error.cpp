// Errors of the client API (see api_error.hpp).
#include "gateway/client_api/api_error.hpp"

#include <nlohmann/json.hpp>

namespace dbnet::gateway {
namespace {

struct Mapping {
    std::string_view start; // of the SQLSTATE; the first that fits counts
    int status;
};

constexpr Mapping mappings[] = {
    {"08", 503},    {"09", 500},    {"0L", 403},    {"0P", 403},    {"23503", 409}, {"23505", 409}, {"23P01", 409},
    {"25006", 403}, // a write in a read-only transaction
    {"25", 400},    {"28", 403},    {"38", 500},    {"39", 500},    {"3B", 500},    {"3D000", 404}, {"3F000", 404},
    {"40", 503}, // deadlock, serialization: try again
    {"42501", 403}, {"42704", 404}, {"42883", 404}, {"42P01", 404}, {"42703", 400}, {"42710", 409}, {"42P03", 409},
    {"42P04", 409}, {"42P05", 409}, {"42P06", 409}, {"42P07", 409}, {"42723", 409}, {"53", 503},    {"54", 400},
    {"55P03", 503}, // a lock is not to be had
    {"55", 409},    {"57014", 504}, {"57", 503},    {"58", 500},    {"F0", 500},    {"HV", 500},    {"XX", 500},
};

} // namespace

int http_status(std::string_view sqlstate) noexcept {
    if (sqlstate.size() == 5 && sqlstate.starts_with("PT")) {
        int status = 0;
        for (const char c : sqlstate.substr(2))
            status = c >= '0' && c <= '9' ? status * 10 + (c - '0') : 1000;
        return status >= 400 && status <= 599 ? status : 500;
    }
    for (const Mapping &mapping : mappings)
        if (sqlstate.starts_with(mapping.start))
            return mapping.status;
    return 400;
}

std::string error_body(const ApiError &error) {
    nlohmann::ordered_json fields;
    const auto add = [&](const char *name, const std::string &value) {
        if (!value.empty())
            fields[name] = value;
    };
    add("sqlstate", error.sqlstate);
    add("message", error.message);
    add("detail", error.detail);
    add("hint", error.hint);
    if (error.position > 0)
        fields["position"] = error.position;
    add("statement", error.statement);
    add("context", error.context);
    nlohmann::ordered_json body;
    body["error"] = std::move(fields);
    return body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

} // namespace dbnet::gateway

#include "pg/no_postgres.hpp"
