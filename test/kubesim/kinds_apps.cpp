// What is special about the kinds of apps/v1: Deployment and ReplicaSet.
#include "kinds.hpp"

#include "pod_spec.hpp"
#include "selection.hpp"
#include "validation.hpp"
#include "workload.hpp"

namespace kubesim {

namespace {

void deployment_defaults(json &object) {
    default_replicas(object);
    json &spec = object["spec"], &strategy = spec["strategy"];
    if (text_of(strategy, "type").empty())
        strategy["type"] = "RollingUpdate";
    if (strategy["type"] == "RollingUpdate")
        for (const char *name : {"maxUnavailable", "maxSurge"})
            if (!strategy["rollingUpdate"].contains(name))
                strategy["rollingUpdate"][name] = "25%";
    if (!spec.contains("revisionHistoryLimit"))
        spec["revisionHistoryLimit"] = 10;
    if (!spec.contains("progressDeadlineSeconds"))
        spec["progressDeadlineSeconds"] = 600;
}

void deployment_prepare_update(json &after, const json &before, const std::string &subresource) {
    if (subresource == "status") {
        keep_member(after, before, "spec");
        keep_member(after["metadata"], before.at("metadata"), "labels");
        return;
    }
    keep_member(after, before, "status");
    // A changed annotation counts too: the controller copies annotations to the ReplicaSets.
    if (!same_member(after, before, "spec") || !same_member(after.at("metadata"), before.at("metadata"), "annotations"))
        next_generation(after, before);
}

bool is_zero(const json &value) {
    return value == 0 || value == "0" || value == "0%";
}

void validate_strategy(const json &strategy, std::vector<FieldError> &errors) {
    const std::string type = text_of(strategy, "type");
    const json *rolling = find(strategy, "rollingUpdate");
    if (type != "RollingUpdate" && type != "Recreate") {
        errors.push_back(FieldError::not_supported("spec.strategy",
                                                   "apps.DeploymentStrategy{Type:" + go_quoted(type) +
                                                       ", RollingUpdate:(*apps.RollingUpdateDeployment)(nil)}",
                                                   {"Recreate", "RollingUpdate"}));
    } else if (type == "Recreate" && rolling) {
        errors.push_back(FieldError::forbidden("spec.strategy.rollingUpdate",
                                               "may not be specified when strategy `type` is 'Recreate'"));
    } else if (rolling) {
        for (const char *name : {"maxUnavailable", "maxSurge"}) {
            const json &value = rolling->at(name);
            const std::string path = std::string("spec.strategy.rollingUpdate.") + name;
            if (value.is_string() && !value.get_ref<const std::string &>().ends_with('%'))
                errors.push_back(FieldError::invalid(
                    path, go_int_or_string(value),
                    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
                    "regex used for validation is '[0-9]+%')"));
            else if (value.is_number() && value < 0)
                errors.push_back(
                    FieldError::invalid(path, go_int_or_string(value), "must be greater than or equal to 0"));
        }
        if (is_zero(rolling->at("maxUnavailable")) && is_zero(rolling->at("maxSurge")))
            errors.push_back(FieldError::invalid("spec.strategy.rollingUpdate.maxUnavailable",
                                                 go_int_or_string(rolling->at("maxUnavailable")),
                                                 "may not be 0 when `maxSurge` is 0"));
    }
}

void deployment_validate(const json &after, const json *before, std::vector<FieldError> &errors) {
    validate_workload(after, before, "deployment", errors);
    const json &spec = after.at("spec");
    validate_strategy(spec.at("strategy"), errors);
    validate_not_negative(spec, "revisionHistoryLimit", "spec", errors);
    validate_not_negative(spec, "progressDeadlineSeconds", "spec", errors);
    const int64_t deadline = integer_of(spec, "progressDeadlineSeconds", 600);
    if (deadline <= integer_of(spec, "minReadySeconds", 0))
        errors.push_back(FieldError::invalid("spec.progressDeadlineSeconds", std::to_string(deadline),
                                             "must be greater than minReadySeconds"));
    const json &status = after.at("status");
    for (const char *name : {"observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas",
                             "unavailableReplicas"})
        validate_not_negative(status, name, "status", errors);
    if (integer_of(status, "availableReplicas", 0) > integer_of(status, "readyReplicas", 0))
        errors.push_back(FieldError::invalid("status.availableReplicas",
                                             std::to_string(integer_of(status, "availableReplicas", 0)),
                                             "cannot be greater than readyReplicas"));
}

// ---- columns --------------------------------------------------------------------------------------------------

const json &pod_template(const json &object) {
    return object.at("spec").at("template").at("spec");
}

json deployment_cells(const json &object) {
    const json &status = object.at("status");
    return json::array({std::to_string(integer_of(status, "readyReplicas", 0)) + "/" +
                            std::to_string(integer_of(object.at("spec"), "replicas", 0)),
                        integer_of(status, "updatedReplicas", 0), integer_of(status, "availableReplicas", 0),
                        of_containers(pod_template(object), "name"), of_containers(pod_template(object), "image"),
                        selector_text(object.at("spec").at("selector"))});
}

json replica_set_cells(const json &object) {
    const json &status = object.at("status");
    return json::array({integer_of(object.at("spec"), "replicas", 0), integer_of(status, "replicas", 0),
                        integer_of(status, "readyReplicas", 0), of_containers(pod_template(object), "name"),
                        of_containers(pod_template(object), "image"), selector_text(object.at("spec").at("selector"))});
}

} // namespace

Behaviour apps_behaviour(const std::string &kind) {
    Behaviour out;
    out.prepare_create = prepare_workload_create;
    out.scale = {{"spec", "replicas"}, {"status", "replicas"}, [](const json &object) {
                     return selector_text(object.at("spec").at("selector"));
                 }};
    const Column containers = {"Containers", "string", "", "Names of each container in the template.", 1};
    const Column images = {"Images", "string", "", "Images referenced by each container in the template.", 1};
    if (kind == "Deployment") {
        out.untracked = {{"", path_set({{"status"}})}, {"status", path_set({{"spec"}, {"metadata", "labels"}})}};
        out.set_defaults = deployment_defaults;
        out.prepare_update = deployment_prepare_update;
        out.validate = deployment_validate;
        out.columns = {
            {"Ready", "string", "", "Number of the pod with ready state", 0},
            {"Up-to-date", "string", "",
             "Total number of non-terminated pods targeted by this deployment that have the desired template "
             "spec.",
             0},
            {"Available", "string", "",
             "Total number of available pods (ready for at least minReadySeconds) targeted by this "
             "deployment.",
             0}};
        out.wide_columns = {
            containers,
            images,
            {"Selector", "string", "",
             "Label selector for pods. Existing ReplicaSets whose pods are selected by this will be the "
             "ones affected by this deployment.",
             1}};
        out.cells = deployment_cells;
    } else {
        out.untracked = {{"", path_set({{"status"}})}, {"status", path_set({{"spec"}})}};
        out.field_selectors.push_back("status.replicas");
        out.set_defaults = default_replicas;
        out.prepare_update = prepare_workload_update;
        out.validate = [](const json &after, const json *before, std::vector<FieldError> &errors) {
            validate_workload(after, before, "deployment", errors); // a real server, too, says so of a ReplicaSet
        };
        out.columns = {{"Desired", "integer", "", "Replicas is the number of desired replicas.", 0},
                       {"Current", "integer", "", "Replicas is the most recently observed number of replicas.", 0},
                       {"Ready", "integer", "", "readyReplicas is the number of pods with a Ready condition.", 0}};
        out.wide_columns = {containers,
                            images,
                            {"Selector", "string", "",
                             "Selector is a label query over pods that should match the "
                             "replica count.",
                             1}};
        out.cells = replica_set_cells;
    }
    return out;
}

} // namespace kubesim
