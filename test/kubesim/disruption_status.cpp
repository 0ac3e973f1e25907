// What evictions and the controller of PodDisruptionBudgets both know of them.
#include "disruption_status.hpp"

#include "api.hpp"
#include "selection.hpp"

namespace kubesim {

std::vector<StoredPtr> pods_of_budget(const Store &store, const Kind &pods, const json &budget) {
    std::vector<StoredPtr> out;
    const json *selector = find(budget.at("spec"), "selector");
    const std::string prefix = text_of(budget.at("metadata"), "namespace") + "/";
    const Store::Objects &all = store.objects(pods);
    for (auto it = all.lower_bound(prefix); selector && it != all.end() && it->first.starts_with(prefix); ++it)
        if (selects(*selector, find(it->second->body.at("metadata"), "labels")))
            out.push_back(it->second);
    return out;
}

void set_allowed(json &status, int64_t allowed, const json &generation) {
    status["disruptionsAllowed"] = allowed;
    json one = {{"type", "DisruptionAllowed"},
                {"status", allowed > 0 ? "True" : "False"},
                {"reason", allowed > 0 ? "SufficientPods" : "InsufficientPods"},
                {"message", ""},
                {"observedGeneration", generation},
                {"lastTransitionTime", rfc3339_now()}};
    if (status.contains("conditions"))
        for (const auto &before : status["conditions"])
            if (before["type"] == one["type"] && before["status"] == one["status"])
                one["lastTransitionTime"] = before["lastTransitionTime"];
    status["conditions"] = json::array({one});
}

} // namespace kubesim
