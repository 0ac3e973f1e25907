// Health of objects; see the header. Runs in the mirror worker.
#include "kubernetes/health.hpp"

#include "kubernetes/json_access.hpp"

#include <algorithm>
#include <array>

namespace dbnet::kubernetes {
namespace {

using nlohmann::json;
using Status = Health::Status;

const json *condition(const json *status, std::string_view type) {
    if (const json *conditions = array_member(status, "conditions"))
        for (const json &entry : *conditions)
            if (text_member(&entry, "type") == type)
                return &entry;
    return nullptr;
}

// "KubeletNotReady: runtime network not ready", or what of it there is.
std::string words(const json *condition, std::string_view otherwise) {
    const std::string reason = text_member(condition, "reason");
    const std::string message = text_member(condition, "message");
    if (reason.empty() && message.empty())
        return std::string(otherwise);
    return reason.empty() || message.empty() ? reason + message : reason + ": " + message;
}

// Kinds whose controller writes status.observedGeneration: without one it has not looked at the object yet.
bool has_generation_observer(const std::string &kind) {
    constexpr std::array kinds = {"Deployment", "StatefulSet", "ReplicaSet", "DaemonSet", "PodDisruptionBudget"};
    return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
}

Health node_health(const json *status) {
    const json *ready = condition(status, "Ready");
    const std::string state = text_member(ready, "status");
    if (state == "True")
        return {};
    if (state == "Unknown")
        return {Status::failed, words(ready, "the node does not report any more")};
    return {Status::in_progress, words(ready, "the node has not reported to be ready")};
}

Health namespace_health(const json *status) {
    const std::string phase = text_member(status, "phase");
    if (phase == "Active")
        return {};
    if (phase == "Terminating")
        return {Status::terminating, "the namespace is being deleted"};
    return {Status::in_progress, "the namespace is not active yet"};
}

Health generic_health(const json *status) {
    const json *ready = condition(status, "Ready");
    if (ready == nullptr || text_member(ready, "status") == "True")
        return {};
    return {Status::in_progress, words(ready, "not ready")};
}

} // namespace

const char *name(Health::Status status) noexcept {
    switch (status) {
    case Status::current:
        return "current";
    case Status::in_progress:
        return "in_progress";
    case Status::failed:
        return "failed";
    case Status::terminating:
        return "terminating";
    }
    return "unknown";
}

Health health_of(const json &object) {
    const json *metadata = member(&object, "metadata");
    const json *status = member(&object, "status");
    const std::string kind = text_member(&object, "kind");
    if (const std::string since = text_member(metadata, "deletionTimestamp"); !since.empty())
        return {Status::terminating, "deletion was requested at " + since};
    const int64_t generation = integer_member(metadata, "generation", 0);
    const int64_t observed = integer_member(status, "observedGeneration", -1);
    if (observed >= 0 ? observed != generation : generation > 0 && has_generation_observer(kind))
        return {Status::in_progress,
                "generation " + std::to_string(generation) +
                    (observed >= 0 ? " is not observed yet, but " + std::to_string(observed) : " is not observed yet")};
    if (const json *stalled = condition(status, "Stalled"); text_member(stalled, "status") == "True")
        return {Status::failed, words(stalled, "stalled")};
    if (const json *reconciling = condition(status, "Reconciling"); text_member(reconciling, "status") == "True")
        return {Status::in_progress, words(reconciling, "reconciling")};
    if (kind == "Node")
        return node_health(status);
    if (kind == "Namespace")
        return namespace_health(status);
    return generic_health(status);
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
