// What is asked of pods through subresources of their own: binding and eviction.
#include "api.hpp"
#include "body_parser.hpp"

namespace kubesim {

namespace {

json decode(const Request &request, const char *kind) {
    ParsedBody parsed = parse_json_body(request.body);
    if (!parsed.error.empty() || !parsed.value.is_object())
        throw ApiError::bad_request(std::string("the object provided is unrecognized (must be of type ") + kind +
                                    "): couldn't get version/kind; json parse error: " + parsed.error);
    return std::move(parsed.value);
}

Response success() {
    Response response;
    response.status = 201;
    response.body = dump(
        {{"kind", "Status"}, {"apiVersion", "v1"}, {"metadata", json::object()}, {"status", "Success"}, {"code", 201}});
    return response;
}

} // namespace

Response Api::bind(const Target &target, const Request &request) {
    const json binding = decode(request, "Binding");
    StoredPtr pod = store_.get(*target.kind, target.key());
    if (!pod)
        throw ApiError::not_found("", "pods", target.name);
    const json *to = find(binding, "target");
    const std::string node = to ? text_of(*to, "name") : "";
    if (node.empty())
        throw ApiError::invalid("", "Binding", target.name, {FieldError::required("target.name", "")});
    if (std::string there = text_of(pod->body.at("spec"), "nodeName"); !there.empty())
        throw ApiError::conflict("", "pods/binding", target.name,
                                 "pod " + target.name + " is already assigned to node " + go_quoted(there));
    if (request.parameter("dryRun") != "All")
        bind(*pod, node);
    return success();
}

// The server writes a binding past its field managers: nobody owns spec.nodeName.
void Api::bind(const Stored &pod, const std::string &node) {
    json object = pod.body;
    object["spec"]["nodeName"] = node;
    object["status"]["conditions"] = json::array({{{"type", "PodScheduled"},
                                                   {"status", "True"},
                                                   {"lastProbeTime", nullptr},
                                                   {"lastTransitionTime", rfc3339_now()}}});
    store_.put(*pod.kind, pod.key, std::move(object));
}

Response Api::evict(const Target &target, const Request &request) {
    const json eviction = decode(request, "Eviction");
    StoredPtr pod = store_.get(*target.kind, target.key());
    if (!pod)
        throw ApiError::not_found("", "pods", target.name);
    const json *body = find(eviction, "deleteOptions");
    DeleteOptions options = delete_options(body ? *body : json(), {});
    options.dry_run |= request.parameter("dryRun") == "All";
    begin_delete(*target.kind, pod, options);
    return success();
}

} // namespace kubesim
