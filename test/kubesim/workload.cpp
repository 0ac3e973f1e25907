// What workloads have in common: the template they make pods from, the selector that finds these again, generations.
#include "workload.hpp"

#include "pod_spec.hpp"
#include "selection.hpp"
#include "validation.hpp"

namespace kubesim {

void default_replicas(json &object) {
    json &spec = object["spec"];
    if (!spec.contains("replicas"))
        spec["replicas"] = 1;
    default_pod_spec(spec["template"]["spec"]);
}

void prepare_workload_create(json &object) {
    object["metadata"]["generation"] = 1;
    object["status"] = json::object();
}

void next_generation(json &after, const json &before) {
    after["metadata"]["generation"] = integer_of(before.at("metadata"), "generation", 0) + 1;
}

bool same_member(const json &a, const json &b, const char *name) {
    const json *left = find(a, name), *right = find(b, name);
    return left && right ? *left == *right : !left && !right;
}

void prepare_workload_update(json &after, const json &before, const std::string &subresource) {
    keep_member(after, before, subresource == "status" ? "spec" : "status");
    if (!same_member(after, before, "spec"))
        next_generation(after, before);
}

std::string go_labels(const json *labels) {
    if (!labels || labels->empty())
        return "map[string]string(nil)";
    std::string out;
    for (const auto &[key, value] : labels->items())
        out += (out.empty() ? "" : ", ") + go_quoted(key) + ":" + go_quoted(value.get<std::string>());
    return "map[string]string{" + out + "}";
}

std::string go_int_or_string(const json &value) {
    return value.is_string() ? "intstr.IntOrString{Type:1, IntVal:0, StrVal:" + dump(value) + "}"
                             : "intstr.IntOrString{Type:0, IntVal:" + dump(value) + ", StrVal:\"\"}";
}

bool is_percent(const std::string &text) {
    return text.size() > 1 && text.find_first_not_of("0123456789") == text.size() - 1 && text.back() == '%';
}

void validate_selector(const json &spec, const std::string &what, std::vector<FieldError> &errors) {
    const json &selector = spec.at("selector");
    if (selector.is_null())
        return errors.push_back(FieldError::required("spec.selector", ""));
    if (const json *wanted = find(selector, "matchLabels"))
        validate_labels(*wanted, "spec.selector.matchLabels", errors);
    if (selector.empty())
        errors.push_back(
            FieldError::invalid("spec.selector", selector_go(selector), "empty selector is invalid for " + what));
}

void validate_selected_template(const json &spec, std::vector<FieldError> &errors) {
    const json &selector = spec.at("selector"), &pod = spec.at("template");
    const json *labels = find(pod.at("metadata"), "labels");
    if (selector.is_null() || !selects(selector, labels))
        errors.push_back(FieldError::invalid("spec.template.metadata.labels", go_labels(labels),
                                             "`selector` does not match template `labels`"));
    if (labels)
        validate_labels(*labels, "spec.template.labels", errors);
    validate_pod_spec(pod.at("spec"), "spec.template.spec", errors);
    if (std::string policy = text_of(pod.at("spec"), "restartPolicy"); policy != "Always")
        errors.push_back(FieldError::not_supported("spec.template.spec.restartPolicy", go_quoted(policy), {"Always"}));
}

void validate_workload(const json &after, const json *before, const std::string &what,
                       std::vector<FieldError> &errors) {
    const json &spec = after.at("spec");
    validate_not_negative(spec, "replicas", "spec", errors);
    validate_not_negative(spec, "minReadySeconds", "spec", errors);
    validate_selector(spec, what, errors);
    validate_selected_template(spec, errors);
    if (before && before->at("spec").at("selector") != spec.at("selector"))
        errors.push_back(FieldError::invalid("spec.selector", selector_go(spec.at("selector")), "field is immutable"));
}

std::string of_containers(const json &pod_spec, const char *member) {
    std::string out;
    for (const auto &container : pod_spec.at("containers"))
        out += (out.empty() ? "" : ",") + text_of(container, member);
    return out;
}

} // namespace kubesim
