// What a kind most likely is on a server that nobody can ask: resource name and scope, from Kubernetes' own kinds and
// from its naming rule. Pure C++; backends (mirrors of offline servers).
#pragma once

#include "kubernetes/api.hpp"

#include <string_view>

namespace dbnet::kubernetes {

// `has_namespace`: what is known of its objects tells of namespaces; decides for kinds that Kubernetes itself does not
// have. Throws Failure on a malformed api_version or kind.
Resource assumed_resource(std::string_view api_version, std::string_view kind, bool has_namespace);

} // namespace dbnet::kubernetes
