// What a server serves, asked from a user's backend: discovery, one kind, its schema. Runs in backends.
#pragma once

#include "kubernetes/schema/discovery.hpp"
#include "kubernetes/schema/openapi.hpp"
#include "mirror/server/client_session.hpp"

#include <string_view>

namespace dbnet::mirror {

// Every kind of every version. A group that does not answer (an aggregated API that is down) is left out with a
// WARNING; a server that does not answer raises an error.
kubernetes::Discovery discover(ClientSession &session);

bool is_preferred(const kubernetes::Discovery &discovery, const kubernetes::DiscoveredKind &kind);

// One kind, with one request. Throws pg::error with the nearest kinds in its hint when it is not served or cannot be
// mirrored (no list, no watch).
kubernetes::DiscoveredKind find_kind(ClientSession &session, std::string_view server, std::string_view api_version,
                                     std::string_view kind);

kubernetes::Schema find_schema(ClientSession &session, const kubernetes::Resource &resource);

} // namespace dbnet::mirror
