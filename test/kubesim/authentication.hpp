// Who sends a request and what they may do.
#pragma once

#include "http_message.hpp"

#include <map>
#include <string>

namespace kubesim {

enum class Rights { none, read, all };

struct Identity {
    std::string user;
    Rights rights = Rights::none;
    bool anonymous = false;
};

class Authentication {
public:
    // Bearer tokens and what their bearers may do. The first all-rights token belongs to "kubesim-admin".
    std::map<std::string, Rights> tokens;

    // Client certificate, else token, else anonymous; then impersonation. Throws ApiError 401 or 403.
    Identity identify(const Request &request) const;
};

} // namespace kubesim
