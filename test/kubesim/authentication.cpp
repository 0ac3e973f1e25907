// Who sends a request, and as whom.
#include "authentication.hpp"

#include "authorization.hpp"
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
        Identity identity{request.common_name, master ? Rights::all : Rights::none, groups, false};
        identity.groups.push_back("system:authenticated");
        return identity;
    }
    std::string authorization = request.header("authorization");
    if (authorization.empty())
        return {"system:anonymous", Rights::none, {"system:unauthenticated"}, true};
    std::string_view bearer = "Bearer ";
    if (!authorization.starts_with(bearer))
        return {"system:anonymous", Rights::none, {"system:unauthenticated"}, true};
    auto it = tokens.find(authorization.substr(bearer.size()));
    if (it == tokens.end())
        throw ApiError::unauthorized();
    if (it->second == Rights::all)
        return {"kubesim-admin", Rights::all, {"system:authenticated"}, false};
    return {
        it->second == Rights::read ? "kubesim-viewer" : "kubesim-nobody", it->second, {"system:authenticated"}, false};
}

constexpr std::string_view extra_prefix = "impersonate-extra-", account_prefix = "system:serviceaccount:";
constexpr const char *own_group = "authentication.k8s.io";

std::vector<std::string> values_of(const Request &request, std::string_view name) {
    std::vector<std::string> values;
    for (const auto &[header, value] : request.impersonation)
        if (header == name)
            values.push_back(value);
    return values;
}

// One after the other as the server asks for the right to each: the user or account, groups, extra values, uid.
std::vector<Access> wanted(const Request &request) {
    std::vector<Access> list;
    const std::string user = request.header("impersonate-user");
    const size_t colon = user.find(':', account_prefix.size());
    if (user.starts_with(account_prefix) && colon != std::string::npos)
        list.push_back({"impersonate", "", "serviceaccounts", "",
                        user.substr(account_prefix.size(), colon - account_prefix.size()), user.substr(colon + 1)});
    else if (!user.empty())
        list.push_back({"impersonate", "", "users", "", "", user});
    for (const std::string &group : values_of(request, "impersonate-group"))
        list.push_back({"impersonate", "", "groups", "", "", group});
    for (const auto &[header, value] : request.impersonation)
        if (header.starts_with(extra_prefix))
            list.push_back({"impersonate", own_group, "userextras",
                            percent_decode(header.substr(extra_prefix.size()), false), "", value});
    if (const std::string uid = request.header("impersonate-uid"); !uid.empty())
        list.push_back({"impersonate", own_group, "uids", "", "", uid});
    return list;
}

// As Go prints the references that the server makes of the headers.
std::string go_form(const Access &access) {
    const std::string version = access.group.empty() ? "" : access.group + "/v1";
    const char *kind = access.resource == "groups" ? "Group" : access.resource == "uids" ? "UID" : "UserExtra";
    return "{" + std::string(kind) + "  " + access.name + "  " + version + "  " + access.subresource + "}";
}

} // namespace

Identity Authentication::identify(const Request &request) const {
    return authenticate(request, tokens);
}

std::string misused_impersonation(const Request &request) {
    if (!request.header("impersonate-user").empty())
        return {};
    std::string list;
    for (const Access &access : wanted(request))
        list += (list.empty() ? "" : " ") + go_form(access);
    return list.empty() ? "" : "requested [" + list + "] without impersonating a user";
}

Identity impersonated(const Identity &sender, const Request &request, const Authorization &authorization) {
    const std::vector<Access> list = wanted(request);
    if (list.empty())
        return sender;
    for (const Access &access : list)
        if (!authorization.allows(sender, access))
            throw ApiError::forbidden(access.group, access.resource, access.name, refusal(sender.user, access));
    Identity identity;
    identity.user = request.header("impersonate-user");
    identity.groups = values_of(request, "impersonate-group");
    identity.anonymous = identity.user == "system:anonymous";
    if (identity.groups.empty() && list.front().resource == "serviceaccounts")
        identity.groups = {"system:serviceaccounts", "system:serviceaccounts:" + list.front().name_space};
    identity.groups.push_back(identity.anonymous ? "system:unauthenticated" : "system:authenticated");
    return identity;
}

} // namespace kubesim
