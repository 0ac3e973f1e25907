// HorizontalPodAutoscalers of a cluster without metrics: the number of replicas is kept within its limits.
#include "autoscaler_controller.hpp"

#include "conditions.hpp"
#include "pod_spec.hpp"

namespace kubesim {

namespace {

void set(json &status, const char *type, bool on, const std::string &reason, const std::string &message) {
    json one = {{"type", type},
                {"status", on ? "True" : "False"},
                {"reason", reason},
                {"message", message},
                {"lastTransitionTime", rfc3339_now()}};
    json &conditions = status["conditions"];
    if (!conditions.is_array())
        conditions = json::array();
    for (auto &before : conditions)
        if (before["type"] == type) {
            if (before["status"] == one["status"])
                one["lastTransitionTime"] = before["lastTransitionTime"];
            before = std::move(one);
            return;
        }
    conditions.push_back(std::move(one));
}

std::string group_of(const std::string &api_version) {
    const size_t slash = api_version.find('/');
    return slash == std::string::npos ? "" : api_version.substr(0, slash);
}

void report_no_metrics(const json &spec, json &status) {
    const json *metrics = find(spec, "metrics");
    const json none = {{"type", "Resource"}, {"resource", {{"name", "cpu"}}}};
    const json &metric = metrics && !metrics->empty() ? metrics->at(0) : none;
    const std::string type = text_of(metric, "type");
    const json *resource = find(metric, "resource");
    const std::string name = resource ? text_of(*resource, "name") : "";
    const std::string why =
        resource ? "failed to get " + name + " utilization: unable to get metrics for resource " + name +
                       ": unable to fetch metrics from resource metrics API: the server could not find the requested "
                       "resource (get pods.metrics.k8s.io)"
                 : "unable to fetch metrics";
    set(status, "ScalingActive", false, "FailedGet" + type + "Metric",
        "the HPA was unable to compute the replica count: " + why);
}

} // namespace

void AutoscalerController::observe(const Change &change) {
    if (change.kind == &autoscalers_ && change.after)
        return queue_.add(change.after->key);
    if (!change.kind->behaviour.scale)
        return;
    const json &metadata = (change.after ? change.after : change.before)->body.at("metadata");
    const std::string prefix = text_of(metadata, "namespace") + "/";
    const Store::Objects &all = store_.objects(autoscalers_);
    for (auto it = all.lower_bound(prefix); it != all.end() && it->first.starts_with(prefix); ++it)
        if (text_of(it->second->body.at("spec").at("scaleTargetRef"), "name") == text_of(metadata, "name"))
            queue_.add(it->first);
}

void AutoscalerController::sync(const std::string &key) {
    StoredPtr autoscaler = store_.get(autoscalers_, key);
    if (!autoscaler || is_deleting(autoscaler->body))
        return;
    const json &spec = autoscaler->body.at("spec"), &target = spec.at("scaleTargetRef");
    const std::string name_space = text_of(autoscaler->body.at("metadata"), "namespace");
    const std::string group = group_of(text_of(target, "apiVersion")), name = text_of(target, "name");
    const Kind *kind = kinds_.by_kind(group, text_of(target, "kind"));
    const bool scales = kind && kind->behaviour.scale;
    StoredPtr object = scales ? store_.get(*kind, Store::key_of(*kind, name_space, name)) : nullptr;
    json status = autoscaler->body.at("status");
    if (!object) {
        const std::string why =
            scales ? kind->plural + "." + group + " " + go_quoted(name) + " not found"
                   : "no matches for kind " + go_quoted(text_of(target, "kind")) + " in group " + go_quoted(group);
        set(status, "AbleToScale", false, "FailedGetScale",
            "the HPA controller was unable to get the target's current scale: " + why);
    } else {
        const json *at = &object->body;
        for (const auto &member : kind->behaviour.scale->spec_replicas)
            at = at ? find(*at, member) : nullptr;
        const int64_t now = at ? at->get<int64_t>() : 0;
        const int64_t least = integer_of(spec, "minReplicas", 1), most = integer_of(spec, "maxReplicas", 1);
        const int64_t wanted = now == 0 ? 0 : now > most ? most : now < least ? least : now;
        status["currentReplicas"] = now;
        set(status, "AbleToScale", true, "SucceededGetScale",
            "the HPA controller was able to get the target's current scale");
        if (now == 0) {
            status["desiredReplicas"] = 0;
            set(status, "ScalingActive", false, "ScalingDisabled",
                "scaling is disabled since the replica count of the target is zero");
        } else if (wanted == now) {
            report_no_metrics(spec, status);
        } else {
            api_.control(*kind, object->key, controller_manager, "scale", [&](json &body) {
                json *into = &body;
                for (const auto &member : kind->behaviour.scale->spec_replicas)
                    into = &(*into)[member];
                *into = wanted;
            });
            status["desiredReplicas"] = wanted;
            status["lastScaleTime"] = rfc3339_now();
            set(status, "AbleToScale", true, "SucceededRescale",
                "the HPA controller was able to update the target scale to " + std::to_string(wanted));
        }
    }
    if (status.contains("currentReplicas") && status["currentReplicas"] == 0)
        status.erase("currentReplicas");
    if (status != autoscaler->body.at("status"))
        api_.control(autoscalers_, key, controller_manager, "status", [&](json &body) { body["status"] = status; });
}

} // namespace kubesim
