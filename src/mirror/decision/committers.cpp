// Roles and the users that they are to a server (see committers.hpp). Pure C++; mirror worker.
#include "mirror/decision/committers.hpp"

#include <string_view>

#include "pg/no_postgres.hpp"

namespace dbnet::mirror {

namespace {

// The text between the two, of which the first begins at or after `from`; empty: it is not so.
std::string_view text_between(std::string_view text, std::string_view before, std::string_view after, size_t from = 0) {
    const size_t found = text.find(before, from);
    if (found == std::string_view::npos)
        return {};
    const size_t start = found + before.size(), end = text.find(after, start);
    return end == std::string_view::npos ? std::string_view() : text.substr(start, end - start);
}

} // namespace

ActsAs acts_as(const Committers &committers, uint32_t role) {
    if (!committers.is_on)
        return {};
    const auto found = committers.users.find(role);
    if (role == 0 || found == committers.users.end())
        return {nullptr, committers.is_required};
    return {found->second, found->second == nullptr};
}

std::string refusal_of_role(const std::string &role_name, const std::string &server) {
    if (role_name.empty())
        return "it is not on record who has committed the row, and server \"" + server +
               "\" is sent nothing that nobody has asked for (option impersonate). Write the row again as a role of "
               "dbnet.mapped_role.";
    return "role \"" + role_name + "\" is no user of server \"" + server +
           "\", which is sent nothing in the name of somebody else (option impersonate). Say which one it is with "
           "dbnet.map_role().";
}

// users "bob" is forbidden: User "dbnet" cannot impersonate resource "users" in API group "" at the cluster scope
std::string rule_to_impersonate(const std::string &message) {
    constexpr std::string_view verb = "\" cannot impersonate resource \"";
    const size_t cannot = message.find(verb);
    if (cannot == std::string::npos)
        return {};
    const std::string name(text_between(message, " \"", "\" is forbidden: "));
    const std::string resource(text_between(message, verb, "\"", cannot));
    const std::string group(text_between(message, "in API group \"", "\"", cannot));
    const std::string name_space(text_between(message, "in the namespace \"", "\"", cannot));
    return "{apiGroups: [\"" + group + "\"], resources: [\"" + resource + "\"], resourceNames: [\"" + name +
           "\"], verbs: [\"impersonate\"]}" + (name_space.empty() ? "" : " in namespace " + name_space);
}

} // namespace dbnet::mirror
