// From a request to its answer: authentication, paths, verbs, and every error turned into a Status.
#include "router.hpp"

#include "body_parser.hpp"
#include "protobuf.hpp"

#include <algorithm>

namespace kubesim {

namespace {

std::vector<std::string> path_parts(const std::string &path) {
    std::vector<std::string> out;
    for (size_t at = 1; at <= path.size();) {
        size_t end = std::min(path.find('/', at), path.size());
        if (end > at)
            out.push_back(path.substr(at, end - at));
        at = end + 1;
    }
    return out;
}

Response plain(int status, const std::string &text) {
    Response response;
    response.status = status;
    response.content_type = "text/plain; charset=utf-8";
    response.body = text;
    return response;
}

std::string verb_of(const Request &request, const Target &target) {
    bool collection = target.name.empty();
    if (request.method == "GET" || request.method == "HEAD") {
        if (target.watch_path || (collection && request.flag("watch")))
            return "watch";
        return collection ? "list" : "get";
    }
    if (request.method == "POST")
        return "create";
    if (request.method == "PUT")
        return "update";
    if (request.method == "PATCH")
        return "patch";
    if (request.method != "DELETE")
        return request.method; // no verb of a resource: not allowed
    return collection ? "deletecollection" : "delete";
}

} // namespace

Response error_response(const ApiError &error) {
    Response response;
    response.status = error.code();
    response.body = dump(error.body());
    if (error.retry_after())
        response.headers.emplace_back("Retry-After", std::to_string(error.retry_after()));
    return response;
}

Response Router::answer(const Request &request) {
    try {
        return dispatch(request);
    } catch (const ApiError &error) {
        return error_response(error);
    } catch (const json::exception &error) {
        // A bug of the simulator: say so instead of dying in the middle of somebody's test.
        return error_response(ApiError::internal(std::string("simulator: ") + error.what()));
    }
}

Response Router::health(const Request &request) const {
    bool healthy = ready || request.path == "/livez";
    return plain(healthy ? 200 : 500, healthy ? "ok" : "[-]etcd failed: reason withheld\nhealthz check failed\n");
}

Response Router::access_review(const Request &request, const Identity &identity) const {
    ParsedBody parsed;
    if (request.header("content-type") == "application/vnd.kubernetes.protobuf")
        parsed.value = decode_protobuf(request.body, kinds_.review_type());
    else
        parsed = parse_json_body(request.body);
    if (!parsed.error.empty() || !parsed.value.is_object())
        throw ApiError::bad_request("the object provided is unrecognized (must be of type SelfSubjectAccessReview): "
                                    "couldn't get version/kind; json parse error: " +
                                    parsed.error);
    const json *spec = find(parsed.value, "spec");
    // Everybody with a name may look at paths that are no resources: versions, discovery, health.
    const json *path = spec ? find(*spec, "nonResourceAttributes") : nullptr;
    const json *attributes = path ? path : spec ? find(*spec, "resourceAttributes") : nullptr;
    const std::string verb = attributes ? text_of(*attributes, "verb") : "";
    Access access;
    if (attributes)
        access = {verb,
                  text_of(*attributes, "group"),
                  text_of(*attributes, "resource"),
                  text_of(*attributes, "subresource"),
                  text_of(*attributes, "namespace"),
                  text_of(*attributes, "name")};
    const bool may = path && verb == "get" ? !identity.anonymous : authorization_.allows(identity, access);
    json review = {{"kind", "SelfSubjectAccessReview"},
                   {"apiVersion", "authorization.k8s.io/v1"},
                   {"metadata", {{"creationTimestamp", nullptr}}},
                   {"spec", spec ? *spec : json::object()},
                   {"status", {{"allowed", may}}}};
    json fields = json::object();
    if (attributes) {
        json &inside = fields["f:spec"][path ? "f:nonResourceAttributes" : "f:resourceAttributes"];
        inside["."] = json::object();
        for (const auto &[name, value] : attributes->items())
            inside["f:" + name] = json::object();
    }
    std::string agent = request.header("user-agent");
    review["metadata"]["managedFields"] = json::array({{{"manager", agent.substr(0, agent.find('/'))},
                                                        {"operation", "Update"},
                                                        {"apiVersion", "authorization.k8s.io/v1"},
                                                        {"time", rfc3339_now()},
                                                        {"fieldsType", "FieldsV1"},
                                                        {"fieldsV1", fields}}});
    Response response;
    response.status = 201;
    response.body = dump(review);
    return response;
}

bool Router::resolve(const Request &request, Target &target) const {
    auto parts = path_parts(request.path);
    std::string group, version;
    if (parts.size() >= 2 && parts[0] == "api") {
        version = parts[1];
        parts.erase(parts.begin(), parts.begin() + 2);
    } else if (parts.size() >= 3 && parts[0] == "apis") {
        group = parts[1];
        version = parts[2];
        parts.erase(parts.begin(), parts.begin() + 3);
    } else {
        return false;
    }
    bool served = std::any_of(kinds_.all().begin(), kinds_.all().end(), [&](const Kind &kind) {
        return kind.group == group && kind.version == version && !kind.gone;
    });
    if (!served || parts.empty())
        return false;
    auto no_such_resource = [] {
        return ApiError::generic(404, "NotFound", "the server could not find the requested resource");
    };
    if (parts[0] == "watch") {
        target.watch_path = true;
        parts.erase(parts.begin());
    }
    // /namespaces/N/… is inside a namespace, unless what follows is a subresource of the namespace itself.
    const Kind *namespaces = kinds_.by_kind("", "Namespace");
    if (parts.size() >= 3 && parts[0] == "namespaces" && !namespaces->verbs.contains(parts[2])) {
        target.name_space = parts[1];
        parts.erase(parts.begin(), parts.begin() + 2);
    }
    target.kind = parts.empty() ? nullptr : kinds_.by_plural(group, version, parts[0]);
    if (!target.kind || parts.size() > 3)
        throw no_such_resource();
    if (parts.size() > 1)
        target.name = parts[1];
    std::string wrong = target.name == "." || target.name == ".."    ? "may not be '" + target.name + "'"
                        : target.name.find('%') != std::string::npos ? "may not contain '%'"
                                                                     : "";
    if (!wrong.empty())
        throw ApiError::bad_request("Name parameter invalid: " + go_quoted(target.name) + ": " + wrong);
    if (parts.size() > 2)
        target.subresource = parts[2];
    if (!target.kind->verbs.contains(target.subresource) || (!target.kind->namespaced && !target.name_space.empty()) ||
        (target.kind->namespaced && !target.name.empty() && target.name_space.empty()))
        throw no_such_resource();
    return true;
}

void Router::authorise(const Identity &identity, const std::string &verb, const Target &target) const {
    const Access access{verb,       target.kind->group, target.kind->plural, target.subresource, target.name_space,
                        target.name};
    if (!authorization_.allows(identity, access))
        throw ApiError::forbidden(target.kind->group, target.kind->plural, target.name, refusal(identity.user, access));
}

Response Router::dispatch(const Request &request) {
    const Identity sender = authentication_.identify(request);
    if (const std::string misuse = misused_impersonation(request); !misuse.empty())
        return plain(500, "Internal Server Error: " + go_quoted(request.target) + ": " + misuse + "\n");
    const Identity identity = impersonated(sender, request, authorization_);
    if (request.too_large) {
        ApiError error(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728", json::object());
        Response response = error_response(error);
        response.close = true;
        return response;
    }
    const std::string &path = request.path;
    if (path == "/readyz" || path == "/livez" || path == "/healthz")
        return health(request);
    bool open_to_all = path == "/version" || path == "/version/";
    Target target;
    if (!resolve(request, target)) {
        // Non-resource paths: discovery is for everybody with a name.
        if (identity.anonymous && !open_to_all)
            throw ApiError::generic(403, "Forbidden",
                                    "forbidden: User " + go_quoted(identity.user) + " cannot " +
                                        (request.method == "GET" ? "get" : "post") + " path " + go_quoted(path));
        Response response;
        if (discovery_.answer(request, response))
            return response;
        if (path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" && request.method == "POST")
            return access_review(request, identity);
        return plain(404, "404 page not found\n");
    }
    std::string verb = verb_of(request, target);
    authorise(identity, verb, target);
    const auto &verbs = target.kind->verbs.at(target.subresource);
    bool creates_over_name = verb == "create" && !target.name.empty() && target.subresource.empty();
    bool writes_collection = target.name.empty() && (verb == "update" || verb == "patch");
    bool creates_everywhere = verb == "create" && target.kind->namespaced && target.name_space.empty();
    if (!verbs.contains(verb) || creates_over_name || writes_collection || creates_everywhere)
        throw ApiError::generic(405, "MethodNotAllowed",
                                "the server does not allow this method on the requested resource");
    if (target.subresource == "scale")
        return verb == "get" ? api_.get_scale(target, request) : api_.write_scale(target, request);
    if (target.subresource == "binding")
        return api_.bind(target, request);
    if (target.subresource == "eviction")
        return api_.evict(target, request);
    if (verb == "get")
        return api_.get(target, request);
    if (verb == "list")
        return api_.list(target, request);
    if (verb == "watch")
        return api_.watch(target, request);
    if (verb == "create")
        return api_.create(target, request);
    if (verb == "update")
        return api_.replace(target, request);
    if (verb == "patch")
        return api_.patch(target, request);
    return verb == "delete" ? api_.remove(target, request) : api_.remove_collection(target, request);
}

} // namespace kubesim
