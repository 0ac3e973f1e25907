// The status of a Deployment, from its ReplicaSets.
#include "deployment_status.hpp"

#include "api.hpp"
#include "conditions.hpp"
#include "owned_pods.hpp"
#include "pod_spec.hpp"
#include "times.hpp"

#include <algorithm>

namespace kubesim {

namespace {

int64_t share(const json &spec, const char *name, bool round_up) {
    const json &strategy = spec.at("strategy");
    const json *rolling = find(strategy, "rollingUpdate");
    const json *value = rolling ? find(*rolling, name) : nullptr;
    return value ? part_of(*value, integer_of(spec, "replicas", 0), round_up) : 0;
}

std::string reason_of(const json &object) {
    const json *progressing = condition_of(object, "Progressing");
    return progressing ? text_of(*progressing, "reason") : "";
}

int64_t seconds_since(const std::string &time) {
    const time_t then = seconds_of(time);
    return then < 0 ? 0 : ::time(nullptr) - then;
}

bool has_deadline(const json &spec) {
    return spec.contains("progressDeadlineSeconds") && spec.at("progressDeadlineSeconds") != INT32_MAX;
}

bool is_complete(const json &deployment, const json &status) {
    const int64_t wanted = integer_of(deployment.at("spec"), "replicas", 0);
    for (const char *name : {"replicas", "updatedReplicas", "availableReplicas"})
        if (integer_of(status, name, 0) != wanted)
            return false;
    return true;
}

void report_progress(const json &deployment, json &status, const std::string &set) {
    const json &before = deployment.at("status");
    const std::string reason = reason_of(deployment);
    if (reason == "NewReplicaSetAvailable" &&
        integer_of(status, "replicas", 0) == integer_of(status, "updatedReplicas", 0))
        return;
    auto count = [](const json &of, const char *name) { return integer_of(of, name, 0); };
    auto old_pods = [&](const json &of) { return count(of, "replicas") - count(of, "updatedReplicas"); };
    const bool progressed = count(status, "updatedReplicas") > count(before, "updatedReplicas") ||
                            old_pods(status) < old_pods(before) ||
                            count(status, "readyReplicas") > count(before, "readyReplicas") ||
                            count(status, "availableReplicas") > count(before, "availableReplicas");
    if (is_complete(deployment, status)) {
        set_condition(status, {"Progressing", "True", "NewReplicaSetAvailable",
                               "ReplicaSet \"" + set + "\" has successfully progressed."});
    } else if (progressed) {
        set_condition(status,
                      {"Progressing", "True", "ReplicaSetUpdated", "ReplicaSet \"" + set + "\" is progressing."});
    } else if (seconds_to_deadline(deployment) == 0) {
        set_condition(status, {"Progressing", "False", "ProgressDeadlineExceeded",
                               "ReplicaSet \"" + set + "\" has timed out progressing."});
    }
}

} // namespace

void set_condition(json &status, const Condition &condition) {
    const std::string now = rfc3339_now();
    json one = {{"type", condition.type},       {"status", condition.status}, {"reason", condition.reason},
                {"message", condition.message}, {"lastUpdateTime", now},      {"lastTransitionTime", now}};
    json &all = status["conditions"];
    if (!all.is_array())
        all = json::array();
    for (auto it = all.begin(); it != all.end(); ++it) {
        if (text_of(*it, "type") != condition.type)
            continue;
        if ((*it)["status"] == condition.status) {
            if ((*it)["reason"] == condition.reason)
                return;
            one["lastTransitionTime"] = (*it)["lastTransitionTime"];
        }
        all.erase(it);
        break;
    }
    all.push_back(std::move(one));
}

int64_t surge_of(const json &spec) {
    return share(spec, "maxSurge", true);
}

int64_t unavailable_of(const json &spec) {
    const int64_t most = std::min(share(spec, "maxUnavailable", false), integer_of(spec, "replicas", 0));
    // Both may be rounded to nothing: then the update would never begin.
    return most == 0 && surge_of(spec) == 0 ? 1 : most;
}

int64_t seconds_to_deadline(const json &deployment) {
    const json &spec = deployment.at("spec");
    const json *progressing = condition_of(deployment, "Progressing");
    if (!progressing || !has_deadline(spec) || text_of(*progressing, "status") != "True" ||
        text_of(*progressing, "reason") == "NewReplicaSetAvailable")
        return -1;
    const int64_t deadline = integer_of(spec, "progressDeadlineSeconds", 600);
    return std::max<int64_t>(0, deadline - seconds_since(text_of(*progressing, "lastUpdateTime")));
}

json deployment_status(const json &deployment, const std::vector<json> &sets, const json *current) {
    const json &spec = deployment.at("spec");
    json status = deployment.at("status");
    int64_t wanted = 0, replicas = 0, ready = 0, available = 0;
    for (const auto &set : sets) {
        wanted += integer_of(set.at("spec"), "replicas", 0);
        replicas += integer_of(set.at("status"), "replicas", 0);
        ready += integer_of(set.at("status"), "readyReplicas", 0);
        available += integer_of(set.at("status"), "availableReplicas", 0);
    }
    status["observedGeneration"] = deployment.at("metadata").at("generation");
    set_count(status, "replicas", replicas);
    set_count(status, "updatedReplicas", current ? integer_of(current->at("status"), "replicas", 0) : 0);
    set_count(status, "readyReplicas", ready);
    set_count(status, "availableReplicas", available);
    set_count(status, "unavailableReplicas", std::max<int64_t>(0, wanted - available));
    if (available >= integer_of(spec, "replicas", 0) - unavailable_of(spec))
        set_condition(status,
                      {"Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability."});
    else
        set_condition(status, {"Available", "False", "MinimumReplicasUnavailable",
                               "Deployment does not have minimum availability."});
    if (current && has_deadline(spec))
        report_progress(deployment, status, text_of(current->at("metadata"), "name"));
    return status;
}

} // namespace kubesim
