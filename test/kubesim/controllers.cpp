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
    stateful_sets_.observe(change);
    daemon_sets_.observe(change);
    jobs_.observe(change);
    scheduler_.observe(change);
    kubelet_.observe(change);
    endpoints_.observe(change);
    disruptions_.observe(change);
    autoscalers_.observe(change);
    claims_.observe(change);
    const StoredPtr &state = change.after ? change.after : change.before;
    if (const json *owners = find(state->body.at("metadata"), "ownerReferences")) {
        if (!change.before)
            loop_.after(milliseconds(0), [this, stored = change.after] { collect(stored); });
        for (const json &owner : *owners) {
            const std::string uid = text_of(owner, "uid");
            owners_.insert(uid);
            if (auto waiting = waiting_.find(uid); !change.after && waiting != waiting_.end())
                loop_.after(milliseconds(0), [this, stored = waiting->second] { release_owner(stored); });
        }
    }
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
    api_.control(kind, name, controller_manager, "",
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
    api_.control(kind, name, controller_manager, "", [](json &node) { drop_taint(node, not_ready_taint); });
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
    api_.control(kind, name, controller_manager, "", [tainted](json &node) {
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
    api_.control(namespaces, name, controller_manager, "finalize",
                 [](json &object) { object["spec"].erase("finalizers"); });
}

// Calls `work` for each object that names the owner in its ownerReferences.
void Controllers::each_dependent(const std::string &uid, const std::function<void(const StoredPtr &)> &work) {
    if (!owners_.contains(uid))
        return;
    std::vector<StoredPtr> found;
    for (const Kind &kind : kinds_.all())
        for (const auto &[key, stored] : store_.objects(kind))
            if (const json *owners = find(stored->body.at("metadata"), "ownerReferences"))
                if (std::any_of(owners->begin(), owners->end(),
                                [&](const json &owner) { return text_of(owner, "uid") == uid; }))
                    found.push_back(stored);
    for (const auto &stored : found)
        work(stored);
}

// The owner is there, and goes on to be.
bool Controllers::holds(const json &owner, const std::string &name_space) const {
    const std::string version = text_of(owner, "apiVersion");
    const size_t slash = version.find('/');
    const Kind *kind =
        kinds_.by_kind(slash == std::string::npos ? "" : version.substr(0, slash), text_of(owner, "kind"));
    if (!kind)
        return true; // nobody can tell
    StoredPtr stored = store_.get(*kind, Store::key_of(*kind, name_space, text_of(owner, "name")));
    return stored && text_of(stored->body.at("metadata"), "uid") == text_of(owner, "uid") &&
           !has_finalizer(stored->body, "foregroundDeletion");
}

void Controllers::drop_owners(const StoredPtr &stored, const std::function<bool(const json &owner)> &which) {
    api_.control(*stored->kind, stored->key, controller_manager, "", [&](json &object) {
        std::erase_if(object["metadata"]["ownerReferences"].get_ref<json::array_t &>(), which);
    });
}

// An object goes when none of its owners is left; else it forgets those that are gone.
void Controllers::collect(const StoredPtr &stored) {
    const json &metadata = stored->body.at("metadata"), *owners = find(metadata, "ownerReferences");
    if (!owners || !store_.get(*stored->kind, stored->key))
        return;
    const std::string name_space = text_of(metadata, "namespace");
    auto gone = [&](const json &owner) { return !holds(owner, name_space); };
    const auto left = std::count_if(owners->begin(), owners->end(), [&](const json &owner) { return !gone(owner); });
    if (left == static_cast<std::ptrdiff_t>(owners->size()))
        return;
    if (left > 0)
        return drop_owners(stored, gone);
    // Whose owner waits for it waits for its own dependents in turn.
    bool waited_for = false;
    for (const auto &owner : *owners)
        waited_for |= waiting_.contains(text_of(owner, "uid"));
    const bool has_dependents = owners_.contains(text_of(metadata, "uid"));
    api_.remove_by_controller(*stored->kind, stored->key, -1,
                              waited_for && has_dependents ? "Foreground" : "Background");
}

void Controllers::collect_dependents(const Stored &owner) {
    each_dependent(text_of(owner.body.at("metadata"), "uid"), [this](const StoredPtr &stored) { collect(stored); });
}

// Foreground deletion: first the dependents, and the owner when those that block it are gone. Orphan: dependents lose
// the reference.
void Controllers::release_owner(const StoredPtr &stored) {
    if (!store_.get(*stored->kind, stored->key))
        return;
    const bool orphan = has_finalizer(stored->body, "orphan");
    const std::string uid = text_of(stored->body.at("metadata"), "uid");
    bool blocked = false;
    if (orphan) {
        each_dependent(uid, [&](const StoredPtr &one) {
            drop_owners(one, [&](const json &owner) { return text_of(owner, "uid") == uid; });
        });
    } else {
        waiting_[uid] = stored;
        collect_dependents(*stored);
        each_dependent(uid, [&](const StoredPtr &one) {
            for (const auto &owner : one->body.at("metadata").at("ownerReferences"))
                blocked |= text_of(owner, "uid") == uid && owner.value("blockOwnerDeletion", false);
        });
    }
    if (blocked)
        return; // the end of each of them brings the next look
    waiting_.erase(uid);
    const char *finalizer = orphan ? "orphan" : "foregroundDeletion";
    api_.control(*stored->kind, stored->key, controller_manager, "",
                 [&](json &object) { drop_finalizer(object, finalizer); });
}

} // namespace kubesim
