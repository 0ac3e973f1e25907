// PodDisruptionBudgets: how many of their pods are well, and how many more may be evicted.
#include "disruption_controller.hpp"

#include "conditions.hpp"
#include "disruption_status.hpp"
#include "owned_pods.hpp"
#include "pod_spec.hpp"
#include "selection.hpp"

#include <algorithm>

namespace kubesim {

void DisruptionController::observe(const Change &change) {
    if (change.kind == &budgets_ && change.after)
        return queue_.add(change.after->key);
    const bool counts = change.kind == &pods_ || change.kind->behaviour.scale;
    if (!counts)
        return;
    const json &metadata = (change.after ? change.after : change.before)->body.at("metadata");
    const std::string prefix = text_of(metadata, "namespace") + "/";
    const Store::Objects &all = store_.objects(budgets_);
    for (auto it = all.lower_bound(prefix); it != all.end() && it->first.starts_with(prefix); ++it)
        queue_.add(it->first);
}

int64_t DisruptionController::asked_for(const std::vector<StoredPtr> &pods) const {
    std::map<std::string, int64_t> sizes; // by the workload's uid
    for (const auto &pod : pods) {
        StoredPtr owner = pod;
        // A Deployment's ReplicaSet does not decide.
        while (StoredPtr next = controller_of(store_, kinds_, owner->body))
            owner = next;
        if (owner != pod && owner->body.contains("spec"))
            sizes[text_of(owner->body.at("metadata"), "uid")] = integer_of(owner->body.at("spec"), "replicas", 0);
    }
    int64_t out = 0;
    for (const auto &[uid, size] : sizes)
        out += size;
    return out;
}

void DisruptionController::sync(const std::string &key) {
    StoredPtr budget = store_.get(budgets_, key);
    if (!budget)
        return;
    const json &spec = budget->body.at("spec");
    const std::vector<StoredPtr> pods = pods_of_budget(store_, pods_, budget->body);
    json status = budget->body.at("status");
    json disrupted = status.value("disruptedPods", json::object());
    int64_t healthy = 0;
    for (const auto &pod : pods) {
        const std::string name = text_of(pod->body.at("metadata"), "name");
        if (is_deleting(pod->body))
            disrupted.erase(name);
        else
            healthy += is_true(pod->body, "Ready") && !disrupted.contains(name);
    }
    for (auto it = disrupted.begin(); it != disrupted.end();)
        it = store_.get(pods_, text_of(budget->body.at("metadata"), "namespace") + "/" + it.key())
                 ? std::next(it)
                 : disrupted.erase(it);
    auto expected = static_cast<int64_t>(pods.size());
    int64_t desired = 0;
    if (const json *unavailable = find(spec, "maxUnavailable")) {
        expected = asked_for(pods);
        desired = std::max<int64_t>(0, expected - part_of(*unavailable, expected, true));
    } else if (const json *available = find(spec, "minAvailable")) {
        if (available->is_string())
            expected = asked_for(pods);
        desired = part_of(*available, expected, true);
    }
    const int64_t allowed = expected > 0 ? std::max<int64_t>(0, healthy - desired) : 0;
    status["expectedPods"] = expected;
    status["desiredHealthy"] = desired;
    status["currentHealthy"] = healthy;
    status["observedGeneration"] = budget->body.at("metadata").at("generation");
    if (disrupted.empty())
        status.erase("disruptedPods");
    else
        status["disruptedPods"] = disrupted;
    set_allowed(status, allowed, status["observedGeneration"]);
    if (status != budget->body.at("status"))
        api_.control(budgets_, key, controller_manager, "status", [&](json &object) { object["status"] = status; });
}

} // namespace kubesim
