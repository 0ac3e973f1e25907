// Who sends a request, and as whom.
#pragma once

#include "http_message.hpp"

#include <map>
#include <string>
#include <vector>

namespace kubesim {

enum class Rights { none, read, all };

struct Identity {
    std::string user;
    Rights rights = Rights::none; // beside those of rules
    std::vector<std::string> groups;
    bool anonymous = false;
};

class Authorization;

class Authentication {
public:
    // Bearer tokens and what their bearers may do. The first all-rights token belongs to "kubesim-admin".
    std::map<std::string, Rights> tokens;

    // Client certificate, else token, else anonymous. Throws ApiError 401.
    Identity identify(const Request &request) const;
};

// Whom the request's headers of impersonation name, or who sends it when there are none. Throws ApiError 403.
Identity impersonated(const Identity &sender, const Request &request, const Authorization &authorization);

// What is answered when they name nobody to begin with; empty: they do.
std::string misused_impersonation(const Request &request);

} // namespace kubesim
