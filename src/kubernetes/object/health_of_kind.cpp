// Health of the built-in kinds; see the header. Runs in the mirror worker.
#include "kubernetes/object/health_of_kind.hpp"

#include "kubernetes/json_access.hpp"

#include <algorithm>

namespace dbnet::kubernetes {
namespace {

using nlohmann::json;
using Status = Health::Status;

Health in_progress(std::string message) {
    return {Status::in_progress, std::move(message)};
}
Health failed(std::string message) {
    return {Status::failed, std::move(message)};
}

bool is_true(const json *status, std::string_view type) {
    return text_member(find_condition(status, type), "status") == "True";
}

// "2 of 3 replicas are ready"
std::string share(int64_t there, int64_t wanted, std::string_view what) {
    return std::to_string(there) + " of " + std::to_string(wanted) + " " + std::string(what);
}

Health node(const json &object) {
    const json *ready = find_condition(member(&object, "status"), "Ready");
    const std::string state = text_member(ready, "status");
    if (state == "True")
        return {};
    if (state == "Unknown")
        return failed(words_of_condition(ready, "the node does not report any more"));
    return in_progress(words_of_condition(ready, "the node has not reported to be ready"));
}

Health name_space(const json &object) {
    const std::string phase = text_member(member(&object, "status"), "phase");
    if (phase == "Active")
        return {};
    if (phase == "Terminating")
        return {Status::terminating, "the namespace is being deleted"};
    return in_progress("the namespace is not active yet");
}

Health deployment(const json &object) {
    const json *spec = member(&object, "spec");
    const json *status = member(&object, "status");
    const json *progressing = find_condition(status, "Progressing");
    if (text_member(progressing, "reason") == "ProgressDeadlineExceeded")
        return failed(words_of_condition(progressing, {}));
    const int64_t wanted = integer_member(spec, "replicas", 1);
    const int64_t there = integer_member(status, "replicas", 0);
    const int64_t updated = integer_member(status, "updatedReplicas", 0);
    const int64_t available = integer_member(status, "availableReplicas", 0);
    const int64_t ready = integer_member(status, "readyReplicas", 0);
    // Its Pods cannot be made, for want of quota as a rule: the server's words tell more than any number.
    if (there < wanted && is_true(status, "ReplicaFailure"))
        return in_progress(words_of_condition(find_condition(status, "ReplicaFailure"), {}));
    if (there < wanted)
        return in_progress(share(there, wanted, "replicas are there"));
    if (updated < wanted)
        return in_progress(share(updated, wanted, "replicas are updated"));
    if (there > wanted)
        return in_progress(std::to_string(there - wanted) + " old replicas have not ended");
    if (available < updated)
        return in_progress(share(available, updated, "updated replicas are available"));
    if (ready < wanted)
        return in_progress(share(ready, wanted, "replicas are ready"));
    const bool has_deadline = member(spec, "progressDeadlineSeconds") != nullptr;
    if (has_deadline &&
        (!is_true(status, "Progressing") || text_member(progressing, "reason") != "NewReplicaSetAvailable"))
        return in_progress(words_of_condition(progressing, "the roll-out is not complete"));
    if (!is_true(status, "Available"))
        return in_progress(words_of_condition(find_condition(status, "Available"), "not available"));
    return {};
}

Health replica_set(const json &object) {
    const json *status = member(&object, "status");
    if (is_true(status, "ReplicaFailure"))
        return in_progress(words_of_condition(find_condition(status, "ReplicaFailure"), "replicas cannot be made"));
    const int64_t wanted = integer_member(member(&object, "spec"), "replicas", 1);
    const int64_t there = integer_member(status, "replicas", 0);
    const int64_t labelled = integer_member(status, "fullyLabeledReplicas", 0);
    const int64_t available = integer_member(status, "availableReplicas", 0);
    const int64_t ready = integer_member(status, "readyReplicas", 0);
    if (labelled < wanted)
        return in_progress(share(labelled, wanted, "replicas are there with all labels"));
    if (available < wanted)
        return in_progress(share(available, wanted, "replicas are available"));
    if (ready < wanted)
        return in_progress(share(ready, wanted, "replicas are ready"));
    if (there > wanted)
        return in_progress(std::to_string(there - wanted) + " replicas have not ended");
    return {};
}

Health stateful_set(const json &object) {
    const json *spec = member(&object, "spec");
    const json *status = member(&object, "status");
    const json *strategy = member(spec, "updateStrategy");
    if (text_member(strategy, "type") == "OnDelete") // whoever deletes its Pods decides
        return {};
    const int64_t wanted = integer_member(spec, "replicas", 1);
    const int64_t there = integer_member(status, "replicas", 0);
    const int64_t ready = integer_member(status, "readyReplicas", 0);
    const int64_t updated = integer_member(status, "updatedReplicas", 0);
    if (there < wanted)
        return in_progress(share(there, wanted, "replicas are there"));
    if (ready < wanted)
        return in_progress(share(ready, wanted, "replicas are ready"));
    if (there > wanted)
        return in_progress(std::to_string(there - wanted) + " replicas have not ended");
    if (const int64_t partition = integer_member(member(strategy, "rollingUpdate"), "partition", 0); partition > 0) {
        const int64_t to_update = std::max<int64_t>(wanted - partition, 0);
        return updated < to_update ? in_progress(share(updated, to_update, "replicas above the partition are updated"))
                                   : Health{};
    }
    const int64_t current = integer_member(status, "currentReplicas", 0);
    if (current < wanted)
        return in_progress(share(updated, wanted, "replicas are updated"));
    if (text_member(status, "currentRevision") != text_member(status, "updateRevision"))
        return in_progress("the update to revision " + text_member(status, "updateRevision") + " is not complete");
    return {};
}

Health daemon_set(const json &object) {
    const json *status = member(&object, "status");
    const int64_t wanted = integer_member(status, "desiredNumberScheduled", -1);
    if (wanted < 0)
        return in_progress("its controller has not counted nodes yet");
    constexpr std::pair<const char *, const char *> counts[] = {
        {"currentNumberScheduled", "nodes have a pod of it"},
        {"updatedNumberScheduled", "nodes have an updated pod"},
        {"numberAvailable", "nodes have an available pod"},
        {"numberReady", "nodes have a ready pod"},
    };
    for (const auto &[name, words] : counts)
        if (const int64_t there = integer_member(status, name, 0); there < wanted)
            return in_progress(share(there, wanted, words));
    return {};
}

Health job(const json &object) {
    const json *status = member(&object, "status");
    if (is_true(status, "Failed"))
        return failed(words_of_condition(find_condition(status, "Failed"), "the job has failed"));
    if (is_true(status, "Complete"))
        return {};
    if (is_true(status, "Suspended"))
        return in_progress("the job is suspended");
    if (text_member(status, "startTime").empty())
        return in_progress("the job has not started");
    return {};
}

// Of a Pod whose containers do not run: what the first of them waits for. "web: ImagePullBackOff: …".
std::string waiting_container(const json *status, std::string_view only_reason = {}) {
    for (const char *list : {"initContainerStatuses", "containerStatuses"})
        if (const json *containers = array_member(status, list))
            for (const json &container : *containers) {
                const json *waiting = member(member(&container, "state"), "waiting");
                const std::string reason = text_member(waiting, "reason");
                if (!reason.empty() && (only_reason.empty() || reason == only_reason))
                    return text_member(&container, "name") + ": " + words_of_condition(waiting, {});
            }
    return {};
}

Health pod(const json &object) {
    const json *status = member(&object, "status");
    const std::string phase = text_member(status, "phase");
    if (phase == "Succeeded")
        return {};
    if (phase == "Failed")
        return failed(words_of_condition(status, "the pod has ended without success"));
    if (std::string words = waiting_container(status, "CrashLoopBackOff"); !words.empty())
        return failed(std::move(words));
    if (phase == "Running") {
        const json *ready = find_condition(status, "Ready");
        return text_member(ready, "status") == "True" ? Health{}
                                                      : in_progress(words_of_condition(ready, "the pod is not ready"));
    }
    if (const json *scheduled = find_condition(status, "PodScheduled"); text_member(scheduled, "status") == "False")
        return in_progress(words_of_condition(scheduled, "the pod is not scheduled"));
    const std::string words = waiting_container(status);
    return in_progress(words.empty() ? "the pod has not started" : words);
}

Health volume_claim(const json &object) {
    const std::string phase = text_member(member(&object, "status"), "phase");
    if (phase == "Bound")
        return {};
    if (phase == "Lost")
        return failed("the volume of the claim is lost");
    return in_progress("the claim is not bound to a volume");
}

Health service(const json &object) {
    const json *spec = member(&object, "spec");
    if (text_member(spec, "type") == "LoadBalancer" && text_member(spec, "clusterIP").empty())
        return in_progress("the service has no address in the cluster");
    return {};
}

Health disruption_budget(const json &object) {
    const json *status = member(&object, "status");
    const int64_t wanted = integer_member(status, "desiredHealthy", -1);
    const int64_t healthy = integer_member(status, "currentHealthy", 0);
    if (wanted < 0)
        return in_progress("its controller has not counted pods yet");
    return healthy < wanted ? in_progress(share(healthy, wanted, "pods that the budget asks for are healthy"))
                            : Health{};
}

Health definition(const json &object) {
    const json *status = member(&object, "status");
    const json *names = find_condition(status, "NamesAccepted");
    if (text_member(names, "status") == "False")
        return failed(words_of_condition(names, "the names are not accepted"));
    const json *established = find_condition(status, "Established");
    if (text_member(established, "status") == "True")
        return {};
    if (text_member(established, "status") == "False" && text_member(established, "reason") != "Installing")
        return failed(words_of_condition(established, "the kind is not served"));
    return in_progress("the kind is not served yet");
}

// In use as soon as it is there.
Health always_current(const json &) {
    return {};
}

struct Rule {
    std::string_view group, kind;
    KindHealth health;
};

constexpr Rule rules[] = {
    {"", "ConfigMap", {always_current}},
    {"", "Namespace", {name_space}},
    {"", "Node", {node}},
    {"", "PersistentVolumeClaim", {volume_claim}},
    {"", "Pod", {pod}},
    {"", "Secret", {always_current}},
    {"", "Service", {service}},
    {"apiextensions.k8s.io", "CustomResourceDefinition", {definition}},
    {"apps", "DaemonSet", {daemon_set, true}},
    {"apps", "Deployment", {deployment, true}},
    {"apps", "ReplicaSet", {replica_set, true}},
    {"apps", "StatefulSet", {stateful_set, true}},
    {"batch", "CronJob", {always_current}},
    {"batch", "Job", {job}},
    {"policy", "PodDisruptionBudget", {disruption_budget, true}},
};

} // namespace

const KindHealth *health_of_kind(std::string_view group, std::string_view kind) {
    for (const Rule &rule : rules)
        if (rule.kind == kind && rule.group == group)
            return &rule.health;
    return nullptr;
}

const json *find_condition(const json *status, std::string_view type) {
    if (const json *conditions = array_member(status, "conditions"))
        for (const json &entry : *conditions)
            if (text_member(&entry, "type") == type)
                return &entry;
    return nullptr;
}

std::string words_of_condition(const json *condition, std::string_view otherwise) {
    const std::string reason = text_member(condition, "reason");
    const std::string message = text_member(condition, "message");
    if (reason.empty() && message.empty())
        return std::string(otherwise);
    return reason.empty() || message.empty() ? reason + message : reason + ": " + message;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
