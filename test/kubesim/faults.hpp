// Faults a test asks for: chosen requests answered wrongly, late or not at all.
#pragma once

#include "http_message.hpp"
#include "json.hpp"

#include <optional>
#include <regex>
#include <string>
#include <vector>

namespace kubesim {

struct Fault {
    enum class Action {
        respond,       // the given status and body, the request is not carried out
        respond_after, // carried out, then the given status and body instead of the true answer
        reset_before,  // connection reset, not carried out
        reset_after,   // carried out, then connection reset
        hang,          // never answered, not carried out
        delay,         // carried out and answered, `delay_ms` later
    };
    std::string method; // "" = any
    std::regex path;    // searched in the request target, query included
    Action action = Action::respond;
    Response response;
    int delay_ms = 0;
    int64_t count = 1; // how many requests it hits; -1 = all
};

class Faults {
public:
    // From JSON: {"method", "path", "action", "status", "body", "content_type", "headers", "delay_ms", "count"}.
    // Throws std::runtime_error for anything else.
    void add(const json &description);
    void clear() { faults_.clear(); }
    // The first fault that fits, its count used up by one.
    std::optional<Fault> take(const Request &request);

private:
    std::vector<Fault> faults_;
};

} // namespace kubesim
