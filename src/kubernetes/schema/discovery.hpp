// What a server serves: reads /api, /apis, /api/v1, /apis/<group>/<version> and the aggregated form of the first two,
// told apart by the kind of the answer. Used by backends and the mirror worker.
//
// To discover: send discovery_request("/api") and discovery_request("/apis"); for each answer parse_discovery(); then
// request every path in `pending` and parse those answers too.
#pragma once

#include "kubernetes/api.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace dbnet::kubernetes {

struct DiscoveredKind {
    Resource resource;
    std::string singular;
    std::vector<std::string> short_names;
    std::vector<std::string> verbs;
    std::vector<std::string> categories;
    std::vector<std::string> subresources; // "status", "scale"

    bool can(std::string_view verb) const noexcept;
    bool has_subresource(std::string_view name) const noexcept;
};

struct GroupVersion {
    std::string group;
    std::string version;
    bool preferred = false;

    std::string path() const; // "/api/v1", "/apis/apps/v1"
};

struct Discovery {
    std::vector<DiscoveredKind> kinds;
    std::vector<GroupVersion> group_versions; // every version named, in the server's order of preference
    std::vector<GroupVersion> pending;        // versions whose kinds this answer does not hold

    void merge(Discovery &&other);
};

// Asks for the aggregated form; servers before 1.27 answer in the old one.
Request discovery_request(std::string_view path);

// Throws Failure when the body is none of the known kinds.
Discovery parse_discovery(std::string_view body);

// Finds a kind by apiVersion and kind. nullptr when it is not served.
const DiscoveredKind *find_kind(const Discovery &discovery, std::string_view api_version, std::string_view kind);

} // namespace dbnet::kubernetes
