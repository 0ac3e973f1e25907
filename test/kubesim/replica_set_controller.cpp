// ReplicaSets: as many pods as they ask for, and the status that counts them.
#include "replica_set_controller.hpp"

#include "conditions.hpp"
#include "pod_spec.hpp"
#include "selection.hpp"

#include <algorithm>
#include <ctime>
#include <tuple>

namespace kubesim {

namespace {

const char *const manager = "kube-controller-manager";

bool is_active(const json &pod) {
    const std::string phase = text_of(pod.at("status"), "phase");
    return !is_deleting(pod) && phase != "Succeeded" && phase != "Failed";
}

// Seconds a ready pod has yet to stay ready before it counts as available; -1: it is not ready.
int64_t seconds_to_available(const json &pod, int64_t min_ready_seconds) {
    if (!is_true(pod, "Ready"))
        return -1;
    tm parts{};
    strptime(text_of(*condition_of(pod, "Ready"), "lastTransitionTime").c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return min_ready_seconds == 0 ? 0 : std::max<int64_t>(0, timegm(&parts) + min_ready_seconds - time(nullptr));
}

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

void set_count(json &status, const char *name, int64_t value) {
    if (value == 0)
        status.erase(name);
    else
        status[name] = value;
}

} // namespace

void ReplicaSetController::observe(const Change &change) {
    if (change.kind == &sets_ && change.after)
        queue_.add(change.after->key);
    if (change.kind != &pods_)
        return;
    const json &metadata = (change.after ? change.after : change.before)->body.at("metadata");
    if (const json *owners = find(metadata, "ownerReferences"))
        for (const auto &owner : *owners)
            queue_.add(text_of(metadata, "namespace") + "/" + text_of(owner, "name"));
}

std::vector<StoredPtr> ReplicaSetController::pods_of(const Stored &set) const {
    const json &metadata = set.body.at("metadata");
    const std::string uid = text_of(metadata, "uid"), name_space = text_of(metadata, "namespace") + "/";
    const Store::Objects &objects = store_.objects(pods_);
    std::vector<StoredPtr> out;
    for (auto it = objects.lower_bound(name_space); it != objects.end() && it->first.starts_with(name_space); ++it)
        if (controller_uid(it->second->body) == uid && is_active(it->second->body))
            out.push_back(it->second);
    return out;
}

void ReplicaSetController::sync(const std::string &key) {
    StoredPtr set = store_.get(sets_, key);
    if (!set)
        return;
    std::vector<StoredPtr> pods = pods_of(*set);
    const auto wanted = static_cast<size_t>(integer_of(set->body.at("spec"), "replicas", 0));
    if (!is_deleting(set->body)) {
        for (size_t i = pods.size(); i < wanted; i++)
            create_pod(*set);
        if (pods.size() > wanted) {
            by_expendability(pods);
            for (size_t i = 0; i < pods.size() - wanted; i++)
                api_.remove_by_controller(pods_, pods[i]->key);
        }
    }
    report(set, pods_of(*set));
}

void ReplicaSetController::create_pod(const Stored &set) {
    json pod = set.body.at("spec").at("template");
    const json &metadata = set.body.at("metadata");
    pod["metadata"].erase("creationTimestamp");
    pod["metadata"]["generateName"] = text_of(metadata, "name") + "-";
    pod["metadata"]["namespace"] = metadata.at("namespace");
    pod["metadata"]["ownerReferences"] = json::array({controller_reference(sets_, set.body)});
    api_.create_by_controller(pods_, std::move(pod), manager);
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
        api_.control(sets_, set->key, manager, "status", [&](json &object) { object["status"] = status; });
    if (soonest > 0)
        queue_.add_after(set->key, std::chrono::seconds(soonest));
}

} // namespace kubesim
