// Small stand-ins for the control plane.
#include "controllers.hpp"

#include <algorithm>

namespace kubesim {

using std::chrono::milliseconds;

namespace {

const char *const not_ready_taint = "node.kubernetes.io/not-ready";
const char *const cordoned_taint = "node.kubernetes.io/unschedulable";

void drop_taint(json &node, const char *key) {
    json &taints = node["spec"]["taints"];
    for (auto it = taints.begin(); it != taints.end();)
        it = text_of(*it, "key") == key ? taints.erase(it) : std::next(it);
}

json condition(const char *type, const char *status, const char *reason, const char *message, const std::string &now) {
    return {{"type", type},       {"status", status},         {"reason", reason},
            {"message", message}, {"lastHeartbeatTime", now}, {"lastTransitionTime", now}};
}

void report_ready(json &node) {
    std::string now = rfc3339_now();
    json &status = node["status"];
    status["capacity"] = {{"cpu", "4"}, {"memory", "16Gi"}, {"pods", "110"}};
    status["allocatable"] = status["capacity"];
    status["conditions"] = json::array(
        {condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available",
                   now),
         condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure", now),
         condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available", now),
         condition("Ready", "True", "KubeletReady", "kubelet is posting ready status", now)});
    status["addresses"] = json::array({{{"type", "Hostname"}, {"address", node["metadata"]["name"]}}});
    json &info = status["nodeInfo"];
    info["kubeletVersion"] = "v1.26.0";
    info["kubeProxyVersion"] = "v1.26.0";
    info["osImage"] = "kubesim";
    info["operatingSystem"] = "linux";
    info["architecture"] = "amd64";
}

bool is_ready(const json &node) {
    const json *status = find(node, "status");
    const json *conditions = status ? find(*status, "conditions") : nullptr;
    return conditions && std::any_of(conditions->begin(), conditions->end(), [](const json &condition) {
               return text_of(condition, "type") == "Ready" && text_of(condition, "status") == "True";
           });
}

bool has_finalizer(const json &object, const char *name) {
    const json *finalizers = find(object.at("metadata"), "finalizers");
    return finalizers && std::find(finalizers->begin(), finalizers->end(), json(name)) != finalizers->end();
}

void drop_finalizer(json &object, const char *name) {
    json &finalizers = object["metadata"]["finalizers"];
    auto it = std::find(finalizers.begin(), finalizers.end(), json(name));
    if (it != finalizers.end())
        finalizers.erase(it);
}

} // namespace

void Controllers::create_system_namespaces() {
    const Kind &kind = *kinds_.by_kind("", "Namespace");
    for (const char *name : {"kube-system", "kube-public", "kube-node-lease", "default"})
        api_.create_by_controller(kind, {{"metadata", {{"name", name}}}}, "kube-apiserver");
}

void Controllers::resume() {
    for (const Kind &kind : kinds_.all())
        for (const auto &[key, stored] : store_.objects(kind)) {
            observe({stored->revision, &kind, stored, stored, nullptr});
            if (kind.group.empty() && kind.kind == "Node" && !is_ready(stored->body))
                loop_.after(milliseconds(0), [this, name = key] { node_created(name); });
        }
}

void Controllers::observe(const Change &change) {
    deployments_.observe(change);
    replica_sets_.observe(change);
    scheduler_.observe(change);
    kubelet_.observe(change);
    endpoints_.observe(change);
    if (change.after)
        if (const json *owners = find(change.after->body.at("metadata"), "ownerReferences"))
            for (const json &owner : *owners)
                owners_.insert(text_of(owner, "uid"));
    const std::string key = change.after ? change.after->key : change.before->key;
    bool is_core = change.kind->group.empty();
    if (is_core && change.kind->kind == "Node" && !change.before)
        loop_.after(milliseconds(0), [this, key] { node_created(key); });
    if (is_core && change.kind->kind == "Node" && change.after && options_.node_ready_delay_ms >= 0)
        loop_.after(milliseconds(options_.node_ready_delay_ms), [this, key] { taint_cordoned(key); });
    if (change.after && find(change.after->body.at("metadata"), "deletionTimestamp")) {
        if (is_core && change.kind->kind == "Namespace")
            loop_.after(milliseconds(options_.namespace_delete_delay_ms), [this, key] { empty_namespace(key); });
        if (has_finalizer(change.after->body, "foregroundDeletion") || has_finalizer(change.after->body, "orphan")) {
            StoredPtr stored = change.after;
            loop_.after(milliseconds(0), [this, stored] { release_owner(stored); });
        }
    }
    if (change.after)
        return;
    StoredPtr last = change.last;
    if (owners_.contains(text_of(last->body.at("metadata"), "uid")))
        loop_.after(milliseconds(0), [this, last] { collect_dependents(*last); });
    // The last object of a terminating namespace lets the namespace go.
    std::string name_space = text_of(last->body.at("metadata"), "namespace");
    if (name_space.empty())
        return;
    StoredPtr holder = store_.get(*kinds_.by_kind("", "Namespace"), name_space);
    if (holder && find(holder->body.at("metadata"), "deletionTimestamp"))
        loop_.after(milliseconds(options_.namespace_delete_delay_ms),
                    [this, name_space] { empty_namespace(name_space); });
}

void Controllers::node_created(const std::string &name) {
    const Kind &kind = *kinds_.by_kind("", "Node");
    StoredPtr stored = store_.get(kind, name);
    if (!stored)
        return;
    std::string uid = text_of(stored->body.at("metadata"), "uid");
    api_.control(kind, name, "kube-controller-manager", "",
                 [](json &node) { node["metadata"]["annotations"]["node.alpha.kubernetes.io/ttl"] = "0"; });
    if (options_.node_ready_delay_ms >= 0)
        loop_.after(milliseconds(options_.node_ready_delay_ms), [this, name, uid] { node_ready(name, uid); });
}

void Controllers::node_ready(const std::string &name, const std::string &uid) {
    const Kind &kind = *kinds_.by_kind("", "Node");
    StoredPtr stored = store_.get(kind, name);
    if (!stored || text_of(stored->body.at("metadata"), "uid") != uid)
        return;
    api_.control(kind, name, "kubelet", "status", report_ready);
    api_.control(kind, name, "kube-controller-manager", "", [](json &node) { drop_taint(node, not_ready_taint); });
}

// kube-controller-manager repeats spec.unschedulable as a taint.
void Controllers::taint_cordoned(const std::string &name) {
    const Kind &kind = *kinds_.by_kind("", "Node");
    StoredPtr stored = store_.get(kind, name);
    if (!stored)
        return;
    const json &spec = stored->body.at("spec");
    bool tainted = false;
    if (const json *taints = find(spec, "taints"))
        tainted = std::any_of(taints->begin(), taints->end(),
                              [](const json &taint) { return text_of(taint, "key") == cordoned_taint; });
    if (tainted == spec.contains("unschedulable"))
        return;
    api_.control(kind, name, "kube-controller-manager", "", [tainted](json &node) {
        if (tainted)
            return drop_taint(node, cordoned_taint);
        node["spec"]["taints"].push_back(
            {{"key", cordoned_taint}, {"effect", "NoSchedule"}, {"timeAdded", rfc3339_now()}});
    });
}

void Controllers::empty_namespace(const std::string &name) {
    const Kind &namespaces = *kinds_.by_kind("", "Namespace");
    StoredPtr holder = store_.get(namespaces, name);
    if (!holder || !find(holder->body.at("metadata"), "deletionTimestamp"))
        return;
    bool left = false;
    for (const Kind &kind : kinds_.all()) {
        if (!kind.namespaced)
            continue;
        std::vector<std::string> keys;
        for (auto it = store_.objects(kind).lower_bound(name + "/");
             it != store_.objects(kind).end() && it->first.starts_with(name + "/"); ++it)
            keys.push_back(it->first);
        for (const auto &key : keys) {
            api_.remove_by_controller(kind, key);
            left |= store_.get(kind, key) != nullptr; // held by a finalizer
        }
    }
    if (left)
        return;
    api_.control(namespaces, name, "kube-controller-manager", "finalize",
                 [](json &object) { object["spec"].erase("finalizers"); });
}

void Controllers::collect_dependents(const Stored &owner) {
    std::string uid = text_of(owner.body.at("metadata"), "uid");
    for (const Kind &kind : kinds_.all()) {
        std::vector<std::string> orphans;
        for (const auto &[key, stored] : store_.objects(kind)) {
            const json *owners = find(stored->body.at("metadata"), "ownerReferences");
            if (owners && owners->size() == 1 && text_of((*owners)[0], "uid") == uid)
                orphans.push_back(key);
        }
        for (const auto &key : orphans)
            api_.remove_by_controller(kind, key);
    }
}

// Foreground deletion: dependents first. Orphan: dependents lose the reference.
void Controllers::release_owner(const StoredPtr &stored) {
    bool orphan = has_finalizer(stored->body, "orphan");
    std::string uid = text_of(stored->body.at("metadata"), "uid");
    if (!orphan)
        collect_dependents(*stored);
    for (const Kind &kind : kinds_.all()) {
        if (!orphan)
            break;
        std::vector<std::string> dependents;
        for (const auto &[key, one] : store_.objects(kind)) {
            const json *owners = find(one->body.at("metadata"), "ownerReferences");
            if (owners && std::any_of(owners->begin(), owners->end(),
                                      [&](const json &owner) { return text_of(owner, "uid") == uid; }))
                dependents.push_back(key);
        }
        for (const auto &key : dependents)
            api_.control(kind, key, "kube-controller-manager", "", [&](json &object) {
                json &owners = object["metadata"]["ownerReferences"];
                for (auto it = owners.begin(); it != owners.end();)
                    it = text_of(*it, "uid") == uid ? owners.erase(it) : std::next(it);
            });
    }
    const char *finalizer = orphan ? "orphan" : "foregroundDeletion";
    api_.control(*stored->kind, stored->key, "kube-controller-manager", "",
                 [&](json &object) { drop_finalizer(object, finalizer); });
}

} // namespace kubesim
