// What users may do: rules as those of RBAC.
#include "authorization.hpp"

#include "errors.hpp"

#include <algorithm>

namespace kubesim {

namespace {

// A list of the rule names it, or everything.
bool names_it(const json &rule, const char *list, const std::string &wanted, const std::string &all = "*") {
    const json *names = find(rule, list);
    return names && std::any_of(names->begin(), names->end(),
                                [&](const json &name) { return name == wanted || name == "*" || name == all; });
}

bool covers(const json &rule, const Access &access) {
    const std::string resource = access.resource + (access.subresource.empty() ? "" : "/" + access.subresource);
    const bool is_named = !find(rule, "resourceNames") || names_it(rule, "resourceNames", access.name, access.name);
    const bool is_inside =
        !find(rule, "namespaces") || names_it(rule, "namespaces", access.name_space, access.name_space);
    return names_it(rule, "verbs", access.verb) && names_it(rule, "apiGroups", access.group) &&
           names_it(rule, "resources", resource, access.subresource.empty() ? "*" : "*/" + access.subresource) &&
           is_named && is_inside;
}

} // namespace

std::string refusal(const std::string &user, const Access &access) {
    const std::string resource = access.resource + (access.subresource.empty() ? "" : "/" + access.subresource);
    return "User " + go_quoted(user) + " cannot " + access.verb + " resource " + go_quoted(resource) +
           " in API group " + go_quoted(access.group) +
           (access.name_space.empty() ? " at the cluster scope" : " in the namespace " + go_quoted(access.name_space));
}

void Authorization::set(Rules &rules, const json *given) {
    if (!given)
        return;
    for (const auto &[name, list] : given->items())
        if (list.is_null())
            rules.erase(name);
        else
            rules[name] = list;
}

void Authorization::set(const json &rules) {
    set(users_, find(rules, "users"));
    set(groups_, find(rules, "groups"));
}

bool Authorization::allows(const Identity &identity, const Access &access) const {
    const auto &groups = identity.groups;
    if (identity.rights == Rights::all || std::find(groups.begin(), groups.end(), "system:masters") != groups.end())
        return true;
    if (identity.rights == Rights::read && (access.verb == "get" || access.verb == "list" || access.verb == "watch"))
        return true;
    const auto allow = [&](const Rules &rules, const std::string &name) {
        const auto found = rules.find(name);
        return found != rules.end() && std::any_of(found->second.begin(), found->second.end(),
                                                   [&](const json &rule) { return covers(rule, access); });
    };
    return allow(users_, identity.user) ||
           std::any_of(groups.begin(), groups.end(), [&](const std::string &group) { return allow(groups_, group); });
}

} // namespace kubesim
