// What is special about the kinds of apps/v1 that name or place each of their pods: StatefulSet, DaemonSet, and the
// ControllerRevisions in which they remember templates.
#include "kinds.hpp"

#include "pod_spec.hpp"
#include "selection.hpp"
#include "validation.hpp"
#include "workload.hpp"

namespace kubesim {

namespace {

const char *const template_generation = "deprecated.daemonset.template.generation";

const json &pod_template(const json &object) {
    return object.at("spec").at("template").at("spec");
}

// ---- StatefulSet ----------------------------------------------------------------------------------------------

void stateful_set_defaults(json &object) {
    default_replicas(object);
    json &spec = object["spec"], &strategy = spec["updateStrategy"];
    if (text_of(spec, "podManagementPolicy").empty())
        spec["podManagementPolicy"] = "OrderedReady";
    if (text_of(strategy, "type").empty()) {
        strategy["type"] = "RollingUpdate";
        if (!strategy.contains("rollingUpdate"))
            strategy["rollingUpdate"] = json::object();
    }
    if (strategy["type"] == "RollingUpdate" && strategy.contains("rollingUpdate") &&
        !strategy["rollingUpdate"].contains("partition"))
        strategy["rollingUpdate"]["partition"] = 0;
    if (!spec.contains("revisionHistoryLimit"))
        spec["revisionHistoryLimit"] = 10;
    if (spec.contains("volumeClaimTemplates"))
        for (auto &claim : spec["volumeClaimTemplates"]) {
            claim["apiVersion"] = "v1";
            claim["kind"] = "PersistentVolumeClaim";
            if (!claim["spec"].contains("volumeMode"))
                claim["spec"]["volumeMode"] = "Filesystem";
            claim["status"] = {{"phase", "Pending"}};
        }
}

// Fields of features that are off.
void drop_alpha(json &spec) {
    spec.erase("ordinals");
    spec.erase("persistentVolumeClaimRetentionPolicy");
    if (spec["updateStrategy"].contains("rollingUpdate"))
        spec["updateStrategy"]["rollingUpdate"].erase("maxUnavailable");
}

void stateful_set_prepare_create(json &object) {
    prepare_workload_create(object);
    object["status"] = {{"replicas", 0}, {"availableReplicas", 0}};
    drop_alpha(object["spec"]);
}

void stateful_set_prepare_update(json &after, const json &before, const std::string &subresource) {
    if (subresource != "status")
        drop_alpha(after["spec"]);
    prepare_workload_update(after, before, subresource);
}

json immutable_part(json spec) {
    for (const char *name : {"replicas", "template", "updateStrategy", "minReadySeconds"})
        spec.erase(name);
    return spec;
}

void stateful_set_validate(const json &after, const json *before, std::vector<FieldError> &errors) {
    const json &spec = after.at("spec");
    const std::string policy = text_of(spec, "podManagementPolicy");
    if (policy != "OrderedReady" && policy != "Parallel")
        errors.push_back(
            FieldError::invalid("spec.podManagementPolicy", go_quoted(policy), "must be 'OrderedReady' or 'Parallel'"));
    const json &strategy = spec.at("updateStrategy");
    const std::string type = text_of(strategy, "type");
    if (type != "RollingUpdate" && type != "OnDelete")
        errors.push_back(FieldError::invalid("spec.updateStrategy",
                                             "apps.StatefulSetUpdateStrategy{Type:" + go_quoted(type) +
                                                 ", RollingUpdate:(*apps.RollingUpdateStatefulSetStrategy)(nil)}",
                                             "must be 'RollingUpdate' or 'OnDelete'"));
    if (const json *rolling = find(strategy, "rollingUpdate"))
        validate_not_negative(*rolling, "partition", "spec.updateStrategy.rollingUpdate", errors);
    validate_not_negative(spec, "replicas", "spec", errors);
    validate_not_negative(spec, "minReadySeconds", "spec", errors);
    validate_selector(spec, "statefulset", errors);
    // The pod is not looked at before one is made.
    const json &pod = spec.at("template");
    const json *labels = find(pod.at("metadata"), "labels");
    if (!selects(spec.at("selector"), labels))
        errors.push_back(FieldError::invalid("spec.template.metadata.labels", go_labels(labels),
                                             "`selector` does not match template `labels`"));
    if (std::string restart = text_of(pod.at("spec"), "restartPolicy"); restart != "Always")
        errors.push_back(FieldError::not_supported("spec.template.spec.restartPolicy", go_quoted(restart), {"Always"}));
    if (before && immutable_part(spec) != immutable_part(before->at("spec")))
        errors.push_back(FieldError::forbidden(
            "spec", "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
                    "'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"));
}

json stateful_set_cells(const json &object) {
    return json::array({std::to_string(integer_of(object.at("status"), "readyReplicas", 0)) + "/" +
                            std::to_string(integer_of(object.at("spec"), "replicas", 0)),
                        of_containers(pod_template(object), "name"), of_containers(pod_template(object), "image")});
}

// ---- DaemonSet ------------------------------------------------------------------------------------------------

void daemon_set_defaults(json &object) {
    json &spec = object["spec"], &strategy = spec["updateStrategy"];
    default_pod_spec(spec["template"]["spec"]);
    if (text_of(strategy, "type").empty())
        strategy["type"] = "RollingUpdate";
    if (strategy["type"] == "RollingUpdate") {
        json &rolling = strategy["rollingUpdate"];
        if (!rolling.contains("maxUnavailable"))
            rolling["maxUnavailable"] = 1;
        if (!rolling.contains("maxSurge"))
            rolling["maxSurge"] = 0;
    }
    if (!spec.contains("revisionHistoryLimit"))
        spec["revisionHistoryLimit"] = 10;
}

void daemon_set_prepare_create(json &object) {
    prepare_workload_create(object);
    for (const char *name : {"currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"})
        object["status"][name] = 0;
    object["metadata"]["annotations"][template_generation] = "1";
}

void daemon_set_prepare_update(json &after, const json &before, const std::string &subresource) {
    prepare_workload_update(after, before, subresource);
    const json *annotations = find(before.at("metadata"), "annotations");
    const std::string generation = annotations ? text_of(*annotations, template_generation) : "";
    const bool changed = after.at("spec").at("template") != before.at("spec").at("template");
    if (!generation.empty())
        after["metadata"]["annotations"][template_generation] =
            changed ? std::to_string(std::stoll(generation) + 1) : generation;
}

void daemon_set_validate(const json &after, const json *before, std::vector<FieldError> &errors) {
    const json &spec = after.at("spec");
    validate_selector(spec, "daemonset", errors);
    validate_selected_template(spec, errors);
    validate_not_negative(spec, "minReadySeconds", "spec", errors);
    if (const std::string type = text_of(spec.at("updateStrategy"), "type");
        type != "RollingUpdate" && type != "OnDelete")
        errors.push_back(FieldError::not_supported("spec.updateStrategy",
                                                   "apps.DaemonSetUpdateStrategy{Type:" + go_quoted(type) +
                                                       ", RollingUpdate:(*apps.RollingUpdateDaemonSet)(nil)}",
                                                   {"RollingUpdate", "OnDelete"}));
    if (before && before->at("spec").at("selector") != spec.at("selector"))
        errors.push_back(FieldError::invalid("spec.selector", selector_go(spec.at("selector")), "field is immutable"));
}

json daemon_set_cells(const json &object) {
    const json &status = object.at("status");
    const json *nodes = find(pod_template(object), "nodeSelector");
    json out = json::array();
    for (const char *name : {"desiredNumberScheduled", "currentNumberScheduled", "numberReady",
                             "updatedNumberScheduled", "numberAvailable"})
        out.push_back(integer_of(status, name, 0));
    out.push_back(nodes ? selector_text({{"matchLabels", *nodes}}) : "<none>");
    out.push_back(of_containers(pod_template(object), "name"));
    out.push_back(of_containers(pod_template(object), "image"));
    out.push_back(selector_text(object.at("spec").at("selector")));
    return out;
}

// ---- ControllerRevision ---------------------------------------------------------------------------------------

void revision_validate(const json &after, const json *before, std::vector<FieldError> &errors) {
    validate_not_negative(after, "revision", "", errors);
    if (before && !same_member(after, *before, "data"))
        errors.push_back(FieldError::invalid("data", dump(after.at("data")), "field is immutable"));
}

json revision_cells(const json &object) {
    std::string controller = "<none>";
    if (const json *owners = find(object.at("metadata"), "ownerReferences"))
        for (const auto &owner : *owners)
            if (const json *controls = find(owner, "controller"); controls && *controls == true) {
                std::string kind = text_of(owner, "kind");
                for (char &letter : kind)
                    letter = static_cast<char>(tolower(letter));
                const std::string version = text_of(owner, "apiVersion");
                controller = kind + "." + version.substr(0, version.find('/')) + "/" + text_of(owner, "name");
            }
    return json::array({controller, integer_of(object, "revision", 0)});
}

const Column containers = {"Containers", "string", "", "Names of each container in the template.", 1};
const Column images = {"Images", "string", "", "Images referenced by each container in the template.", 1};

} // namespace

Behaviour set_behaviour(const std::string &kind) {
    Behaviour out;
    if (kind == "ControllerRevision") {
        out.validate = revision_validate;
        out.columns = {
            {"Controller", "string", "", "Controller of the object", 0},
            {"Revision", "string", "", "Revision indicates the revision of the state represented by Data.", 0}};
        out.cells = revision_cells;
        return out;
    }
    out.untracked = {{"", path_set({{"status"}})}, {"status", path_set({{"spec"}})}};
    if (kind == "StatefulSet") {
        out.scale = {{"spec", "replicas"}, {"status", "replicas"}, [](const json &object) {
                         return selector_text(object.at("spec").at("selector"));
                     }};
        out.set_defaults = stateful_set_defaults;
        out.prepare_create = stateful_set_prepare_create;
        out.prepare_update = stateful_set_prepare_update;
        out.validate = stateful_set_validate;
        out.columns = {{"Ready", "string", "", "Number of the pod with ready state", 0}};
        out.wide_columns = {containers, images};
        out.cells = stateful_set_cells;
        return out;
    }
    out.set_defaults = daemon_set_defaults;
    out.prepare_create = daemon_set_prepare_create;
    out.prepare_update = daemon_set_prepare_update;
    out.validate = daemon_set_validate;
    out.columns = {
        {"Desired", "integer", "",
         "The total number of nodes that should be running the daemon pod (including nodes correctly running the "
         "daemon "
         "pod). More info: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/",
         0},
        {"Current", "integer", "",
         "The number of nodes that are running at least 1 daemon pod and are supposed to run the daemon pod. More "
         "info: "
         "https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/",
         0},
        {"Ready", "integer", "",
         "The number of nodes that should be running the daemon pod and have one or more of the daemon pod running and "
         "ready.",
         0},
        {"Up-to-date", "integer", "", "The total number of nodes that are running updated daemon pod", 0},
        {"Available", "integer", "",
         "The number of nodes that should be running the daemon pod and have one or more of the daemon pod running and "
         "available (ready for at least spec.minReadySeconds)",
         0},
        {"Node Selector", "string", "",
         "NodeSelector is a selector which must be true for the pod to fit on a node. Selector which must match a "
         "node's labels for the pod to be scheduled on that node. More info: "
         "https://kubernetes.io/docs/concepts/configuration/assign-pod-node/",
         0}};
    out.wide_columns = {
        containers,
        images,
        {"Selector", "string", "",
         "A label query over pods that are managed by the daemon set. Must match in order to be controlled. If empty, "
         "defaulted to labels on Pod template. More info: "
         "https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
         1}};
    out.cells = daemon_set_cells;
    return out;
}

} // namespace kubesim
