// What is special about PodDisruptionBudgets.
#include "kinds.hpp"

#include "pod_spec.hpp"
#include "validation.hpp"
#include "workload.hpp"

namespace kubesim {

namespace {

void policy_validate(const json &after, const json *, std::vector<FieldError> &errors) {
    const json &spec = after.at("spec");
    if (spec.contains("minAvailable") && spec.contains("maxUnavailable")) // a real server shows Go pointers
        errors.push_back(FieldError::invalid("spec", "policy.PodDisruptionBudgetSpec" + go_value(spec, false),
                                             "minAvailable and maxUnavailable cannot be both set"));
    for (const char *name : {"minAvailable", "maxUnavailable"}) {
        const json *value = find(spec, name);
        const std::string path = std::string("spec.") + name;
        if (value && value->is_string() && !is_percent(value->get<std::string>()))
            errors.push_back(FieldError::invalid(
                path, go_int_or_string(*value),
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
                "regex used for validation is '[0-9]+%')"));
        else if (value && value->is_number())
            validate_not_negative(spec, name, "spec", errors);
    }
}

json policy_cells(const json &object) {
    const json &spec = object.at("spec");
    auto shown = [&](const char *name) {
        const json *value = find(spec, name);
        return !value ? "N/A" : value->is_string() ? value->get<std::string>() : dump(*value);
    };
    return json::array(
        {shown("minAvailable"), shown("maxUnavailable"), integer_of(object.at("status"), "disruptionsAllowed", 0)});
}

} // namespace

Behaviour disruption_budget_behaviour() {
    Behaviour out;
    out.untracked = {{"", path_set({{"status"}})}, {"status", path_set({{"spec"}})}};
    out.needs_revision = true;
    out.prepare_create = [](json &object) {
        object["metadata"]["generation"] = 1;
        object["status"] = {
            {"disruptionsAllowed", 0}, {"currentHealthy", 0}, {"desiredHealthy", 0}, {"expectedPods", 0}};
    };
    out.prepare_update = prepare_workload_update;
    out.validate = policy_validate;
    out.columns = {
        {"Min Available", "string", "", "The minimum number of pods that must be available.", 0},
        {"Max Unavailable", "string", "", "The maximum number of pods that may be unavailable.", 0},
        {"Allowed Disruptions", "integer", "", "Calculated number of pods that may be disrupted at this time.", 0}};
    out.cells = policy_cells;
    return out;
}

} // namespace kubesim
