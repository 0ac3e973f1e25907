// DaemonSets: one pod on every Node that takes it.
#include "daemon_set_controller.hpp"

#include "conditions.hpp"
#include "controller_revisions.hpp"
#include "owned_pods.hpp"
#include "pod_spec.hpp"
#include "selection.hpp"

namespace kubesim {

namespace {

const char *const revision_label = "controller-revision-hash";

// The node that the pod is on or was made for.
std::string node_of(const json &pod) {
    const json::json_pointer wanted("/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/"
                                    "nodeSelectorTerms/0/matchFields/0/values/0");
    const json &spec = pod.at("spec");
    const std::string there = text_of(spec, "nodeName");
    return !there.empty() ? there : spec.contains(wanted) ? spec.at(wanted).get<std::string>() : "";
}

bool is_current(const json &pod, const std::string &hash) {
    const json *labels = find(pod.at("metadata"), "labels");
    return labels && text_of(*labels, revision_label) == hash;
}

json tolerations() {
    json out = json::array();
    for (const char *key : {"not-ready", "unreachable"})
        out.push_back(
            {{"key", std::string("node.kubernetes.io/") + key}, {"operator", "Exists"}, {"effect", "NoExecute"}});
    for (const char *key : {"disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"})
        out.push_back(
            {{"key", std::string("node.kubernetes.io/") + key}, {"operator", "Exists"}, {"effect", "NoSchedule"}});
    return out;
}

} // namespace

void DaemonSetController::observe(const Change &change) {
    if (change.kind == &sets_ && change.after)
        queue_.add(change.after->key);
    if (change.kind == &pods_)
        for (const auto &key : owner_keys(change))
            queue_.add(key);
    if (change.kind == &nodes_)
        for (const auto &[key, set] : store_.objects(sets_))
            queue_.add(key);
}

std::set<std::string> DaemonSetController::nodes_of(const Stored &set) const {
    const json &spec = set.body.at("spec").at("template").at("spec"), *selector = find(spec, "nodeSelector");
    std::set<std::string> out;
    for (const auto &[name, node] : store_.objects(nodes_)) {
        bool taken =
            !is_deleting(node->body) && (!selector || has_labels(*selector, find(node->body.at("metadata"), "labels")));
        // Of the taints that all its pods tolerate, none keeps it off.
        if (const json *taints = find(node->body.at("spec"), "taints"))
            for (const auto &taint : *taints)
                taken &= text_of(taint, "key").starts_with("node.kubernetes.io/") ||
                         text_of(taint, "effect") == "PreferNoSchedule" || spec.contains("tolerations");
        if (taken)
            out.insert(name);
    }
    return out;
}

void DaemonSetController::sync(const std::string &key) {
    StoredPtr set = store_.get(sets_, key);
    if (!set)
        return;
    adopt(api_, store_, revisions_, sets_, set->body);
    adopt(api_, store_, pods_, sets_, set->body);
    const std::string hash = ensure_revision(api_, store_, revisions_, sets_, set->body).hash;
    const std::set<std::string> wanted = nodes_of(*set);
    if (!is_deleting(set->body)) {
        std::set<std::string> there;
        for (const auto &pod : controlled_by(store_, pods_, set->body)) {
            const std::string node = node_of(pod->body);
            const bool doomed = is_finished(pod->body) || !wanted.contains(node);
            if (doomed && !is_deleting(pod->body))
                api_.remove_by_controller(pods_, pod->key);
            there.insert(node);
        }
        for (const auto &node : wanted)
            if (!there.contains(node))
                create_pod(*set, node, hash);
        replace_old(*set, hash, wanted.size());
    }
    report(*set, hash, wanted);
}

void DaemonSetController::create_pod(const Stored &set, const std::string &node, const std::string &hash) {
    json pod = pod_of(sets_, set.body);
    pod["metadata"]["labels"][revision_label] = hash;
    pod["metadata"]["labels"]["pod-template-generation"] =
        set.body.at("metadata").at("annotations").value("deprecated.daemonset.template.generation", "1");
    const json field = {{"key", "metadata.name"}, {"operator", "In"}, {"values", json::array({node})}};
    pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] =
        json::array({{{"matchFields", json::array({field})}}});
    json &list = pod["spec"]["tolerations"];
    if (!list.is_array())
        list = json::array();
    for (auto &one : tolerations())
        list.push_back(std::move(one));
    api_.create_by_controller(pods_, std::move(pod), controller_manager);
}

// Old pods go, as many at a time as may be unavailable; the next look makes new ones.
void DaemonSetController::replace_old(const Stored &set, const std::string &hash, size_t wanted) {
    const json &strategy = set.body.at("spec").at("updateStrategy"), *rolling = find(strategy, "rollingUpdate");
    if (text_of(strategy, "type") != "RollingUpdate")
        return;
    int64_t may_go = rolling && rolling->contains("maxUnavailable")
                         ? part_of(rolling->at("maxUnavailable"), static_cast<int64_t>(wanted), true)
                         : 1;
    const auto pods = controlled_by(store_, pods_, set.body);
    for (const auto &pod : pods)
        may_go -= !is_active(pod->body) || !is_true(pod->body, "Ready");
    for (const auto &pod : pods)
        if (is_active(pod->body) && !is_current(pod->body, hash)) {
            const bool useless = !is_true(pod->body, "Ready");
            if (useless || may_go-- > 0)
                api_.remove_by_controller(pods_, pod->key);
        }
}

void DaemonSetController::report(const Stored &set, const std::string &hash, const std::set<std::string> &wanted) {
    int64_t scheduled = 0, misscheduled = 0, ready = 0, available = 0, updated = 0;
    const int64_t min_ready_seconds = integer_of(set.body.at("spec"), "minReadySeconds", 0);
    for (const auto &pod : controlled_by(store_, pods_, set.body)) {
        if (is_deleting(pod->body))
            continue;
        if (!wanted.contains(node_of(pod->body))) {
            misscheduled++;
            continue;
        }
        const int64_t left = seconds_to_available(pod->body, min_ready_seconds);
        scheduled++;
        ready += left >= 0;
        available += left == 0;
        updated += is_current(pod->body, hash);
        if (left > 0)
            queue_.add_after(set.key, std::chrono::seconds(left));
    }
    json status = set.body.at("status");
    const auto desired = static_cast<int64_t>(wanted.size());
    status["observedGeneration"] = set.body.at("metadata").at("generation");
    status["currentNumberScheduled"] = scheduled;
    status["numberMisscheduled"] = misscheduled;
    status["desiredNumberScheduled"] = desired;
    status["numberReady"] = ready;
    set_count(status, "updatedNumberScheduled", updated);
    set_count(status, "numberAvailable", available);
    set_count(status, "numberUnavailable", desired - available);
    if (status != set.body.at("status"))
        api_.control(sets_, set.key, controller_manager, "status", [&](json &object) { object["status"] = status; });
    const std::string name = text_of(set.body.at("metadata"), "name");
    forget_revisions(api_, store_, revisions_, set.body, {name + "-" + hash});
}

} // namespace kubesim
