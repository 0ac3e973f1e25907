// ReplicaSets: as many pods as they ask for, and the status that counts them.
#include "replica_set_controller.hpp"

#include "conditions.hpp"
#include "owned_pods.hpp"
#include "pod_spec.hpp"
#include "selection.hpp"

#include <algorithm>
#include <tuple>

namespace kubesim {

namespace {

// Those that are missed least come first: not placed, not ready, newest.
void by_expendability(std::vector<StoredPtr> &pods) {
    auto rank = [](const StoredPtr &pod) {
        return std::make_tuple(!text_of(pod->body.at("spec"), "nodeName").empty(), is_true(pod->body, "Ready"));
    };
    std::stable_sort(pods.begin(), pods.end(), [&](const StoredPtr &a, const StoredPtr &b) {
        if (rank(a) != rank(b))
            return rank(a) < rank(b);
        return text_of(a->body.at("metadata"), "creationTimestamp") >
               text_of(b->body.at("metadata"), "creationTimestamp");
    });
}

} // namespace

void ReplicaSetController::observe(const Change &change) {
    if (change.kind == &sets_ && change.after)
        queue_.add(change.after->key);
    if (change.kind == &pods_)
        for (const auto &key : owner_keys(change))
            queue_.add(key);
}

std::vector<StoredPtr> ReplicaSetController::active_pods(const Stored &set) const {
    std::vector<StoredPtr> out = controlled_by(store_, pods_, set.body);
    std::erase_if(out, [](const StoredPtr &pod) { return !is_active(pod->body); });
    return out;
}

void ReplicaSetController::sync(const std::string &key) {
    StoredPtr set = store_.get(sets_, key);
    if (!set)
        return;
    adopt(api_, store_, pods_, sets_, set->body);
    std::vector<StoredPtr> pods = active_pods(*set);
    const auto wanted = static_cast<size_t>(integer_of(set->body.at("spec"), "replicas", 0));
    if (!is_deleting(set->body)) {
        for (size_t i = pods.size(); i < wanted; i++)
            api_.create_by_controller(pods_, pod_of(sets_, set->body), controller_manager);
        if (pods.size() > wanted) {
            by_expendability(pods);
            for (size_t i = 0; i < pods.size() - wanted; i++)
                api_.remove_by_controller(pods_, pods[i]->key);
        }
    }
    report(set, active_pods(*set));
}

void ReplicaSetController::report(const StoredPtr &set, const std::vector<StoredPtr> &pods) {
    const json &spec = set->body.at("spec"), &wanted_labels = spec.at("template").at("metadata").at("labels");
    const int64_t min_ready_seconds = integer_of(spec, "minReadySeconds", 0);
    int64_t labeled = 0, ready = 0, available = 0, soonest = -1;
    for (const auto &pod : pods) {
        labeled += has_labels(wanted_labels, find(pod->body.at("metadata"), "labels"));
        const int64_t left = seconds_to_available(pod->body, min_ready_seconds);
        ready += left >= 0;
        available += left == 0;
        if (left > 0)
            soonest = soonest < 0 ? left : std::min(soonest, left);
    }
    json status = set->body.at("status");
    status["replicas"] = pods.size();
    status["observedGeneration"] = set->body.at("metadata").at("generation");
    set_count(status, "fullyLabeledReplicas", labeled);
    set_count(status, "readyReplicas", ready);
    set_count(status, "availableReplicas", available);
    if (status != set->body.at("status"))
        api_.control(sets_, set->key, controller_manager, "status", [&](json &object) { object["status"] = status; });
    if (soonest > 0)
        queue_.add_after(set->key, std::chrono::seconds(soonest));
}

} // namespace kubesim
