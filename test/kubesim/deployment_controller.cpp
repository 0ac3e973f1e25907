// Deployments: one ReplicaSet per template, rolled over as kube-controller-manager does.
#include "deployment_controller.hpp"

#include "conditions.hpp"
#include "deployment_scaling.hpp"
#include "deployment_status.hpp"
#include "owned_pods.hpp"
#include "pod_spec.hpp"

#include <algorithm>
#include <cmath>

namespace kubesim {

namespace {

const char *const template_hash_label = "pod-template-hash";
const char *const desired_annotation = "deployment.kubernetes.io/desired-replicas";
const char *const most_annotation = "deployment.kubernetes.io/max-replicas";
const char *const revision_annotation = "deployment.kubernetes.io/revision";

std::string annotation(const json &object, const char *name) {
    const json *annotations = find(object.at("metadata"), "annotations");
    return annotations ? text_of(*annotations, name) : "";
}

int64_t revision_of(const json &object) {
    const std::string text = annotation(object, revision_annotation);
    return text.empty() ? 0 : std::stoll(text);
}

json without_hash(json pod) {
    if (json *labels = pod["metadata"].contains("labels") ? &pod["metadata"]["labels"] : nullptr)
        labels->erase(template_hash_label);
    return pod;
}

int64_t replicas_of(const StoredPtr &set) {
    return set ? integer_of(set->body.at("spec"), "replicas", 0) : 0;
}

int64_t wanted_of(const Stored &deployment) {
    return integer_of(deployment.body.at("spec"), "replicas", 0);
}

int64_t available_of(const StoredPtr &set) {
    return set ? integer_of(set->body.at("status"), "availableReplicas", 0) : 0;
}

bool recreates(const Stored &deployment) {
    return text_of(deployment.body.at("spec").at("strategy"), "type") == "Recreate";
}

} // namespace

std::vector<StoredPtr> DeploymentController::Sets::all() const {
    std::vector<StoredPtr> out = old;
    if (current)
        out.push_back(current);
    return out;
}

void DeploymentController::observe(const Change &change) {
    if (change.kind == &deployments_ && change.after)
        queue_.add(change.after->key);
    if (change.kind != &sets_)
        return;
    const StoredPtr &set = change.after ? change.after : change.before;
    if (const json *owners = find(set->body.at("metadata"), "ownerReferences"))
        for (const auto &owner : *owners)
            queue_.add(text_of(set->body.at("metadata"), "namespace") + "/" + text_of(owner, "name"));
}

DeploymentController::Sets DeploymentController::sets_of(const Stored &deployment) const {
    const std::string uid = text_of(deployment.body.at("metadata"), "uid");
    const std::string name_space = text_of(deployment.body.at("metadata"), "namespace") + "/";
    const json pod = without_hash(deployment.body.at("spec").at("template"));
    const Store::Objects &objects = store_.objects(sets_);
    Sets out;
    for (auto it = objects.lower_bound(name_space); it != objects.end() && it->first.starts_with(name_space); ++it) {
        if (controller_uid(it->second->body) != uid)
            continue;
        if (!out.current && without_hash(it->second->body.at("spec").at("template")) == pod)
            out.current = it->second;
        else
            out.old.push_back(it->second);
    }
    std::sort(out.old.begin(), out.old.end(),
              [](const StoredPtr &a, const StoredPtr &b) { return revision_of(a->body) < revision_of(b->body); });
    return out;
}

void DeploymentController::sync(const std::string &key) {
    StoredPtr deployment = store_.get(deployments_, key);
    if (!deployment)
        return;
    adopt(api_, store_, sets_, deployments_, deployment->body);
    Sets sets = sets_of(*deployment);
    const json *paused = find(deployment->body.at("spec"), "paused");
    if (is_deleting(deployment->body))
        return report(deployment, sets);
    if (!sets.current && !paused) {
        const bool old_pods = std::any_of(sets.old.begin(), sets.old.end(), [](const StoredPtr &set) {
            return integer_of(set->body.at("status"), "replicas", 0) > 0 || replicas_of(set) > 0;
        });
        if (recreates(*deployment) && old_pods) {
            for (const auto &set : sets.old)
                scale(*set, 0);
            return report(deployment, sets_of(*deployment));
        }
        create_set(deployment, sets);
        announce(deployment, sets_of(*deployment));
        // What comes next depends on the status just written.
        return queue_.add(key);
    }
    if (sets.current && !paused && revision_of(sets.current->body) != revision_of(deployment->body)) {
        announce(deployment, sets);
        return queue_.add(key);
    }
    if (!resize(*deployment, sets) && !paused && !roll(*deployment, sets))
        shrink_old(*deployment, sets);
    // From what was seen before anything was scaled: the change just made brings the next look.
    report(store_.get(deployments_, key), sets);
    forget_old(*deployment, sets);
}

void DeploymentController::create_set(const StoredPtr &deployment, const Sets &sets) {
    const json &body = deployment->body, &spec = body.at("spec");
    json pod = spec.at("template");
    const std::string hash = hash_of(pod);
    pod["metadata"]["labels"][template_hash_label] = hash;
    json selector = spec.at("selector");
    selector["matchLabels"][template_hash_label] = hash;
    json annotations = body.at("metadata").value("annotations", json::object());
    annotations.erase("kubectl.kubernetes.io/last-applied-configuration");
    const int64_t revision = sets.old.empty() ? 1 : revision_of(sets.old.back()->body) + 1;
    const int64_t wanted = wanted_of(*deployment), most = wanted + surge_of(spec);
    annotations[revision_annotation] = std::to_string(revision);
    annotations[desired_annotation] = std::to_string(wanted);
    annotations[most_annotation] = std::to_string(most);
    int64_t there = 0;
    for (const auto &set : sets.old)
        there += replicas_of(set);
    const int64_t replicas = recreates(*deployment) ? wanted : std::clamp<int64_t>(most - there, 0, wanted);
    json set = {{"metadata",
                 {{"name", text_of(body.at("metadata"), "name") + "-" + hash},
                  {"namespace", body.at("metadata").at("namespace")},
                  {"labels", pod["metadata"]["labels"]},
                  {"annotations", annotations},
                  {"ownerReferences", json::array({controller_reference(deployments_, body)})}}},
                {"spec", {{"replicas", replicas}, {"selector", selector}, {"template", pod}}}};
    if (const json *seconds = find(spec, "minReadySeconds"))
        set["spec"]["minReadySeconds"] = *seconds;
    api_.create_by_controller(sets_, std::move(set), controller_manager);
}

// A new ReplicaSet, or one that is current again, is told before anything is observed: the generation is not yet.
void DeploymentController::announce(const StoredPtr &deployment, const Sets &sets) {
    const std::string name = text_of(sets.current->body.at("metadata"), "name");
    int64_t newest = 0;
    for (const auto &set : sets.old)
        newest = std::max(newest, revision_of(set->body));
    const bool again = revision_of(sets.current->body) <= newest;
    const std::string revision = std::to_string(again ? newest + 1 : revision_of(sets.current->body));
    if (again)
        api_.control(sets_, sets.current->key, controller_manager, "",
                     [&](json &set) { set["metadata"]["annotations"][revision_annotation] = revision; });
    api_.control(deployments_, deployment->key, controller_manager, "status", [&](json &object) {
        object["metadata"]["annotations"][revision_annotation] = revision;
        if (integer_of(object["spec"], "progressDeadlineSeconds", 0) == INT32_MAX)
            return;
        set_condition(object["status"],
                      {"Progressing", "True", again ? "FoundNewReplicaSet" : "NewReplicaSetCreated",
                       again ? "Found new replica set \"" + name + "\"" : "Created new replica set \"" + name + "\""});
    });
}

void DeploymentController::scale(const Stored &set, int64_t replicas) {
    if (integer_of(set.body.at("spec"), "replicas", 0) != replicas)
        api_.control(sets_, set.key, controller_manager, "",
                     [&](json &object) { object["spec"]["replicas"] = replicas; });
}

// The Deployment itself was scaled (its sets still say for how many pods they were made): all of them follow.
bool DeploymentController::resize(const Stored &deployment, const Sets &sets) {
    const int64_t wanted = wanted_of(deployment), most = wanted + surge_of(deployment.body.at("spec"));
    std::vector<StoredPtr> active;
    for (const auto &set : sets.all())
        if (replicas_of(set) > 0)
            active.push_back(set);
    const bool scaled = std::any_of(active.begin(), active.end(), [&](const StoredPtr &set) {
        return annotation(set->body, desired_annotation) != std::to_string(wanted);
    });
    if (!scaled)
        return false;
    std::vector<json> bodies;
    for (const auto &set : active)
        bodies.push_back(set->body);
    std::map<std::string, int64_t> sizes;
    if (active.size() == 1)
        sizes[text_of(bodies[0].at("metadata"), "name")] = wanted;
    else if (!recreates(deployment))
        sizes = proportional_sizes(deployment.body, bodies);
    for (const auto &set : active)
        api_.control(sets_, set->key, controller_manager, "", [&](json &object) {
            auto size = sizes.find(text_of(object["metadata"], "name"));
            if (size != sizes.end())
                object["spec"]["replicas"] = size->second;
            object["metadata"]["annotations"][desired_annotation] = std::to_string(wanted);
            object["metadata"]["annotations"][most_annotation] = std::to_string(most);
        });
    return true;
}

// Brings the current ReplicaSet nearer to what is wanted; true: it was scaled.
bool DeploymentController::roll(const Stored &deployment, const Sets &sets) {
    if (!sets.current)
        return false;
    const int64_t wanted = wanted_of(deployment), have = replicas_of(sets.current);
    int64_t next = wanted;
    if (have < wanted && !recreates(deployment)) {
        int64_t there = 0;
        for (const auto &set : sets.all())
            there += replicas_of(set);
        const int64_t room = wanted + surge_of(deployment.body.at("spec")) - there;
        next = have + std::clamp<int64_t>(room, 0, wanted - have);
    }
    if (next == have)
        return false;
    api_.control(sets_, sets.current->key, controller_manager, "", [&](json &object) {
        object["spec"]["replicas"] = next;
        json &annotations = object["metadata"]["annotations"];
        annotations[desired_annotation] = std::to_string(wanted);
        annotations[most_annotation] = std::to_string(wanted + surge_of(deployment.body.at("spec")));
    });
    return true;
}

// Old ReplicaSets give up what is not needed to keep enough pods available: the unhealthy first.
void DeploymentController::shrink_old(const Stored &deployment, const Sets &sets) {
    if (!sets.current)
        return;
    const json &spec = deployment.body.at("spec");
    int64_t all = 0, available = 0;
    for (const auto &set : sets.all()) {
        all += replicas_of(set);
        available += available_of(set);
    }
    const int64_t least = recreates(deployment) ? 0 : wanted_of(deployment) - unavailable_of(spec);
    int64_t may_go = all - least - (replicas_of(sets.current) - available_of(sets.current));
    int64_t healthy_may_go = available - least;
    for (const auto &set : sets.old) {
        const int64_t have = replicas_of(set);
        if (have == 0 || may_go <= 0)
            continue;
        const int64_t unhealthy = std::min(have - std::min(have, available_of(set)), may_go);
        const int64_t healthy = std::clamp<int64_t>(healthy_may_go, 0, std::min(have - unhealthy, may_go - unhealthy));
        may_go -= unhealthy + healthy;
        healthy_may_go -= healthy;
        scale(*set, have - unhealthy - healthy);
    }
}

void DeploymentController::report(const StoredPtr &deployment, const Sets &sets) {
    if (!deployment)
        return;
    std::vector<json> all;
    for (const auto &set : sets.all())
        all.push_back(set->body);
    json status = deployment_status(deployment->body, all, sets.current ? &sets.current->body : nullptr);
    if (status != deployment->body.at("status"))
        api_.control(deployments_, deployment->key, controller_manager, "status",
                     [&](json &object) { object["status"] = std::move(status); });
    if (const int64_t left = seconds_to_deadline(deployment->body); left >= 0)
        queue_.add_after(deployment->key, std::chrono::seconds(left + 1));
}

void DeploymentController::forget_old(const Stored &deployment, const Sets &sets) {
    const int64_t limit = integer_of(deployment.body.at("spec"), "revisionHistoryLimit", 10);
    int64_t too_many = static_cast<int64_t>(sets.old.size()) - limit;
    for (const auto &set : sets.old)
        if (too_many-- > 0 && replicas_of(set) == 0 && integer_of(set->body.at("status"), "replicas", 0) == 0)
            api_.remove_by_controller(sets_, set->key);
}

} // namespace kubesim
