// From a request to its answer: authentication, paths, verbs, and every error turned into a Status.
#pragma once

#include "api.hpp"
#include "authentication.hpp"
#include "authorization.hpp"
#include "discovery.hpp"

namespace kubesim {

class Router {
public:
    Router(Api &api, const Kinds &kinds, const Discovery &discovery, const Authentication &authentication,
           const Authorization &authorization)
        : api_(api), kinds_(kinds), discovery_(discovery), authentication_(authentication),
          authorization_(authorization) {}

    Response answer(const Request &request);
    bool ready = true; // what /readyz says

private:
    Response dispatch(const Request &request);
    Response health(const Request &request) const;
    Response access_review(const Request &request, const Identity &identity) const;
    bool resolve(const Request &request, Target &target) const;
    void authorise(const Identity &identity, const std::string &verb, const Target &target) const;

    Api &api_;
    const Kinds &kinds_;
    const Discovery &discovery_;
    const Authentication &authentication_;
    const Authorization &authorization_;
};

Response error_response(const ApiError &error);

} // namespace kubesim
