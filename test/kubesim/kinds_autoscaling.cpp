// HorizontalPodAutoscalers: kept as those of autoscaling/v2; v1 has one of their metrics and hides the rest in
// annotations.
#include "kinds.hpp"

#include "pod_spec.hpp"
#include "validation.hpp"

namespace kubesim {

namespace {

const char *const utilization = "targetCPUUtilizationPercentage";
const char *const current_utilization = "currentCPUUtilizationPercentage";
const std::string hidden = "autoscaling.alpha.kubernetes.io/";

bool is_cpu_utilization(const json &metric) {
    const json *resource = find(metric, "resource");
    const json *target = resource ? find(*resource, "target") : nullptr;
    return target && text_of(*resource, "name") == "cpu" && target->contains("averageUtilization");
}

json cpu_utilization(const json &percent) {
    return {{"type", "Resource"},
            {"resource", {{"name", "cpu"}, {"target", {{"type", "Utilization"}, {"averageUtilization", percent}}}}}};
}

void hide(json &object, const char *what, const json &value) {
    if (!value.is_null() && !value.empty())
        object["metadata"]["annotations"][hidden + what] = dump(value);
}

json reveal(json &object, const char *what) {
    json &metadata = object["metadata"];
    const json *annotations = find(metadata, "annotations");
    const std::string text = annotations ? text_of(*annotations, hidden + what) : "";
    if (text.empty())
        return nullptr;
    metadata["annotations"].erase(hidden + what);
    if (metadata["annotations"].empty())
        metadata.erase("annotations");
    json value = json::parse(text, nullptr, false);
    return value.is_discarded() ? json() : value;
}

json take(json &object, const char *name) {
    json out = object.contains(name) ? std::move(object[name]) : json();
    object.erase(name);
    return out;
}

// What the annotation of metrics holds is in the words of v2; a real server has older ones.
json from_v2(json object) {
    json &spec = object["spec"], &status = object["status"];
    json others = json::array();
    for (const json &metric : take(spec, "metrics"))
        if (is_cpu_utilization(metric) && !spec.contains(utilization))
            spec[utilization] = metric["resource"]["target"]["averageUtilization"];
        else
            others.push_back(metric);
    hide(object, "metrics", others);
    hide(object, "behavior", take(spec, "behavior"));
    hide(object, "conditions", take(status, "conditions"));
    hide(object, "current-metrics", take(status, "currentMetrics"));
    if (!status.contains("currentReplicas"))
        status["currentReplicas"] = 0;
    return object;
}

json to_v2(json object) {
    json &spec = object["spec"], &status = object["status"];
    json metrics = reveal(object, "metrics");
    if (!metrics.is_array())
        metrics = json::array();
    if (json percent = take(spec, utilization); !percent.is_null())
        metrics.insert(metrics.begin(), cpu_utilization(percent));
    if (!metrics.empty())
        spec["metrics"] = std::move(metrics);
    if (json behavior = reveal(object, "behavior"); behavior.is_object())
        spec["behavior"] = std::move(behavior);
    if (json conditions = reveal(object, "conditions"); conditions.is_array())
        status["conditions"] = std::move(conditions);
    json current = reveal(object, "current-metrics");
    status["currentMetrics"] = current.is_array() ? std::move(current) : json();
    take(status, current_utilization);
    if (status["currentReplicas"] == 0)
        status.erase("currentReplicas");
    return object;
}

void default_rules(json &rules, json policies, const json &window) {
    if (!rules.contains("selectPolicy"))
        rules["selectPolicy"] = "Max";
    if (!rules.contains("policies"))
        rules["policies"] = std::move(policies);
    if (!rules.contains("stabilizationWindowSeconds") && !window.is_null())
        rules["stabilizationWindowSeconds"] = window;
}

void v1_defaults(json &object) {
    if (!object["spec"].contains("minReplicas"))
        object["spec"]["minReplicas"] = 1;
}

void defaults(json &object) {
    v1_defaults(object);
    json &spec = object["spec"];
    if (!spec.contains("metrics"))
        spec["metrics"] = json::array({cpu_utilization(80)});
    if (!spec.contains("behavior"))
        return;
    json &behavior = spec["behavior"];
    const json all = {{"type", "Percent"}, {"value", 100}, {"periodSeconds", 15}};
    const json four = {{"type", "Pods"}, {"value", 4}, {"periodSeconds", 15}};
    default_rules(behavior["scaleUp"], json::array({four, all}), 0);
    default_rules(behavior["scaleDown"], json::array({all}), nullptr);
}

void autoscaler_validate(const json &after, const json *, std::vector<FieldError> &errors) {
    const json &spec = after.at("spec");
    const int64_t least = integer_of(spec, "minReplicas", 1), most = integer_of(spec, "maxReplicas", 0);
    if (least < 1)
        errors.push_back(
            FieldError::invalid("spec.minReplicas", std::to_string(least), "must be greater than or equal to 1"));
    if (most < 1)
        errors.push_back(FieldError::invalid("spec.maxReplicas", std::to_string(most), "must be greater than 0"));
    if (most < least)
        errors.push_back(FieldError::invalid("spec.maxReplicas", std::to_string(most),
                                             "must be greater than or equal to `minReplicas`"));
    for (const char *name : {"kind", "name"})
        if (text_of(spec.at("scaleTargetRef"), name).empty())
            errors.push_back(FieldError::required(std::string("spec.scaleTargetRef.") + name, ""));
}

void validate_v2(const json &after, const json *before, std::vector<FieldError> &errors) {
    autoscaler_validate(after, before, errors);
    if (integer_of(after.at("spec"), "minReplicas", 1) == 0)
        errors.push_back(FieldError::forbidden(
            "spec.metrics", "must specify at least one Object or External metric to support scaling to zero replicas"));
}

std::string shown_metric(const json &metric) {
    const json *resource = find(metric, "resource");
    const json *target = resource ? find(*resource, "target") : nullptr;
    if (!target)
        return "<unknown>";
    if (const json *percent = find(*target, "averageUtilization"))
        return "<unknown>/" + dump(*percent) + "%";
    return "<unknown>/" + text_of(*target, "averageValue");
}

json autoscaler_cells(const json &seen) {
    const json object = seen.at("spec").contains(utilization) ? to_v2(seen) : seen;
    const json &spec = object.at("spec"), &target = spec.at("scaleTargetRef"), *metrics = find(spec, "metrics");
    std::string shown;
    for (size_t i = 0; metrics && i < metrics->size() && i < 2; i++)
        shown += (i ? ", " : "") + shown_metric((*metrics)[i]);
    if (metrics && metrics->size() > 2)
        shown += " + " + std::to_string(metrics->size() - 2) + " more...";
    const json *least = find(spec, "minReplicas");
    return json::array({text_of(target, "kind") + "/" + text_of(target, "name"), shown.empty() ? "<none>" : shown,
                        least ? dump(*least) : "<unset>", integer_of(spec, "maxReplicas", 0),
                        integer_of(object.at("status"), "currentReplicas", 0)});
}

} // namespace

Behaviour autoscaler_behaviour(const std::string &version) {
    Behaviour out;
    out.untracked = {{"", path_set({{"status"}})}, {"status", path_set({{"spec"}})}};
    out.set_defaults = version == "v1" ? v1_defaults : defaults;
    out.validate = version == "v1" ? autoscaler_validate : validate_v2;
    if (version == "v1")
        out.kept_as = {"autoscaling", "v2", to_v2, from_v2};
    out.prepare_create = [version](json &object) {
        object["status"] = {{"desiredReplicas", 0}};
        if (version == "v1")
            object["status"]["currentReplicas"] = 0;
        else
            object["status"]["currentMetrics"] = nullptr;
    };
    out.prepare_update = [version](json &after, const json &before, const std::string &subresource) {
        keep_member(after, before, subresource == "status" ? "spec" : "status");
        if (version != "v1" && !after["status"].contains("currentMetrics"))
            after["status"]["currentMetrics"] = nullptr; // written even when there are none
    };
    out.columns = {
        {"Reference", "string", "",
         "scaleTargetRef points to the target resource to scale, and is used to the pods for which metrics should be "
         "collected, as well as to actually change the replica count.",
         0},
        {"Targets", "string", "",
         "metrics contains the specifications for which to use to calculate the desired replica count (the maximum "
         "replica count across all metrics will be used).",
         0},
        {"MinPods", "string", "",
         "minReplicas is the lower limit for the number of replicas to which the autoscaler can scale down.", 0},
        {"MaxPods", "string", "",
         "maxReplicas is the upper limit for the number of replicas to which the autoscaler can scale up. It cannot be "
         "less that minReplicas.",
         0},
        {"Replicas", "string", "",
         "currentReplicas is current number of replicas of pods managed by this autoscaler, as last seen by the "
         "autoscaler.",
         0}};
    out.cells = autoscaler_cells;
    return out;
}

} // namespace kubesim
