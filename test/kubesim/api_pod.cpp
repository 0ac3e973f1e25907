// What is asked of pods through subresources of their own: binding and eviction.
#include "api.hpp"
#include "body_parser.hpp"
#include "conditions.hpp"
#include "disruption_status.hpp"
#include "owned_pods.hpp"
#include "pod_spec.hpp"

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

// Takes one disruption from the budget that covers the pod; throws when it allows none.
void Api::spend_disruption(const Kind &pods, const Stored &pod, bool dry_run) {
    const std::string phase = text_of(pod.body.at("status"), "phase");
    if (is_finished(pod.body) || is_deleting(pod.body) || phase == "Pending")
        return;
    const Kind &budgets = *kinds_.by_kind("policy", "PodDisruptionBudget");
    std::vector<StoredPtr> covering;
    for (const auto &[key, budget] : store_.objects(budgets))
        for (const auto &one : pods_of_budget(store_, pods, budget->body))
            if (one->key == pod.key)
                covering.push_back(budget);
    if (covering.empty())
        return;
    if (covering.size() > 1)
        throw ApiError(
            500, "InternalError",
            "Internal error occurred: This pod has more than one PodDisruptionBudget, which the eviction "
            "subresource does not support.",
            {{"causes", json::array({{{"message", "This pod has more than one PodDisruptionBudget, which the "
                                                  "eviction subresource does not support."}}})}});
    const Stored &budget = *covering.front();
    const json &status = budget.body.at("status"), &metadata = budget.body.at("metadata");
    const std::string name = text_of(metadata, "name");
    auto refuse = [&](const std::string &why) {
        return ApiError(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.",
                        {{"causes", json::array({{{"reason", "DisruptionBudget"}, {"message", why}}})}});
    };
    // One that is not well costs nothing.
    const int64_t healthy = integer_of(status, "currentHealthy", 0), desired = integer_of(status, "desiredHealthy", 0);
    const bool may_always_go = text_of(budget.body.at("spec"), "unhealthyPodEvictionPolicy") == "AlwaysAllow";
    if (!is_true(pod.body, "Ready") && (may_always_go || (healthy >= desired && desired > 0)))
        return;
    if (integer_of(status, "observedGeneration", 0) < integer_of(metadata, "generation", 0)) {
        ApiError error = refuse("The disruption budget " + name + " is still being processed by the server.");
        error.retry_after(10);
        throw error;
    }
    const int64_t allowed = integer_of(status, "disruptionsAllowed", 0);
    if (allowed < 0)
        throw ApiError::forbidden("policy", "poddisruptionbudgets", name, "pdb disruptions allowed is negative");
    if (allowed == 0)
        throw refuse("The disruption budget " + name + " needs " + std::to_string(desired) + " healthy pods and has " +
                     std::to_string(healthy) + " currently");
    if (dry_run)
        return;
    control(budgets, budget.key, "kube-apiserver", "status", [&](json &object) {
        object["status"]["disruptedPods"][text_of(pod.body.at("metadata"), "name")] = rfc3339_now();
        set_allowed(object["status"], allowed - 1, metadata.at("generation"));
    });
}

// Controllers that count failures tell by it that the pod's end is nobody's fault. Written before the deletion, whose
// preconditions are those of the version that was there before.
StoredPtr Api::note_disruption(const Kind &pods, const StoredPtr &pod, DeleteOptions &options) {
    check_preconditions(pods, *pod, options);
    if (condition_of(pod->body, "DisruptionTarget"))
        return pod;
    if (options.preconditions.is_object())
        options.preconditions.erase("resourceVersion");
    control(pods, pod->key, "kube-apiserver", "status", [](json &object) {
        object["status"]["conditions"].push_back({{"type", "DisruptionTarget"},
                                                  {"status", "True"},
                                                  {"lastProbeTime", nullptr},
                                                  {"lastTransitionTime", rfc3339_now()},
                                                  {"reason", "EvictionByEvictionAPI"},
                                                  {"message", "Eviction API: evicting"}});
    });
    return store_.get(pods, pod->key);
}

Response Api::evict(const Target &target, const Request &request) {
    const json eviction = decode(request, "Eviction");
    StoredPtr pod = store_.get(*target.kind, target.key());
    if (!pod)
        throw ApiError::not_found("", "pods", target.name);
    if (text_of(eviction.value("metadata", json::object()), "name") != target.name)
        throw ApiError::bad_request("name in URL does not match name in Eviction object");
    const json *body = find(eviction, "deleteOptions");
    DeleteOptions options = delete_options(body ? *body : json(), {});
    options.dry_run |= request.parameter("dryRun") == "All";
    spend_disruption(*target.kind, *pod, options.dry_run);
    if (!options.dry_run)
        pod = note_disruption(*target.kind, pod, options);
    begin_delete(*target.kind, pod, options);
    return success();
}

} // namespace kubesim
