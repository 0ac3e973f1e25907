// Discovery, version and OpenAPI documents.
#include "discovery.hpp"

#include "file.hpp"
#include "protobuf.hpp"

#include <algorithm>
#include <cstring>
#include <openssl/sha.h>
#include <tuple>

namespace kubesim {

namespace {

const std::string group_prefix = "apis/";

std::string sha512(const std::string &text) {
    unsigned char digest[SHA512_DIGEST_LENGTH];
    SHA512(reinterpret_cast<const unsigned char *>(text.data()), text.size(), digest);
    std::string out;
    char hex[3];
    for (unsigned char byte : digest) {
        snprintf(hex, sizeof hex, "%02X", byte);
        out += hex;
    }
    return out;
}

// v2 comes before v1, and v1 before v2beta1 and v2alpha1; other names come last.
std::tuple<int, int, int> maturity(const std::string &version) {
    int major = 0, minor = 0;
    char stage[6] = "";
    const int parts = sscanf(version.c_str(), "v%d%5[a-z]%d", &major, stage, &minor);
    if (parts < 1)
        return {0, 0, 0};
    return {parts == 1 ? 3 : std::string(stage) == "beta" ? 2 : 1, major, minor};
}

// Adds to a document's schemas those of the core group that `part` refers to: each is on disk once.
void complete(json &schemas, const json &part, const json &core) {
    if (const json *reference = find(part, "$ref"); reference && reference->is_string()) {
        const std::string name = reference->get<std::string>().substr(strlen("#/components/schemas/"));
        if (!schemas.contains(name) && core.contains(name)) {
            schemas[name] = core.at(name);
            complete(schemas, core.at(name), core);
        }
    }
    if (part.is_structured())
        for (const auto &member : part)
            complete(schemas, member, core);
}

} // namespace

void Discovery::set(const std::string &name, const json &resources, const json &openapi) {
    documents_["/" + name] = dump(resources);
    if (!openapi.is_null()) {
        std::string text = dump(openapi);
        std::string hash = sha512(text);
        openapi_[name] = {std::move(text), std::move(hash)};
    }
    const std::string group_version = name.starts_with(group_prefix) ? name.substr(group_prefix.size()) : "";
    if (!group_version.empty() &&
        std::find(group_versions_.begin(), group_versions_.end(), group_version) == group_versions_.end())
        group_versions_.push_back(group_version);
    list_groups();
}

void Discovery::remove(const std::string &name) {
    documents_.erase("/" + name);
    openapi_.erase(name);
    const std::string group_version = name.substr(group_prefix.size());
    documents_.erase("/apis/" + group_version.substr(0, group_version.find('/')));
    std::erase(group_versions_, group_version);
    list_groups();
}

// What follows from the group versions there are.
void Discovery::list_groups() {
    json groups = json::array();
    for (const auto &group_version : group_versions_) {
        const size_t slash = group_version.find('/');
        const std::string name = group_version.substr(0, slash);
        const json version = {{"groupVersion", group_version}, {"version", group_version.substr(slash + 1)}};
        auto group = std::find_if(groups.begin(), groups.end(), [&](const json &one) { return one["name"] == name; });
        if (group == groups.end())
            groups.push_back({{"name", name}, {"versions", json::array({version})}});
        else
            (*group)["versions"].push_back(version);
    }
    for (auto &group : groups) {
        std::sort(group["versions"].begin(), group["versions"].end(), [](const json &a, const json &b) {
            return maturity(text_of(a, "version")) > maturity(text_of(b, "version"));
        });
        group["preferredVersion"] = group["versions"][0];
    }
    for (json group : groups) {
        group["kind"] = "APIGroup";
        group["apiVersion"] = "v1";
        documents_["/apis/" + text_of(group, "name")] = dump(group);
    }
    documents_["/apis"] = dump({{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", groups}});
    json paths = json::object();
    for (const auto &[path, document] : openapi_)
        paths[path] = {{"serverRelativeURL", "/openapi/v3/" + path + "?hash=" + document.hash}};
    openapi_index_ = dump({{"paths", paths}});
}

void Discovery::load(const std::string &directory, Schemas &schemas, Kinds &kinds) {
    load_protobuf_fields(json::parse(read_file(directory + "/protobuf_fields.json")));
    schemas.load_pointers(json::parse(read_file(directory + "/pointer_fields.json")));
    json core;
    for (const char *name :
         {"api_v1", "apis_apps_v1", "apis_events.k8s.io_v1", "apis_authorization.k8s.io_v1", "apis_autoscaling_v2",
          "apis_autoscaling_v1", "apis_batch_v1", "apis_policy_v1", "apis_apiextensions.k8s.io_v1",
          "apis_coordination.k8s.io_v1", "apis_discovery.k8s.io_v1"}) {
        const json resources = json::parse(read_file(directory + "/discovery_" + name + ".json"));
        json openapi = json::parse(read_file(directory + "/openapi_" + name + ".json"));
        if (core.is_null())
            core = openapi.at("components").at("schemas");
        else
            complete(openapi["components"]["schemas"], json(openapi), core);
        schemas.load(openapi);
        kinds.load(resources, schemas);
        std::string path = name;
        std::replace(path.begin(), path.end(), '_', '/');
        set(path, resources, openapi);
    }
    documents_["/version"] = json::parse(read_file(directory + "/version.json")).dump(2);
    json addresses = json::array({{{"clientCIDR", "0.0.0.0/0"}, {"serverAddress", "127.0.0.1:6443"}}});
    documents_["/api"] =
        dump({{"kind", "APIVersions"}, {"versions", {"v1"}}, {"serverAddressByClientCIDRs", addresses}});
}

bool Discovery::answer(const Request &request, Response &response) const {
    std::string path = request.path;
    if (path.size() > 1 && path.ends_with('/'))
        path.pop_back();
    if (auto it = documents_.find(path); it != documents_.end()) {
        response.body = it->second;
        return true;
    }
    if (path == "/openapi/v3") {
        response.body = openapi_index_;
        return true;
    }
    const std::string prefix = "/openapi/v3/";
    if (!path.starts_with(prefix))
        return false;
    auto it = openapi_.find(path.substr(prefix.size()));
    if (it == openapi_.end())
        return false;
    // A wrong hash is sent on to the right one, as a real server does.
    if (request.has_parameter("hash") && request.parameter("hash") != it->second.hash) {
        response.status = 301;
        response.headers.emplace_back("Location", path + "?hash=" + it->second.hash);
        return true;
    }
    response.headers.emplace_back("Etag", "\"" + it->second.hash + "\"");
    response.content_type = "text/plain; charset=utf-8"; // a real server sends no better type here
    response.body = it->second.body;
    return true;
}

} // namespace kubesim
