// Pods that nobody has placed go to Ready Nodes, or say why they cannot.
#include "scheduler.hpp"

#include "conditions.hpp"
#include "selection.hpp"

namespace kubesim {

namespace {

bool tolerates(const json &pod, const json &taint) {
    const json *tolerations = find(pod.at("spec"), "tolerations");
    if (!tolerations)
        return false;
    for (const auto &one : *tolerations) {
        const std::string key = text_of(one, "key"), effect = text_of(one, "effect");
        const bool any_value = text_of(one, "operator") == "Exists";
        if ((effect.empty() || effect == text_of(taint, "effect")) &&
            (key == text_of(taint, "key") || (key.empty() && any_value)) &&
            (any_value || text_of(one, "value") == text_of(taint, "value")))
            return true;
    }
    return false;
}

// Why the pod cannot go there, in kube-scheduler's words; "" when it can.
std::string obstacle(const json &pod, const json &node, int64_t pods_there) {
    const json &spec = node.at("spec");
    const json *cordoned = find(spec, "unschedulable");
    const json cordon_taint = {{"key", "node.kubernetes.io/unschedulable"}, {"effect", "NoSchedule"}};
    if (cordoned && *cordoned == true && !tolerates(pod, cordon_taint))
        return "were unschedulable";
    if (const json *taints = find(spec, "taints"))
        for (const auto &taint : *taints)
            if (text_of(taint, "effect") != "PreferNoSchedule" && !tolerates(pod, taint))
                return "had untolerated taint {" + text_of(taint, "key") + ": " + text_of(taint, "value") + "}";
    if (const json *selector = find(pod.at("spec"), "nodeSelector"))
        if (!has_labels(*selector, find(node.at("metadata"), "labels")))
            return "didn't match Pod's node affinity/selector";
    const json *allocatable = find(node.at("status"), "allocatable");
    const std::string room = allocatable ? text_of(*allocatable, "pods") : "";
    if (room.empty() || pods_there >= std::stoll(room))
        return "Too many pods";
    return "";
}

json unschedulable(const std::string &why) {
    return {{"type", "PodScheduled"},    {"status", "False"},
            {"lastProbeTime", nullptr},  {"lastTransitionTime", rfc3339_now()},
            {"reason", "Unschedulable"}, {"message", why}};
}

} // namespace

void Scheduler::observe(const Change &change) {
    if (change.kind == &nodes_)
        return waiting_.empty() ? void() : queue_.add("");
    if (change.kind != &pods_)
        return;
    if (!change.after) {
        waiting_.erase(change.before->key);
        return waiting_.empty() ? void() : queue_.add(""); // there is room now
    }
    const json &spec = change.after->body.at("spec");
    if (!text_of(spec, "nodeName").empty() || is_deleting(change.after->body) ||
        text_of(spec, "schedulerName") != "default-scheduler")
        waiting_.erase(change.after->key);
    else if (waiting_.insert(change.after->key).second)
        queue_.add("");
}

void Scheduler::place_all() {
    std::map<std::string, int64_t> pods_on;
    for (const auto &[key, pod] : store_.objects(pods_))
        if (std::string node = text_of(pod->body.at("spec"), "nodeName"); !node.empty())
            pods_on[node]++;
    for (const auto &key : std::set<std::string>(waiting_)) {
        StoredPtr pod = store_.get(pods_, key);
        if (!pod)
            continue;
        std::string why;
        const std::string node = choose(pod->body, pods_on, why);
        if (!node.empty()) {
            pods_on[node]++;
            api_.bind(*pod, node);
            continue;
        }
        const json *before = condition_of(pod->body, "PodScheduled");
        if (!before || text_of(*before, "message") != why)
            api_.control(pods_, key, "kube-scheduler", "status", [&](json &object) {
                json &conditions = object["status"]["conditions"];
                conditions = json::array({unschedulable(why)});
            });
    }
}

std::string Scheduler::choose(const json &pod, const std::map<std::string, int64_t> &pods_on, std::string &why) const {
    std::string best;
    int64_t fewest = 0;
    std::map<std::string, int> obstacles;
    const auto &nodes = store_.objects(nodes_);
    for (const auto &[name, node] : nodes) {
        auto it = pods_on.find(name);
        const int64_t there = it == pods_on.end() ? 0 : it->second;
        const std::string reason = obstacle(pod, node->body, there);
        if (!reason.empty()) {
            obstacles[reason]++;
        } else if (best.empty() || there < fewest) {
            best = name;
            fewest = there;
        }
    }
    why = nodes.empty() ? "no nodes available to schedule pods"
                        : "0/" + std::to_string(nodes.size()) + " nodes are available:";
    std::string all;
    for (const auto &[reason, count] : obstacles)
        all += (all.empty() ? " " : ", ") + std::to_string(count) + (reason == "Too many pods" ? " " : " node(s) ") +
               reason;
    if (!nodes.empty())
        why += all + ". preemption: 0/" + std::to_string(nodes.size()) +
               " nodes are available: " + std::to_string(nodes.size()) + " Preemption is not helpful for scheduling.";
    return best;
}

} // namespace kubesim
