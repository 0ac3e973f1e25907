// Pods that nobody has placed go to Ready Nodes, or say why they cannot.
#include "scheduler.hpp"

#include "conditions.hpp"
#include "owned_pods.hpp"
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

// All are taken as TCP on every address.
std::set<int64_t> host_ports(const json &pod) {
    std::set<int64_t> out;
    for (const auto &container : pod.at("spec").at("containers"))
        if (const json *ports = find(container, "ports"))
            for (const auto &port : *ports)
                if (const json *host_port = find(port, "hostPort"))
                    out.insert(host_port->get<int64_t>());
    return out;
}

json unschedulable(const std::string &why) {
    return {{"type", "PodScheduled"},    {"status", "False"},
            {"lastProbeTime", nullptr},  {"lastTransitionTime", rfc3339_now()},
            {"reason", "Unschedulable"}, {"message", why}};
}

// The node that a DaemonSet wants its pod on, in the form in which its controller asks for it.
std::string only_node(const json &pod) {
    const json *at = &pod.at("spec");
    for (const char *name :
         {"affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"})
        if (at = find(*at, name); !at)
            return "";
    for (const auto &term : *at)
        if (const json *fields = find(term, "matchFields"))
            for (const auto &field : *fields)
                if (text_of(field, "key") == "metadata.name" && field.contains("values"))
                    return field["values"][0];
    return "";
}

} // namespace

// Why the pod cannot go there, in kube-scheduler's words; "" when it can.
std::string Scheduler::obstacle(const json &pod, const json &node, const Use &use) {
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
    if (const std::string only = only_node(pod); !only.empty() && only != text_of(node.at("metadata"), "name"))
        return "didn't match Pod's node affinity/selector";
    const json *allocatable = find(node.at("status"), "allocatable");
    const std::string room = allocatable ? text_of(*allocatable, "pods") : "";
    if (room.empty() || use.pods >= std::stoll(room))
        return "Too many pods";
    for (const int64_t port : host_ports(pod))
        if (use.host_ports.contains(port))
            return "didn't have free ports for the requested pod ports";
    return "";
}

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
    std::map<std::string, Use> uses;
    const auto use = [&](const std::string &node, const json &pod) {
        uses[node].pods++;
        uses[node].host_ports.merge(host_ports(pod));
    };
    for (const auto &[key, pod] : store_.objects(pods_))
        if (std::string node = text_of(pod->body.at("spec"), "nodeName"); !node.empty() && !is_finished(pod->body))
            use(node, pod->body);
    for (const auto &key : std::set<std::string>(waiting_)) {
        StoredPtr pod = store_.get(pods_, key);
        if (!pod)
            continue;
        std::string why;
        const std::string node = choose(pod->body, uses, why);
        if (!node.empty()) {
            use(node, pod->body);
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

std::string Scheduler::choose(const json &pod, const std::map<std::string, Use> &uses, std::string &why) const {
    std::string best;
    int64_t fewest = 0;
    std::map<std::string, int> obstacles;
    const auto &nodes = store_.objects(nodes_);
    for (const auto &[name, node] : nodes) {
        const auto it = uses.find(name);
        const Use there = it == uses.end() ? Use() : it->second;
        const std::string reason = obstacle(pod, node->body, there);
        if (!reason.empty()) {
            obstacles[reason]++;
        } else if (best.empty() || there.pods < fewest) {
            best = name;
            fewest = there.pods;
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
