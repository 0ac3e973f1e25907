// Who sends a request and what they may do.
#include "authentication.hpp"

#include "errors.hpp"

#include <algorithm>

namespace kubesim {

namespace {

Identity authenticate(const Request &request, const std::map<std::string, Rights> &tokens) {
    // An expired or foreign certificate is no TLS failure: the API answers 401.
    if (request.has_certificate && !request.certificate_valid)
        throw ApiError::unauthorized();
    if (request.has_certificate) {
        const auto &groups = request.organisations;
        bool master = std::find(groups.begin(), groups.end(), "system:masters") != groups.end();
        return {request.common_name, master ? Rights::all : Rights::none, false};
    }
    std::string authorization = request.header("authorization");
    if (authorization.empty())
        return {"system:anonymous", Rights::none, true};
    std::string_view bearer = "Bearer ";
    if (!authorization.starts_with(bearer))
        return {"system:anonymous", Rights::none, true};
    auto it = tokens.find(authorization.substr(bearer.size()));
    if (it == tokens.end())
        throw ApiError::unauthorized();
    if (it->second == Rights::all)
        return {"kubesim-admin", Rights::all, false};
    return {it->second == Rights::read ? "kubesim-viewer" : "kubesim-nobody", it->second, false};
}

} // namespace

Identity Authentication::identify(const Request &request) const {
    Identity identity = authenticate(request, tokens);
    std::string wanted = request.header("impersonate-user");
    std::string groups = request.header("impersonate-group");
    if (wanted.empty()) {
        if (!groups.empty())
            throw ApiError::internal("requested [{Group    " + groups + "  }] without impersonating a user");
        return identity;
    }
    if (identity.rights != Rights::all)
        throw ApiError::forbidden("", "users", wanted,
                                  "User " + go_quoted(identity.user) +
                                      " cannot impersonate resource \"users\" in API group \"\" at the cluster scope");
    bool master = groups.find("system:masters") != std::string::npos;
    return {wanted, master ? Rights::all : Rights::none, wanted == "system:anonymous"};
}

} // namespace kubesim
