// As whom a request is made where that is not who the credentials are: the headers by which an API server is asked to
// take one user for another, which its own RBAC must allow (verb impersonate). Plain data, compared by value. Pure C++;
// used by the mirror worker and by backends.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dbnet::kubernetes {

struct Impersonation {
    std::string user; // empty: nobody, and nothing else is set
    std::string uid;
    std::vector<std::string> groups;                       // none: those that every user has, or the service account
    std::map<std::string, std::vector<std::string>> extra; // servers take the keys in lower case

    bool operator==(const Impersonation &) const = default;
    bool is_nobody() const noexcept { return user.empty() && uid.empty() && groups.empty() && extra.empty(); }
};

// Throws Failure for what no header can hold or a server would answer 500: anything without a user, line breaks and
// other control characters, space at either end, nothing at all where a name should be.
void validate(const Impersonation &impersonation);

// Header lines, each group and value of extra one of its own. Of a valid one.
std::vector<std::string> impersonation_headers(const Impersonation &impersonation);

// A key of extra as part of a header's name: bytes that none may have, and '%', are percent-encoded.
std::string header_key(std::string_view key);

} // namespace dbnet::kubernetes
