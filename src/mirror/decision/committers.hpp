// As whom what a role has committed goes to a server that is to know who asked: option impersonate of the server and
// dbnet.mapped_role. Pure C++; mirror worker.
#pragma once

#include "kubernetes/impersonation.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace dbnet::mirror {

struct Committers {
    bool is_on = false;
    bool is_required = false; // what other roles have committed is not sent
    // By role; nullptr: one that no request can name, and nothing of the role is sent.
    std::map<uint32_t, std::shared_ptr<const kubernetes::Impersonation>> users;
};

struct ActsAs {
    std::shared_ptr<const kubernetes::Impersonation> user; // nullptr: as who the credentials are
    bool is_refused = false;                               // nothing is sent
};

// `role` 0: nobody knows who has committed it.
ActsAs acts_as(const Committers &committers, uint32_t role);

// What is said of a refusal, and what dbnet.object.reason is then. `role_name` empty: nobody knows.
std::string refusal_of_role(const std::string &role_name, const std::string &server);
inline constexpr const char *role_not_mapped = "RoleNotMapped";

// Of the server's words when it does not let the credentials act as the user: the RBAC rule that would; empty: they say
// something else. And what dbnet.object.reason is then.
std::string rule_to_impersonate(const std::string &message);
inline constexpr const char *impersonation_refused = "ImpersonationRefused";

} // namespace dbnet::mirror
