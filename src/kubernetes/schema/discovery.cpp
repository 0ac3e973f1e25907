// Discovery documents; see the header. Runs in backends and in the mirror worker.
#include "kubernetes/schema/discovery.hpp"

#include "kubernetes/json_access.hpp"

#include <algorithm>
#include <iterator>

namespace dbnet::kubernetes {
namespace {

using nlohmann::json;

DiscoveredKind kind_from(const json &entry, const GroupVersion &served) {
    DiscoveredKind kind;
    kind.resource.group = served.group;
    kind.resource.version = served.version;
    kind.short_names = texts_member(&entry, "shortNames");
    kind.verbs = texts_member(&entry, "verbs");
    kind.categories = texts_member(&entry, "categories");
    return kind;
}

// {"kind":"APIVersions","versions":["v1"]} of /api.
Discovery core_versions(const json &document) {
    Discovery discovery;
    for (std::string &version : texts_member(&document, "versions"))
        if (!version.empty())
            discovery.group_versions.push_back({"", std::move(version), discovery.group_versions.empty()});
    discovery.pending = discovery.group_versions;
    return discovery;
}

// APIGroupList of /apis.
Discovery groups(const json &document) {
    Discovery discovery;
    const json *list = array_member(&document, "groups");
    if (list == nullptr)
        return discovery;
    for (const json &group : *list) {
        const std::string name = text_member(&group, "name");
        const std::string preferred = text_member(member(&group, "preferredVersion"), "version");
        const json *versions = array_member(&group, "versions");
        if (name.empty() || versions == nullptr)
            continue;
        for (const json &version : *versions)
            if (std::string text = text_member(&version, "version"); !text.empty())
                discovery.group_versions.push_back({name, text, text == preferred});
    }
    discovery.pending = discovery.group_versions;
    return discovery;
}

// APIResourceList of one group version: subresources are entries called "plural/name".
Discovery resources(const json &document) {
    Discovery discovery;
    const auto [group, version] = split_api_version(text_member(&document, "groupVersion"));
    const GroupVersion served{group, version};
    const json *list = array_member(&document, "resources");
    if (list == nullptr)
        return discovery;
    std::vector<std::string> subresources;
    for (const json &entry : *list) {
        const std::string name = text_member(&entry, "name");
        if (name.find('/') != std::string::npos) {
            subresources.push_back(name);
            continue;
        }
        DiscoveredKind kind = kind_from(entry, served);
        kind.resource.plural = name;
        kind.resource.kind = text_member(&entry, "kind");
        kind.resource.namespaced = bool_member(&entry, "namespaced");
        kind.singular = text_member(&entry, "singularName");
        if (!name.empty() && !kind.resource.kind.empty())
            discovery.kinds.push_back(std::move(kind));
    }
    for (const std::string &name : subresources) {
        const size_t slash = name.find('/');
        for (DiscoveredKind &kind : discovery.kinds)
            if (name.compare(0, slash, kind.resource.plural) == 0)
                kind.subresources.push_back(name.substr(slash + 1));
    }
    return discovery;
}

void add_aggregated_kinds(const json &list, const GroupVersion &served, std::vector<DiscoveredKind> &kinds) {
    for (const json &entry : list) {
        DiscoveredKind kind = kind_from(entry, served);
        kind.resource.plural = text_member(&entry, "resource");
        kind.resource.kind = text_member(member(&entry, "responseKind"), "kind");
        kind.resource.namespaced = text_member(&entry, "scope") == "Namespaced";
        kind.singular = text_member(&entry, "singularResource");
        if (const json *subresources = array_member(&entry, "subresources"))
            for (const json &subresource : *subresources)
                kind.subresources.push_back(text_member(&subresource, "subresource"));
        if (!kind.resource.plural.empty() && !kind.resource.kind.empty())
            kinds.push_back(std::move(kind));
    }
}

// APIGroupDiscoveryList: everything in one answer. A version whose server did not answer the aggregator is marked stale
// and comes with old kinds or none; it is asked for again by itself.
Discovery aggregated(const json &document) {
    Discovery discovery;
    const json *items = array_member(&document, "items");
    if (items == nullptr)
        return discovery;
    for (const json &group : *items) {
        const std::string name = text_member(member(&group, "metadata"), "name");
        const json *versions = array_member(&group, "versions");
        if (versions == nullptr)
            continue;
        bool first = true; // the order is the order of preference
        for (const json &entry : *versions) {
            GroupVersion served{name, text_member(&entry, "version"), first};
            if (served.version.empty())
                continue;
            first = false;
            const json *list = array_member(&entry, "resources");
            if (list == nullptr || text_member(&entry, "freshness") == "Stale")
                discovery.pending.push_back(served);
            else
                add_aggregated_kinds(*list, served, discovery.kinds);
            discovery.group_versions.push_back(std::move(served));
        }
    }
    return discovery;
}

template<class T> void append(std::vector<T> &to, std::vector<T> &&from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

} // namespace

bool DiscoveredKind::can(std::string_view verb) const noexcept {
    return std::find(verbs.begin(), verbs.end(), verb) != verbs.end();
}

bool DiscoveredKind::has_subresource(std::string_view name) const noexcept {
    return std::find(subresources.begin(), subresources.end(), name) != subresources.end();
}

std::string GroupVersion::path() const {
    return group.empty() ? "/api/" + percent_encode(version)
                         : "/apis/" + percent_encode(group) + '/' + percent_encode(version);
}

void Discovery::merge(Discovery &&other) {
    append(kinds, std::move(other.kinds));
    append(group_versions, std::move(other.group_versions));
    append(pending, std::move(other.pending));
}

Request discovery_request(std::string_view path) {
    const bool whole = path == "/api" || path == "/apis";
    return path_request(path, whole ? "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
                                      "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
                                      "application/json"
                                    : "application/json");
}

Discovery parse_discovery(std::string_view body) {
    const json document = parse_json(body);
    const std::string kind = text_member(&document, "kind");
    if (kind == "APIGroupDiscoveryList")
        return aggregated(document);
    if (kind == "APIResourceList")
        return resources(document);
    if (kind == "APIGroupList")
        return groups(document);
    if (kind == "APIVersions")
        return core_versions(document);
    throw Failure("the server's answer is no discovery document: " + std::string(body.substr(0, 200)),
                  "Check that the URL is that of a Kubernetes API server.");
}

const DiscoveredKind *find_kind(const Discovery &discovery, std::string_view api_version, std::string_view kind) {
    for (const DiscoveredKind &candidate : discovery.kinds)
        if (candidate.resource.kind == kind && candidate.resource.api_version() == api_version)
            return &candidate;
    return nullptr;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
