// What users may do: rules as those of RBAC, given by tests (/_sim/rules) in place of Roles and bindings.
#pragma once

#include "authentication.hpp"
#include "json.hpp"

#include <map>
#include <string>
#include <vector>

namespace kubesim {

// What is asked for, as an authoriser sees it.
struct Access {
    std::string verb;
    std::string group;
    std::string resource;
    std::string subresource;
    std::string name_space; // empty: the cluster, or all of them
    std::string name;
};

// "User "bob" cannot list resource "configmaps" in API group "" in the namespace "rec"".
std::string refusal(const std::string &user, const Access &access);

class Authorization {
public:
    // {"users": {"NAME": [rule, …] | null}, "groups": {…}}; a rule is one of a ClusterRole, or with "namespaces" of
    // Roles.
    void set(const json &rules);
    bool allows(const Identity &identity, const Access &access) const;

private:
    using Rules = std::map<std::string, json>;
    static void set(Rules &rules, const json *given);

    Rules users_, groups_;
};

} // namespace kubesim
