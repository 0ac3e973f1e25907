// What is special about Pods.
#include "kinds.hpp"

#include "pod_spec.hpp"
#include "validation.hpp"

namespace kubesim {

namespace {

void pod_defaults(json &object) {
    json &spec = object["spec"];
    default_pod_spec(spec);
    // Limits are requests where there are none.
    for (const char *list : {"initContainers", "containers"}) {
        if (!spec.contains(list) || !spec[list].is_array())
            continue;
        for (auto &container : spec[list])
            if (container.contains("resources") && container["resources"].contains("limits"))
                for (const auto &[name, limit] : container["resources"]["limits"].items())
                    if (!container["resources"]["requests"].contains(name))
                        container["resources"]["requests"][name] = limit;
    }
    if (!spec.contains("enableServiceLinks"))
        spec["enableServiceLinks"] = true;
}

// The DefaultTolerationSeconds admission plugin.
void tolerate_lost_nodes(json &spec) {
    if (!spec.contains("tolerations"))
        spec["tolerations"] = json::array();
    for (const char *key : {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}) {
        bool tolerated = false;
        for (const auto &one : spec["tolerations"]) {
            const std::string effect = text_of(one, "effect"), of = text_of(one, "key");
            tolerated |= (of == key || of.empty()) && (effect == "NoExecute" || effect.empty());
        }
        if (!tolerated)
            spec["tolerations"].push_back(
                {{"key", key}, {"operator", "Exists"}, {"effect", "NoExecute"}, {"tolerationSeconds", 300}});
    }
}

// The Priority admission plugin.
void set_priority(json &spec) {
    if (!spec.contains("priority"))
        spec["priority"] = 0;
    if (!spec.contains("preemptionPolicy"))
        spec["preemptionPolicy"] = "PreemptLowerPriority";
}

std::string quality_of_service(const json &spec) {
    bool any = false, guaranteed = true;
    for (const auto &container : spec.at("containers")) {
        const json *resources = find(container, "resources");
        const json *limits = resources ? find(*resources, "limits") : nullptr;
        const json *requests = resources ? find(*resources, "requests") : nullptr;
        any |= (limits && !limits->empty()) || (requests && !requests->empty());
        for (const char *name : {"cpu", "memory"}) {
            const json *limit = limits ? find(*limits, name) : nullptr;
            const json *request = requests ? find(*requests, name) : nullptr;
            guaranteed &= limit && request && *limit == *request;
        }
    }
    return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

void pod_prepare_create(json &object) {
    json &spec = object["spec"];
    tolerate_lost_nodes(spec);
    set_priority(spec);
    object["status"] = {{"phase", "Pending"}};
    if (spec["containers"].is_array())
        object["status"]["qosClass"] = quality_of_service(spec);
}

void pod_prepare_update(json &after, const json &before, const std::string &subresource) {
    if (subresource == "status") {
        keep_member(after, before, "spec");
        keep_member(after["metadata"], before.at("metadata"), "ownerReferences");
    } else {
        keep_member(after, before, "status");
        tolerate_lost_nodes(after["spec"]);
    }
    if (const json *quality = find(before.at("status"), "qosClass"))
        after["status"]["qosClass"] = *quality;
}

// What may change while a pod lives, taken out of both sides before they are compared.
json without_mutable(json spec, const json &other) {
    for (const char *list : {"containers", "initContainers"})
        if (spec.contains(list) && other.contains(list) && spec[list].size() == other[list].size())
            for (auto &container : spec[list])
                container.erase("image");
    for (const char *name : {"activeDeadlineSeconds", "tolerations"})
        spec.erase(name);
    return spec;
}

bool only_adds(const json &after, const json &before, const char *name) {
    const json *now = find(after, name), *then = find(before, name);
    for (size_t i = 0; then && i < then->size(); i++)
        if (!now || std::find(now->begin(), now->end(), (*then)[i]) == now->end())
            return false;
    return true;
}

void pod_validate(const json &after, const json *before, std::vector<FieldError> &errors) {
    const json &spec = after.at("spec");
    validate_pod_spec(spec, "spec", errors);
    if (!before || spec == before->at("spec"))
        return;
    const json &old = before->at("spec");
    if (!only_adds(spec, old, "tolerations"))
        errors.push_back(FieldError::forbidden("spec.tolerations", "existing toleration can not be modified except its "
                                                                   "tolerationSeconds"));
    // A real server goes on with a dump of both sides.
    if (without_mutable(spec, old) != without_mutable(old, spec))
        errors.push_back(FieldError::forbidden(
            "spec", "pod updates may not change fields other than `spec.containers[*].image`, "
                    "`spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions "
                    "to existing tolerations) or `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it "
                    "was previously negative)"));
}

// Only a kubelet can end what runs: the pod stays until it has.
int64_t pod_grace_seconds(const json &object) {
    const std::string phase = text_of(object.at("status"), "phase");
    if (text_of(object.at("spec"), "nodeName").empty() || phase == "Succeeded" || phase == "Failed")
        return 0;
    return integer_of(object.at("spec"), "terminationGracePeriodSeconds", 30);
}

// ---- columns --------------------------------------------------------------------------------------------------

std::string or_none(const std::string &text) {
    return text.empty() ? "<none>" : text;
}

json pod_cells(const json &object) {
    const json &status = object.at("status"), &spec = object.at("spec");
    std::string reason = text_of(status, "reason").empty() ? text_of(status, "phase") : text_of(status, "reason");
    size_t ready = 0;
    int64_t restarts = 0;
    if (const json *containers = find(status, "containerStatuses"))
        for (const auto &container : *containers) {
            restarts += integer_of(container, "restartCount", 0);
            const json *state = find(container, "state");
            for (const char *name : {"waiting", "terminated"})
                if (const json *why = state ? find(*state, name) : nullptr; why && !text_of(*why, "reason").empty())
                    reason = text_of(*why, "reason");
            const json *is_ready = find(container, "ready");
            ready += is_ready && *is_ready == true;
        }
    if (find(object.at("metadata"), "deletionTimestamp"))
        reason = "Terminating";
    return json::array({std::to_string(ready) + "/" + std::to_string(spec.at("containers").size()), reason,
                        std::to_string(restarts), or_none(text_of(status, "podIP")), or_none(text_of(spec, "nodeName")),
                        or_none(text_of(status, "nominatedNodeName")), "<none>"});
}

} // namespace

Behaviour pod_behaviour() {
    Behaviour out;
    out.field_selectors = {"metadata.name",      "metadata.namespace", "spec.nodeName",
                           "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
                           "status.phase",       "status.podIP",       "status.nominatedNodeName"};
    out.untracked = {
        {"", path_set({{"status"}})},
        {"status", path_set({{"spec"}, {"metadata", "deletionTimestamp"}, {"metadata", "ownerReferences"}})}};
    out.set_defaults = pod_defaults;
    out.prepare_create = pod_prepare_create;
    out.prepare_update = pod_prepare_update;
    out.validate = pod_validate;
    out.grace_seconds = pod_grace_seconds;
    out.returns_deleted = true;
    out.columns = {{"Ready", "string", "", "The aggregate readiness state of this pod for accepting traffic.", 0},
                   {"Status", "string", "", "The aggregate status of the containers in this pod.", 0},
                   {"Restarts", "string", "",
                    "The number of times the containers in this pod have been restarted and when the last container in "
                    "this pod has restarted.",
                    0}};
    out.wide_columns = {{"IP", "string", "", "IP address allocated to the pod.", 1},
                        {"Node", "string", "", "The node this pod is scheduled onto.", 1},
                        {"Nominated Node", "string", "", "The node that preemption makes room on for this pod.", 1},
                        {"Readiness Gates", "string", "", "Readiness gates that are true, of all.", 1}};
    out.cells = pod_cells;
    return out;
}

} // namespace kubesim
