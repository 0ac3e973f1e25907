// What a server serves (see served_kinds.hpp); backends.
#include "mirror/server/served_kinds.hpp"

#include "kubernetes/api.hpp"
#include "kubernetes/failure.hpp"
#include "mirror/definition/column_map.hpp"

#include <algorithm>

namespace dbnet::mirror {
namespace {

using kubernetes::DiscoveredKind;
using kubernetes::Discovery;

// What the client says of an answer that it cannot read.
template<class F> auto reading(F &&f) {
    try {
        return f();
    } catch (const kubernetes::Failure &failure) {
        throw pg::error(ERRCODE_FDW_ERROR, failure.what()).hint(failure.hint());
    }
}

std::string kinds_hint(std::string_view server) {
    return "SELECT api_version, kind FROM dbnet.kinds('" + std::string(server) + "'); lists what the server serves.";
}

} // namespace

Discovery discover(ClientSession &session) {
    Discovery all;
    for (const char *path : {"/api", "/apis"}) {
        const std::string body = session.body_of(kubernetes::discovery_request(path));
        all.merge(reading([&] { return kubernetes::parse_discovery(body); }));
    }
    const std::vector<kubernetes::GroupVersion> pending = std::move(all.pending);
    all.pending.clear();
    std::vector<kubernetes::Request> requests;
    for (const kubernetes::GroupVersion &version : pending)
        requests.push_back(kubernetes::discovery_request(version.path()));
    const std::vector<kubernetes::Response> responses = session.ask_all(std::move(requests));
    for (size_t i = 0; i < responses.size(); i++) {
        const kubernetes::Outcome outcome = kubernetes::classify(responses[i]);
        if (outcome)
            all.merge(reading([&] { return kubernetes::parse_discovery(responses[i].body); }));
        else
            pg::warning(ERRCODE_CONNECTION_FAILURE,
                        "the server does not say what " + pending[i].path() + " serves: " + outcome.message);
    }
    return all;
}

bool is_preferred(const Discovery &discovery, const DiscoveredKind &kind) {
    return std::ranges::any_of(discovery.group_versions, [&](const kubernetes::GroupVersion &version) {
        return version.preferred && version.group == kind.resource.group && version.version == kind.resource.version;
    });
}

DiscoveredKind find_kind(ClientSession &session, std::string_view server, std::string_view api_version,
                         std::string_view kind) {
    kubernetes::GroupVersion version;
    try {
        std::tie(version.group, version.version) = kubernetes::split_api_version(api_version);
    } catch (const kubernetes::Failure &failure) {
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, failure.what())
            .hint("It looks like v1 or apps/v1. " + kinds_hint(server));
    }
    const kubernetes::Response response = session.ask(kubernetes::discovery_request(version.path()));
    const kubernetes::Outcome outcome = kubernetes::classify(response);
    if (outcome.status == 404)
        throw pg::error(ERRCODE_UNDEFINED_OBJECT,
                        "server \"" + std::string(server) + "\" does not serve " + std::string(api_version))
            .hint(kinds_hint(server));
    if (!outcome)
        session.refuse(outcome, version.path());
    const Discovery discovery = reading([&] { return kubernetes::parse_discovery(response.body); });
    const DiscoveredKind *found = kubernetes::find_kind(discovery, api_version, kind);
    if (!found) {
        std::vector<std::string> names;
        for (const DiscoveredKind &other : discovery.kinds)
            names.push_back(other.resource.kind);
        const std::string near = nearest(kind, names);
        throw pg::error(ERRCODE_UNDEFINED_OBJECT, "server \"" + std::string(server) + "\" has no kind \"" +
                                                      std::string(kind) + "\" in " + std::string(api_version))
            .hint((near.empty() ? "" : "Perhaps you meant " + near + ". ") + kinds_hint(server));
    }
    for (const char *verb : {"list", "watch"})
        if (!found->can(verb))
            throw pg::error(ERRCODE_FEATURE_NOT_SUPPORTED,
                            "kind \"" + std::string(kind) + "\" cannot be mirrored: it has no verb \"" + verb + "\"")
                .hint("SELECT * FROM dbnet.kinds('" + std::string(server) +
                      "') WHERE verbs @> '{list,watch}'; lists the kinds that can.");
    return *found;
}

kubernetes::Schema find_schema(ClientSession &session, const kubernetes::Resource &resource) {
    const std::string index = session.body_of(kubernetes::path_request("/openapi/v3"));
    const std::string path = reading([&] { return kubernetes::openapi_path(index, resource.group, resource.version); });
    if (path.empty())
        throw pg::error(ERRCODE_FEATURE_NOT_SUPPORTED,
                        "the server publishes no OpenAPI v3 document of " + resource.api_version())
            .hint("DBNet checks columns against it; Kubernetes has it since 1.24.");
    // Without the index's hash, which is that of the former document for a moment after a change: asked for that, the
    // server answers 301.
    kubernetes::Request request = kubernetes::path_request(path.substr(0, path.find('?')));
    request.compressed = true;
    const std::string body = session.body_of(std::move(request));
    return reading([&] {
        return kubernetes::OpenApiDocument::parse(body).schema(resource.group, resource.version, resource.kind);
    });
}

} // namespace dbnet::mirror
