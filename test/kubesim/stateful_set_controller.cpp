// StatefulSets: pods with numbers, one after the other, each of the template that its number calls for.
#include "stateful_set_controller.hpp"

#include "conditions.hpp"
#include "controller_revisions.hpp"
#include "owned_pods.hpp"
#include "pod_spec.hpp"

#include <algorithm>

namespace kubesim {

namespace {

const char *const revision_label = "controller-revision-hash";

std::string revision_of(const json &pod) {
    const json *labels = find(pod.at("metadata"), "labels");
    return labels ? text_of(*labels, revision_label) : "";
}

// From this number on pods follow the newest template.
int64_t partition_of(const json &spec) {
    const json *rolling = find(spec.at("updateStrategy"), "rollingUpdate");
    return rolling ? integer_of(*rolling, "partition", 0) : 0;
}

bool is_parallel(const json &spec) {
    return text_of(spec, "podManagementPolicy") == "Parallel";
}

bool updates_on_delete(const json &spec) {
    return text_of(spec.at("updateStrategy"), "type") == "OnDelete";
}

} // namespace

void StatefulSetController::observe(const Change &change) {
    if (change.kind == &sets_ && change.after)
        queue_.add(change.after->key);
    if (change.kind == &pods_)
        for (const auto &key : owner_keys(change))
            queue_.add(key);
}

std::map<int64_t, StoredPtr> StatefulSetController::pods_of(const Stored &set) const {
    const std::string prefix = text_of(set.body.at("metadata"), "name") + "-";
    std::map<int64_t, StoredPtr> out;
    for (const auto &pod : controlled_by(store_, pods_, set.body)) {
        const std::string name = text_of(pod->body.at("metadata"), "name");
        if (name.starts_with(prefix) && name.find_first_not_of("0123456789", prefix.size()) == std::string::npos)
            out[std::stoll(name.substr(prefix.size()))] = pod;
    }
    return out;
}

bool StatefulSetController::is_available(const Stored &set, const json &pod) {
    const int64_t left = seconds_to_available(pod, integer_of(set.body.at("spec"), "minReadySeconds", 0));
    if (left > 0)
        queue_.add_after(set.key, std::chrono::seconds(left));
    return left == 0;
}

void StatefulSetController::sync(const std::string &key) {
    StoredPtr set = store_.get(sets_, key);
    if (!set)
        return;
    const std::string prefix = text_of(set->body.at("metadata"), "name") + "-";
    adopt(api_, store_, revisions_, sets_, set->body);
    adopt(api_, store_, pods_, sets_, set->body,
          [&](const json &pod) { return text_of(pod.at("metadata"), "name").starts_with(prefix); });
    const Revisions revisions = revisions_of(*set);
    if (!is_deleting(set->body))
        move_pods(*set, revisions);
    report(*set, revisions);
}

StatefulSetController::Revisions StatefulSetController::revisions_of(const Stored &set) {
    const std::string update = ensure_revision(api_, store_, revisions_, sets_, set.body).name;
    const std::string current = text_of(set.body.at("status"), "currentRevision");
    return {current.empty() ? update : current, update};
}

// One step: what is missing is made, what is too much goes, then what is old is replaced.
void StatefulSetController::move_pods(const Stored &set, const Revisions &revisions) {
    const json &spec = set.body.at("spec");
    const int64_t wanted = integer_of(spec, "replicas", 0);
    const bool one_by_one = !is_parallel(spec);
    const std::map<int64_t, StoredPtr> pods = pods_of(set);
    for (int64_t number = 0; number < wanted; number++) {
        const auto pod = pods.find(number);
        if (pod == pods.end())
            create_pod(set, revisions, number);
        else if (is_finished(pod->second->body) && !is_deleting(pod->second->body))
            api_.remove_by_controller(pods_, pod->second->key);
        else if (!is_deleting(pod->second->body) && is_available(set, pod->second->body))
            continue;
        if (one_by_one)
            return;
    }
    for (auto pod = pods.rbegin(); pod != pods.rend() && pod->first >= wanted; ++pod) {
        if (!is_deleting(pod->second->body))
            api_.remove_by_controller(pods_, pod->second->key);
        if (one_by_one)
            return;
    }
    if (!updates_on_delete(spec))
        update_pods(set, revisions, pods);
}

// From the highest number down, one at a time, each when those above it are well again.
void StatefulSetController::update_pods(const Stored &set, const Revisions &revisions,
                                        const std::map<int64_t, StoredPtr> &pods) {
    const json &spec = set.body.at("spec");
    for (int64_t number = integer_of(spec, "replicas", 0) - 1; number >= partition_of(spec); number--) {
        const auto pod = pods.find(number);
        if (pod == pods.end())
            return; // just made
        const json &body = pod->second->body;
        if (revision_of(body) != revisions.update && !is_deleting(body))
            return api_.remove_by_controller(pods_, pod->second->key);
        if (is_deleting(body) || !is_true(body, "Ready"))
            return;
    }
}

void StatefulSetController::create_pod(const Stored &set, const Revisions &revisions, int64_t number) {
    const json &metadata = set.body.at("metadata"), &spec = set.body.at("spec");
    // Below the partition, or as long as an update has not come to this number, the old template holds.
    const bool old = number < partition_of(spec) ||
                     (!spec.at("updateStrategy").contains("rollingUpdate") && !updates_on_delete(spec) &&
                      number < integer_of(set.body.at("status"), "currentReplicas", 0));
    const std::string revision = old ? revisions.current : revisions.update;
    json owner = set.body;
    if (old)
        if (StoredPtr stored = store_.get(revisions_, text_of(metadata, "namespace") + "/" + revision))
            owner["spec"]["template"] = template_of(stored->body);
    json pod = pod_of(sets_, owner);
    const std::string name = text_of(metadata, "name") + "-" + std::to_string(number);
    pod["metadata"]["name"] = name;
    pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = name;
    pod["metadata"]["labels"][revision_label] = revision;
    pod["spec"]["hostname"] = name;
    pod["spec"]["subdomain"] = text_of(spec, "serviceName");
    create_claims(set, pod);
    api_.create_by_controller(pods_, std::move(pod), controller_manager);
}

// A claim of each template for the pod, unless an earlier pod of that number left it.
void StatefulSetController::create_claims(const Stored &set, json &pod) {
    const json &spec = set.body.at("spec"), *templates = find(spec, "volumeClaimTemplates");
    for (size_t i = 0; templates && i < templates->size(); i++) {
        json claim = (*templates)[i];
        const std::string volume = text_of(claim.at("metadata"), "name");
        const std::string name = volume + "-" + text_of(pod["metadata"], "name");
        const std::string name_space = text_of(set.body.at("metadata"), "namespace");
        claim["metadata"]["name"] = name;
        claim["metadata"]["namespace"] = name_space;
        if (const json *labels = find(spec.at("selector"), "matchLabels"))
            claim["metadata"]["labels"].update(*labels);
        if (!store_.get(claims_, Store::key_of(claims_, name_space, name)))
            api_.create_by_controller(claims_, std::move(claim), controller_manager);
        json &volumes = pod["spec"]["volumes"];
        if (!volumes.is_array())
            volumes = json::array();
        std::erase_if(volumes.get_ref<json::array_t &>(),
                      [&](const json &one) { return text_of(one, "name") == volume; });
        volumes.insert(volumes.begin(), {{"name", volume}, {"persistentVolumeClaim", {{"claimName", name}}}});
    }
}

void StatefulSetController::report(const Stored &set, const Revisions &revisions) {
    const json &spec = set.body.at("spec");
    int64_t all = 0, ready = 0, available = 0, current = 0, updated = 0;
    for (const auto &[number, pod] : pods_of(set)) {
        all++;
        ready += is_true(pod->body, "Ready");
        available += is_available(set, pod->body);
        if (is_deleting(pod->body))
            continue;
        current += revision_of(pod->body) == revisions.current;
        updated += revision_of(pod->body) == revisions.update;
    }
    std::string settled = revisions.current;
    // The update is complete.
    if (!updates_on_delete(spec) && updated == all && ready == all && all == integer_of(spec, "replicas", 0)) {
        settled = revisions.update;
        current = updated;
    }
    json status = set.body.at("status");
    status["observedGeneration"] = set.body.at("metadata").at("generation");
    status["replicas"] = all;
    status["availableReplicas"] = available;
    set_count(status, "readyReplicas", ready);
    set_count(status, "currentReplicas", current);
    set_count(status, "updatedReplicas", updated);
    status["currentRevision"] = settled;
    status["updateRevision"] = revisions.update;
    status["collisionCount"] = 0;
    if (status != set.body.at("status"))
        api_.control(sets_, set.key, controller_manager, "status", [&](json &object) { object["status"] = status; });
    forget_revisions(api_, store_, revisions_, set.body, {settled, revisions.update});
}

} // namespace kubesim
