// The rules of kubectl drain (see drain.hpp). Mirror worker.
#include "kubernetes/drain.hpp"

#include "kubernetes/json_access.hpp"

#include <map>

namespace dbnet::kubernetes {
namespace {

using nlohmann::json;

const json *controller_of(const json &pod) {
    if (const json *owners = array_member(member(&pod, "metadata"), "ownerReferences"))
        for (const json &owner : *owners)
            if (bool_member(&owner, "controller"))
                return &owner;
    return nullptr;
}

// Its containers have ended for good: taking it away takes nothing from anybody.
bool is_over(const json &pod) {
    const std::string phase = text_member(member(&pod, "status"), "phase");
    return phase == "Succeeded" || phase == "Failed";
}

bool is_static(const json &pod) {
    return member(member(member(&pod, "metadata"), "annotations"), "kubernetes.io/config.mirror") != nullptr;
}

bool has_empty_dir(const json &pod) {
    if (const json *volumes = array_member(member(&pod, "spec"), "volumes"))
        for (const json &volume : *volumes)
            if (member(&volume, "emptyDir") != nullptr)
                return true;
    return false;
}

json delete_options(const PodOfNode &pod, const EvictionOptions &wanted) {
    json options = {{"preconditions", {{"uid", pod.uid}}}};
    if (wanted.grace_seconds >= 0)
        options["gracePeriodSeconds"] = wanted.grace_seconds;
    if (wanted.is_dry_run)
        options["dryRun"] = {"All"};
    return options;
}

Request request_with(std::string_view method, std::string path, const json &body) {
    Request request;
    request.method = method;
    request.path = std::move(path);
    request.content_type = "application/json";
    request.body = body.dump();
    request.idempotent = true;
    return request;
}

} // namespace

PodOfNode pod_of_node(const json &pod) {
    const json *metadata = member(&pod, "metadata");
    return {text_member(metadata, "namespace"), text_member(metadata, "name"), text_member(metadata, "uid"),
            is_terminating(pod)};
}

std::string daemon_set_of(const json &pod) {
    const json *controller = controller_of(pod);
    return controller && text_member(controller, "kind") == "DaemonSet" && !is_over(pod)
               ? text_member(controller, "name")
               : std::string();
}

PodVerdict judge_pod(const json &pod, const DrainOptions &options, const std::string &daemon_set_error) {
    std::string warning;
    if (!daemon_set_of(pod).empty()) {
        if (daemon_set_error.empty())
            return options.ignore_daemonsets
                       ? PodVerdict{PodVerdict::stay, "ignoring DaemonSet-managed Pods"}
                       : PodVerdict{PodVerdict::forbid,
                                    "DaemonSet-managed Pods (use ignore_daemonsets => true to ignore)"};
        if (!options.force) // nobody will make it anew
            return {PodVerdict::forbid, daemon_set_error};
        warning = daemon_set_error;
    }
    if (is_static(pod))
        return {PodVerdict::stay, "ignoring static Pods"};
    if (is_over(pod))
        return {};
    if (has_empty_dir(pod)) {
        if (!options.delete_emptydir_data)
            return {PodVerdict::forbid, "Pods with local storage (use delete_emptydir_data => true to override)"};
        warning = "deleting Pods with local storage";
    }
    if (controller_of(pod) == nullptr) {
        if (!options.force)
            return {PodVerdict::forbid, "Pods that declare no controller (use force => true to override)"};
        warning = "deleting Pods that declare no controller";
    }
    return {PodVerdict::go, warning};
}

std::string refusal(const std::vector<Forbidden> &pods) {
    std::map<std::string, std::string> keys; // by message
    for (const Forbidden &pod : pods) {
        std::string &list = keys[pod.message];
        list += (list.empty() ? "" : ", ") + pod.key;
    }
    std::string text;
    for (const auto &[message, list] : keys)
        text += (text.empty() ? "" : "; ") + ("cannot delete " + message) + ": " + list;
    return text;
}

const Resource &pod_resource() {
    static const Resource pods{"", "v1", "Pod", "pods", true};
    return pods;
}

Request pods_of_node_request(std::string_view node, std::string_view label_selector) {
    ListOptions options;
    options.field_selector = "spec.nodeName=" + std::string(node);
    options.label_selector = label_selector;
    return list_request(pod_resource(), {}, options);
}

Request eviction_request(const PodOfNode &pod, const EvictionOptions &options) {
    return request_with("POST", resource_path(pod_resource(), pod.name_space, pod.name, "eviction"),
                        {{"apiVersion", "policy/v1"},
                         {"kind", "Eviction"},
                         {"metadata", {{"name", pod.name}, {"namespace", pod.name_space}}},
                         {"deleteOptions", delete_options(pod, options)}});
}

Request remove_pod_request(const PodOfNode &pod, const EvictionOptions &options) {
    json body = delete_options(pod, options);
    body["apiVersion"] = "v1";
    body["kind"] = "DeleteOptions";
    return request_with("DELETE", resource_path(pod_resource(), pod.name_space, pod.name), body);
}

Request cordon_request(const Resource &nodes, std::string_view name, std::string_view uid,
                       std::string_view field_manager, bool unschedulable) {
    json patch = {{"metadata", {{"uid", uid}}}, {"spec", {{"unschedulable", nullptr}}}};
    if (unschedulable)
        patch["spec"]["unschedulable"] = true;
    return merge_patch_request(nodes, {}, name, field_manager, patch);
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
