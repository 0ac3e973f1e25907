// Discovery, version and OpenAPI documents.
#include "discovery.hpp"

#include "file.hpp"

#include <openssl/sha.h>

namespace kubesim {

namespace {

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

json resource(const char *name, const char *kind, json verbs) {
    return {{"name", name}, {"singularName", ""}, {"namespaced", false}, {"kind", kind}, {"verbs", std::move(verbs)}};
}

} // namespace

void Discovery::load(const std::string &directory, Schemas &schemas, Kinds &kinds) {
    json core = json::parse(read_file(directory + "/discovery_api_v1.json"));
    json schema = json::parse(read_file(directory + "/openapi_api_v1.json"));
    schemas.load(schema);
    kinds.load(core, schemas);
    std::string text = dump(schema);
    openapi_["api/v1"] = {text, sha512(text)};

    documents_["/api/v1"] = dump(core);
    documents_["/version"] = json::parse(read_file(directory + "/version.json")).dump(2);
    json addresses = json::array({{{"clientCIDR", "0.0.0.0/0"}, {"serverAddress", "127.0.0.1:6443"}}});
    documents_["/api"] =
        dump({{"kind", "APIVersions"}, {"versions", {"v1"}}, {"serverAddressByClientCIDRs", addresses}});
    json version = {{"groupVersion", "authorization.k8s.io/v1"}, {"version", "v1"}};
    json group = {
        {"name", "authorization.k8s.io"}, {"versions", json::array({version})}, {"preferredVersion", version}};
    documents_["/apis"] = dump({{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", json::array({group})}});
    group["kind"] = "APIGroup";
    group["apiVersion"] = "v1";
    documents_["/apis/authorization.k8s.io"] = dump(group);
    documents_["/apis/authorization.k8s.io/v1"] = dump(
        {{"kind", "APIResourceList"},
         {"apiVersion", "v1"},
         {"groupVersion", "authorization.k8s.io/v1"},
         {"resources", json::array({resource("selfsubjectaccessreviews", "SelfSubjectAccessReview", {"create"})})}});

    json paths = json::object();
    for (const auto &[path, document] : openapi_)
        paths[path] = {{"serverRelativeURL", "/openapi/v3/" + path + "?hash=" + document.hash}};
    openapi_index_ = dump({{"paths", paths}});
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
