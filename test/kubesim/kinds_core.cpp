// What is special about the kinds of the core group: Namespace, Node, ConfigMap, ServiceAccount; and Lease.
#include "kinds.hpp"

#include "file.hpp"
#include "validation.hpp"

#include <algorithm>

namespace kubesim {

namespace {

// ---- Namespace ------------------------------------------------------------------------------------------------

void namespace_defaults(json &object) {
    std::string name = text_of(object["metadata"], "name");
    if (!name.empty())
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
}

void namespace_prepare_create(json &object) {
    object["status"]["phase"] = "Active";
    json &finalizers = object["spec"]["finalizers"];
    if (!finalizers.is_array())
        finalizers = json::array();
    if (std::find(finalizers.begin(), finalizers.end(), "kubernetes") == finalizers.end())
        finalizers.push_back("kubernetes");
}

void namespace_prepare_update(json &after, const json &before, const std::string &subresource) {
    if (subresource.empty() || subresource == "status")
        keep_member(after, before, "spec");
    if (subresource.empty() || subresource == "finalize")
        keep_member(after, before, "status");
}

void namespace_validate(const json &after, const json *before, std::vector<FieldError> &errors) {
    if (!before)
        return;
    std::string phase = text_of(after.at("status"), "phase");
    bool deleted = find(after.at("metadata"), "deletionTimestamp") != nullptr;
    if (!deleted && phase != "Active")
        errors.push_back(FieldError::invalid("status.Phase", go_quoted(phase),
                                             "may only be 'Active' if `deletionTimestamp` is empty"));
    if (deleted && phase != "Terminating")
        errors.push_back(FieldError::invalid("status.Phase", go_quoted(phase),
                                             "may only be 'Terminating' if `deletionTimestamp` is not empty"));
}

json namespace_cells(const json &object) {
    return json::array({text_of(object.at("status"), "phase")});
}

// ---- Node -----------------------------------------------------------------------------------------------------

void node_prepare_create(json &object) {
    // The TaintNodesByCondition admission plugin: a new node takes no work until it reports Ready.
    json &taints = object["spec"]["taints"];
    if (!taints.is_array())
        taints = json::array();
    for (const auto &taint : taints)
        if (text_of(taint, "key") == "node.kubernetes.io/not-ready" && text_of(taint, "effect") == "NoSchedule")
            return;
    taints.push_back({{"key", "node.kubernetes.io/not-ready"}, {"effect", "NoSchedule"}});
}

void node_prepare_update(json &after, const json &before, const std::string &subresource) {
    keep_member(after, before, subresource == "status" ? "spec" : "status");
}

void node_validate(const json &after, const json *, std::vector<FieldError> &errors) {
    const json *taints = find(after.at("spec"), "taints");
    if (!taints)
        return;
    for (size_t i = 0; i < taints->size(); i++) {
        const json &taint = (*taints)[i];
        std::string path = "spec.taints[" + std::to_string(i) + "]";
        std::string key = text_of(taint, "key"), effect = text_of(taint, "effect");
        for (const auto &why : qualified_name_errors(key))
            errors.push_back(FieldError::invalid(path + ".key", go_quoted(key), why));
        if (effect.empty())
            errors.push_back(FieldError::required(path + ".effect", ""));
        else if (effect != "NoSchedule" && effect != "PreferNoSchedule" && effect != "NoExecute")
            errors.push_back(FieldError::not_supported(path + ".effect", go_quoted(effect),
                                                       {"NoSchedule", "PreferNoSchedule", "NoExecute"}));
    }
}

std::string node_status(const json &object) {
    std::string out = "Unknown";
    if (const json *conditions = find(object.at("status"), "conditions"))
        for (const auto &condition : *conditions)
            if (text_of(condition, "type") == "Ready")
                out = text_of(condition, "status") == "True" ? "Ready" : "NotReady";
    const json *cordoned = find(object.at("spec"), "unschedulable");
    return cordoned && *cordoned == true ? out + ",SchedulingDisabled" : out;
}

std::string node_roles(const json &object) {
    const std::string prefix = "node-role.kubernetes.io/";
    std::string out;
    if (const json *labels = find(object.at("metadata"), "labels"))
        for (const auto &[name, value] : labels->items())
            if (name.starts_with(prefix) && name.size() > prefix.size())
                out += (out.empty() ? "" : ",") + name.substr(prefix.size());
    return out.empty() ? "<none>" : out;
}

std::string node_address(const json &object, const std::string &type) {
    if (const json *addresses = find(object.at("status"), "addresses"))
        for (const auto &address : *addresses)
            if (text_of(address, "type") == type)
                return text_of(address, "address");
    return "<none>";
}

json node_cells(const json &object) {
    const json &info = object.at("status").at("nodeInfo");
    auto known = [&](const char *name) {
        std::string text = text_of(info, name);
        return text.empty() ? "<unknown>" : text;
    };
    return json::array({node_status(object), node_roles(object), text_of(info, "kubeletVersion"),
                        node_address(object, "InternalIP"), node_address(object, "ExternalIP"), known("osImage"),
                        known("kernelVersion"), known("containerRuntimeVersion")});
}

// ---- ConfigMap ------------------------------------------------------------------------------------------------

constexpr size_t config_map_limit = 1024 * 1024; // bytes of all values

void config_map_validate(const json &after, const json *before, std::vector<FieldError> &errors) {
    size_t total = 0;
    for (const char *part : {"data", "binaryData"}) {
        const json *values = find(after, part);
        if (!values)
            continue;
        for (const auto &[key, value] : values->items()) {
            for (const auto &why : config_key_errors(key))
                errors.push_back(FieldError::invalid(std::string(part) + "[" + key + "]", go_quoted(key), why));
            std::string text = value.get<std::string>(), bytes;
            if (std::string(part) == "data") {
                const json *binary = find(after, "binaryData");
                if (binary && binary->contains(key))
                    errors.push_back(FieldError::invalid("data[" + key + "]", go_quoted(key),
                                                         "duplicate of key present in binaryData"));
                total += text.size();
            } else if (base64_decode(text, bytes)) {
                total += bytes.size();
            }
        }
    }
    if (total > config_map_limit)
        errors.push_back(FieldError::too_long("[]", config_map_limit));
    const json *was_immutable = before ? find(*before, "immutable") : nullptr;
    if (!was_immutable || *was_immutable != true)
        return;
    const json *immutable = find(after, "immutable");
    const std::string why = "field is immutable when `immutable` is set";
    if (!immutable || *immutable != true)
        errors.push_back(FieldError::forbidden("immutable", why));
    for (const char *part : {"data", "binaryData"}) {
        const json *now = find(after, part), *then = find(*before, part);
        if (!now != !then || (now && *now != *then))
            errors.push_back(FieldError::forbidden(part, why));
    }
}

json config_map_cells(const json &object) {
    size_t count = 0;
    for (const char *part : {"data", "binaryData"})
        if (const json *values = find(object, part))
            count += values->size();
    return json::array({count});
}

// ---- Lease ----------------------------------------------------------------------------------------------------

void lease_validate(const json &after, const json *, std::vector<FieldError> &errors) {
    const json &spec = after.at("spec");
    if (const json *seconds = find(spec, "leaseDurationSeconds"); seconds && *seconds <= 0)
        errors.push_back(FieldError::invalid("spec.leaseDurationSeconds", dump(*seconds), "must be greater than 0"));
    validate_not_negative(spec, "leaseTransitions", "spec", errors);
}

} // namespace

Behaviour core_behaviour(const std::string &kind) {
    Behaviour out;
    if (kind == "Namespace") {
        out.name_rule = NameRule::label;
        out.field_selectors = {"metadata.name", "metadata.namespace", "name", "status.phase"};
        out.untracked = {
            {"", path_set({{"status"}})}, {"status", path_set({{"spec"}})}, {"finalize", path_set({{"status"}})}};
        out.has_spec_finalizers = true;
        out.set_defaults = namespace_defaults;
        out.prepare_create = namespace_prepare_create;
        out.prepare_update = namespace_prepare_update;
        out.validate = namespace_validate;
        out.columns = {{"Status", "string", "", "The status of the namespace", 0}};
        out.cells = namespace_cells;
    } else if (kind == "Node") {
        out.field_selectors = {"metadata.name", "spec.unschedulable"};
        out.untracked = {{"", path_set({{"status"}})}, {"status", path_set({{"spec"}})}};
        out.prepare_create = node_prepare_create;
        out.prepare_update = node_prepare_update;
        out.validate = node_validate;
        out.columns = {{"Status", "string", "", "The status of the node", 0},
                       {"Roles", "string", "", "The roles of the node", 0}};
        out.wide_columns = {{"Version", "string", "", "Kubelet Version reported by the node.", 0},
                            {"Internal-IP", "string", "", "List of addresses reachable to the node.", 1},
                            {"External-IP", "string", "", "List of addresses reachable to the node.", 1},
                            {"OS-Image", "string", "", "OS Image reported by the node.", 1},
                            {"Kernel-Version", "string", "", "Kernel Version reported by the node.", 1},
                            {"Container-Runtime", "string", "", "ContainerRuntime Version reported by the node.", 1}};
        out.cells = node_cells;
    } else if (kind == "ConfigMap") {
        out.validate = config_map_validate;
        out.columns = {{"Data", "string", "", "Data contains the configuration data.", 0}};
        out.cells = config_map_cells;
    } else if (kind == "ServiceAccount") {
        out.returns_deleted = true;
        out.columns = {{"Secrets", "string", "",
                        "Secrets is a list of the secrets in the same namespace that pods running using this "
                        "ServiceAccount are allowed to use.",
                        0}};
        out.cells = [](const json &object) {
            const json *secrets = find(object, "secrets");
            return json::array({secrets ? secrets->size() : 0});
        };
    } else if (kind == "Lease") {
        out.needs_revision = true;
        out.created_by_update = true;
        out.validate = lease_validate;
        out.columns = {
            {"Holder", "string", "", "holderIdentity contains the identity of the holder of a current lease.", 0}};
        out.cells = [](const json &object) {
            const json *holder = find(object.at("spec"), "holderIdentity");
            return json::array({holder ? *holder : json("")});
        };
    }
    return out;
}

} // namespace kubesim
